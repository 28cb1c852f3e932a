// Messages over the slide: an error with its remedy, and short notices.
import { byId, el } from "./dom.js";

const NOTICE_MS = 8000;
let timer = 0;

/** Show an error in the middle of the stage, with a button to try again. */
export function showError(error, again) {
  const box = byId("message");
  box.replaceChildren(
    el("b", {}, error.where ? `${error.where}: ${error.message}` : error.message),
    error.remedy ? el("p", {}, error.remedy) : null,
    again ? el("button", { type: "button", onclick: again }, "Try again") : "",
  );
  box.hidden = false;
}

export function hideError() {
  byId("message").hidden = true;
}

/** Show a notice for some seconds. */
export function showNotice(text) {
  const box = byId("notice");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (box.hidden = true), NOTICE_MS);
}
