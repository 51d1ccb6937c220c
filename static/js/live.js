// Keeps the part of the page marked data-live="address" up to date: one request every few seconds,
// none in a hidden tab. The server names the pause before the next one; 0 ends it.
const part = document.querySelector("[data-live]");
const speaker = document.querySelector("[data-live-words]");
let version = null;
let spokenAt = 0;

// Changes only what differs, so that figures change in place and focus and open menus stay.
function renew(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else {
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
    after.forEach((node, i) => (before[i] ? renew(before[i], node) : old.append(node)));
    before.slice(after.length).forEach((node) => node.remove());
  }
}

function speak() {
  const words = part.querySelector("[data-live-summary]")?.textContent.trim();
  if (!speaker || !words || words === speaker.textContent || Date.now() - spokenAt < 10000) return;
  speaker.textContent = words;
  spokenAt = Date.now();
}

async function update() {
  if (document.hidden) return wait(2);
  const began = performance.now();
  let pause = 10;
  try {
    const headers = { "X-Live": "1", ...(version && { "If-None-Match": version }) };
    const answer = await fetch(part.dataset.live, { headers, cache: "no-store" });
    if (answer.status === 401) return location.reload();
    if (answer.status === 200) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      renew(part, page.querySelector("[data-live]"));
      version = answer.headers.get("ETag");
      speak();
    }
    if (answer.ok || answer.status === 304) pause = Number(answer.headers.get("X-Next-In") ?? 2);
  } catch { /* the server is away: ask again later */ }
  if (pause) wait(Math.max(pause, ((performance.now() - began) / 1000) * 4));
}

const wait = (seconds) => setTimeout(update, seconds * 1000);
if (Number(part?.dataset.next)) wait(Number(part.dataset.next));
