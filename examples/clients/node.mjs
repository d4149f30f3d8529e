// Says hello to a room and prints its messages, also those that were said while the connection was lost:
//
//   node node.mjs ws://localhost:8000/ws/chat/lobby/
//
// Node.js 20 needs --experimental-websocket.
import { connect } from "../../clients/js/index.js"; // outside this repository: "dotsconnect-client"

let joined = false;

const chat = connect(process.argv[2], {
  onMessage: (value) => console.log(JSON.stringify(value)),
  onMissed: () => console.log("some messages were missed"),
  onState({ state, code, reason, delay }) {
    if (state === "waiting") console.error(`${code} ${reason}: the next attempt is in ${Math.round(delay)} ms`);
    if (state === "closed") {
      console.error(`closed: ${code} ${reason}`);
      process.exitCode = 1;
    }
    if (state !== "open" || joined) return;
    joined = true;
    chat.send("hello from Node").catch((error) => console.error(error.maybe ? "perhaps not sent:" : "not sent:", error.message));
  },
});
