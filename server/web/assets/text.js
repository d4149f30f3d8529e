/*
 * Text from the network, made fit to be read. Some characters have no shape and act nevertheless: U+202E turns the order of
 * what follows, U+2028 breaks a line, and U+200B makes two names that look the same different. They are written as JSON
 * escapes where it matters what a text is exactly: on the wire, in values, in names. The text of a message stays as it is,
 * and the style sheet keeps its direction within it.
 */

const SHAPELESS = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu;
const JOINER = /[\u200c\u200d\ufe0e\ufe0f\u{e0020}-\u{e007f}]/u; // emoji and some scripts are written with these

/** `text` with an escape for every character that nobody could see: \u202e. */
export function exact(text) {
  return text.replace(SHAPELESS, escaped);
}

/** A name to be shown: as exact, but for what letters and emoji are joined with. */
export function label(name) {
  return name.replace(SHAPELESS, (character) => (JOINER.test(character) ? character : escaped(character)));
}

/** `text` without what nobody could see. */
export function bare(text) {
  return text.replace(SHAPELESS, "");
}

/** The first `count` characters of `text`; none is cut in two, as slice would do with an emoji. */
export function head(text, count) {
  return [...text.slice(0, 2 * count)].slice(0, count).join("");
}

function escaped(character) {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
