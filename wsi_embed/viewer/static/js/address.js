// State of the page in its address, after the #: store, slide, position, zoom and layers.

const WRITE_MS = 250;
let timer = 0;

/** Return the state in the address; missing parts are undefined. */
export function readAddress() {
  const query = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (query.has(name) && Number.isFinite(+query.get(name)) ? +query.get(name) : undefined);
  const list = (name) => (query.has(name) ? query.get(name).split(".").filter(Boolean) : undefined);
  return {
    store: number("store"),
    slide: query.get("slide") ?? undefined,
    x: number("x"),
    y: number("y"),
    zoom: number("zoom"),
    tile: number("tile"),
    show: query.get("show") ?? undefined,
    opacity: number("opacity"),
    confidence: number("confidence"),
    layers: list("layers"),
    hidden: list("hidden")?.map(Number),
    panel: query.get("panel") ?? undefined,
  };
}

/** Write the state into the address, a moment later, without a new step in the browser's history. */
export function writeAddress(state) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(state)) {
      if (value === undefined || value === null) continue;
      query.set(name, Array.isArray(value) ? value.join(".") : String(value));
    }
    history.replaceState(null, "", `#${query}`);
  }, WRITE_MS);
}
