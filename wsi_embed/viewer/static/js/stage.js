// The slide itself: deep zoom by OpenSeadragon, scale bar, magnification and position.
import { byId, counted, el } from "./dom.js";

const POWERS = [1, 5, 10, 20, 40];
const BAR_PX = 160;
const PAN_PX = 120;

/** Let OpenSeadragon find its style element, so that it adds none: the Content-Security-Policy forbids it. */
function claimStyle() {
  const mark = document.createElementNS(null, "style");
  mark.setAttribute("data-openseadragon-mobile-css", "true");
  document.head.append(mark);
}

export class Stage {
  constructor(app) {
    this.app = app;
    claimStyle();
    this.viewer = OpenSeadragon({
      element: byId("viewer"),
      drawer: "canvas",
      showNavigationControl: false,
      showNavigator: true,
      navigatorAutoFade: false,
      navigatorId: "navigator",
      navigatorBackground: "#fff",
      navigatorDisplayRegionColor: "#0a5c8a",
      animationTime: 0.4,
      springStiffness: 9,
      visibilityRatio: 0.3,
      maxZoomPixelRatio: 8,
      minZoomImageRatio: 0.6,
      placeholderFillStyle: "#fff",
      subPixelRoundingForTransparency: OpenSeadragon.SUBPIXEL_ROUNDING_OCCURRENCES.NEVER,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { dblClickToZoom: true },
      imageLoaderLimit: 6,
      maxImageCacheCount: 400,
      timeout: 60000,
    });
    this.viewer.addHandler("canvas-key", (event) => (event.preventDefaultAction = true));
    this.viewer.addHandler("update-viewport", () => this.#moved());
    this.viewer.addHandler("resize", () => this.#moved());
    this.viewer.addHandler("tile-load-failed", ({ tiledImage }) => this.#tileFailed(tiledImage));
    this.viewer.addHandler("canvas-click", (event) => {
      if (event.quick) app.emit("click", this.toSlide(event.position));
    });
    byId("stage").addEventListener("pointermove", (event) => this.#pointer(event));
    byId("stage").addEventListener("pointerleave", () => this.#status(null));
    byId("zooms").append(
      el("button", { type: "button", title: "Whole slide (0)", onclick: () => this.fit() }, "Fit"),
      ...POWERS.map((power, index) =>
        el("button", { type: "button", "data-power": power, title: `${power}x (${index + 1})`, onclick: () => this.setPower(power) }, `${power}x`),
      ),
    );
    app.on("opening", () => this.close());
  }

  close() {
    this.viewer.close();
    this.#status(null);
    byId("scale-bar").hidden = true;
    byId("navigator").classList.add("none");
  }

  /** Show the slide of the application; `at` is {x, y, zoom} or nothing for the whole slide. */
  show(at) {
    const { width, height, tile, levels, finest = levels - 1, path, version, picture } = this.app.slide;
    const source = {
      width, height, tileSize: tile, minLevel: 0, maxLevel: levels - 1,
      getTileUrl: (level, column, row) => `${path}/pyramid/${level}/${column}_${row}.jpg?v=${version}`,
    };
    source.tileExists = (level) => picture && level <= finest;
    this.failed = false;
    for (const button of byId("zooms").children) button.disabled = "power" in button.dataset && !this.mpp;
    this.viewer.addOnceHandler("open", () => {
      byId("navigator").classList.remove("none");
      if (at?.x !== undefined && at.y !== undefined && at.zoom) this.goTo(at.x, at.y, at.zoom, true);
      this.app.emit("shown");
    });
    this.viewer.open(source);
  }

  get item() {
    return this.viewer.world?.getItemAt(0) ?? null;
  }

  /** Screen pixels (CSS) per level-0 pixel. */
  get zoom() {
    return this.item ? this.item.viewportToImageZoom(this.viewer.viewport.getZoom(true)) : 1;
  }

  /** Level-0 position of the centre. */
  get centre() {
    return this.viewer.viewport.viewportToImageCoordinates(this.viewer.viewport.getCenter(true));
  }

  /** Micrometres per level-0 pixel; null if unknown. */
  get mpp() {
    return this.app.slide?.mpp ?? null;
  }

  /** Convert a position on the stage, CSS pixels, to level-0 pixels. */
  toSlide(position) {
    return this.viewer.viewport.viewerElementToImageCoordinates(position);
  }

  /** Convert level-0 pixels to a position on the stage, CSS pixels. */
  toStage(x, y) {
    return this.viewer.viewport.imageToViewerElementCoordinates(new OpenSeadragon.Point(x, y));
  }

  goTo(x, y, zoom, immediately = false) {
    if (!this.item) return;
    const viewport = this.viewer.viewport;
    viewport.zoomTo(this.item.imageToViewportZoom(zoom), null, immediately);
    viewport.panTo(viewport.imageToViewportCoordinates(x, y), immediately);
    viewport.applyConstraints(immediately);
  }

  fit() {
    this.viewer.viewport?.goHome();
  }

  zoomBy(factor) {
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  pan(x, y) {
    const delta = new OpenSeadragon.Point(x * PAN_PX, y * PAN_PX);
    this.viewer.viewport.panBy(this.viewer.viewport.deltaPointsFromPixels(delta));
    this.viewer.viewport.applyConstraints();
  }

  /** Zoom to a magnification: 10x is 1 um per pixel of the screen. */
  setPower(power) {
    if (!this.item || !this.mpp) return;
    const { x, y } = this.viewer.viewport.viewportToImageCoordinates(this.viewer.viewport.getCenter());
    this.goTo(x, y, (power * this.mpp) / 10);
  }

  redraw() {
    this.#moved();
  }

  #moved() {
    if (!this.item) return;
    this.#scaleBar();
    this.#status(this.pointer);
    this.app.emit("view");
  }

  #scaleBar() {
    const unit = this.mpp ?? 1;
    const perPixel = unit / this.zoom;
    const power = 10 ** Math.floor(Math.log10(BAR_PX * perPixel));
    const length = [5, 2, 1].map((step) => step * power).find((each) => each <= BAR_PX * perPixel) ?? power;
    const text = !this.mpp ? `${+length.toPrecision(3)} px` : length >= 1000 ? `${length / 1000} mm` : `${+length.toPrecision(3)} um`;
    byId("scale-bar").hidden = false;
    byId("scale-line").style.width = `${length / perPixel}px`;
    byId("scale-text").textContent = text;
  }

  #pointer(event) {
    const box = byId("stage").getBoundingClientRect();
    this.pointer = new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top);
    this.#status(this.pointer);
  }

  #status(pointer) {
    this.pointer = pointer;
    const parts = [];
    if (this.item && this.app.slide) {
      const at = pointer ? this.toSlide(pointer) : null;
      const under = at && this.app.describe ? this.app.describe(at.x, at.y) : null;
      if (under) parts.push(el("span", { class: "under" }, under));
      if (at) {
        const place = (value) => counted(Math.round(value * (this.mpp ?? 1)));
        parts.push(el("span", {}, `x ${place(at.x)}  y ${place(at.y)} ${this.mpp ? "um" : "px"}`));
      }
      if (this.mpp) parts.push(el("span", {}, `${(10 / (this.mpp / this.zoom)).toPrecision(3)}x`));
    }
    byId("status").replaceChildren(...parts);
  }

  /** Report the first tile that fails; those of a slide that is shown no more may fail late. */
  #tileFailed(item) {
    if (this.failed || item !== this.item) return;
    this.failed = true;
    this.app.emit("unreadable");
  }
}
