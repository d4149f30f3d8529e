/*
 * The reference client of the v1 protocol: everything that a browser needs as a member of a room, without a
 * line of user interface.
 *
 *   const client = new Client("lobby", {
 *     onMessage: (value) => show(value),        // every message of the room, our own included
 *     onState: ({ state, text }) => tell(text), // connecting, open, waiting, closed
 *   });
 *   client.join();
 *   client.send("hello"); // or any JSON value; false if there is no open connection
 *   client.leave();
 *
 * On the wire (one WebSocket a room, text frames only):
 *
 *   out  {"message":X}      X is any JSON value
 *   in   {"message":X}      to every member of the room, the sender included: the echo of our own message is its receipt
 *   out  "heartbeat"        every 10 s; a connection that is silent for 60 s is closed with 4100
 *
 * The close code says what to do next. 42xx: reconnect now, the server asks us to move. 45xx: do not reconnect
 * unchanged, it would end in the same way. All others (41xx, and 1006, with which a browser reports a lost network): back
 * off and reconnect.
 *
 * v1 has no history. Messages sent while we were away are not replayed, so a page should say that some may be missing.
 */

export const HEARTBEAT_MS = 10_000;
export const MAX_AGE_MS = 60_000; // how long the server waits for a sign of life
export const FRAME_MAX_BYTES = 65_536; // UTF-8 bytes that a frame may have; the server closes with 1009 for more

const CONNECT_MS = 10_000; // a handshake that takes longer counts as failed
const STABLE_MS = 5_000; // a connection that lived this long resets the back-off
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
const ROOM_MAX_BYTES = 128;

const CODES = {
  1000: "The server said goodbye.",
  1001: "The server went away.",
  1002: "The server saw a protocol error.",
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

/** A sentence for a person about a close code. */
export function explain(code) {
  return CODES[code] ?? "The connection ended.";
}

/**
 * Why the server refuses WebSockets of this page, in its own words, or "" if it does not or cannot be asked. A browser tells
 * nothing but 1006 about a refused handshake. A POST carries the page's Origin as the handshake does, and its answer can be
 * read: 204, or 403 with the reason as its first line.
 */
export async function whyRefused(base = document.baseURI) {
  try {
    const answer = await fetch(new URL("origin-check", base), { method: "POST" });
    // A proxy refuses with an HTML page, which is not a text for people.
    if (answer.status !== 403 || !answer.headers.get("Content-Type")?.startsWith("text/plain")) return "";
    return (await answer.text()).split("\n", 1)[0].trim();
  } catch {
    return ""; // no network
  }
}

/** When to reconnect after a close code: "now", "later" or "never". */
export function whatNext(code) {
  if (code >= 4200 && code <= 4299) return "now";
  if (code >= 4500 && code <= 4599) return "never";
  return "later";
}

/**
 * Milliseconds to wait before attempt number `attempt` (0 is the first). The ceiling doubles each time, and half of it is
 * random: after a crash thousands of clients reconnect, and they must not do so at the same moment.
 */
export function backoff(attempt, random = Math.random()) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** attempt);
  return ceiling / 2 + (ceiling / 2) * random;
}

/** Why `room` cannot be the name of a room, or "" if it can. The server would answer 400, which a browser cannot read. */
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

/** The address of a room, below the page's own: ws for http, wss for https. */
export function roomURL(room, base = document.baseURI) {
  const url = new URL(`ws/chat/${encodeURIComponent(room)}/`, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** The frame that carries `value`. */
export function frameOf(value) {
  return JSON.stringify({ message: value });
}

/** How many bytes `text` has as UTF-8; the limits of the server count these. */
export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

/** `text` without lone surrogates: half an emoji is not valid text, and the server closes with 4500 for it. */
export function wellFormed(text) {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}

/**
 * The membership in one room, over one WebSocket after another as needed.
 *
 * Callbacks, all optional:
 *   onState({ state, code, reason, refusal, text, retryAt })
 *     state is "connecting", "open", "waiting" (retryAt says until when, in Date.now() time), "closed" (for good) or
 *     "idle" (we left). code and reason are those of the last close, refusal is the reason that whyRefused found for a
 *     failed handshake, and text explains them to a person.
 *   onMessage(value, frame)    frame is the text with the value, for callers that need every digit of its numbers
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

  /** heartbeat: milliseconds between two heartbeats; 0 sends none, to see how the server kicks. */
  constructor(room, { heartbeat = HEARTBEAT_MS, onState, onMessage, onFrame } = {}) {
    this.#url = roomURL(room);
    this.#heartbeat = heartbeat;
    this.#on = { state: onState, message: onMessage, frame: onFrame };
  }

  join() {
    if (this.state === "idle" || this.state === "closed") this.#connect();
  }

  /** Sends any JSON value to the room. False means that nothing was sent, because there is no open connection. */
  send(value) {
    if (this.state !== "open") return false;
    this.#write(frameOf(value));
    return true;
  }

  /** Leaves the room for good. */
  leave() {
    this.#drop(1000);
    this.#enter("idle");
  }

  /** Ends a wait, or tries again after a final close, because a person asked for it. */
  now() {
    if (this.state !== "waiting" && this.state !== "closed") return;
    this.#connect();
  }

  /**
   * To be called when the page comes to sight, the network comes back or the machine woke up. A wait is cut short. A
   * connection whose last heartbeat is too old is dead on the server's side, whatever the browser still believes.
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
    // Every handler checks whether its socket is still in use, because a late event of an older one must not count.
    const current = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onopen = current(() => this.#opened());
    socket.onmessage = current((event) => this.#receive(event.data));
    socket.onclose = current(async ({ code, reason }) => {
      const refusal = this.state === "connecting" ? await whyRefused() : "";
      if (socket === this.#socket) this.#ended(code, reason, refusal);
    });
    // onerror tells nothing more than the close event after it.
    this.#guard = setTimeout(() => {
      this.#drop(1000);
      this.#ended(1006, "");
    }, CONNECT_MS);
  }

  #opened() {
    clearTimeout(this.#guard);
    // Not at once: a full room opens and closes again, and that must not reset the back-off each time.
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
    if (typeof data !== "string") return; // v1 is text only
    this.#on.frame?.("in", data);
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    // A frame without `message` is from a later protocol; this client ignores it.
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
    // Even "now" has a random delay, because the server closes all its members at once. It applies to one attempt only.
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

/** Calls `tick` every `every` milliseconds, in hidden pages too if the browser has workers. Returns a function that stops it. */
function metronome(every, tick) {
  try {
    const worker = new Worker(new URL("beat.js", import.meta.url));
    worker.onmessage = tick;
    worker.postMessage({ every });
    // A worker that cannot load reports it here; a throttled timer is better than none.
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
