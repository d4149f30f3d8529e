/*
 * The drawer with the last frames on the wire. Like the list of messages it paints once per animation frame and keeps
 * a limited number of rows, so it can stay open in a busy room.
 */

import { h } from "./dom.js";
import { byteLength } from "./room.js";
import { exact, head } from "./text.js";

const MAX = 200;
const SHOWN = 400; // number of characters that are shown of a frame
const SIGNS = { in: "←", out: "→", note: "·" };
const BEAT = /^("heartbeat"|\{"event":"heartbeat".*)$/u;
const WORDS = { in: "received", out: "sent", note: "connection" };

export class WireLog {
  #list;
  #queue = [];
  #scheduled = false;

  constructor(list) {
    this.#list = list;
  }

  /** direction: "in", "out", or "note" for the beginning and the end of a connection. */
  add(direction, text) {
    this.#queue.push({ direction, text, at: new Date() });
    if (this.#queue.length > MAX) this.#queue.shift();
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => this.#flush());
  }

  toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  #flush() {
    this.#scheduled = false;
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    const atEnd = scrollHeight - scrollTop - clientHeight < 40;
    this.#list.append(...this.#queue.splice(0).map(row));
    while (this.#list.childElementCount > MAX) this.#list.firstElementChild.remove();
    if (atEnd) this.toEnd();
  }
}

function row({ direction, text, at }) {
  const element = h("li", `frame ${direction}${BEAT.test(text) ? " beat" : ""}`);
  const sign = h("span", "arrow", SIGNS[direction]);
  sign.role = "img";
  sign.ariaLabel = WORDS[direction];
  const shown = head(text, SHOWN);
  const rest = text.length - shown.length;
  const more = rest > 0 ? `… and ${rest.toLocaleString("en")} more ${rest === 1 ? "character" : "characters"}` : "";
  const size = direction === "note" ? "" : ` · ${byteLength(text).toLocaleString("en")} B`;
  element.append(h("p", "when", sign, `${time(at)}${size}`), h("code", "", exact(shown) + more));
  return element;
}

function time(at) {
  return `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
