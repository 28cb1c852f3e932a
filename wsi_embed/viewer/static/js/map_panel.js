// The tab with the map of tiles: a scatter plot in which a lasso selects tiles, which are marked on the slide.
import { getPacked, still } from "./api.js";
import { byId, counted, el, printable } from "./dom.js";
import { explained, progress, whole } from "./examples.js";
import { slideTitle } from "./tile_card.js";

const EDGE = 12, NEAR = 8, CLICK = 4;

export function buildMapPanel(page, app) {
  const map = new TileMap(page, app);
  app.on("store", () => map.reset());
  app.on("panel", (id) => id === "map" && map.load());
  app.on("clusters", () => map.paint());
  for (const name of ["tile", "opening"]) app.on(name, () => map.paint());
  for (const name of ["view", "slide", "tiles"]) app.on(name, () => map.mark());
}

class TileMap {
  method = "pca";
  by = "cluster";
  data = null;
  labels = null;
  chosen = new Set();
  #lasso = null;

  constructor(page, app) {
    Object.assign(this, { page, app });
    this.canvas = el("canvas", { class: "map", "aria-label": "Map of tiles", tabIndex: 0 });
    this.marks = el("canvas", { class: "marks" });
    byId("stage").insertBefore(this.marks, byId("scale-bar"));
    this.message = el("p", { class: "note" });
    this.about = el("div", { class: "map-about" });
    const choice = (label, values, change) =>
      el("select", { "aria-label": label, onchange: ({ target }) => change(target.value) }, ...values.map(([value, text]) => el("option", { value }, text)));
    page.append(
      el("div", { class: "map-bar" },
        choice("Projection", still ? [["pca", "PCA"]] : [["pca", "PCA"], ["umap", "UMAP"]], (method) => ((this.method = method), this.reset())),
        choice("Colour", [["cluster", "by cluster"], ["slide", "by slide"], ["label", "by annotation"]], (by) => this.#colourBy(by)),
        el("button", { type: "button", title: "Larger or smaller map", onclick: () => document.body.classList.toggle("wide-panel") }, "⤢")),
      this.message, this.canvas, this.about);
    for (const [name, action] of [["pointerdown", this.#down], ["pointermove", this.#move], ["pointerup", this.#up]])
      this.canvas.addEventListener(name, action.bind(this));
    new ResizeObserver(() => this.paint()).observe(this.canvas);
    new ResizeObserver(() => this.mark()).observe(byId("stage"));
  }

  reset() {
    this.data = this.labels = null;
    this.chosen = new Set();
    this.message.textContent = "";
    this.paint();
    if (this.app.panel === "map") this.load();
  }

  async load() {
    if (this.data || !this.app.session) return;
    const { store } = this.app, { method } = this;
    const wanted = () => store === this.app.store && method === this.method;
    this.#say("Working …");
    try {
      const found = await whole(`api/stores/${store}/map?method=${method}`, (part) => wanted() && (this.#say(progress(part)), true), getPacked);
      if (!found || !wanted()) return;
      this.data = { ...found, number: found.columns.tile.length, box: boxOf(found.columns.points) };
      this.#say("");
    } catch (error) {
      if (wanted()) this.#say(explained(error), "bad");
    }
    this.#colourBy(this.by);
  }

  async #colourBy(by) {
    this.by = by;
    this.paint();
    if (by !== "label" || this.labels || !this.data) return;
    const { data, method } = this, { store } = this.app;
    const wanted = () => data === this.data && this.by === by;
    try {
      const found = await whole(`api/stores/${store}/map/labels?method=${method}`, (part) => wanted() && (this.#say(progress(part)), true), getPacked);
      if (!found || data !== this.data) return;
      this.labels = found;
      this.#say(found.names.length ? "" : "No annotations are given: start the viewer with --annotations.");
    } catch (error) {
      if (wanted()) this.#say(explained(error), "bad");
    }
    this.paint();
  }

  #say(text, kind = "note") {
    this.message.textContent = text;
    this.message.className = kind;
    this.message.hidden = !text;
  }

  /** Return the place of a point on the canvas, CSS pixels. */
  #place(i) {
    const { points } = this.data.columns, { x, y, side } = this.data.box;
    const width = this.canvas.clientWidth - 2 * EDGE;
    return [EDGE + (width * (points[2 * i] - x)) / side, EDGE + (width * (y - points[2 * i + 1])) / side];
  }

  paint() {
    const { canvas, data } = this;
    const ratio = window.devicePixelRatio || 1, side = canvas.clientWidth;
    canvas.hidden = !data;
    this.about.hidden = !data;
    if (!data || !side) return this.mark();
    canvas.width = canvas.height = Math.round(side * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const radius = Math.max(1.5, Math.min(4, (0.14 * side) / Math.sqrt(data.number)));
    const colour = this.#colours();
    const draw = (i, alpha) => {
      const [x, y] = this.#place(i);
      context.globalAlpha = alpha;
      context.fillStyle = colour(i);
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      context.fill();
    };
    const some = this.chosen.size > 0;
    for (let i = 0; i < data.number; i++) if (!this.chosen.has(i)) draw(i, some ? 0.12 : 0.75);
    for (const i of this.chosen) draw(i, 1);
    context.globalAlpha = 1;
    this.#drawCurrent(context);
    this.#drawLasso(context);
    this.#tell();
    this.mark();
  }

  /** Return a function from point to colour. */
  #colours() {
    const { slide, cluster } = this.data.columns;
    if (this.by === "slide") return (i) => SLIDE_COLOURS[slide[i] % SLIDE_COLOURS.length];
    if (this.by === "label") {
      const label = this.labels?.columns.label;
      return (i) => this.labels?.colours[label[i]] ?? "#c3c9ce";
    }
    const { classes } = this.app.clusters;
    return (i) => classes[this.app.classOf.get(cluster?.[i])]?.colour ?? "#6b7680";
  }

  #drawCurrent(context) {
    const { slide, tile } = this.data.columns;
    const here = this.data.slides.findIndex(({ key }) => key === this.app.slide?.key);
    if (this.app.tile === null) return;
    for (let i = 0; i < this.data.number; i++) {
      if (slide[i] !== here || tile[i] !== this.app.tile) continue;
      context.strokeStyle = "#111";
      context.lineWidth = 2;
      context.beginPath();
      context.arc(...this.#place(i), 6, 0, 7);
      context.stroke();
    }
  }

  #drawLasso(context) {
    if (!this.#lasso || this.#lasso.length < 2) return;
    context.beginPath();
    for (const [x, y] of this.#lasso) context.lineTo(x, y);
    context.closePath();
    context.fillStyle = "rgb(10 92 138 / 10%)";
    context.fill();
    context.strokeStyle = "#0a5c8a";
    context.lineWidth = 1.5;
    context.stroke();
  }

  /** Say what is on the map, or what is selected: how many tiles on which slides. */
  #tell() {
    const { data, chosen } = this;
    const legend = [this.#legend()].filter(Boolean);
    if (!chosen.size) {
      this.about.replaceChildren(...legend, el("p", { class: "note" },
        `${counted(data.number, "tile")}, drawn evenly over ${counted(data.slides.length, "slide")}. Draw around points to select them; click one to see it on its slide.`),
        ...data.notes.map((line) => el("p", { class: "bad" }, printable(line))));
      return;
    }
    const counts = new Map();
    for (const i of chosen) counts.set(data.columns.slide[i], (counts.get(data.columns.slide[i]) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const lines = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 12);
    this.about.replaceChildren(...legend,
      el("h2", {}, `${counted(chosen.size, "tile")} on ${counted(counts.size, "slide")}`,
        el("span", { class: "actions" }, el("button", { type: "button", class: "link", onclick: () => this.#choose(new Set()) }, "Clear"))),
      el("ul", { class: "on-slides" }, ...lines.map(([slide, count]) => {
        const bar = el("i", { class: "bar" });
        bar.style.width = `${(100 * count) / most}%`;
        return el("li", {},
          el("button", { type: "button", class: "name", onclick: () => this.app.emit("choose", data.slides[slide].key) }, slideTitle(this.app, data.slides[slide])),
          el("span", { class: "share" }, bar, el("b", {}, counted(count))));
      })));
  }

  /** The colours of annotated classes or slides; null if there are none, or more slides than colours. */
  #legend() {
    const line = (colour, name) => {
      const dot = el("i", { class: "dot" });
      dot.style.background = colour;
      return el("span", { class: "named", title: printable(name) }, dot, el("span", {}, printable(name)));
    };
    if (this.by === "slide" && this.data.slides.length <= SLIDE_COLOURS.length)
      return el("p", { class: "map-legend" }, ...this.data.slides.map((slide, index) => line(SLIDE_COLOURS[index], slideTitle(this.app, slide))));
    if (this.by !== "label" || !this.labels?.names.length) return null;
    const there = new Set(this.labels.columns.label);
    return el("p", { class: "map-legend" },
      ...this.labels.names.map((name, index) => (there.has(index) ? line(this.labels.colours[index], name) : null)).filter(Boolean), line("#c3c9ce", "none"));
  }

  #choose(chosen) {
    this.chosen = chosen;
    this.paint();
  }

  #at = (event) => {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  #down(event) {
    if (!this.data || event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#lasso = [this.#at(event)];
  }

  #move(event) {
    if (!this.#lasso) return;
    this.#lasso.push(this.#at(event));
    this.paint();
  }

  #up() {
    if (!this.#lasso) return;
    const line = this.#lasso;
    this.#lasso = null;
    const long = Math.max(...line.map(([x, y]) => Math.hypot(x - line[0][0], y - line[0][1])));
    if (long < CLICK) return this.#click(line[0]);
    const inside = new Set();
    for (let i = 0; i < this.data.number; i++) if (contains(line, this.#place(i))) inside.add(i);
    this.#choose(inside);
  }

  /** Fly to the tile of the nearest point, or clear the selection. */
  #click([x, y]) {
    let best = null, least = NEAR;
    for (let i = 0; i < this.data.number; i++) {
      const [px, py] = this.#place(i);
      const far = Math.hypot(px - x, py - y);
      if (far < least) [best, least] = [i, far];
    }
    if (best === null) return this.#choose(new Set());
    const { slide, tile } = this.data.columns;
    this.app.flyTo(this.data.slides[slide[best]].key, tile[best]);
    return this.paint();
  }

  /** Mark the selected tiles of the open slide. */
  mark() {
    const { marks, data, app } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(marks.clientWidth * ratio), height = Math.round(marks.clientHeight * ratio);
    if (marks.width !== width || marks.height !== height) Object.assign(marks, { width, height });
    const context = marks.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!data || !this.chosen.size || !app.tiles || !app.stage.item) return;
    const here = data.slides.findIndex(({ key }) => key === app.slide.key);
    const corner = app.stage.toStage(0, 0), { zoom } = app.stage;
    const side = Math.max(app.tiles.extent * zoom, 7);
    context.scale(ratio, ratio);
    for (const [colour, line] of [["#fff", 4], ["#c2187a", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      for (const i of this.chosen) {
        if (data.columns.slide[i] !== here) continue;
        const tile = data.columns.tile[i];
        const x = corner.x + (app.tiles.columns.x[tile] + app.tiles.extent / 2) * zoom, y = corner.y + (app.tiles.columns.y[tile] + app.tiles.extent / 2) * zoom;
        context.strokeRect(x - side / 2, y - side / 2, side, side);
      }
    }
  }
}

/** Return the square around points: left and upper side, and length. */
function boxOf(points) {
  const [low, high] = [[Infinity, Infinity], [-Infinity, -Infinity]];
  points.forEach((value, i) => {
    low[i % 2] = Math.min(low[i % 2], value);
    high[i % 2] = Math.max(high[i % 2], value);
  });
  const side = Math.max(high[0] - low[0], high[1] - low[1]) || 1;
  return { x: (low[0] + high[0] - side) / 2, y: (low[1] + high[1] + side) / 2, side };
}

/** Return whether a polygon contains a point, by the even-odd rule. */
function contains(line, [x, y]) {
  let inside = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [[ax, ay], [bx, by]] = [line[i], line[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

// Paul Tol's bright and muted schemes, which remain distinct with colour blindness.
const SLIDE_COLOURS = [
  "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#332288", "#cc6677", "#117733", "#999933",
  "#882255", "#44aa99", "#88ccee", "#ddcc77",
];
