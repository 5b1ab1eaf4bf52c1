// Walking through an example's tokens by keyboard. Each example is one tab stop; from there the
// arrow keys move a focus along the tokens, whose numbers the style sheet shows on focus, and a
// live region reads them out. Events are caught at the document, so that examples that htmx swaps
// in need no set-up but the tab stop.

const TOKENS = "t-k";
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

const isShown = (token) => token.getClientRects().length > 0;

function makeStops(root) {
  for (const text of root.querySelectorAll("[data-walk]")) text.tabIndex = 0;
}

function read(token) {
  const region = document.getElementById("token-read-out");
  if (!region) return;
  const value = token.classList.contains("u") ? "not counted" : (token.dataset.v ?? "0");
  const rule = token.classList.contains("r") ? ", the rule holds" : "";
  region.textContent = `“${token.textContent}” ${value}${rule}`;
}

function focusToken(token) {
  if (!token) return;
  token.tabIndex = -1;
  token.focus({ preventScroll: false });
  read(token);
}

function target(text, current, key) {
  const tokens = [...text.querySelectorAll(TOKENS)].filter(isShown);
  if (key === "Home") return tokens[0];
  if (key === "End") return tokens.at(-1);
  if (!current) return text.querySelector(`${TOKENS}.m`) ?? tokens[0];
  const next = tokens.indexOf(current) + STEPS[key];
  return tokens[Math.min(Math.max(next, 0), tokens.length - 1)];
}

function onKeydown(event) {
  const text = event.target.closest?.("[data-walk]");
  if (!text || event.altKey || event.ctrlKey || event.metaKey) return;
  const current = event.target.closest(TOKENS);
  if (event.key === "Escape" && current) {
    text.focus();
  } else if (event.key in STEPS || event.key === "Home" || event.key === "End") {
    focusToken(target(text, current, event.key));
  } else {
    return;
  }
  event.preventDefault();
}

document.addEventListener("keydown", onKeydown);
document.addEventListener("htmx:load", (event) => makeStops(event.detail.elt));
makeStops(document);
