// The room server on npm's socket.io.
//
// It speaks socket.io's own protocol over a WebSocket, and does more than the
// other peers: JSON is parsed and written again, events have names, connections
// have ids. From its "Performance tuning" and "Memory usage" pages: only the
// WebSocket transport, bufferutil installed, compression off (the default), and
// the first HTTP request released. A broadcast to a room is encoded once.
//
// Its ping interval is a day; clients send heartbeats as an event that has no
// listener. Data that a client does not read is kept without a limit.
"use strict";

const { createServer } = require("node:http");
const { parseArgs } = require("node:util");
const { Server } = require("socket.io");

const { values } = parseArgs({ options: { listen: { type: "string", default: "127.0.0.1:8000" } } });
const [, host, port] = values.listen.match(/^(.*):(\d+)$/);

const server = createServer((request, response) => response.writeHead(404).end());
const io = new Server(server, {
  path: "/ws/chat", // compared as a prefix, so the room can follow
  transports: ["websocket"],
  serveClient: false,
  maxHttpBufferSize: 65536 + 1024, // the event around the message
  pingInterval: 24 * 60 * 60 * 1000,
});

io.on("connection", (socket) => {
  const path = /^\/ws\/chat\/([^/?]+)\/?(\?|$)/.exec(socket.handshake.url);
  if (!path) return socket.disconnect(true);
  const room = `chat/${path[1]}`; // not to be mistaken for the room that each connection has under its id
  socket.conn.request = null; // let go here rather than on the first event of the engine: the URL was needed
  socket.join(room);
  socket.on("message", (message) => {
    io.to(room).emit("message", message);
  });
});

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
server.listen({ host, port: Number(port) }, () => {
  const { address, port } = server.address();
  console.log(`ready ${address}:${port}`);
});
