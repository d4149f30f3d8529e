// The room server on the npm package ws.
//
// As in the example "Server broadcast" of its README, a message is sent to each
// open client of a set. Compression is off, which is the default. bufferutil,
// the optional native code for unmasking, is installed. The library does not
// track the clients, because the rooms do.
//
// Data that a client does not read is kept without a limit.
"use strict";

const { createServer } = require("node:http");
const { parseArgs } = require("node:util");
const { WebSocket, WebSocketServer } = require("ws");

const { values } = parseArgs({ options: { listen: { type: "string", default: "127.0.0.1:8000" } } });
const [, host, port] = values.listen.match(/^(.*):(\d+)$/);
const heartbeat = Buffer.from('"heartbeat"');
const rooms = new Map(); // name of a room -> Set of its sockets

const server = createServer((request, response) => response.writeHead(404).end());
const wss = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false, maxPayload: 65536 });

server.on("upgrade", (request, socket, head) => {
  const path = /^\/ws\/chat\/([^/?]+)\/?(\?|$)/.exec(request.url);
  if (!path) return socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
  wss.handleUpgrade(request, socket, head, (ws) => join(path[1], ws));
});

function join(name, ws) {
  let room = rooms.get(name);
  if (!room) rooms.set(name, (room = new Set()));
  room.add(ws);
  ws.on("error", () => {}); // nothing to do: the event "close" follows
  ws.on("close", () => {
    room.delete(ws);
    if (room.size === 0 && rooms.get(name) === room) rooms.delete(name);
  });
  ws.on("message", (data, isBinary) => {
    if (data.equals(heartbeat)) return;
    for (const member of room) {
      if (member.readyState === WebSocket.OPEN) member.send(data, { binary: isBinary });
    }
  });
}

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
server.listen({ host, port: Number(port) }, () => {
  const { address, port } = server.address();
  console.log(`ready ${address}:${port}`);
});
