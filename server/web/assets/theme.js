// This is a classic script in the head, so that a chosen theme is set before the first paint. Without a choice the style sheet
// follows the theme of the system.
try {
  const theme = localStorage.getItem("dots.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Some private modes refuse storage; then the system's theme is used.
}
