/*
 * Things that the page asks of the browser and may not get: storage, the clipboard, the theme of the system, and how much of the
 * screen the keyboard leaves.
 */

/** Small settings that outlive the tab, where the browser lets them. */
export const store = {
  // Storage may be refused altogether; then the page forgets, and works.
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
      // Forgotten with the tab.
    }
  },
};

/** Copies text; false if the browser does not let us. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard on pages without https; the old way still works there.
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
  // Back at the system's own: forget the choice, so that the page follows it again.
  if (next === system) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  store.set("theme", next === system ? null : next);
}

/** iOS lays its keyboard over the page instead of making it smaller, and only the visual viewport knows. */
export function followKeyboard() {
  const view = window.visualViewport;
  view?.addEventListener("resize", () => {
    if (view.scale > 1.01) return; // a person zooms
    const covered = window.innerHeight - view.height > 80;
    document.documentElement.style.setProperty("--height", covered ? `${view.height}px` : "100dvh");
    if (covered) window.scrollTo(0, 0);
  });
}
