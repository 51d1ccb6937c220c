// The live side of the editor: preview and facts after a pause in typing, Ctrl + S, unsaved changes.
const form = document.querySelector("form[data-editor]");
const stage = form.querySelector("[data-stage]");
const facts = form.querySelector("[data-facts]");
const peek = form.querySelector("[data-preview-button]");
let unsaved = "unsaved" in form.dataset;
let timer = 0;
let round = 0;

// A new frame for each picture: no entry in the history, no blank moment, and the place is kept.
function showMail() {
  const old = stage.querySelector("iframe:last-of-type");
  const fresh = old.cloneNode();
  fresh.name = `mail-${round}`;
  fresh.classList.add("is-coming");
  stage.append(fresh);
  fresh.addEventListener("load", () => {
    fresh.contentWindow?.scrollTo(0, old.contentWindow?.scrollY ?? 0);
    fresh.classList.remove("is-coming");
    for (const frame of stage.querySelectorAll("iframe")) if (frame !== fresh) frame.remove();
  }, { once: true });
  peek.formTarget = fresh.name;
  form.requestSubmit(peek);
}

async function showFacts() {
  const mine = round;
  const answer = await fetch(form.dataset.editor, { method: "POST", body: new FormData(form) });
  if (answer.ok && mine === round) facts.innerHTML = await answer.text();
}

function refresh() {
  round += 1;
  showMail();
  showFacts().catch(() => {}); // off-line for a moment: the next pause in typing asks again
}

form.addEventListener("input", () => {
  unsaved = true;
  clearTimeout(timer);
  timer = setTimeout(refresh, 450);
});
form.addEventListener("submit", (event) => { if (event.submitter !== peek) unsaved = false; });
window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key !== "s") return;
  event.preventDefault();
  form.requestSubmit();
});
const automatic = form.querySelector("[data-automatic]");
automatic.addEventListener("change", () => {
  const field = form.querySelector("[data-text]");
  if (!automatic.checked) field.value = facts.querySelector("[data-text-part]")?.textContent ?? field.value;
});
form.querySelector("[data-peek]").hidden = true; // the live preview does its work
refresh();
