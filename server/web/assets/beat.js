// The timer of the heartbeat, as a worker. Browsers slow the timers of a hidden page down to one call a minute, which is too slow
// for a server that waits 60 s. They do not slow down the timers of a worker.
let timer = 0;
onmessage = ({ data }) => {
  clearInterval(timer);
  timer = setInterval(() => postMessage("beat"), data.every);
};
