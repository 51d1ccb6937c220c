// Puts a variable where the caret last stood: in the subject, the HTML or the plain text.
const fields = [...document.querySelectorAll("[data-takes-variables]")];
let last = document.querySelector("textarea[data-takes-variables]");

for (const field of fields) {
  field.addEventListener("focus", () => { last = field; });
}

function insert(text) {
  const shown = last.offsetParent ? last : fields.find((field) => field.offsetParent);
  shown.focus();
  // execCommand keeps the browser's own undo; setRangeText is for browsers that dropped it.
  if (!document.execCommand("insertText", false, text)) {
    shown.setRangeText(text, shown.selectionStart, shown.selectionEnd, "end");
    shown.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

for (const menu of document.querySelectorAll("details[data-variables]")) {
  menu.addEventListener("click", (event) => {
    const button = event.target.closest("[data-insert]");
    if (!button) return;
    menu.open = false;
    insert(button.dataset.insert);
  });
}
