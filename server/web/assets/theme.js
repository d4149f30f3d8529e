// A classic script in the head, so that a chosen theme is there before the first paint. Without a choice the page
// follows the system, which the style sheet does by itself.
try {
  const theme = localStorage.getItem("dots.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is refused in some private modes: the system's theme is good enough.
}
