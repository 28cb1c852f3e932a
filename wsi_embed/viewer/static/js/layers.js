// Layers over the slide, drawn on a canvas of their own.
//
// The map of the tiles is one pixel per cell of the tiles' lattice, painted when something about it changes;
// moving only scales that picture, so that a million tiles move as smoothly as a hundred.
import { getPacked } from "./api.js";
import { byId, isolated } from "./dom.js";

const GRID_PX = 28;
const HALO = "#fff";

export class Layers {
  /** What colours the tiles: `clusters`, `attention` or `nothing`. */
  show = "clusters";
  opacity = 0.5;
  confidence = false;
  tissue = true;
  contours = true;
  grid = true;
  /** Classes (by first cluster) that are not shown. */
  hidden = new Set();
  attentionClass = 0;
  /** Whether all layers are out of the way for a moment. */
  peeking = false;

  constructor(app, stage) {
    this.app = app;
    this.stage = stage;
    this.canvas = byId("overlay");
    this.context = this.canvas.getContext("2d");
    this.data = {};
    app.describe = (x, y) => this.#describe(x, y);
    app.on("opening", () => this.#reset());
    app.on("slide", () => this.#load());
    app.on("tiles", () => this.#prepareTiles());
    app.on("clusters", () => this.repaint());
    app.on("tile", () => this.draw());
    app.on("view", () => this.draw());
    app.on("click", ({ x, y }) => app.selectTile(this.tileAt(x, y)));
    new ResizeObserver(() => this.draw()).observe(byId("stage"));
  }

  /** Change settings by name, and draw. */
  set(settings) {
    Object.assign(this, settings);
    this.repaint();
    this.app.emit("layers");
  }

  /** Change the opacity; the legend is not built again, so that its slider can be dragged. */
  setOpacity(value) {
    this.opacity = Math.round(20 * Math.min(1, Math.max(0, value))) / 20;
    const slider = byId("opacity");
    if (slider) slider.value = this.opacity;
    this.draw();
    this.app.emit("view");
  }

  toggleClass(first) {
    const hidden = new Set(this.hidden);
    if (!hidden.delete(first)) hidden.add(first);
    this.set({ hidden });
  }

  /** Show one class only, or all again if it is the only one. */
  isolate(first) {
    const others = this.app.clusters.classes.map((each) => each.cluster).filter((each) => each !== first);
    const alone = !this.hidden.has(first) && others.every((each) => this.hidden.has(each));
    this.set({ hidden: new Set(alone ? [] : others) });
  }

  showAll(shown) {
    this.set({ hidden: new Set(shown ? [] : this.app.clusters.classes.map((each) => each.cluster)) });
  }

  /** Return the number of the tile at a level-0 position; null for none. */
  tileAt(x, y) {
    if (!this.lattice) return null;
    const { origin, step } = this.app.tiles;
    const column = Math.floor((x - origin[0]) / step[0]), row = Math.floor((y - origin[1]) / step[1]);
    if (column < 0 || row < 0 || column >= this.columns || row >= this.rows) return null;
    const number = this.lattice[row * this.columns + column];
    return number < 0 ? null : number;
  }

  /** Return the class of a tile, of the store's clusters; undefined without clusters. */
  classOfTile(number) {
    const cluster = this.app.tiles?.columns.cluster?.[number];
    return this.app.clusters.classes[this.app.classOf.get(cluster)];
  }

  #reset() {
    this.data = {};
    this.lattice = this.picture = null;
    this.draw();
  }

  async #load() {
    const { layers, path } = this.app.slide;
    const data = (this.data = {});
    const wanted = ["tissue", "contours", "attention"].filter((name) => layers[name]);
    await Promise.all(
      wanted.map(async (name) => {
        try {
          const found = await getPacked(`${path}/${name}`);
          if (found.columns.points) found.rings = ringPaths(found.columns);
          data[name] = found;
          if (name === "attention") this.attentionClass = found.shown;
          for (const line of found.warnings ?? []) this.app.emit("notice", line);
        } catch (error) {
          this.app.emit("notice", `${error.where ? `${error.where}: ` : ""}${error.message}`);
        }
      }),
    );
    if (data !== this.data) return;
    this.repaint();
    this.app.emit("layers");
  }

  #prepareTiles() {
    const { row, column } = this.app.tiles.columns;
    this.columns = this.rows = 0;
    for (let i = 0; i < row.length; i++) {
      if (row[i] >= this.rows) this.rows = row[i] + 1;
      if (column[i] >= this.columns) this.columns = column[i] + 1;
    }
    this.lattice = new Int32Array(this.columns * this.rows).fill(-1);
    for (let i = 0; i < row.length; i++) this.lattice[row[i] * this.columns + column[i]] = i;
    this.repaint();
  }

  /** Paint the map of the tiles again, and draw. */
  repaint() {
    this.picture = this.lattice && this.columns ? this.#paint() : null;
    this.draw();
  }

  #paint() {
    const colours = this.#tileColours();
    if (!colours) return null;
    const picture = document.createElement("canvas");
    picture.width = this.columns;
    picture.height = this.rows;
    const context = picture.getContext("2d");
    const image = context.createImageData(this.columns, this.rows);
    const pixels = new Uint32Array(image.data.buffer);
    const { row, column } = this.app.tiles.columns;
    for (let i = 0; i < row.length; i++) pixels[row[i] * this.columns + column[i]] = colours(i);
    context.putImageData(image, 0, 0);
    return picture;
  }

  /** Whether a tile is of a class that is hidden while the clusters are shown. */
  #isHidden(number) {
    return this.show === "clusters" && this.hidden.has(this.classOfTile(number)?.cluster);
  }

  /** Return a function from tile to colour, as a number of little-endian RGBA; null if nothing is shown. */
  #tileColours() {
    const { cluster, confidence } = this.app.tiles.columns;
    if (this.show === "attention" && this.data.attention) {
      const palette = this.data.attention.palette.map((colour) => pixel(colour, 255));
      const ranks = this.data.attention.columns[`rank${this.attentionClass}`];
      return (i) => palette[ranks[i]];
    }
    if (this.show !== "clusters" || !cluster) return null;
    const { classes } = this.app.clusters;
    const table = new Map();
    for (const [number, index] of this.app.classOf)
      table.set(number, this.hidden.has(classes[index].cluster) ? 0 : pixel(classes[index].colour, 255));
    const opaque = (i) => table.get(cluster[i]) ?? 0;
    if (!this.confidence || !confidence) return opaque;
    return (i) => {
      const colour = opaque(i);
      return colour && ((colour & 0xffffff) | (confidence[i] << 24)) >>> 0;
    };
  }

  draw() {
    const { canvas, context } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.stage.item || !this.app.slide || this.peeking) return;
    const corner = this.stage.toStage(0, 0), zoom = this.stage.zoom * ratio;
    this.view = { x: corner.x * ratio, y: corner.y * ratio, zoom, width, height, ratio };
    context.setTransform(zoom, 0, 0, zoom, this.view.x, this.view.y);
    this.#drawMap();
    this.#drawGrid();
    if (this.tissue && this.data.tissue) this.#strokeAll(this.data.tissue, () => this.data.tissue.colour, false);
    if (this.contours && this.data.contours) {
      const { columns, classes } = this.data.contours;
      this.#strokeAll(this.data.contours, (ring) => classes[columns.ring_class[ring]].colour, true);
    }
    this.#drawSelected();
  }

  #drawMap() {
    if (!this.picture) return;
    const { origin, step } = this.app.tiles;
    this.context.globalAlpha = this.opacity;
    this.context.imageSmoothingEnabled = this.view.zoom * step[0] < 1;
    this.context.drawImage(this.picture, origin[0], origin[1], this.columns * step[0], this.rows * step[1]);
    this.context.globalAlpha = 1;
  }

  /** Draw the cells on the screen that have a tile of a shown cluster, if they are large enough. */
  #drawGrid() {
    const { x, y, zoom, width, height, ratio } = this.view;
    if (!this.grid || !this.lattice || this.app.tiles.step[0] * zoom < GRID_PX * ratio) return;
    const { origin, step } = this.app.tiles;
    const cell = (position, axis) => Math.floor((position / zoom - origin[axis]) / step[axis]);
    const right = Math.min(this.columns - 1, cell(width - x, 0)), bottom = Math.min(this.rows - 1, cell(height - y, 1));
    this.context.lineWidth = ratio / zoom;
    this.context.strokeStyle = "rgb(40 40 40 / 45%)";
    this.context.beginPath();
    for (let row = Math.max(0, cell(-y, 1)); row <= bottom; row++)
      for (let column = Math.max(0, cell(-x, 0)); column <= right; column++) {
        const number = this.lattice[row * this.columns + column];
        if (number >= 0 && !this.#isHidden(number))
          this.context.rect(origin[0] + column * step[0], origin[1] + row * step[1], step[0], step[1]);
      }
    this.context.stroke();
  }

  #strokeAll({ rings }, colourOf, halo) {
    const line = (2 * this.view.ratio) / this.view.zoom;
    const { context } = this;
    context.lineJoin = "round";
    if (halo) {
      context.strokeStyle = HALO;
      context.lineWidth = 2 * line;
      for (const ring of rings) context.stroke(ring);
    }
    context.lineWidth = halo ? line : 0.75 * line;
    rings.forEach((ring, index) => {
      context.strokeStyle = colourOf(index);
      context.stroke(ring);
    });
  }

  #drawSelected() {
    const { tile, tiles } = this.app;
    if (tile === null || !tiles) return;
    const line = (2 * this.view.ratio) / this.view.zoom;
    const { x, y } = tiles.columns;
    this.context.lineWidth = 2 * line;
    this.context.strokeStyle = HALO;
    this.context.strokeRect(x[tile], y[tile], tiles.extent, tiles.extent);
    this.context.lineWidth = line;
    this.context.strokeStyle = "#111";
    this.context.strokeRect(x[tile], y[tile], tiles.extent, tiles.extent);
  }

  #describe(x, y) {
    const number = this.tileAt(x, y);
    if (number === null) return null;
    const shown = this.classOfTile(number);
    const confidence = this.app.tiles.columns.confidence?.[number];
    const ranks = this.show === "attention" && this.data.attention?.columns[`rank${this.attentionClass}`];
    if (ranks) return `attention rank ${Math.round(ranks[number] / 2.55)} %`;
    if (!shown) return `tile ${number}`;
    return confidence === undefined ? shown.name : `${isolated(shown.name)}, ${(confidence / 255).toFixed(2)}`;
  }
}

function ringPaths({ points, starts }) {
  const paths = [];
  for (let ring = 0; ring + 1 < starts.length; ring++) {
    const path = new Path2D();
    for (let point = starts[ring]; point < starts[ring + 1]; point++)
      path.lineTo(points[2 * point], points[2 * point + 1]);
    path.closePath();
    paths.push(path);
  }
  return paths;
}

/** Return a colour `#rrggbb` with an opacity as the number that canvas pixels have in little-endian memory. */
function pixel(colour, alpha) {
  const value = parseInt(colour.slice(1), 16);
  return ((alpha << 24) | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}
