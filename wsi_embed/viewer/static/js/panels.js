// Tabs of the panel on the right.
//
// A tab is added by one call in main.js: addPanel(app, {id, title, build}), where build(page, app) fills the
// page, an empty element, once. It listens to the events of app.js for what it shows.
import { byId, el } from "./dom.js";

const tabs = new Map();

/** Add a tab; the first one is shown. `key` is the key that shows it, for the tooltip. */
export function addPanel(app, { id, title, key, build }) {
  const page = el("section", { class: "page", id: `page-${id}`, role: "tabpanel", hidden: true, "aria-labelledby": `tab-${id}` });
  const tab = el(
    "button",
    { id: `tab-${id}`, type: "button", role: "tab", "aria-controls": page.id, title: key ? `${title} (${key})` : title, onclick: () => showPanel(app, id) },
    title,
  );
  byId("tabs").append(tab);
  byId("pages").append(page);
  tabs.set(id, { tab, page });
  build(page, app);
  if (tabs.size === 1) showPanel(app, id);
}

/** Show a tab, and the panel if it is hidden. */
export function showPanel(app, id) {
  if (!tabs.has(id)) return;
  const focused = byId("tabs").contains(document.activeElement);
  for (const [each, { tab, page }] of tabs) {
    page.hidden = each !== id;
    tab.setAttribute("aria-selected", String(each === id));
  }
  document.body.classList.remove("no-panel");
  if (focused) tabs.get(id).tab.focus();
  app.panel = id;
  app.emit("panel", id);
}
