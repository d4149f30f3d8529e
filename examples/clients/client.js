const ws = new WebSocket("ws://localhost:8000/ws/chat/lobby/");
ws.onopen = () => {
  setInterval(() => ws.send('"heartbeat"'), 10_000);
  ws.send(JSON.stringify({ message: "hello from JavaScript" }));
};
ws.onmessage = event => console.log(JSON.parse(event.data).message);
ws.onclose = event => console.log("closed:", event.code, event.reason);
