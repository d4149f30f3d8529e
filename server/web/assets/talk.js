/*
 * The conversation in one room: it turns what the client reports into lines of the page, and sends what a person types.
 *
 * The protocol relays any JSON value. This page sends objects of the form {"from","text","at"}, and shows any other value that
 * other clients send. It recognizes its own messages by the tag of the connection and the ref that come back with them, also
 * when they come back only after a reconnect.
 */

import { connect } from "./client.js";
import { explain, whyRefused } from "./codes.js";
import { milliseconds } from "./figures.js";
import { byteLength, FRAME_MAX_BYTES, roomURL, wellFormed } from "./room.js";
import { head } from "./text.js";

export const NAME_MAX = 40;

const NOT_CONNECTED = "Not connected. Your text stays here.";
const AWAY_MAX = 400; // number of missed messages that are shown; the list of messages keeps 500

export class Talk {
  #parts;
  #client;
  #tags = new Set(); // of this conversation's connections
  #underway = new Map(); // "TAG REF" -> { text, since } of messages that have not come back yet
  #ref = 0;
  #away = null; // missed messages that have come so far; null unless the server is sending them
  #missed = null; // the event that said that messages are missing, until it is shown
  #told = false; // the page has a line that says what happened during the current interruption
  #close = {}; // the latest end of a connection
  #shown = {}; // the latest state

  /** parts: { messages, status, figures, wire, members, name(), onState(state), onUnread(), hint(text, urgent) }. */
  constructor(room, watch, parts) {
    this.#parts = parts;
    const url = roomURL(room);
    parts.members.reset();
    parts.status.show({ state: "connecting" });
    parts.onState("connecting");
    this.#client = connect(url, {
      watch,
      onMessage: (...message) => (this.#away ? this.#away.push(message) : this.#receive(...message)),
      onEvent: (event) => this.#event(event),
      onMissed: (event) => (this.#missed = event),
      onError: (error, { ref }) => ref || parts.hint(`The server refused a request: ${error.text}`, true),
      onText: (direction, text) => parts.wire.add(direction, text),
      onState: (change) => this.#state(change, url),
    });
  }

  leave() {
    this.#parts = null;
    this.#client.close();
  }

  /** The texts of messages that have not come back. */
  get unarrived() {
    return [...this.#underway.values()].map(({ text }) => text);
  }

  get open() {
    return this.#client.state === "open";
  }

  retry() {
    this.#client.open();
  }

  wake() {
    this.#client.wake();
  }

  /** Sends a text. Returns false if it was not sent; then a hint says why. */
  send(text) {
    const { hint, messages, figures, name } = this.#parts;
    const value = { from: name(), text: wellFormed(text), at: Date.now() };
    const ref = this.#ref + 1;
    const over = byteLength(JSON.stringify({ message: value, ref })) - FRAME_MAX_BYTES;
    if (over > 0) {
      const size = (bytes) => `${bytes.toLocaleString("en")} ${bytes === 1 ? "byte" : "bytes"}`;
      hint(`This message is ${size(over)} too long: with its envelope it can have ${size(FRAME_MAX_BYTES)}. Shorten it, or send it in parts.`, true);
      return false;
    }
    if (!this.open) {
      hint(NOT_CONNECTED, true);
      return false;
    }
    hint("");
    const tag = `${this.#client.me} ${ref}`;
    this.#ref = ref;
    this.#underway.set(tag, { text: value.text, since: performance.now() });
    messages.pend(tag, value.text);
    figures.countSent();
    this.#client.send(value, ref).catch((error) => this.#doubt(tag, error));
    return true;
  }

  // The promise may end after the page has left the room.
  #doubt(tag, error) {
    const lost = this.#underway.get(tag);
    if (!lost || !this.#parts) return;
    lost.told = true;
    const refused = `The server refused this message: ${error.message}.`;
    const why = error.maybe ? "This message may not have arrived." : error.name === "lost" ? "This message did not arrive." : refused;
    this.#parts.messages.doubt(tag, why, () => {
      if (this.send(lost.text)) this.#forget(tag);
    });
  }

  #forget(tag) {
    this.#underway.delete(tag);
    this.#parts.messages.settle(tag);
  }

  #state(change, url) {
    if (!this.#parts) return;
    const { state, code, reason, opened, delay } = change;
    const { messages, status, wire, onState, hint } = this.#parts;
    this.#showAway();
    const refused = code === 1006 && !opened; // perhaps the server refused the handshake, perhaps there is no server
    if (code && !(refused && this.#close.refusal)) this.#close = { code, reason, text: explain(code) };
    if (state === "open") this.#back();
    this.#shown = { state, retryAt: Date.now() + delay };
    status.show({ ...this.#close, ...this.#shown });
    hint(state === "open" ? "" : NOT_CONNECTED);
    if (state === "waiting") {
      for (const [tag, { told }] of this.#underway) if (!told) messages.doubt(tag, "The connection was lost before an answer came.");
    }
    onState(state);
    const { since } = this.#client;
    if (state === "connecting") wire.add("note", `open ${url}${since && `&since=${since}`}`);
    if (code && !refused) wire.add("note", `close ${code} ${reason}`.trim());
    if (refused) whyRefused().then((refusal) => this.#refused(refusal));
  }

  #refused(refusal) {
    if (!this.#parts) return;
    this.#parts.wire.add("note", `close 1006 ${refusal}`.trim());
    if (this.open || this.#close.code !== 1006) return;
    this.#close = { code: 1006, reason: "", refusal, text: refusal ? "The server refuses connections from this page." : explain(1006) };
    this.#parts.status.show({ ...this.#close, ...this.#shown });
  }

  #event(event) {
    if (!this.#parts) return;
    if (event.event === "open") {
      this.#tags.add(event.me);
      if (event.resumed) this.#away = [];
    } else if (event.event === "gap" && this.#missed) {
      const repeating = this.#away !== null;
      this.#showAway();
      this.#showMissed();
      if (repeating) this.#away = [];
    }
    this.#parts.members.event(event);
  }

  /** Shows the messages that were said while the page was away, below a line with their number. */
  #showAway() {
    const away = this.#away ?? [];
    this.#away = null;
    const others = away.filter(([, frame]) => !this.#tags.has(frame.from)).length;
    if (others) {
      const rest = away.length > AWAY_MAX ? `. The last ${AWAY_MAX} are:` : "";
      this.#parts.messages.notice(`${count(others)} while you were away${rest}`);
      this.#told = true;
    }
    for (const [, frame] of away.slice(0, -AWAY_MAX)) this.#forget(`${frame.from} ${frame.ref}`);
    for (const message of away.slice(-AWAY_MAX)) this.#receive(...message, true);
  }

  #showMissed() {
    const { lost } = this.#missed;
    this.#missed = null;
    this.#told = true;
    this.#parts.messages.notice(lost ? `${count(lost)} ${lost === 1 ? "was" : "were"} missed.` : "Some messages were missed.", true);
  }

  /** Says how an interruption ended. */
  #back() {
    const { status } = this.#parts;
    if (this.#missed) status.back("Some messages were missed.", true);
    else status.back(this.#told ? "" : "Nothing was missed.");
    this.#missed = null;
    this.#told = false;
  }

  #receive(value, frame, text, late = false) {
    if (!this.#parts) return;
    const { messages, figures, onUnread } = this.#parts;
    figures.countReceived();
    const now = Date.now();
    const envelope = value !== null && typeof value === "object" && typeof value.text === "string" && typeof value.from === "string";
    const at = late && envelope && value.at > 0 && value.at < now ? value.at : now; // an old message has the time of its sender
    const own = envelope && this.#tags.has(frame.from);
    if (own) {
      const tag = `${frame.from} ${frame.ref}`;
      const mine = this.#underway.get(tag);
      this.#underway.delete(tag);
      const rtt = mine && performance.now() - mine.since;
      if (mine && !late) figures.addRoundTrip(rtt);
      messages.add({ own, from: value.from, text: value.text, kind: "", at, tag, rtt: late || !mine ? "" : milliseconds(rtt) });
      return;
    }
    if (envelope) messages.add({ own, from: nameOf(value.from), text: value.text, kind: "", at });
    else messages.add({ own, from: "", text: typeof value === "string" ? value : compact(value, text), kind: kindOf(value), at });
    onUnread();
  }
}

/** Returns a sender's name in the length that the page shows. */
export function nameOf(text) {
  return head(wellFormed(text.trim()), NAME_MAX) || "guest";
}

function count(messages) {
  return messages === 1 ? "1 message" : `${messages.toLocaleString("en")} messages`;
}

function kindOf(value) {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** Returns the value as its sender wrote it, without white space. JSON.stringify would round 12345678901234567890. */
function compact(value, text) {
  const key = '"message":'; // within a string its quotation marks would be escaped
  const start = text.indexOf(key);
  if (start < 0 || !text.startsWith("{")) return JSON.stringify(value);
  return text.slice(start + key.length, -1).replace(/("(?:[^"\\]|\\.)*")|\s+/gu, "$1");
}
