// Ctrl + S saves; leaving with unsaved changes asks first.
const form = document.querySelector("form[data-editor]");
let unsaved = "unsaved" in form.dataset;

form.addEventListener("input", () => { unsaved = true; });
form.addEventListener("submit", (event) => { if (!event.submitter?.formTarget) unsaved = false; });
window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key !== "s") return;
  event.preventDefault();
  form.requestSubmit();
});
