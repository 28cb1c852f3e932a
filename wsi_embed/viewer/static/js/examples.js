// Examples of a search for similar tiles: tiles like which, and unlike which, the found ones should be.
import { get, still } from "./api.js";
import { printable } from "./dom.js";
import { neighbours } from "./still_tiles.js";

const AGAIN_MS = 300;

/** A tile in this module is {key, slide_id, tile}. */
export class Examples {
  like = [];
  unlike = [];
  perSlide = "";
  found = null;
  waiting = null;
  error = null;
  #asked = 0;

  constructor(app) {
    this.app = app;
    app.on("store", () => this.clear());
    app.on("tile", () => this.any || this.search());
  }

  /** Whether there are examples; without them, the selected tile is the example. */
  get any() {
    return this.like.length + this.unlike.length > 0;
  }

  /** Return the selected tile; null for none. */
  get selected() {
    const { slide, tile } = this.app;
    return slide && tile !== null ? { key: slide.key, slide_id: slide.slide_id, tile } : null;
  }

  /** Return `like`, `unlike` or null: what a tile is an example of. */
  kindOf(tile) {
    return ["like", "unlike"].find((kind) => this[kind].some((other) => same(other, tile))) ?? null;
  }

  /** Make a tile an example of a kind, or none again if it is one already. */
  toggle(kind, tile) {
    const before = this.kindOf(tile);
    for (const each of ["like", "unlike"]) this[each] = this[each].filter((other) => !same(other, tile));
    if (before !== kind) this[kind] = [...this[kind], tile];
    this.search();
  }

  clear() {
    this.like = [];
    this.unlike = [];
    this.search();
  }

  setPerSlide(number) {
    this.perSlide = number;
    this.search();
  }

  /** Search for tiles like the examples, or like the selected tile if there are none. */
  async search() {
    const asked = ++this.#asked;
    const { selected } = this;
    const like = this.like.length ? this.like : selected && !this.kindOf(selected) ? [selected] : [];
    this.found = this.error = null;
    this.waiting = like.length ? {} : null;
    this.app.emit("similar");
    if (!like.length) return;
    const query = new URLSearchParams({ k: 24 });
    if (this.perSlide) query.set("per_slide", this.perSlide);
    for (const tile of like) query.append("like", `${tile.key}:${tile.tile}`);
    for (const tile of this.unlike) query.append("unlike", `${tile.key}:${tile.tile}`);
    try {
      const answer = still ? await neighbours(this.app, like[0]) : await whole(`api/stores/${this.app.store}/similar?${query}`, (part) => {
        if (asked === this.#asked) this.#set({ waiting: part });
        return asked === this.#asked;
      });
      if (asked === this.#asked && answer) this.#set({ found: answer, waiting: null });
    } catch (error) {
      if (asked === this.#asked) this.#set({ error, waiting: null });
    }
  }

  #set(values) {
    Object.assign(this, values);
    this.app.emit("similar");
  }
}

export const same = (one, other) => one.key === other.key && one.tile === other.tile;

/**
 * Ask until the answer is complete. `during` gets incomplete answers, and returns whether to go on; `ask` is
 * the kind of request.
 */
export async function whole(path, during, ask = get) {
  for (;;) {
    const answer = await ask(path);
    if (answer.complete !== false) return answer;
    if (!during(answer)) return null;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** Return a text about how far an answer is. */
export const progress = ({ done, count }) =>
  count ? `Reading features: ${done} of ${count} slides …` : "Working …";

/** Return the text of an error with its remedy. */
export const explained = (error) =>
  printable([error.where ? `${error.where}: ${error.message}` : error.message, error.remedy].filter(Boolean).join("; "));
