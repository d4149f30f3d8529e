/*
 * The number of members in the room, and their names as far as the server tells them.
 */

import { $, h } from "./dom.js";
import { label } from "./text.js";

const SHOWN = 30;

export class Members {
  #names = null; // user -> number of connections; null while the server tells no names
  #me = "";

  reset() {
    this.#names = null;
    this.#show(0);
  }

  /** Takes every event of the server, and uses those that have the number of members. */
  event({ event, me, count, members, join, leave }) {
    if (event === "open") {
      this.#me = me;
      this.#names = null;
    } else if (event === "members") {
      this.#names = new Map();
      this.#add(members);
    } else if (event === "presence") {
      if (!join && !leave) this.#names = null; // the room is too big or too lively for names, until the next event members
      for (const user of leave ?? []) this.#names?.delete(user);
      this.#add(join ?? []);
    } else {
      return;
    }
    if (count > 0) this.#show(count);
  }

  #add(members) {
    for (const { user, n } of members) this.#names?.set(user, n);
  }

  #show(count) {
    $("count").textContent = count === 1 ? "1 member" : `${count.toLocaleString("en")} members`;
    $("count").hidden = count === 0;
    const names = [...(this.#names ?? [])];
    const rows = names.slice(0, SHOWN).map(([user, n]) => h("li", "", h("bdi", "", label(user)), note(user === this.#me, n)));
    if (names.length > SHOWN) rows.push(h("li", "", `and ${(names.length - SHOWN).toLocaleString("en")} more`));
    $("members").replaceChildren(...rows);
    $("members-card").hidden = rows.length === 0;
  }
}

function note(me, connections) {
  return `${me ? " (this tab)" : ""}${connections > 1 ? ` ×${connections}` : ""}`;
}
