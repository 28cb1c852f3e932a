// Start of the page: puts its parts together. New tabs are added here, by addPanel.
import { readAddress, writeAddress } from "./address.js";
import { get } from "./api.js";
import { App } from "./app.js";
import { buildClusterPanel } from "./cluster_panel.js";
import { byId, el, printable } from "./dom.js";
import { Examples } from "./examples.js";
import { addKeys, listenToKeys, showHelp } from "./keys.js";
import { Layers } from "./layers.js";
import { buildLegend } from "./legend.js";
import { buildMapPanel } from "./map_panel.js";
import { hideError, showError, showNotice } from "./messages.js";
import { Names } from "./names.js";
import { addPanel, showPanel } from "./panels.js";
import { SlideList } from "./slides.js";
import { Stage } from "./stage.js";
import { buildTileCard } from "./tile_card.js";

const app = new App();
const stage = new Stage(app);
const layers = new Layers(app, stage);
const list = new SlideList(app);
// For panels, and for tests.
Object.assign(app, { stage, layers, list });
window.wsiEmbed = app;

addPanel(app, { id: "layers", title: "Layers", build: (page) => buildLegend(page, app, layers) });
const examples = new Examples(app);
const names = new Names(app);
addPanel(app, { id: "tile", title: "Tile", key: "t", build: (page) => buildTileCard(page, app, examples) });
addPanel(app, { id: "clusters", title: "Clusters", key: "n", build: (page) => buildClusterPanel(page, app, names) });
addPanel(app, { id: "map", title: "Map", key: "m", build: (page) => buildMapPanel(page, app) });

const typed = readAddress();
const KINDS = ["tissue", "contours", "grid"];
let place = typed;

app.on("store", () => {
  byId("store").value = String(app.store);
});
app.on("choose", (key) => {
  place = {};
  app.openSlide(key);
});
app.on("opening", (key) => {
  hideError();
  byId("stage").classList.add("opening");
  byId("title").textContent = printable(app.slides.find((slide) => slide.key === key)?.title ?? key);
  document.title = `${byId("title").textContent} · wsi-embed`;
});
app.on("slide", () => {
  stage.show(place);
  for (const line of app.slide.warnings) showNotice(printable(line));
  if (!app.slide.picture) showNotice("The file of this slide is not among the given slides: only its layers are shown.");
});
app.on("tiles", () => {
  if (place.tile !== undefined && place.tile < app.tiles.number) app.selectTile(place.tile);
});
app.on("fly", () => {
  const { x, y } = app.tiles.columns;
  const half = app.tiles.extent / 2;
  place = { x: x[app.tile] + half, y: y[app.tile] + half, zoom: Math.max(stage.zoom, 160 / app.tiles.extent), tile: app.tile };
  if (stage.item) stage.goTo(place.x, place.y, place.zoom);
});
for (const name of ["shown", "failed"]) app.on(name, () => byId("stage").classList.remove("opening"));
app.on("failed", (error) => showError(explained(error), () => app.openSlide(list.key)));
app.on("unreadable", checkSlide);
app.on("notice", (line) => showNotice(printable(line)));
for (const name of ["view", "layers", "tile", "panel"]) app.on(name, remember);

/** Add what the list knows about a slide that cannot be opened: the reason why the job failed. */
function explained(error) {
  const listed = app.slides.find((slide) => slide.key === list.key);
  if (!listed?.problem || listed.picture) return error;
  return { message: printable(listed.problem), where: printable(listed.title), remedy: printable(listed.remedy ?? error.remedy ?? "") };
}

/** Ask why tiles of the picture are missing, and say it. */
async function checkSlide() {
  const { slide } = app;
  if (!slide) return;
  try {
    const { version } = await get(slide.path);
    if (app.slide !== slide) return;
    if (version === slide.version) return showNotice("A part of this slide cannot be read.");
    showNotice("The file of this slide has been replaced.");
    app.emit("choose", slide.key);
  } catch (error) {
    if (app.slide === slide) showError(error, () => app.openSlide(slide.key));
  }
}

function remember() {
  if (!app.slide || !stage.item) return;
  const { x, y } = stage.centre;
  writeAddress({
    store: app.store || undefined,
    slide: app.slide.key,
    x: Math.round(x),
    y: Math.round(y),
    zoom: +stage.zoom.toPrecision(4),
    tile: app.tile ?? undefined,
    show: layers.show,
    opacity: layers.opacity,
    confidence: layers.confidence ? 1 : undefined,
    layers: KINDS.filter((name) => layers[name]),
    hidden: layers.hidden.size ? [...layers.hidden].sort((a, b) => a - b) : undefined,
    panel: app.panel === "layers" ? undefined : app.panel,
  });
}

/** Take over what an address says about the layers. */
function restore(state) {
  if (["clusters", "attention", "nothing"].includes(state.show)) layers.show = state.show;
  if (state.opacity >= 0 && state.opacity <= 1) layers.opacity = state.opacity;
  layers.confidence = Boolean(state.confidence);
  if (state.layers) for (const name of KINDS) layers[name] = state.layers.includes(name);
  layers.hidden = new Set(state.hidden ?? []);
  if (state.panel) showPanel(app, state.panel);
}

const toggle = (name) => () => layers.set({ [name]: !layers[name] });
const flip = (name) => () => document.body.classList.toggle(name);

addKeys("Move", [
  ["ArrowLeft ArrowRight ArrowUp ArrowDown", "move", ({ key }) => stage.pan(...ARROWS[key])],
  ["+ -", "zoom", ({ key }) => stage.zoomBy(key === "+" ? 1.5 : 1 / 1.5)],
  ["0", "whole slide", () => stage.fit()],
  ["1 2 3 4 5", "1x, 5x, 10x, 20x, 40x", ({ key }) => stage.setPower([1, 5, 10, 20, 40][key - 1])],
]);
addKeys("Slides", [
  ["j k", "next, previous slide", ({ key }) => list.step(key === "j" ? 1 : -1)],
  ["/", "search", () => byId("search").focus()],
  ["s", "show or hide the list", flip("no-slides")],
  ["l", "show or hide the panel", flip("no-panel")],
  ["t n m", "tile, clusters, map of tiles", ({ key }) => showPanel(app, { t: "tile", n: "clusters", m: "map" }[key])],
  ["u", "undo the last change of names", () => names.state?.can_undo && names.writable && names.change("undo")],
]);
addKeys("Layers", [
  ["c", "clusters", () => layers.set({ show: layers.show === "clusters" ? "nothing" : "clusters" })],
  ["h", "attention", () => layers.set({ show: layers.show === "attention" ? "nothing" : "attention" })],
  ["o", "tissue outline", toggle("tissue")],
  ["a", "annotations", toggle("contours")],
  ["g", "grid at high zoom", toggle("grid")],
  ["f", "fade by confidence", toggle("confidence")],
  [", .", "less, more opacity", ({ key }) => layers.setOpacity(layers.opacity + (key === "." ? 0.1 : -0.1))],
  ["i", "only the cluster under the pointer, or all", () => isolatePointed()],
  ["Space", "hide all layers while it is held", () => peek(true)],
  ["Escape", "select no tile; then show all clusters", () => (app.tile === null ? layers.showAll(true) : app.selectTile(null))],
]);
addKeys("Help", [["?", "this list", showHelp]]);

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function isolatePointed() {
  if (!stage.pointer) return;
  const { x, y } = stage.toSlide(stage.pointer);
  const number = layers.tileAt(x, y);
  const shown = number === null ? undefined : layers.classOfTile(number);
  if (shown) layers.isolate(shown.cluster);
}

function peek(on) {
  if (layers.peeking === on) return;
  layers.peeking = on;
  layers.draw();
}

document.addEventListener("keyup", (event) => event.key === " " && peek(false));
window.addEventListener("blur", () => peek(false));
// Somebody else may have changed the names while the page was not looked at.
document.addEventListener("visibilitychange", () => !document.hidden && app.session && app.refreshClusters());
byId("toggle-slides").addEventListener("click", flip("no-slides"));
byId("toggle-panel").addEventListener("click", flip("no-panel"));
byId("show-help").addEventListener("click", showHelp);
// Somebody pastes another address, or goes back: the state is read as at the start.
window.addEventListener("hashchange", () => location.reload());
byId("store").addEventListener("change", async (event) => {
  layers.hidden = new Set(); // clusters of another store are others
  const { key } = list, here = stage.item ? { ...stage.centre, zoom: stage.zoom } : {};
  if (!(await app.openStore(+event.target.value))) return;
  const same = app.slides.some((slide) => slide.key === key);
  place = same ? here : {}; // the same slide stays where it is, so that two models can be compared
  if (app.slides.length) app.openSlide(same ? key : app.slides[0].key);
});

async function start() {
  await app.start();
  const { stores } = app.session;
  byId("store").append(...stores.map(({ name }, index) => el("option", { value: index }, printable(name))));
  byId("store-label").hidden = stores.length < 2;
  if (app.session.notes.length) showNotice(app.session.notes.map(printable).join("\n"));
  restore(typed);
  await app.openStore(typed.store < stores.length ? typed.store : 0);
  listenToKeys();
  const first = app.slides.find((slide) => slide.picture && slide.tiles !== null) ?? app.slides[0];
  const wanted = app.slides.find((slide) => slide.key === typed.slide);
  if (typed.slide !== undefined && !wanted) showNotice("The address is about a slide that this store does not have.");
  if (!wanted) place = {};
  if (wanted ?? first) app.openSlide((wanted ?? first).key);
  else showError({ message: "the store has no slides yet", remedy: "run wsi-embed embed" });
}

start().catch((error) => showError(error, () => location.reload()));
