/*
 * The state of the connection: the text beside the room's name, the banner with the reason of a loss, the lines between the
 * messages, and the text in a room without messages. This text invites others only while the page is in the room.
 */

import { $, h } from "./dom.js";
import { exact } from "./text.js";

const QUIET_MS = 1_500; // for a shorter wait there is no banner
const STAY_MS = 1_000; // only after this time the connection counts as back: a full room accepts a connection and closes it

export class Status {
  #notice;
  #lostAt = 0; // time at which the connection was lost; 0 while it exists
  #countdown = 0;
  #backTimer = 0;

  /** notice(text) adds a line between the messages. */
  constructor(notice) {
    this.#notice = notice;
  }

  /** Resets the state, when the page goes to another room or leaves its room. */
  reset() {
    this.#lostAt = 0;
    this.#waitForBack(false);
  }

  /** Shows a state, in the form that a Client passes to onState. */
  show({ state, code, reason, refusal, text, retryAt }) {
    if (state === "waiting" || state === "closed") {
      if (!this.#lostAt) this.#notice(`${text} (${code})`);
      this.#lostAt ||= Date.now();
    }
    this.#waitForBack(state === "open" && this.#lostAt > 0);
    $("state").dataset.state = state;
    $("state").dataset.code = code || "";
    const connecting = this.#lostAt ? "Reconnecting" : "Connecting";
    $("state-text").textContent = { idle: "Not joined", connecting, open: "Connected", waiting: "Reconnecting", closed: `Closed · ${code}` }[state];
    this.#showBanner({ state, code, reason, refusal, text, retryAt });
    this.#showEmpty(state);
  }

  /** To be called for each message, because any message after a loss proves that the page is connected again. */
  received() {
    if (this.#backTimer) this.#back();
  }

  #waitForBack(wait) {
    clearTimeout(this.#backTimer);
    this.#backTimer = wait ? setTimeout(() => this.#back(), STAY_MS) : 0;
  }

  #back() {
    const seconds = Math.max(1, Math.round((Date.now() - this.#lostAt) / 1_000));
    this.reset();
    this.#notice(`Back after ${seconds} s. Messages sent in the meantime are missing here.`);
    this.#showEmpty("open");
  }

  #showBanner({ state, code, reason, refusal, text, retryAt }) {
    const long = refusal || retryAt - Date.now() > QUIET_MS; // a refusal does not end by itself
    const shown = state === "closed" || (state === "waiting" && long) || (state === "connecting" && !$("banner").hidden);
    clearInterval(this.#countdown);
    $("banner").hidden = !shown;
    if (!shown) return;
    $("banner").dataset.state = state;
    $("banner-text").textContent = text;
    $("banner-reason").replaceChildren(...flagsWhole(quoted(refusal || detail(reason))));
    $("banner-code").textContent = `${code} ${reason.split(":")[0]}`.trim();
    $("now").hidden = state === "connecting";
    $("now").textContent = state === "closed" ? "Try again" : "Retry now";
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1_000));
      $("banner-wait").textContent = { waiting: `Retrying in ${seconds} s`, connecting: "Retrying", closed: "" }[state];
    };
    tick();
    if (state === "waiting") this.#countdown = setInterval(tick, 250);
  }

  #showEmpty(state) {
    const inside = state === "open" && !this.#lostAt;
    const joining = !inside && !this.#lostAt;
    $("empty-text").textContent = inside ? "It is quiet in" : joining ? "Joining" : "You are not in";
    $("outside").textContent = joining ? "" : state === "closed" ? "This page has stopped trying to join." : "This page keeps trying to join.";
    $("outside").hidden = inside;
    $("inside").hidden = !inside;
  }
}

/** Returns the part of a close reason that is for people: the detail in "name: detail". */
function detail(reason) {
  return reason.includes(": ") ? reason.slice(reason.indexOf(": ") + 2) : "";
}

/** Splits a text so that no line ends inside a flag of the server: a browser would break --origins after its hyphens. */
function flagsWhole(text) {
  return text.split(/(--[a-z][a-z-]{1,30})/).map((piece, i) => (i % 2 ? h("span", "flag", piece) : piece));
}

function quoted(text) {
  return text && `“${exact(text)}”`;
}
