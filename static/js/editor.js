// The live side of the editor: preview and facts after a pause in typing.
import { postCopy } from "./post_copy.js";

const form = document.querySelector("form[data-editor]");
const stage = form.querySelector("[data-stage]");
const facts = form.querySelector("[data-facts]");
const peek = form.querySelector("[data-preview-button]");
let timer = 0;
let round = 0;

// A new frame for each picture: no entry in the history, no blank moment, and the place is kept.
function showMail() {
  const old = stage.querySelector("iframe:last-of-type");
  const fresh = old.cloneNode();
  fresh.name = `mail-${round}`;
  fresh.removeAttribute("src");
  fresh.classList.add("is-coming");
  stage.append(fresh);
  const copy = postCopy(form, peek.formAction, fresh.name);
  fresh.addEventListener("load", () => {
    copy.remove();
    fresh.contentWindow?.scrollTo(0, old.contentWindow?.scrollY ?? 0);
    fresh.classList.remove("is-coming");
    while (fresh.previousElementSibling) fresh.previousElementSibling.remove();
  }, { once: true });
}

async function showFacts() {
  const mine = round;
  const answer = await fetch(form.dataset.editor, { method: "POST", body: new FormData(form) });
  const shown = await answer.text();
  if (!answer.ok || mine !== round) return;
  facts.innerHTML = shown;
  const text = facts.querySelector("[data-text-part]");
  if (text) form.querySelector("[data-made-text]").textContent = text.textContent;
}

function refresh() {
  round += 1;
  showMail();
  showFacts().catch(() => {}); // off-line for a moment: the next pause in typing asks again
}

form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(refresh, 450);
});
const automatic = form.querySelector("[data-automatic]");
automatic.addEventListener("change", () => {
  if (automatic.checked) return;
  const field = form.querySelector("[data-text]");
  field.value = form.querySelector("[data-made-text]").textContent;
  field.dispatchEvent(new Event("input", { bubbles: true }));
});
form.querySelector("[data-peek]").hidden = true; // the live preview does its work
refresh();
