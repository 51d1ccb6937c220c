// A form has one submission at a time: sent by the editor's own form, a preview could take the
// place of a save that is pressed in the same moment.
export function postCopy(form, action, target) {
  const copy = document.createElement("form");
  Object.assign(copy, { method: "post", action, target, hidden: true });
  for (const [name, value] of new FormData(form)) {
    copy.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  }
  document.body.append(copy);
  copy.submit();
  return copy;
}
