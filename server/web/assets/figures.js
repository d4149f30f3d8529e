/*
 * The figures of this tab: messages in and out, and the round trips of our own messages to the server and back: the
 * last one, the median, and a line of the recent ones.
 */

import { $ } from "./dom.js";

const RECENT = 32; // number of round trips in the median and in the line
const PAINT_MS = 50; // in a busy room the figures change faster than anybody can read

/** Formats a duration for people, with tenths if it is short. */
export function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} ms`;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2; // the same element twice if the number is odd
}

export class Figures {
  #received = 0;
  #sent = 0;
  #roundTrips = [];
  #timer = 0;

  reset() {
    this.#received = this.#sent = 0;
    this.#roundTrips = [];
    this.#show();
  }

  countReceived() {
    this.#received++;
    this.#timer ||= setTimeout(() => this.#show(), PAINT_MS);
  }

  countSent() {
    this.#sent++;
    this.#show();
  }

  addRoundTrip(duration) {
    this.#roundTrips.push(duration);
    if (this.#roundTrips.length > RECENT) this.#roundTrips.shift();
  }

  #show() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const trips = this.#roundTrips;
    const last = trips.at(-1);
    $("received").textContent = this.#received.toLocaleString("en");
    $("sent").textContent = this.#sent.toLocaleString("en");
    $("rtt").textContent = last === undefined ? "–" : milliseconds(last);
    $("rtt").dataset.ms = last === undefined ? "" : last.toFixed(2);
    $("rtt-median").textContent = last === undefined ? "–" : milliseconds(median(trips));
    $("rtt-over").textContent = trips.length > 1 ? `Median of the last ${trips.length}` : "Median";
    $("spark").firstElementChild.setAttribute("points", this.#points());
  }

  /** Draws the line in a box of 100 by 32, with the newest round trip at the right. */
  #points() {
    const trips = this.#roundTrips;
    if (trips.length < 2) return "";
    const top = Math.max(...trips) * 1.1;
    return trips.map((trip, i) => `${((i + RECENT - trips.length) / (RECENT - 1)) * 100},${32 - (trip / top) * 30}`).join(" ");
  }
}
