/*
 * The figures of this tab: messages in and out, and how long our own messages took from here to the server and back, in the
 * last one, in the median and as a line.
 */

import { $ } from "./dom.js";

const RECENT = 32; // round trips that the median and the line are made of
const PAINT_MS = 50; // a busy room changes the figures more often than anybody can read

/** A duration for people: tenths where they matter. */
export function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} ms`;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2; // twice the same if the number is odd
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

  /** The line grows from the right, as time does, in a box of 100 by 32. */
  #points() {
    const trips = this.#roundTrips;
    if (trips.length < 2) return "";
    const top = Math.max(...trips) * 1.1;
    return trips.map((trip, i) => `${((i + RECENT - trips.length) / (RECENT - 1)) * 100},${32 - (trip / top) * 30}`).join(" ");
  }
}
