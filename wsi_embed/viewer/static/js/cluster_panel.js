// The tab about the clusters of the store: tiles of each, the slides that have it, its name and colour.
import { counted, el, percent, printable } from "./dom.js";
import { explained, progress, whole } from "./examples.js";
import { withoutTiles } from "./legend.js";
import { slideTitle, tilePicture } from "./tile_card.js";

const FEW = 4, SLIDES = 12;

export function buildClusterPanel(page, app, names) {
  const panel = new ClusterPanel(page, app, names);
  app.on("store", () => panel.reset());
  app.on("panel", (id) => id === "clusters" && panel.load());
  for (const name of ["clusters", "names"]) app.on(name, () => panel.draw());
}

class ClusterPanel {
  sheet = null;
  waiting = null;
  error = null;
  chosen = new Set();
  open = new Set();

  constructor(page, app, names) {
    Object.assign(this, { page, app, names });
  }

  reset() {
    Object.assign(this, { sheet: null, waiting: null, error: null, chosen: new Set(), open: new Set() });
    if (this.app.panel === "clusters") this.load();
    this.draw();
  }

  /** Ask for the tiles of the clusters, once. */
  async load() {
    if (this.sheet || this.waiting || !this.app.session?.stores[this.app.store]?.clusters) return;
    const { store } = this.app;
    this.waiting = {};
    this.error = null;
    this.draw();
    try {
      const answer = await whole(`api/stores/${store}/sheet`, (part) => {
        this.waiting = part;
        return store === this.app.store;
      });
      if (store !== this.app.store) return;
      this.sheet = new Map(answer.clusters.map((each) => [each.cluster, each]));
    } catch (error) {
      this.error = error;
    }
    this.waiting = null;
    this.draw();
  }

  draw() {
    if (!this.app.session) return;
    if (!this.app.session.stores[this.app.store].clusters) {
      this.page.replaceChildren(el("p", { class: "note" }, "This store has no clusters: wsi-embed cluster makes them."));
      return;
    }
    const focused = document.activeElement?.closest?.("#page-clusters [data-class]");
    const { kind } = document.activeElement?.dataset ?? {};
    const typed = kind === "name" ? document.activeElement.value : null;
    const classes = [...this.app.clusters.classes].sort((a, b) => b.tiles - a.tiles || a.cluster - b.cluster);
    this.chosen = new Set([...this.chosen].filter((first) => classes.some((each) => each.cluster === first)));
    const whole = classes.reduce((sum, each) => sum + each.tiles, 0);
    const shown = classes.filter((each) => each.tiles || each.named || !this.app.clusters.complete);
    const empty = classes.length - shown.length;
    this.drawing = true; // the loss of the focus is none that the user meant
    this.page.replaceChildren(...[
      this.#bar(classes), ...this.#messages(), ...shown.map((each) => this.#class(each, Math.max(1, whole))),
      empty ? el("p", { class: "note" }, withoutTiles(empty)) : null,
    ].filter(Boolean));
    const again = focused && kind && this.page.querySelector(`[data-class="${focused.dataset.class}"] [data-kind="${kind}"]`);
    if (again && typed !== null) again.value = typed;
    again?.focus();
    this.drawing = false;
  }

  #messages() {
    const error = this.names.error ?? this.error;
    return [
      error ? el("p", { class: "bad" }, explained(error)) : null,
      this.waiting ? el("p", { class: "note" }, progress(this.waiting)) : null,
    ];
  }

  /** Undo, redo and merge. */
  #bar(classes) {
    if (!this.names.writable) return null;
    const { state } = this.names;
    const button = (text, possible, title, onclick) => el("button", { type: "button", disabled: !possible, title, onclick }, text);
    const members = classes.filter((each) => this.chosen.has(each.cluster)).flatMap((each) => each.members);
    return el("div", { class: "cluster-bar" },
      button("Undo", state.can_undo, "Undo the last change of names (u)", () => this.names.change("undo")),
      button("Redo", state.can_redo, "Redo what was undone", () => this.names.change("redo")),
      button(this.chosen.size > 1 ? `Merge ${this.chosen.size}` : "Merge", this.chosen.size > 1, "Show the chosen clusters as one", () => {
        this.chosen = new Set();
        this.names.change("merge", { clusters: members });
      }));
  }

  #class(each, whole) {
    const parts = each.members.map((member) => this.sheet?.get(member)).filter(Boolean);
    const open = this.open.has(each.cluster);
    const typical = interleaved(parts.map((part) => part.typical));
    return el("section", { class: "cluster-card", "data-class": each.cluster },
      this.#head(each, whole),
      typical.length ? this.#tiles(open ? typical : typical.slice(0, FEW)) : null,
      open ? this.#details(each, parts) : null,
      parts.length ? el("button", {
        type: "button", class: "link more", "data-kind": "more", "aria-expanded": String(open),
        onclick: () => (this.open.delete(each.cluster) || this.open.add(each.cluster), this.draw()),
      }, open ? "Less" : "Atypical tiles and slides") : null);
  }

  #head(each, whole) {
    const { writable } = this.names;
    const clusters = each.members;
    const name = printable(each.name);
    const input = el("input", {
      type: "text", class: "class-name", defaultValue: each.named ? each.name : "", placeholder: name, maxLength: 80, disabled: !writable, spellcheck: false,
      title: writable ? "Give the cluster a name" : name, "aria-label": `Name of ${name}`, "data-kind": "name",
      onkeydown: ({ key, target }) => key === "Escape" && (target.value = target.defaultValue),
      // the name that somebody else gives meanwhile is not seen below the one that is being typed
      onfocus: () => !this.drawing && (this.seen = this.names.state?.revision),
      // not `onchange`, which does not see what was typed before the list was drawn anew
      onblur: ({ target }) => !this.drawing && target.value !== target.defaultValue
        && this.names.change("rename", { clusters, name: target.value.trim() || null, revision: this.seen }),
    });
    const colour = el("input", {
      type: "color", value: each.colour, disabled: !writable, "aria-label": `Colour of ${name}`, title: "Colour", "data-kind": "colour",
      onchange: ({ target }) => this.names.change("recolour", { clusters, colour: target.value }),
    });
    const choose = el("input", {
      type: "checkbox", checked: this.chosen.has(each.cluster), "aria-label": `Choose ${name} for merging`, title: "Choose for merging", "data-kind": "choose",
      onchange: ({ target }) => (target.checked ? this.chosen.add(each.cluster) : this.chosen.delete(each.cluster), this.draw()),
    });
    return el("header", { class: "class-head" },
      writable ? choose : null, colour, input,
      el("span", { class: "note", title: `${counted(each.tiles)} tiles` }, percent(each.tiles / whole)),
      clusters.length > 1
        ? el("p", { class: "note members" }, name === `clusters ${clusters.join(", ")}` ? null : `clusters ${clusters.join(", ")}`,
            writable ? el("button", { type: "button", class: "link", onclick: () => this.names.change("rename", { clusters, name: null }) }, "Split") : null)
        : null);
  }

  #tiles(tiles) {
    return el("div", { class: "sheet" }, ...tiles.map((tile) =>
      el("button", {
        type: "button", class: "fly", title: `${slideTitle(this.app, tile)}, tile ${tile.tile}: show it on the slide`,
        onclick: () => this.app.flyTo(tile.key, tile.tile),
      }, tilePicture(this.app, tile, 84))));
  }

  #details(each, parts) {
    const atypical = interleaved(parts.map((part) => part.atypical));
    const slides = new Map();
    for (const slide of parts.flatMap((part) => part.slides))
      slides.set(slide.key, { ...slide, tiles: slide.tiles + (slides.get(slide.key)?.tiles ?? 0) });
    const share = ({ key, tiles }) => tiles / Math.max(1, this.app.slides.find((slide) => slide.key === key)?.tiles ?? tiles);
    const ordered = [...slides.values()].sort((a, b) => share(b) - share(a) || (a.slide_id < b.slide_id ? -1 : 1));
    return el("div", { class: "details" },
      el("h3", {}, "Atypical"), this.#tiles(atypical),
      el("h3", {}, `On ${counted(ordered.length)} of ${counted(this.app.slides.filter((slide) => slide.tiles).length)} slides`),
      el("ul", { class: "on-slides" }, ...ordered.slice(0, SLIDES).map((slide) => this.#slide(slide, share(slide)))),
      ordered.length > SLIDES ? el("p", { class: "note" }, `and ${counted(ordered.length - SLIDES)} more`) : null);
  }

  #slide(slide, share) {
    const bar = el("i", { class: "bar" });
    bar.style.width = `${100 * share}%`;
    return el("li", {},
      el("button", { type: "button", class: "name", onclick: () => this.app.emit("choose", slide.key) }, slideTitle(this.app, slide)),
      el("span", { class: "share" }, bar, el("b", {}, percent(share))));
  }
}

/** Return the first of each list, then the second of each, and so on: at most as many as the longest has. */
function interleaved(lists) {
  const most = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: most }, (_, i) => lists.map((list) => list[i])).flat().filter(Boolean).slice(0, most);
}
