/*
 * Makes text from the network safe to read. Some characters are invisible but have an effect: U+202E reverses the order of
 * the text after it, U+2028 breaks a line, and U+200B makes two names different that look the same. This module writes such characters
 * as JSON escapes where the exact text matters: on the wire, in values, in names. The text of a message stays as it is,
 * and the style sheet keeps its direction inside it.
 */

const SHAPELESS = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu;
const JOINER = /[\u200c\u200d\ufe0e\ufe0f\u{e0020}-\u{e007f}]/u; // emoji and some scripts need these characters

/** Returns `text` with an escape, such as \u202e, for every invisible character. */
export function exact(text) {
  return text.replace(SHAPELESS, escaped);
}

/** Returns a name for display: like exact, but without escapes for the characters that join letters and emoji. */
export function label(name) {
  return name.replace(SHAPELESS, (character) => (JOINER.test(character) ? character : escaped(character)));
}

/** Returns `text` without its invisible characters. */
export function bare(text) {
  return text.replace(SHAPELESS, "");
}

/** Returns the first `count` characters of `text`; slice could cut an emoji in two. */
export function head(text, count) {
  return [...text.slice(0, 2 * count)].slice(0, count).join("");
}

function escaped(character) {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
