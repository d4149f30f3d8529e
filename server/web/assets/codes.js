/*
 * Explains the end of a connection to people.
 */

const CODES = {
  1000: "The server closed the connection.",
  1001: "The server is going out of service.",
  1002: "The server received data that breaks the WebSocket protocol.",
  1006: "The connection was lost.",
  1007: "The server received text that is not UTF-8.",
  1008: "The connection exceeded a limit of the server.",
  1009: "The message was too big for the server.",
  1011: "The server had an internal error.",
  4100: "No sign of life reached the server in time.",
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
  4505: "Another connection takes the place of this one.",
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
