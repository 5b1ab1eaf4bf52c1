// What polling leaves to be done: the same state twice changes nothing on the page (so that a
// selection, the focus and a tooltip stay), a server that does not answer is said, and the end of
// a job is read out. htmx asks; a state that needs no more asking comes without its trigger.

const LIVE = "[data-live]";
let shown = "";

const isOurs = (event) => event.target.matches?.(LIVE);

function sayStale(part, isStale) {
  const note = part.querySelector(".stale");
  if (note) note.hidden = !isStale;
}

document.addEventListener("htmx:beforeSwap", (event) => {
  if (!isOurs(event) || event.detail.xhr.status !== 200) return;
  sayStale(event.target, false);
  if (event.detail.serverResponse === shown) event.detail.shouldSwap = false;
  shown = event.detail.serverResponse;
});

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (isOurs(event)) sayStale(event.target, true);
  });
}

document.addEventListener("htmx:load", (event) => {
  const { status, said } = event.target.dataset ?? {};
  const region = document.getElementById("token-read-out");
  const words = said ?? (status && `The job is ${status}.`);
  if (words && region && !event.target.matches(LIVE)) region.textContent = words;
});
