// The tab with the layers and their legend: shares on this slide and in the store.
import { byId, counted, el, percent, printable, redraw } from "./dom.js";

export function buildLegend(page, app, layers) {
  const draw = () => redraw(page, ...content(app, layers));
  for (const name of ["slide", "tiles", "clusters", "layers"]) app.on(name, () => (app.slide ? draw() : null));
  app.on("failed", draw);
  draw();
}

function content(app, layers) {
  if (!app.slide) return [el("p", { class: "note" }, "No slide is open.")];
  return [tileSection(app, layers), shapeSection(app, layers), ...classSection(app, layers)].filter(Boolean);
}

/** What colours the tiles, and how strongly. */
function tileSection(app, layers) {
  const { clusters, attention } = app.slide.layers;
  const choice = (value, text, possible) =>
    el("button", {
      type: "button", disabled: !possible, "aria-pressed": String(layers.show === value),
      onclick: () => layers.set({ show: value }),
    }, text);
  const opacity = el("input", {
    type: "range", min: 0, max: 1, step: 0.05, id: "opacity", value: layers.opacity,
    oninput: (event) => layers.setOpacity(+event.target.value),
  });
  return el("section", {},
    el("h2", {}, "Tiles"),
    el("div", { class: "choice", role: "group", "aria-label": "Colours of tiles" },
      choice("clusters", "Clusters", clusters), choice("attention", "Attention", attention), choice("nothing", "None", true)),
    el("label", { class: "line", for: "opacity" }, "Opacity", opacity),
    check("Fade by confidence", "f", layers.confidence, layers.show === "clusters", (on) => layers.set({ confidence: on })),
    check("Grid at high zoom", "g", layers.grid, app.slide.layers.tiles, (on) => layers.set({ grid: on })));
}

/** Outlines over the slide. */
function shapeSection(app, layers) {
  const { tissue, contours } = app.slide.layers;
  if (!tissue && !contours) return null;
  const classes = layers.data.contours?.classes ?? [];
  return el("section", {},
    el("h2", {}, "Outlines"),
    tissue ? check("Tissue", "o", layers.tissue, true, (on) => layers.set({ tissue: on }), layers.data.tissue?.colour) : null,
    contours ? check("Annotations", "a", layers.contours, true, (on) => layers.set({ contours: on })) : null,
    contours && layers.contours
      ? el("ul", { class: "contours" }, ...classes.map(({ name, colour }) => el("li", {}, stroke(colour), printable(name))))
      : null);
}

function classSection(app, layers) {
  if (layers.show === "attention" && layers.data.attention) return [attentionSection(app, layers)];
  if (layers.show === "clusters" && app.tiles?.columns.cluster) return [clusterSection(app, layers)];
  return [];
}

function attentionSection(app, layers) {
  const { palette, facts, classes } = layers.data.attention;
  const steps = Array.from({ length: 24 }, (_, i) => palette[Math.round((i / 23) * 255)]);
  const select = el("select", { onchange: (event) => layers.set({ attentionClass: +event.target.value }) },
    ...classes.map((name, index) => el("option", { value: index, selected: index === layers.attentionClass }, printable(name))));
  return el("section", {},
    el("h2", {}, "Attention"),
    classes.length > 1 ? el("label", { class: "line" }, "Class", select) : null,
    el("div", { class: "ramp" }, ...steps.map((colour) => coloured("i", colour))),
    el("div", { class: "ends" }, el("span", {}, "lowest"), el("span", {}, "median"), el("span", {}, "highest")),
    el("p", { class: "note" }, printable(facts)));
}

/** The legend: one line per class, largest on this slide first. */
function clusterSection(app, layers) {
  const waiting = !app.clusters.complete;
  const here = new Array(app.clusters.classes.length).fill(0);
  for (const cluster of app.tiles.columns.cluster) here[app.classOf.get(cluster)] += 1;
  const whole = app.clusters.classes.reduce((sum, each) => sum + each.tiles, 0);
  const lines = app.clusters.classes
    .map((each, index) => ({ ...each, here: here[index] / Math.max(1, app.tiles.number), store: each.tiles / Math.max(1, whole) }))
    .sort((a, b) => b.here - a.here || a.cluster - b.cluster);
  const shown = lines.filter((line) => line.here || line.store || line.named || waiting);
  const empty = lines.length - shown.length;
  const most = Math.max(...lines.map((line) => Math.max(line.here, line.store)), 1e-9);
  return el("section", { class: "legend" },
    el("h2", {}, "Clusters",
      el("span", { class: "actions" },
        el("button", { type: "button", class: "link", title: "Show all (Esc)", onclick: () => layers.showAll(true) }, "All"),
        el("button", { type: "button", class: "link", onclick: () => layers.showAll(false) }, "None"))),
    el("div", { class: "legend-head" }, el("span"), el("span", {}, "name"), el("span", {}, "slide"),
      el("span", { title: waiting ? "The tiles of the store are still being counted." : "" }, waiting ? "store …" : "store")),
    el("ul", { class: "clusters" }, ...shown.map((line) => clusterLine(line, most, layers))),
    empty ? el("p", { class: "note" }, withoutTiles(empty)) : null,
    el("p", { class: "note" }, `${counted(app.tiles.number, "tile")} on this slide, ${counted(whole)} in the store`));
}

/** Return a line about clusters that no slide has. */
export const withoutTiles = (number) => (number === 1 ? "1 cluster has no tiles." : `${number} clusters have no tiles.`);

function clusterLine(line, most, layers) {
  const shown = !layers.hidden.has(line.cluster);
  const share = (value) => {
    const bar = el("i", { class: "bar" });
    bar.style.width = `${(100 * value) / most}%`;
    return el("span", { class: "share" }, bar, el("b", {}, value ? percent(value) : "–"));
  };
  const name = printable(line.name);
  return el("li", { class: `${shown ? "" : "off"} ${line.here ? "" : "absent"}`, "data-cluster": line.cluster },
    el("button", {
      type: "button", class: "swatch", role: "switch", "aria-checked": String(shown), "aria-label": `Show ${name}`,
      title: "Show or hide", onclick: () => layers.toggleClass(line.cluster),
    }, coloured("i", line.colour)),
    el("button", { type: "button", class: "name", title: `${name}: show only this one`, onclick: () => layers.isolate(line.cluster) }, name),
    share(line.here), share(line.store));
}

function check(text, key, value, possible, change, colour) {
  return el("label", { class: "line check" },
    el("input", { type: "checkbox", checked: value, disabled: !possible, onchange: (event) => change(event.target.checked) }),
    text, colour ? stroke(colour) : null, el("kbd", {}, key));
}

function coloured(tag, colour) {
  const element = el(tag);
  element.style.background = colour;
  return element;
}

function stroke(colour) {
  const element = el("i", { class: "stroke" });
  element.style.background = colour;
  return element;
}
