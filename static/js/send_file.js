// Sends the form as the browser would and follows where it leads, with the progress in a bar.
export function send(form, submitter, bar, words) {
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    bar.value = total ? loaded / total : 0;
    const percent = Math.floor(bar.value * 100);
    words.textContent = percent < 100 ? `${percent}% uploaded` : "Uploaded, being stored …";
  });
  request.addEventListener("load", () => {
    if (request.status < 400) return location.assign(request.responseURL);
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
  });
  request.addEventListener("error", () => {
    words.textContent = "The connection broke off. Choose the file again and press once more.";
    bar.hidden = true;
    delete form.dataset.sent;
    submitter.removeAttribute("aria-disabled");
  });
  bar.hidden = false;
  request.open("POST", form.action);
  request.send(new FormData(form, submitter));
}
