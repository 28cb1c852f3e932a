// Keys, in one table: what they do, and the page that `?` shows.
import { byId, el } from "./dom.js";

// Controls that take keys themselves: all of them, or some.
const TYPING = ["text", "search", "select-one"];
const OWN_KEYS = { range: /^(Arrow|Home|End|Page)/, checkbox: /^ $/, color: /^( |Enter)$/, button: /^ $/, submit: /^ $/ };
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
    const { type } = event.target;
    if (TYPING.includes(type)) {
      if (event.key === "Escape" || event.key === "Enter") event.target.blur();
      return;
    }
    const action = actions.get(event.key);
    if (!action || OWN_KEYS[type]?.test(event.key)) return;
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
