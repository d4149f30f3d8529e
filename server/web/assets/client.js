/*
 * The reference client of protocol version 2, for browsers and for Node.js 22. After a lost connection it reconnects, and the
 * server sends the messages that the client missed.
 *
 *   const chat = connect("wss://HOST/ws/chat/lobby/", {
 *     onMessage: (value) => show(value), // each message of the room, including this client's own
 *     onMissed: () => reload(),          // messages are missing and will not come: fetch the room's state from elsewhere
 *   });
 *   chat.send("hello").catch((error) => tell(error.maybe ? "perhaps not sent" : "not sent"));
 *
 * Callbacks, all optional:
 *   onMessage(value, frame, text)  frame has the keys id, from and ref; text is the WebSocket message, with every digit
 *   onEvent(frame)                 each event of the server: open, live, ack, gap, presence and others
 *   onMissed(frame)                frame is the event (open or gap) that says so
 *   onError(error, frame)          the server did not carry out a request
 *   onText(direction, text)        for a log: "in" or "out"
 *   onState({ state, code, reason, opened, delay })
 *     connecting                   also while the server still sends missed messages
 *     open                         messages can be sent
 *     waiting                      the next attempt is in delay milliseconds; opened: the server had let the client into the room
 *     closed                       the end: close() was called, or the code is at least 4500 and another attempt would fail too
 *
 * Other options: since, a position from an earlier page, and watch, the milliseconds between two looks at the connection; 0 turns
 * them off. A browser does not show its pages the pings of the server. So after two watches without a frame the client sends a
 * heartbeat, which the server answers; after six it gives up the connection, without waiting for the event close, which browsers
 * fire a minute late or never if the network is gone. It is not fewer because a hidden page runs its timers once a minute.
 */
export function connect(url, { since = "", watch = 25_000, onMessage, onEvent, onMissed, onError, onText, onState } = {}) {
  const pending = new Map(); // by ref: the promises of messages whose fate is not known yet
  let me, key; // of the latest connection that could send messages
  let socket, asked, timer, entry = null, state = "waiting", heard = 0, last = 0, tries = 0;
  let retry = setTimeout(open); // not at once: the callbacks may use the result of connect

  function enter(next, more) {
    state = next;
    onState?.({ state, ...more });
  }

  function open() {
    if (socket) return;
    clearTimeout(retry);
    const address = new URL(url), query = address.searchParams;
    query.set("v", 2);
    if (since) query.set("since", since);
    if (pending.size) query.set("was", key); // nothing more of that connection will come into the room
    [asked, entry, heard] = [since, null, Date.now()];
    socket = new WebSocket(address);
    socket.onmessage = ({ data }) => {
      heard = Date.now();
      onText?.("in", data);
      for (const frame of [JSON.parse(data)].flat()) read(frame, data); // with batch=1 a WebSocket message may be an array
    };
    socket.onclose = socket.onerror = end; // after a failed handshake some versions of Node.js fire only error
    if (watch) timer = setInterval(look, watch);
    enter("connecting");
  }

  function read(frame, text) {
    since = frame.id || since || "none"; // all of the room up to this position is here; "none" has the server say resumed:false
    const { event, error, ref } = frame;
    if ("message" in frame) {
      if (frame.id && frame.from === me) settle(ref, "resolve", frame); // as good as an acknowledgement: it has its place
      return onMessage?.(frame.message, frame, text);
    }
    if (error) {
      settle(ref, "reject", failure(ref, error.text, error));
      return onError?.(error, frame);
    }
    if (event === "open") entry = { ...frame, at: heard };
    if (frame.resumed === false || (event === "gap" && frame.lost !== 0)) onMissed?.(frame);
    if (event === "ack") for (const sent of pending.keys()) if (sent <= ref) settle(sent, "resolve", { ...frame, ref: sent });
    onEvent?.(frame);
    if (state === "open" || event !== (asked ? "live" : "open")) return;
    fail(frame.fenced && entry.resumed);
    ({ me, key } = entry);
    enter("open");
  }

  function settle(ref, how, value) {
    pending.get(ref)?.[how](value);
    pending.delete(ref);
  }

  function failure(ref, text, more) {
    return Object.assign(new Error(text), more, { ref, from: me });
  }

  /** Ends all promises. sure: the messages have not come back, and never will. */
  function fail(sure) {
    const more = { name: sure ? "lost" : "unknown", maybe: !sure };
    for (const ref of pending.keys()) settle(ref, "reject", failure(ref, "connection lost", more));
  }

  function write(text) {
    socket.send(text);
    onText?.("out", text);
  }

  function look() {
    const quiet = Date.now() - heard;
    if (quiet > (state === "open" ? 6 : 2) * watch) end({});
    else if (quiet > 2 * watch) write('"heartbeat"');
  }

  function end({ code = 1006, reason = "" }, final = code >= 4500) {
    clearInterval(timer);
    clearTimeout(retry);
    if (socket) socket.onmessage = socket.onclose = socket.onerror = null;
    socket?.close(1000);
    socket = null;
    const more = { code, reason, opened: entry !== null };
    if (final) {
      fail(false);
      return enter("closed", more);
    }
    // The waits grow, up to half a minute, and are random: the clients of a failed server must not all return at the same moment.
    // With 42xx the server asks the client to move now. A connection that lasted 5 s ends a series of failures.
    if (entry && Date.now() - entry.at > 5e3) tries = 0;
    const delay = 500 + Math.random() * (tries++ === 0 && code >= 4200 ? 0 : Math.min(30e3, 2_250 * 2 ** tries));
    retry = setTimeout(open, delay);
    enter("waiting", { ...more, delay });
  }

  return {
    /** Sends a JSON value, once. The promise ends when the message is in the room, or with an error: error.maybe says that it may
     *  be there. After a lost connection it ends when the client is back or closed. Refs that a caller gives must grow. */
    send(value, ref = last + 1) {
      const promise = new Promise((resolve, reject) => {
        if (state !== "open") return reject(failure(ref, "not connected", { name: "not_connected" }));
        write(JSON.stringify({ message: value, ref }));
        pending.set((last = ref), { resolve, reject });
      });
      promise.catch(() => {}); // so a caller may ignore the promise
      return promise;
    },
    close: () => end({ code: 1000 }, true),
    /** Connects at once, during a wait or after the end. */
    open,
    /** For a page that becomes visible again or gets its network back: ends a wait, and has a dead connection found soon. */
    wake() {
      heard = Math.min(heard, Date.now() - 5 * watch);
      if (state === "open" && watch) look();
      if (state === "waiting") open();
    },
    get state() { return state; },
    get me() { return me; },
    get since() { return since; },
  };
}
