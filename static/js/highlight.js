// Colours a copy of what is typed into a source field: tags, attribute values, comments, variables.
// The textarea stays the one that is edited; without this script it is a plain textarea.
const JINJA = String.raw`\{\{[\s\S]*?\}\}|\{%[\s\S]*?%\}|\{#[\s\S]*?#\}`;
const IN_TEXT = new RegExp(`(${JINJA})|(<!--[\\s\\S]*?(?:-->|$))|(</?[A-Za-z][\\w:-]*)`, "g");
const IN_TAG = new RegExp(`(${JINJA})|("[^"]*"?|'[^']*'?)|(/?>)`, "g");
const ONLY_JINJA = new RegExp(`(${JINJA})`, "g");
const LIMIT = 120000; // characters; longer sources stay plain, so that typing never lags

function span(name, ...content) {
  const element = document.createElement("span");
  element.className = name;
  element.append(...content);
  return element;
}

function variables(text) {
  return text.split(ONLY_JINJA).map((part, i) => (i % 2 ? span("t-var", part) : part));
}

function coloured(source) {
  const out = [];
  let inTag = false;
  let at = 0;
  while (at < source.length) {
    const pattern = inTag ? IN_TAG : IN_TEXT;
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (!match) break;
    out.push(source.slice(at, match.index));
    const [text, jinja, second, third] = match;
    if (jinja) out.push(span("t-var", text));
    else if (second) out.push(inTag ? span("t-attr", ...variables(text)) : span("t-note", text));
    else if (third) {
      out.push(span("t-tag", text));
      inTag = !inTag;
    }
    at = match.index + text.length;
  }
  return [...out, source.slice(at), "\n"];
}

for (const box of document.querySelectorAll(".code")) {
  const field = box.querySelector("textarea");
  const copy = document.createElement("pre");
  copy.setAttribute("aria-hidden", "true");
  box.prepend(copy);
  const follow = () => copy.scrollTo(field.scrollLeft, field.scrollTop);
  let waiting = 0;
  const draw = () => {
    waiting = 0;
    box.classList.toggle("is-live", field.value.length <= LIMIT);
    copy.replaceChildren(...(field.value.length <= LIMIT ? coloured(field.value) : []));
    follow();
  };
  field.addEventListener("input", () => { waiting ||= requestAnimationFrame(draw); });
  field.addEventListener("scroll", follow);
  draw();
}
