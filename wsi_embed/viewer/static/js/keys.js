// Keys, in one table: what they do, and the page that `?` shows.
import { byId, el } from "./dom.js";

const TYPING = new Set(["INPUT", "SELECT", "TEXTAREA"]);
const groups = [];
const actions = new Map();

/** Add a group of keys: [[keys, text, action], ...]; several keys of an action are separated by spaces. */
export function addKeys(title, lines) {
  groups.push({ title, lines });
  for (const [keys, , action] of lines) for (const key of keys.split(" ")) actions.set(key === "Space" ? " " : key, action);
}

/** Listen to the keys. */
export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const typing = TYPING.has(event.target.tagName) && event.target.type !== "checkbox";
    if (typing) {
      if (event.key === "Escape" || event.key === "Enter") event.target.blur();
      return;
    }
    const action = actions.get(event.key);
    if (!action || (event.key === " " && event.target.tagName === "BUTTON")) return;
    event.preventDefault();
    action(event);
  });
}

/** Show the keys. */
export function showHelp() {
  const dialog = byId("help");
  dialog.replaceChildren(
    el("h2", { id: "help-title" }, "Keys"),
    el("div", { class: "groups" }, ...groups.map(({ title, lines }) => el("section", {}, el("h3", {}, title), el("dl", {}, ...lines.flatMap(helpLine))))),
    el("form", { method: "dialog" }, el("button", {}, "Close")));
  dialog.showModal();
}

function helpLine([keys, text]) {
  return [el("dt", {}, ...keys.split(" ").map((key) => el("kbd", {}, NAMES[key] ?? key))), el("dd", {}, text)];
}

const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };
