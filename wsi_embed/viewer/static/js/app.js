// What all parts of the page share: the store and slide that are shown, and events when they change.
import { get, getPacked, slidePath } from "./api.js";

/**
 * Events, each with a `detail`:
 *
 * - `store`: another store is shown.
 * - `clusters`: names, colours or shares of the clusters have changed.
 * - `opening`, `slide`, `failed`: a slide is being opened, is open, cannot be opened (`detail` is the error).
 * - `tiles`: the tiles of the slide are there.
 * - `layers`: a layer or the visibility of a cluster has changed.
 * - `view`: the position or zoom has changed.
 * - `tile`: a tile is selected (`app.tile` is its number; null for none).
 */
export class App extends EventTarget {
  session = null;
  store = 0;
  slides = [];
  clusters = { classes: [], complete: true };
  /** Number of the class of each cluster, in `clusters.classes`. */
  classOf = new Map();
  slide = null;
  tiles = null;
  tile = null;
  #opening = 0;

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  on(name, listener) {
    this.addEventListener(name, (event) => listener(event.detail));
  }

  async start() {
    this.session = await get("api/session");
  }

  /** Show another store; return whether it is still the one to show when its slides are there. */
  async openStore(number) {
    this.store = number;
    this.clusters = { classes: [], complete: true };
    const { slides } = await get(`api/stores/${number}/slides`);
    if (number !== this.store) return false;
    this.slides = slides;
    this.emit("store");
    this.refreshClusters();
    return true;
  }

  /** Ask for names, colours and shares of the clusters, again until all tiles of the store are counted. */
  async refreshClusters() {
    const store = this.store;
    try {
      this.takeClusters(store, await get(`api/stores/${store}/clusters`));
    } catch (error) {
      this.emit("notice", error.message);
    }
  }

  /** Show the clusters of an answer about a store. */
  takeClusters(store, found) {
    if (store !== this.store) return;
    this.clusters = found;
    this.classOf = new Map(found.classes.flatMap((each, index) => each.members.map((member) => [member, index])));
    this.emit("clusters");
    if (!found.complete) setTimeout(() => store === this.store && this.refreshClusters(), 1000);
  }

  /** Open a slide by its key. `app.slide` has the facts of the server, and `path` for its layers. */
  async openSlide(key) {
    const opening = ++this.#opening;
    const path = slidePath(this.store, key);
    this.slide = this.tiles = this.tile = null;
    this.emit("opening", key);
    try {
      const facts = await get(path);
      if (opening !== this.#opening) return;
      this.slide = { ...facts, key, path };
      this.emit("slide");
      if (!facts.layers.tiles) return;
      const tiles = await getPacked(`${path}/tiles`);
      if (opening !== this.#opening) return;
      this.tiles = { ...tiles, number: tiles.columns.row.length };
      this.emit("tiles");
    } catch (error) {
      if (opening === this.#opening) this.emit("failed", error);
    }
  }

  /** Select a tile by its number in the slide; null for none. */
  selectTile(number) {
    this.tile = number;
    this.emit("tile");
  }

  /** Open a slide of this store at one of its tiles. */
  async flyTo(key, number) {
    if (this.slide?.key !== key) await this.openSlide(key);
    if (!this.tiles) return;
    this.selectTile(number);
    this.emit("fly");
  }
}
