// The button that changes the theme. Without scripts the system's preference holds and there is
// no button; with them the choice is remembered on this device.

const root = document.documentElement;

const isDark = () =>
  root.dataset.theme === "dark" ||
  (root.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);

function remember(theme) {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Storage is closed to us: the choice holds for this page.
  }
}

function toggle() {
  const theme = isDark() ? "light" : "dark";
  root.dataset.theme = theme;
  remember(theme);
}

// Caught at the document, for htmx puts a new button there when it restores a page.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-toggle]")) toggle();
});
