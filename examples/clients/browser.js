let since = "";
(function go() {
  const ws = new WebSocket(`wss://HOST/ws/chat/lobby/?v=2&since=${since}`);
  let heard = Date.now();
  const quiet = () => Date.now() - heard;
  const end = e => {
    clearInterval(watch); ws.onmessage = ws.onclose = null; ws.close();
    if (!(e.code >= 4500)) setTimeout(go, 500 + 4500 * Math.random());
  };
  const watch = setInterval(() => quiet() > 150e3 ? end({}) : quiet() > 50e3 && ws.readyState === 1 && ws.send('"heartbeat"'), 25e3);
  ws.onmessage = e => {
    heard = Date.now(); const m = JSON.parse(e.data); since = m.id || since || "none";
    if (m.resumed === false || m.event === "gap") missed(m);  // fetch the room's state from your own database, or say so
    if ("message" in m) show(m.message);
  };
  ws.onclose = end;
})();
