/*
 * The page: it joins the room that the fragment of its address names, and has the controls around the conversation, which is
 * in talk.js. The connection is in client.js.
 *
 * A link is enough to join, because the fragment may contain:
 *   room=NAME       join this room at once
 *   name=NAME       use this name, without storing it
 *   heartbeat=S     after S seconds without a frame ask the server for a sign of life (50 by default), and after three times
 *                   as long give the connection up. heartbeat=off: never
 */

import { copy, followKeyboard, store, toggleTheme } from "./device.js";
import { $ } from "./dom.js";
import { Figures } from "./figures.js";
import { Members } from "./members.js";
import { MessageList } from "./messages.js";
import { checkRoom, roomURL } from "./room.js";
import { Status } from "./status.js";
import { NAME_MAX, nameOf, Talk } from "./talk.js";
import { head, label } from "./text.js";
import { WireLog } from "./wire.js";

const HINT = "Enter sends; Shift + Enter starts a new line.";

const wide = matchMedia("(min-width: 1100px)");

const figures = new Figures();
const wire = new WireLog($("frames"));
const messages = new MessageList({
  scroller: $("scroller"),
  list: $("messages"),
  pending: $("pending"),
  chip: $("chip"),
  chipText: $("chip-text"),
  onEmpty: (empty) => ($("empty").hidden = !empty),
});
const status = new Status((text, missed) => messages.notice(text, missed));
const members = new Members();

let talk = null;
let room = "";
let unread = 0;

// ---- Joining and leaving ----

function fragment() {
  return new URLSearchParams(location.hash.slice(1));
}

/** Returns the address of this page with `room` in the fragment; other parameters stay, except those given as null. */
function address(name, changes = {}) {
  const parameters = fragment();
  for (const [key, value] of Object.entries({ room: name, ...changes })) {
    if (value === null) parameters.delete(key);
    else parameters.set(key, value);
  }
  const url = new URL(location.href);
  url.hash = parameters.toString();
  return url.href;
}

/** Returns the option `watch` of the client; it sends a heartbeat after two watches without a frame. */
function watchMs() {
  const wish = fragment().get("heartbeat");
  if (wish === "off") return 0;
  return Number(wish) > 0 ? Number(wish) * 500 : undefined;
}

function join(name) {
  const problem = checkRoom(name);
  $("room-error").textContent = problem;
  $("room-error").hidden = !problem;
  $("room").setAttribute("aria-invalid", String(Boolean(problem)));
  if (problem) {
    $("room").focus();
    return;
  }
  leave();
  room = name;
  unread = 0;
  figures.reset();
  messages.clear();
  if (fragment().get("room") !== name) history.pushState(null, "", address(name));
  showRoom();
  talk = new Talk(room, watchMs(), { messages, status, figures, wire, members, name: ownName, onState: showState, onUnread: countUnread, hint });
  if (!matchMedia("(pointer: coarse)").matches) $("text").focus(); // on a touch screen the keyboard would appear
}

function leave() {
  keepTexts(talk?.unarrived ?? []);
  talk?.leave();
  talk = null;
  status.reset();
}

/** Puts texts of messages that may not have arrived back into the text box, because their room disappears from the page. */
function keepTexts(texts) {
  if (texts.length === 0) return;
  $("text").value = [...texts, $("text").value].filter(Boolean).join("\n");
  fitTextBox();
}

function showRoom() {
  document.body.dataset.phase = "joined";
  document.body.dataset.panel = "closed";
  $("panel-open").ariaExpanded = "false";
  $("room").value = room;
  $("title-room").textContent = $("empty-room").textContent = $("title").title = `#${label(room)}`;
  $("text").placeholder = `Message #${label(room)}`;
  foldTitle(false);
  $("second").href = address(room, { name: inventName(), heartbeat: null });
  $("wire-url").textContent = $("wire-url").title = roomURL(room);
  $("join").textContent = "Switch room";
  showJoinable();
  showTitle();
}

/** A name that is too long for the heading is cut after two lines; then the heading is a button that shows the whole name. */
function foldTitle(open) {
  $("title").ariaExpanded = String(open);
  $("title").disabled = !open && $("title-room").scrollHeight <= $("title-room").clientHeight + 1;
}

function showIdle() {
  leave();
  room = "";
  document.body.dataset.phase = "idle";
  $("state").dataset.state = "idle";
  $("join").textContent = "Join the room";
  showJoinable();
  showTitle();
}

function showJoinable() {
  $("join").disabled = room !== "" && $("room").value.trim() === room;
}

function showTitle() {
  const count = unread > 0 ? `(${unread > 99 ? "99+" : unread}) ` : "";
  document.title = room ? `${count}#${label(room)} · dotsconnect` : "dotsconnect";
}

function showState(state) {
  $("send").disabled = state !== "open";
}

function countUnread() {
  if (!document.hidden) return;
  unread++;
  showTitle();
}

// ---- Name ----

function inventName() {
  const pick = (words) => words[Math.floor(Math.random() * words.length)];
  const first = ["Amber", "Bright", "Calm", "Clever", "Early", "Gentle", "Lucky", "Merry", "Mossy", "Quick", "Quiet", "Sunny", "Swift", "Velvet"];
  const second = ["Badger", "Finch", "Fox", "Heron", "Lynx", "Marten", "Moth", "Otter", "Owl", "Robin", "Seal", "Stoat", "Swan", "Wren"];
  return `${pick(first)} ${pick(second)}`;
}

function ownName() {
  return nameOf($("name").value);
}

// ---- Controls ----

function hint(text, urgent = false) {
  $("hint").textContent = text || HINT;
  $("hint").classList.toggle("urgent", urgent);
  $("hint").classList.toggle("usual", !text);
}

function fitTextBox() {
  const box = $("text");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
}

function submitText() {
  const box = $("text");
  const text = box.value.replace(/^\s*\n|\s+$/gu, ""); // the indentation of the first line stays
  if (text === "" || !talk?.send(text)) return;
  box.value = "";
  fitTextBox();
}

async function copyLink(label) {
  const link = address(room, { name: null, heartbeat: null });
  const done = await copy(link);
  const before = label.dataset.label ?? label.textContent;
  label.dataset.label = before;
  label.textContent = done ? "Link copied" : "Copy it from the address bar";
  label.closest("button").classList.toggle("done", done);
  clearTimeout(label.timer);
  label.timer = setTimeout(() => {
    label.textContent = before;
    label.closest("button").classList.remove("done");
  }, 2_000);
}

function showWire(open, remember = true) {
  document.body.dataset.wire = open ? "open" : "closed";
  $("wire-toggle").ariaExpanded = String(open);
  if (open) wire.toEnd();
  if (remember && wide.matches) store.set("wire", open ? "open" : "closed");
}

/** On a wide screen the drawer with the wire log is open unless a person has closed it; on a narrow screen it starts closed. */
function wireAsRemembered() {
  showWire(wide.matches && store.get("wire") !== "closed", false);
}

function showPanel(open) {
  document.body.dataset.panel = open ? "open" : "closed";
  $("panel-open").ariaExpanded = String(open);
  if (open) $("panel-close").focus();
  else $("panel-open").focus();
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!$("join").disabled) join($("room").value.trim());
  });
  $("leave").addEventListener("click", () => {
    history.pushState(null, "", address("", { room: null }));
    showIdle();
    $("room").focus();
  });
  $("room").addEventListener("input", showJoinable);
  $("name").addEventListener("change", () => store.set("name", $("name").value.trim() || null));
  $("now").addEventListener("click", () => talk?.retry());
  const titleIsOpen = () => $("title").ariaExpanded === "true";
  $("title").addEventListener("click", () => foldTitle(!titleIsOpen()));
  new ResizeObserver(() => foldTitle(titleIsOpen())).observe($("title-room"));
  $("copy").addEventListener("click", () => copyLink($("copy-text")));
  $("copy-too").addEventListener("click", () => copyLink($("copy-too").lastElementChild));
  $("theme").addEventListener("click", toggleTheme);
  $("wire-toggle").addEventListener("click", () => showWire(document.body.dataset.wire !== "open"));
  $("wire-close").addEventListener("click", () => {
    showWire(false);
    $("wire-toggle").focus();
  });
  $("wire-beats").addEventListener("change", () => $("frames").classList.toggle("no-beats", !$("wire-beats").checked));
  $("panel-open").addEventListener("click", () => showPanel(true));
  $("panel-close").addEventListener("click", () => showPanel(false));
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submitText();
    $("text").focus();
  });
  $("text").addEventListener("input", fitTextBox);
  $("text").addEventListener("keydown", (event) => {
    // While an input method composes a character, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submitText();
  });
  wide.addEventListener("change", wireAsRemembered);
  document.addEventListener("pointerdown", (event) => {
    if (document.body.dataset.panel === "open" && !$("side").contains(event.target)) showPanel(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (document.body.dataset.panel === "open") showPanel(false);
    else if (document.body.dataset.wire === "open" && !wide.matches) $("wire-close").click();
  });
  window.addEventListener("beforeunload", (event) => {
    if (talk?.unarrived.length) event.preventDefault(); // the browser asks the person
  });
  window.addEventListener("hashchange", () => {
    const name = fragment().get("room") ?? "";
    if (name === "") showIdle();
    else if (name !== room) join(name);
  });
}

/** After these events a connection may be dead without notice, or a wait may be unnecessary. */
function listenForWaking() {
  const wake = () => talk?.wake();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    unread = 0;
    showTitle();
    wake();
  });
  window.addEventListener("online", wake);
  window.addEventListener("pageshow", wake);
}

function start() {
  listen();
  listenForWaking();
  followKeyboard();
  hint("");
  wireAsRemembered();
  const wish = fragment();
  let name = wish.get("name") || store.get("name");
  if (!name) store.set("name", (name = inventName()));
  $("name").value = head(name, NAME_MAX);
  if (wish.get("room")) {
    $("room").value = wish.get("room");
    join(wish.get("room"));
  } else {
    $("room").select();
  }
}

start();
