// Choosing rows of a table: the box in the header chooses all, the bar above says how many.
for (const form of document.querySelectorAll("form[data-choose]")) {
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
  const all = form.querySelector("thead input[type=checkbox]");
  const count = form.querySelector("[data-count]");
  const act = form.querySelector("[data-act]");
  const show = () => {
    const chosen = boxes.filter((box) => box.checked);
    for (const box of boxes) box.closest("tr").setAttribute("aria-selected", String(box.checked));
    all.checked = chosen.length === boxes.length;
    all.indeterminate = chosen.length > 0 && !all.checked;
    count.textContent = chosen.length ? `${chosen.length} chosen` : "None chosen";
    act.disabled = !chosen.length;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  form.addEventListener("change", show);
  if (boxes.length) show();
}
