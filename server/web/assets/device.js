/*
 * Features of the browser that may be missing: storage, the clipboard, the theme of the system, and how much of the
 * screen the keyboard leaves free.
 */

/** Small settings that are kept when the tab is closed, if the browser allows it. */
export const store = {
  // The browser may refuse storage; then the page works without it.
  get(key) {
    try {
      return localStorage.getItem(`dots.${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(`dots.${key}`);
      else localStorage.setItem(`dots.${key}`, value);
    } catch {
      // The setting is kept only as long as the tab is open.
    }
  },
};

/** Copies text to the clipboard. Returns false if the browser does not allow it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages without https have no clipboard API, but document.execCommand works there.
    const box = document.createElement("textarea");
    box.value = text;
    box.className = "off-screen";
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}

export function toggleTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (document.documentElement.dataset.theme ?? system) === "dark" ? "light" : "dark";
  // The choice is the same as the system's theme: delete it, so that the page follows the system again.
  if (next === system) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  store.set("theme", next === system ? null : next);
}

/** iOS lays its keyboard over the page instead of making the page smaller; only the visual viewport becomes smaller. */
export function followKeyboard() {
  const view = window.visualViewport;
  view?.addEventListener("resize", () => {
    if (view.scale > 1.01) return; // a person has zoomed in
    const covered = window.innerHeight - view.height > 80;
    document.documentElement.style.setProperty("--height", covered ? `${view.height}px` : "100dvh");
    if (covered) window.scrollTo(0, 0);
  });
}
