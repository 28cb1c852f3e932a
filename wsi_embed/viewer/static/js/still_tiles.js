// Tiles of an export without a server: their neighbours, and their pictures from the deep-zoom ones.
import { get, getPacked, slidePath } from "./api.js";
import { el } from "./dom.js";

const asked = new Map();

/** Return the answer to a request that is made once. */
function once(path, ask) {
  if (!asked.has(path)) asked.set(path, ask(path));
  return asked.get(path);
}

/** Return the tiles most similar to a tile, as a search does. */
export async function neighbours(app, { key, tile }) {
  const { columns, count, slides, searched } = await once(`${slidePath(app.store, key)}/similar`, getPacked);
  const tiles = Array.from({ length: count }, (_, index) => {
    const row = tile * count + index;
    const of = (name) => columns[name]?.[row];
    return { ...slides[of("slide")], tile: of("tile"), x: of("x"), y: of("y"), cosine: of("cosine"), cluster: of("cluster") };
  });
  return { tiles, searched, exact: true, cache: null, notes: [] };
}

/** Return the picture of a tile {key, x, y, extent} as an element. */
export function stillPicture(app, tile, side, label) {
  const canvas = el("canvas", { class: "tile-picture", width: side, height: side, role: "img", "aria-label": label });
  draw(canvas, slidePath(app.store, tile.key), tile).catch(() => canvas.classList.add("missing"));
  return canvas;
}

async function draw(canvas, path, { x, y, extent }) {
  const { levels, finest = levels - 1, tile: side, width, height } = await once(path, get);
  const factorOf = (level) => 2 ** (levels - 1 - level);
  let level = finest;
  while (level > 0 && extent / factorOf(level - 1) >= canvas.width) level -= 1;
  const factor = factorOf(level), scale = (canvas.width * factor) / extent;
  const range = (start, size) => {
    const first = Math.floor(start / factor / side), last = Math.ceil(Math.min(start + extent, size) / factor / side);
    return Array.from({ length: Math.max(0, last - first) }, (_, index) => first + index);
  };
  for (const row of range(y, height))
    for (const column of range(x, width)) {
      const image = new Image();
      const place = [(column * side - x / factor) * scale, (row * side - y / factor) * scale];
      image.onload = () => canvas.getContext("2d").drawImage(image, ...place, image.width * scale, image.height * scale);
      image.src = `${path}/pyramid/${level}/${column}_${row}.jpg`;
    }
}
