/*
 * The reference client of protocol version 1: everything that a browser needs to be a member of a room, without
 * any user interface.
 *
 *   const client = new Client("lobby", {
 *     onMessage: (value) => show(value),        // every message of the room, including this client's own
 *     onState: ({ state, text }) => tell(text), // connecting, open, waiting, closed
 *   });
 *   client.join();
 *   client.send("hello"); // or any JSON value; false if there is no open connection
 *   client.leave();
 *
 * On the wire (one WebSocket a room, text frames only):
 *
 *   out  {"message":X}      X is any JSON value
 *   in   {"message":X}      to every member of the room; for the sender it is the receipt of its message
 *   out  "heartbeat"        every 10 s; a connection that is silent for 60 s is closed with 4100
 *
 * The close code says what to do next. 42xx: reconnect now, because the server asks the client to move. 45xx: do not reconnect
 * unchanged, because the new connection would end in the same way. All other codes (41xx, and 1006, with which a browser
 * reports a lost network): back off and reconnect.
 *
 * Version 1 has no history. A client does not get messages that were sent while it was away, so a page should say that some
 * may be missing.
 */

export const HEARTBEAT_MS = 10_000;
export const MAX_AGE_MS = 60_000; // how long the server waits for a sign of life
export const FRAME_MAX_BYTES = 65_536; // most UTF-8 bytes of a frame; if a frame has more, the server closes with 1009

const CONNECT_MS = 10_000; // a handshake that takes longer counts as failed
const STABLE_MS = 5_000; // a connection that lasts this long resets the back-off
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
const ROOM_MAX_BYTES = 128;

const CODES = {
  1000: "The server closed the connection.",
  1001: "The server is going out of service.",
  1002: "The server received data that breaks the WebSocket protocol.",
  1006: "The connection was lost.",
  1007: "The server received text that is not UTF-8.",
  1008: "The connection exceeded a limit of the server.",
  1009: "The message was too big for the server.",
  1011: "The server had an internal error.",
  4100: "No heartbeat reached the server in time.",
  4101: "This connection could not keep up with the room.",
  4102: "This connection sent too many messages in a short time.",
  4103: "The room or its server is full.",
  4104: "The server cannot reach its backend: the last messages may be lost.",
  4105: "This page may have missed messages of the room.",
  4200: "This server is going out of service; another one takes over.",
  4500: "The server did not accept the last message of this page.",
  4501: "This room needs a valid token.",
  4503: "An operator closed the connection.",
  4504: "You may not enter this room.",
};

/** Returns a sentence that explains a close code to a person. */
export function explain(code) {
  return CODES[code] ?? "The connection ended.";
}

/**
 * Returns the server's own reason for refusing WebSockets of this page, or "" if the server does not refuse them or cannot be
 * asked. For a refused handshake, a browser reports only code 1006. A POST carries the page's Origin as the handshake does, and
 * its answer can be read: 204, or 403 with the reason in the first line.
 */
export async function whyRefused(base = document.baseURI) {
  try {
    const answer = await fetch(new URL("origin-check", base), { method: "POST" });
    // An HTML page comes from a proxy, and is not a text to show to people.
    if (answer.status !== 403 || !answer.headers.get("Content-Type")?.startsWith("text/plain")) return "";
    return (await answer.text()).split("\n", 1)[0].trim();
  } catch {
    return ""; // no network
  }
}

/** Returns when to reconnect after a close code: "now", "later" or "never". */
export function whatNext(code) {
  if (code >= 4200 && code <= 4299) return "now";
  if (code >= 4500 && code <= 4599) return "never";
  return "later";
}

/**
 * Returns the milliseconds to wait before attempt number `attempt` (0 is the first). The longest possible wait doubles each
 * time, and half of it is random: after a crash thousands of clients reconnect, and they must not all do so at the same moment.
 */
export function backoff(attempt, random = Math.random()) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** attempt);
  return ceiling / 2 + (ceiling / 2) * random;
}

/** Returns the reason why `room` is not a valid name, or "" if it is. The server would answer 400, which a page cannot read. */
export function checkRoom(room) {
  if (room === "") return "Give the room a name.";
  if (room.includes("/")) return "A room name cannot contain a slash.";
  if (room === "." || room === "..") return "A browser cannot reach a room of this name.";
  if (/\p{Cc}/u.test(room)) return "A room name cannot contain control characters.";
  if (wellFormed(room) !== room) return "This room name is not valid Unicode.";
  const size = byteLength(room);
  if (size > ROOM_MAX_BYTES) return `This name has ${size} bytes; a room name can have ${ROOM_MAX_BYTES} at most.`;
  return "";
}

/** Returns the address of a room, below the address of the page: ws for http, wss for https. */
export function roomURL(room, base = document.baseURI) {
  const url = new URL(`ws/chat/${encodeURIComponent(room)}/`, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** Returns the text of the frame that carries `value`. */
export function frameOf(value) {
  return JSON.stringify({ message: value });
}

/** Returns the size of `text` in UTF-8 bytes, which the limits of the server count. */
export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

/** Returns `text` without lone surrogates. Half an emoji is not valid text: the server would close the connection with 4500. */
export function wellFormed(text) {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}

/**
 * The membership in one room. When a WebSocket ends, another one takes its place.
 *
 * Callbacks, all optional:
 *   onState({ state, code, reason, refusal, text, retryAt })
 *     state is "connecting", "open", "waiting" (until the time retryAt, as of Date.now()), "closed" (permanently) or
 *     "idle" (after leave). code and reason are those of the last close, refusal is the reason that whyRefused found for a
 *     failed handshake, and text explains them to a person.
 *   onMessage(value, frame)    frame is the whole text, for callers that need every digit of the numbers in value
 *   onFrame(direction, text)   for a log: "in", "out", or "note" for the end of a connection
 */
export class Client {
  state = "idle";

  #url;
  #heartbeat;
  #on;
  #socket = null;
  #attempt = 0;
  #retry = 0;
  #guard = 0;
  #stable = 0;
  #stopBeat = () => {};
  #lastBeat = 0;
  #close = { code: 0, reason: "", refusal: "" };

  /** heartbeat: milliseconds between two heartbeats; with 0 none is sent, to see the server close the connection. */
  constructor(room, { heartbeat = HEARTBEAT_MS, onState, onMessage, onFrame } = {}) {
    this.#url = roomURL(room);
    this.#heartbeat = heartbeat;
    this.#on = { state: onState, message: onMessage, frame: onFrame };
  }

  join() {
    if (this.state === "idle" || this.state === "closed") this.#connect();
  }

  /** Sends any JSON value to the room. Returns false if nothing was sent, because there is no open connection. */
  send(value) {
    if (this.state !== "open") return false;
    this.#write(frameOf(value));
    return true;
  }

  /** Leaves the room, without reconnecting. */
  leave() {
    this.#drop(1000);
    this.#enter("idle");
  }

  /** Connects at once, because a person asked for it: during a wait, or after a permanent close. */
  now() {
    if (this.state !== "waiting" && this.state !== "closed") return;
    this.#connect();
  }

  /**
   * To be called when the page becomes visible, the network comes back or the machine has woken up. It ends a wait early. If the
   * last heartbeat of a connection is too old, the server has closed the connection, even if the browser does not know it yet.
   */
  wake() {
    if (this.state === "waiting") this.#connect();
    else if (this.state === "open" && this.#heartbeat && Date.now() - this.#lastBeat > MAX_AGE_MS + this.#heartbeat) {
      this.#drop(1000);
      this.#ended(4100, "heartbeat_missed: asleep");
      this.now();
    }
  }

  #connect() {
    this.#drop();
    this.#enter("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    // Every handler checks that its socket is still in use, so that late events of an older socket have no effect.
    const current = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onopen = current(() => this.#opened());
    socket.onmessage = current((event) => this.#receive(event.data));
    socket.onclose = current(async ({ code, reason }) => {
      const refusal = this.state === "connecting" ? await whyRefused() : "";
      if (socket === this.#socket) this.#ended(code, reason, refusal);
    });
    // There is no onerror: it reports nothing that the close event after it does not report.
    this.#guard = setTimeout(() => {
      this.#drop(1000);
      this.#ended(1006, "");
    }, CONNECT_MS);
  }

  #opened() {
    clearTimeout(this.#guard);
    // The back-off is not reset at once: a full room accepts a connection and closes it again, each time.
    this.#stable = setTimeout(() => (this.#attempt = 0), STABLE_MS);
    this.#lastBeat = Date.now();
    if (this.#heartbeat) {
      this.#stopBeat = metronome(this.#heartbeat, () => {
        if (this.state !== "open") return;
        this.#lastBeat = Date.now();
        this.#write('"heartbeat"');
      });
    }
    this.#on.frame?.("note", `open ${this.#url}`);
    this.#enter("open");
  }

  #receive(data) {
    if (typeof data !== "string") return; // version 1 has only text frames
    this.#on.frame?.("in", data);
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    // A frame without `message` belongs to a later version of the protocol; this client ignores it.
    if (frame !== null && typeof frame === "object" && "message" in frame) this.#on.message?.(frame.message, data);
  }

  #ended(code, reason, refusal = "") {
    this.#drop();
    this.#close = { code, reason, refusal };
    this.#on.frame?.("note", `close ${code} ${reason || refusal}`.trim());
    const next = whatNext(code);
    if (next === "never") {
      this.#enter("closed");
      return;
    }
    // Even "now" means a random delay, because the server closes many members at once. "now" applies to one attempt only.
    const delay = next === "now" && this.#attempt === 0 ? 500 * Math.random() : backoff(this.#attempt);
    this.#attempt++;
    this.#retry = setTimeout(() => this.#connect(), delay);
    this.#enter("waiting", Date.now() + delay);
  }

  #write(text) {
    this.#socket.send(text);
    this.#on.frame?.("out", text);
  }

  /** Forgets the socket and every timer. The browser finishes the closing handshake by itself. */
  #drop(code) {
    const socket = this.#socket;
    this.#socket = null;
    if (code) socket?.close(code);
    this.#stopBeat();
    this.#stopBeat = () => {};
    for (const timer of [this.#retry, this.#guard, this.#stable]) clearTimeout(timer);
  }

  #enter(state, retryAt = 0) {
    this.state = state;
    const { code, reason, refusal } = this.#close;
    const text = refusal ? "The server refuses connections from this page." : code ? explain(code) : "";
    this.#on.state?.({ state, code, reason, refusal, text, retryAt });
  }
}

/** Calls `tick` every `every` milliseconds, with workers in hidden pages too. Returns a function that stops the calls. */
function metronome(every, tick) {
  try {
    const worker = new Worker(new URL("beat.js", import.meta.url));
    worker.onmessage = tick;
    worker.postMessage({ every });
    // onerror is called if the worker cannot be loaded: a slow timer is better than none.
    let fallback = 0;
    worker.onerror = () => (fallback ||= setInterval(tick, every));
    return () => {
      worker.terminate();
      clearInterval(fallback);
    };
  } catch {
    const timer = setInterval(tick, every);
    return () => clearInterval(timer);
  }
}
