/*
 * The rules for the names of rooms and for the size of a message. The server has the same rules, but a page cannot read the
 * answer to a refused handshake.
 */

export const FRAME_MAX_BYTES = 65_536; // most UTF-8 bytes of a request; if a request has more, the server closes with 1009

const ROOM_MAX_BYTES = 128;

/** Returns the reason why `room` is not a valid name, or "" if it is. */
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
  const url = new URL(`ws/chat/${encodeURIComponent(room)}/?v=2`, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** Returns the size of `text` in UTF-8 bytes, which the limits of the server count. */
export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

/** Returns `text` without lone surrogates. Half an emoji is not valid text: the server would close the connection with 4500. */
export function wellFormed(text) {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}
