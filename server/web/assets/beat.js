// The timer of the heartbeat, as a worker: browsers slow the timers of a hidden page down to one a minute, which is just too slow
// for a server that waits 60 s, but do not slow the timers of a worker.
let timer = 0;
onmessage = ({ data }) => {
  clearInterval(timer);
  timer = setInterval(() => postMessage("beat"), data.every);
};
