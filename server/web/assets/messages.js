/*
 * The list of messages, made for very busy rooms. New messages are collected and painted once per animation frame, and at
 * most MAX messages are kept, so that a page in a busy room needs no more memory after an hour than after a minute.
 * Everything from the network enters the document as text, never as markup.
 */

import { h } from "./dom.js";
import { bare, exact, label } from "./text.js";

const MAX = 500;
const LONG = 1_200; // characters; a longer message is folded
const LONG_LINES = 14; // lines; a longer message is folded
const GROUP_MS = 3 * 60_000; // messages of one sender that follow each other within this time share one heading
const NEAR_PX = 60; // a reader who is this close to the end counts as being at the end

export class MessageList {
  #scroller;
  #list;
  #pending;
  #chip;
  #chipText;
  #onEmpty;
  #queue = [];
  #scheduled = false;
  #atEnd = true;
  #unseen = 0;
  #last = null; // heading of the group that the next message may join: { key, at }

  constructor({ scroller, list, pending, chip, chipText, onEmpty }) {
    this.#scroller = scroller;
    this.#list = list;
    this.#pending = pending;
    this.#chip = chip;
    this.#chipText = chipText;
    this.#onEmpty = onEmpty;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    chip.addEventListener("click", () => this.toEnd());
    // A keyboard or banner that opens makes the view smaller; a reader who was at the end must stay there.
    new ResizeObserver(() => this.#atEnd && this.toEnd()).observe(scroller);
  }

  /** item: { own, from, text, kind, at, tag, rtt }; kind is "" for chat and the JSON type for any other value, rtt may be "". */
  add(item) {
    this.#enqueue({ item });
  }

  /** Adds a line about the connection between the messages. missed: messages are missing at this place. */
  notice(text, missed = false) {
    this.#enqueue({ notice: text, missed });
  }

  /** Shows a message of this page that is on its way. When it comes back, it moves to its place in the room's order. */
  pend(tag, text) {
    const element = h("li", "message own pending", h("div", "bubble", h("p", "text", text)), h("p", "meta", "Sending"));
    element.dataset.tag = tag;
    this.#pending.append(element);
    this.#onEmpty(false);
    this.toEnd();
  }

  /** Says why a message has not come back. `again`, if given, is called if the person wants to send it again. */
  doubt(tag, why, again) {
    const element = this.#find(tag);
    if (!element) return;
    element.classList.add("doubtful");
    element.querySelector(".meta").replaceChildren(`${why} `);
    if (!again) return;
    const button = h("button", "link", "Send again");
    button.type = "button";
    button.addEventListener("click", again);
    element.querySelector(".meta").append(button);
  }

  settle(tag) {
    this.#find(tag)?.remove();
  }

  #find(tag) {
    return [...this.#pending.children].find((element) => element.dataset.tag === tag);
  }

  clear() {
    this.#queue = [];
    this.#last = null;
    this.#list.replaceChildren();
    this.#pending.replaceChildren();
    this.#onEmpty(true);
    this.toEnd();
  }

  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#atEnd = true;
    this.#seen();
  }

  #enqueue(entry) {
    this.#queue.push(entry);
    if (this.#queue.length > MAX) this.#skip();
    if (this.#scheduled) return;
    this.#scheduled = true;
    const flush = () => this.#flush();
    // In a hidden page there are no animation frames.
    if (document.hidden) setTimeout(flush, 200);
    else requestAnimationFrame(flush);
  }

  /** Removes the oldest message from the queue. Lines about the connection stay. */
  #skip() {
    const oldest = this.#queue.findIndex((entry) => entry.item);
    const [{ item }] = this.#queue.splice(Math.max(oldest, 0), 1);
    if (item?.own) this.settle(item.tag);
  }

  #flush() {
    this.#scheduled = false;
    const batch = document.createDocumentFragment();
    let fresh = 0;
    for (const entry of this.#queue.splice(0)) {
      batch.append(entry.item ? this.#render(entry.item) : this.#renderNotice(entry));
      if (!entry.item) continue;
      if (entry.item.own) this.settle(entry.item.tag);
      else fresh++;
    }
    if (!batch.hasChildNodes()) return;
    this.#list.append(batch);
    while (this.#list.childElementCount > MAX) this.#list.firstElementChild.remove();
    this.#onEmpty(!this.#list.querySelector(".message") && !this.#pending.firstElementChild);
    if (this.#atEnd) this.toEnd();
    else if (fresh > 0) this.#offer(fresh);
  }

  #render(item) {
    const key = `${item.own}/${item.kind}/${item.from}`;
    const joined = this.#last?.key === key && item.at - this.#last.at < GROUP_MS;
    this.#last = { key, at: item.at };
    const element = h("li", `message${item.own ? " own" : ""}${item.kind ? " value" : ""}${joined ? " joined" : ""}`);
    element.dataset.kind = item.kind || "chat";
    if (!item.own) element.append(avatar(item));
    const body = h("div", "body");
    if (!joined && !item.own) body.append(heading(item));
    body.append(bubble(item));
    if (item.own) body.append(h("p", "meta", item.rtt ? `${clock(item.at)} · back in ${item.rtt}` : clock(item.at)));
    element.append(body);
    return element;
  }

  #renderNotice({ notice, missed }) {
    this.#last = null;
    return h("li", missed ? "notice missed" : "notice", h("span", "", notice));
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (this.#atEnd) this.#seen();
  }

  #offer(fresh) {
    this.#unseen += fresh;
    this.#chipText.textContent = this.#unseen === 1 ? "1 new message" : `${this.#unseen} new messages`;
    this.#chip.hidden = false;
  }

  #seen() {
    this.#unseen = 0;
    this.#chip.hidden = true;
  }
}

const KINDS = { string: "text", array: "list", boolean: "true/false" };

function heading(item) {
  const name = h("bdi", "from", item.kind ? "Another client" : label(item.from));
  const time = h("time", "", clock(item.at));
  return h("p", "heading", name, item.kind ? h("span", "kind", KINDS[item.kind] ?? item.kind) : "", time);
}

function bubble(item) {
  const text = item.kind && item.kind !== "string" ? h("code", "text", exact(item.text)) : h("p", "text", item.text);
  const box = h("div", "bubble", text);
  if (item.text.length > LONG || item.text.split("\n", LONG_LINES + 1).length > LONG_LINES) {
    text.classList.add("folded");
    const size = item.text.length.toLocaleString("en");
    const button = h("button", "link", `Show all ${size} characters`);
    button.type = "button";
    button.addEventListener("click", () => {
      const folded = text.classList.toggle("folded");
      button.textContent = folded ? `Show all ${size} characters` : "Show less";
    });
    box.append(button);
  }
  return box;
}

/** Makes a dot for a sender. Its colour is computed from the sender's name, so it is the same in every tab. */
function avatar(item) {
  const element = h("span", "avatar", item.kind ? "{ }" : initials(item.from));
  element.ariaHidden = "true";
  let hash = 0;
  for (const character of item.from) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  element.style.setProperty("--hue", String((hash * 47) % 360));
  return element;
}

function initials(name) {
  const letters = bare(name).split(/[\s_.-]+/u).map((word) => word.match(/[\p{L}\p{N}\p{Extended_Pictographic}]/u)?.[0] ?? "");
  return letters.filter(Boolean).slice(0, 2).join("").toUpperCase() || "?";
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function clock(at) {
  return clockFormat.format(at);
}
