// A file may be dropped anywhere on the upload area; the chosen name is shown at once, and how far
// a large file has got on its way.
import { send } from "./send_file.js";

const LARGE = 2e6;

for (const area of document.querySelectorAll("[data-drop]")) {
  const field = area.querySelector("input[type=file]");
  const name = area.querySelector("[data-chosen]");
  const bar = area.querySelector("progress");
  const limit = Number(area.dataset.limit);
  const show = () => {
    const file = field.files[0];
    const size = file ? `${(file.size / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB` : "";
    name.textContent = file ? `${file.name}, ${size}` : "";
    const tooLarge = file && file.size > limit;
    field.setCustomValidity(tooLarge ? `The file is larger than ${Math.round(limit / 1e6)} MB. Split it in two.` : "");
    if (tooLarge) field.reportValidity();
  };
  const over = (yes) => (event) => {
    event.preventDefault();
    area.classList.toggle("is-over", yes);
  };
  area.addEventListener("dragover", over(true));
  area.addEventListener("dragleave", over(false));
  area.addEventListener("drop", (event) => {
    over(false)(event);
    if (!event.dataTransfer.files.length) return;
    field.files = event.dataTransfer.files;
    show();
  });
  field.addEventListener("change", show);
  const form = area.closest("form");
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent || !bar || !(field.files[0]?.size > LARGE)) return;
    event.preventDefault();
    form.dataset.sent = "yes";
    event.submitter.setAttribute("aria-disabled", "true");
    send(form, event.submitter, bar, name);
  });
}
