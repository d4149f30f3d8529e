// The room server on the npm package socket.io.
//
// It speaks socket.io's own protocol over a WebSocket and does more than the
// other peers: it parses JSON and writes it again, events have names, and
// connections have ids. As its pages "Performance tuning" and "Memory usage"
// recommend, only the WebSocket transport is used, bufferutil is installed,
// compression is off (the default), and the first HTTP request is released. A
// broadcast to a room is encoded once.
//
// Its pings are practically off: the interval is a day. Clients send heartbeats
// as an event that has no listener. Data that a client does not read is kept
// without a limit.
"use strict";

const { createServer } = require("node:http");
const { parseArgs } = require("node:util");
const { Server } = require("socket.io");

const { values } = parseArgs({ options: { listen: { type: "string", default: "127.0.0.1:8000" } } });
const [, host, port] = values.listen.match(/^(.*):(\d+)$/);

const server = createServer((request, response) => response.writeHead(404).end());
const io = new Server(server, {
  path: "/ws/chat", // a request's path only has to begin with this, so the room may follow
  transports: ["websocket"],
  serveClient: false,
  maxHttpBufferSize: 65536 + 1024, // 1,024 for the event around the message
  pingInterval: 24 * 60 * 60 * 1000,
});

io.on("connection", (socket) => {
  const path = /^\/ws\/chat\/([^/?]+)\/?(\?|$)/.exec(socket.handshake.url);
  if (!path) return socket.disconnect(true);
  const room = `chat/${path[1]}`; // the prefix keeps it apart from the room that each connection has under its id
  socket.conn.request = null; // release the HTTP request; the documentation does it earlier, but its URL was needed until here
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
