// Puts the remembered theme on the page before it is painted. A plain script, not a module:
// modules run after the first paint, and the page would flash.
(() => {
  document.documentElement.dataset.scripts = "on"; // shows what works by script alone
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is closed to us (private mode, an iframe): the system's theme holds.
  }
})();
