// The tab about the selected tile: its picture and facts, and the tiles of all slides that are most like it.
import { slidePath, still } from "./api.js";
import { counted, el, printable, redraw } from "./dom.js";
import { explained, progress } from "./examples.js";
import { stillPicture } from "./still_tiles.js";

export function buildTileCard(page, app, examples) {
  const draw = () => redraw(page, ...content(app, examples));
  for (const name of ["opening", "tiles", "tile", "clusters", "similar"]) app.on(name, draw);
  draw();
}

/** Return the picture of a tile as an element; `px` is its side on the screen. */
export function tilePicture(app, tile, px) {
  const side = Math.min(512, Math.round(px * (window.devicePixelRatio || 1)));
  const label = `Tile ${tile.tile} of ${printable(tile.slide_id)}`;
  if (tile.extent) return stillPicture(app, tile, side, label);
  const picture = el("img", {
    class: "tile-picture", loading: "lazy", alt: label, draggable: false,
    src: `${slidePath(app.store, tile.key)}/tiles/${tile.tile}.jpg?px=${side}`,
    onerror: ({ target }) => target.classList.add("missing"),
  });
  return picture;
}

/** Return the id of a slide as the list shows it. */
export function slideTitle(app, { key, slide_id: slideId }) {
  return printable(app.slides.find((slide) => slide.key === key)?.title ?? slideId);
}

function content(app, examples) {
  const { selected } = examples;
  return [
    selected && app.tiles ? card(app, examples, selected) : el("p", { class: "note" }, "Click a tile of the slide."),
    ...(selected || examples.any ? [exampleSection(app, examples), foundSection(app, examples)] : []),
  ].filter(Boolean);
}

function card(app, examples, tile) {
  const { x, y, cluster, confidence } = app.tiles.columns;
  const shown = cluster ? app.clusters.classes[app.classOf.get(cluster[tile.tile])] : null;
  const um = app.slide.mpp ? (value) => `${counted(Math.round(value * app.slide.mpp))} um` : null;
  const facts = [
    shown ? ["Cluster", named(shown)] : null,
    shown && confidence ? ["Confidence", (confidence[tile.tile] / 255).toFixed(2)] : null,
    um ? ["Position", `${um(x[tile.tile])}, ${um(y[tile.tile])}`] : null,
    ["Pixels", `${counted(x[tile.tile])}, ${counted(y[tile.tile])}`],
    ["Tile", `${counted(tile.tile)} of ${counted(app.tiles.number)}`],
  ].filter(Boolean);
  const placed = still ? { ...tile, x: x[tile.tile], y: y[tile.tile], extent: app.tiles.extent } : tile;
  return el("section", { class: "tile-card" },
    tilePicture(app, placed, 132),
    el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    still ? null : el("div", { class: "tile-actions" },
      kindButton(examples, "like", tile, "More like this"), kindButton(examples, "unlike", tile, "Not like this")));
}

function named({ name, colour }) {
  const swatch = el("i", { class: "dot" });
  swatch.style.background = colour;
  return el("span", { class: "named" }, swatch, printable(name));
}

function kindButton(examples, kind, tile, text) {
  const on = examples.kindOf(tile) === kind;
  const sign = kind === "like" ? "+" : "−";
  return el("button", {
    type: "button", class: `kind ${kind}`, "aria-pressed": String(on), "aria-label": `${sign} ${text ?? (kind === "like" ? "More like this" : "Not like this")}`,
    title: kind === "like" ? "Search for tiles like this one, too" : "Search for tiles unlike this one",
    onclick: (event) => (event.stopPropagation(), examples.toggle(kind, tile)),
  }, text ? `${sign} ${text}` : sign);
}

/** The examples, if there are any: small pictures that are removed by a click. */
function exampleSection(app, examples) {
  if (!examples.any) return null;
  const small = (kind) => (tile) =>
    el("button", {
      type: "button", class: `example ${kind}`, title: "Remove this example", "aria-label": `Remove the example ${tile.tile} of ${printable(tile.slide_id)}`,
      onclick: () => examples.toggle(kind, tile),
    }, tilePicture(app, tile, 44), el("b", {}, kind === "like" ? "+" : "−"));
  return el("section", {},
    el("h2", {}, "Examples", el("span", { class: "actions" }, el("button", { type: "button", class: "link", onclick: () => examples.clear() }, "Clear"))),
    el("div", { class: "examples" }, ...examples.like.map(small("like")), ...examples.unlike.map(small("unlike"))),
    examples.like.length ? null : el("p", { class: "note" }, "Choose a tile that the others should be like."));
}

function foundSection(app, examples) {
  const { found, waiting, error } = examples;
  const select = el("select", { "aria-label": "Tiles per slide", onchange: (event) => examples.setPerSlide(event.target.value) },
    ...[["", "all slides"], ["1", "1 per slide"], ["3", "3 per slide"]].map(([value, text]) => el("option", { value, selected: value === examples.perSlide }, text)));
  return el("section", { class: "found" },
    el("h2", {}, "Similar tiles", still ? null : el("span", { class: "actions" }, select)),
    error ? el("p", { class: "bad" }, explained(error)) : null,
    waiting ? el("p", { class: "note" }, progress(waiting)) : null,
    found ? el("div", { class: "tile-grid" }, ...found.tiles.map((tile) => foundTile(app, examples, tile))) : null,
    found ? el("p", { class: "note" }, about(found)) : null);
}

function about({ searched, exact, cache, notes }) {
  const where = cache ? `, kept in ${printable(cache)} beside the store` : "";
  const left = notes.length ? ` ${counted(notes.length, "slide")} left out: ${printable(notes[0])}` : "";
  return `${exact ? "Exact cosine" : "Cosine, with an index,"} over ${counted(searched, "tile")}${where}.${left}`;
}

function foundTile(app, examples, tile) {
  const here = tile.key === app.slide?.key;
  const shown = app.clusters.classes[app.classOf.get(tile.cluster)];
  const line = el("i", { class: "tile-cluster", title: shown ? printable(shown.name) : "" });
  line.style.background = shown?.colour ?? "transparent";
  const title = slideTitle(app, tile);
  return el("figure", { class: `tile ${here ? "here" : ""}`, "data-slide": tile.key, "data-tile": tile.tile },
    el("button", { type: "button", class: "fly", title: `${title}, tile ${tile.tile}: show it on the slide`, onclick: () => app.flyTo(tile.key, tile.tile) },
      tilePicture(app, tile, 110), line),
    still ? null : el("div", { class: "kinds" }, kindButton(examples, "like", tile), kindButton(examples, "unlike", tile)),
    el("figcaption", { title }, el("span", {}, title), el("b", {}, tile.cosine.toFixed(3))));
}
