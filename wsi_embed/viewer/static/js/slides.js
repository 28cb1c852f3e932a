// The list of slides. Only the lines on the screen exist, so that ten thousand slides are as quick as ten.
import { slidePath } from "./api.js";
import { byId, counted, el, isolated, printable } from "./dom.js";

const LINE_PX = 68;
const EXTRA = 4;
const THUMBNAIL_MS = 120;
// Thumbnails that are asked for at the same time: browsers have six connections, and the slide needs some.
const AT_ONCE = 2;

export class SlideList {
  shown = [];
  key = null;
  #lines = new Map();
  #waiting = [];
  #loading = 0;

  constructor(app) {
    this.app = app;
    this.list = byId("slide-list");
    this.room = el("div", { class: "room" });
    this.list.append(this.room);
    this.list.addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe(this.list);
    this.list.addEventListener("keydown", (event) => this.#key(event));
    byId("search").addEventListener("input", () => this.find());
    byId("search").addEventListener("keydown", ({ key }) => key === "Enter" && this.#openFound());
    byId("filter").addEventListener("change", () => this.find());
    app.on("store", () => this.#fill());
    app.on("opening", (key) => this.#mark(key));
  }

  /** Show the slides that fit the search and the filter. */
  find() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = byId("filter").value;
    this.shown = this.app.slides.filter((slide) => {
      if (!KINDS[kind].fits(slide)) return false;
      const text = `${slide.title} ${slide.slide_id} ${slide.name} ${slide.patient ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    this.list.scrollTop = 0;
    this.#clear();
    if (!this.shown.length) this.room.append(el("p", { class: "note nothing" }, "No slide is found."));
    const tiles = this.shown.reduce((sum, slide) => sum + (slide.tiles ?? 0), 0);
    byId("slide-count").textContent = `${counted(this.shown.length, "slide")}, ${counted(tiles, "tile")}`;
    this.#draw();
  }

  /** Open the slide before (-1) or after (1) the current one. */
  step(by) {
    const at = this.shown.findIndex((slide) => slide.key === this.key);
    const next = this.shown[at < 0 ? 0 : at + by];
    if (next) this.app.emit("choose", next.key);
  }

  /** Go through the list by arrows while it has the focus; elsewhere, they move the slide. */
  #key(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    this.step(by);
  }

  /** Open the first slide of the search, unless one of them is open. */
  #openFound() {
    if (this.shown.length && !this.shown.some((slide) => slide.key === this.key)) this.app.emit("choose", this.shown[0].key);
  }

  #fill() {
    for (const [name, { fits, title }] of Object.entries(KINDS)) {
      const number = this.app.slides.filter(fits).length;
      const old = byId("filter").querySelector(`[value=${name}]`) ?? byId("filter").appendChild(el("option", { value: name }));
      old.textContent = `${title} (${counted(number)})`;
      old.disabled = !number && name !== "all";
    }
    byId("filter").value = "all";
    byId("filter").hidden = !this.app.slides.some((slide) => Object.entries(KINDS).some(([name, { fits }]) => name !== "all" && fits(slide)));
    this.find();
  }

  #mark(key) {
    this.key = key;
    const at = this.shown.findIndex((slide) => slide.key === key);
    const top = at * LINE_PX, { scrollTop, clientHeight } = this.list;
    if (at >= 0 && (top < scrollTop || top + LINE_PX > scrollTop + clientHeight))
      this.list.scrollTop = Math.max(0, top - clientHeight / 2);
    for (const [index, line] of this.#lines) line.setAttribute("aria-selected", String(this.shown[index]?.key === key));
  }

  #clear() {
    this.room.replaceChildren();
    this.#lines.clear();
    this.room.style.height = `${this.shown.length * LINE_PX}px`;
  }

  #draw() {
    const first = Math.max(0, Math.floor(this.list.scrollTop / LINE_PX) - EXTRA);
    const last = Math.min(this.shown.length, Math.ceil((this.list.scrollTop + this.list.clientHeight) / LINE_PX) + EXTRA);
    for (const [index, line] of this.#lines)
      if (index < first || index >= last) {
        line.remove();
        this.#lines.delete(index);
      }
    for (let index = first; index < last; index++)
      if (!this.#lines.has(index)) {
        const line = this.#line(this.shown[index]);
        line.style.top = `${index * LINE_PX}px`;
        this.#lines.set(index, line);
        this.room.append(line);
      }
  }

  #line(slide) {
    const picture = el("span", { class: "thumbnail" });
    const line = el("div",
      {
        class: "slide", role: "option", "data-key": slide.key, title: printable(slide.name),
        "aria-selected": String(slide.key === this.key), onclick: () => this.app.emit("choose", slide.key),
      },
      picture,
      el("span", { class: "about" }, el("b", {}, printable(slide.title)), el("span", { class: slide.problem ? "bad" : "note" }, facts(slide))));
    if (slide.picture) this.#loadLater(line, picture, slide.key);
    return line;
  }

  /** Ask for a thumbnail if its line is still there in a moment: scrolling past asks for none. */
  #loadLater(line, picture, key) {
    const path = `${slidePath(this.app.store, key)}/thumbnail.jpg`;
    setTimeout(() => {
      this.#waiting.push({ line, picture, path });
      this.#loadNext();
    }, THUMBNAIL_MS);
  }

  #loadNext() {
    this.#waiting = this.#waiting.filter(({ line }) => line.isConnected);
    while (this.#loading < AT_ONCE && this.#waiting.length) {
      const { picture, path } = this.#waiting.shift();
      const image = el("img", { alt: "" });
      const done = (event) => {
        if (event.type === "error") picture.classList.add("none");
        else picture.append(image);
        this.#loading -= 1;
        this.#loadNext();
      };
      image.addEventListener("load", done);
      image.addEventListener("error", done);
      this.#loading += 1;
      image.src = path;
    }
  }
}

const KINDS = {
  all: { title: "All", fits: () => true },
  failed: { title: "Failed", fits: (slide) => Boolean(slide.problem) },
  warnings: { title: "To look at", fits: (slide) => slide.warnings.length > 0 },
  missing: { title: "No picture", fits: (slide) => !slide.picture },
};

function facts(slide) {
  if (slide.problem) return printable(slide.problem);
  const tiles = slide.tiles === null ? "not in the store" : counted(slide.tiles, "tile");
  return [slide.patient && isolated(printable(slide.patient)), tiles, slide.warnings.length ? "to look at" : null].filter(Boolean).join(" · ");
}
