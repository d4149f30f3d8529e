/*
 * The state of the connection: the text beside the room's name, the banner with the reason of a loss, the lines between the
 * messages, and the text in a room without messages. This text invites others only while the page is in the room.
 */

import { $, h } from "./dom.js";
import { exact } from "./text.js";

const QUIET_MS = 1_500; // for a shorter wait there is no banner

export class Status {
  #notice;
  #lostAt = 0; // time at which the connection was lost; 0 while it exists
  #countdown = 0;

  /** notice(text, missed) adds a line between the messages. */
  constructor(notice) {
    this.#notice = notice;
  }

  /** Resets the state, when the page goes to another room or leaves its room. */
  reset() {
    this.#lostAt = 0;
    clearInterval(this.#countdown);
  }

  /**
   * Shows a state: "connecting", "open", "waiting" until the time retryAt, or "closed". code and reason are those of the last
   * close, refusal is the reason that the server gave for refusing a handshake, and text explains them to a person.
   */
  show({ state, code = 0, reason = "", refusal = "", text = "", retryAt = 0 }) {
    if (state === "waiting" || state === "closed") {
      if (!this.#lostAt) this.#notice(`${text} (${code})`);
      this.#lostAt ||= Date.now();
    }
    $("state").dataset.state = state;
    $("state").dataset.code = code || "";
    const connecting = this.#lostAt ? "Reconnecting" : "Connecting";
    $("state-text").textContent = { connecting, open: "Connected", waiting: "Reconnecting", closed: `Closed · ${code}` }[state];
    this.#showBanner({ state, code, reason, refusal, text, retryAt });
    this.#showEmpty(state);
  }

  /** Ends an interruption with a line that says how long it was; with an empty text there is no line. */
  back(text, missed = false) {
    const seconds = Math.max(1, Math.round((Date.now() - this.#lostAt) / 1_000));
    if (this.#lostAt && text) this.#notice(`Back after ${seconds} s. ${text}`, missed);
    this.reset();
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
