// Requests to the server. Addresses are relative to the page, so that it works behind a proxy, too.
import { printable } from "./dom.js";

/** Error of the server: what is wrong, where, and how to fix it. */
export class ApiError extends Error {
  constructor({ what, where, remedy }, status = 0) {
    super(printable(what));
    this.where = where ? printable(where) : null;
    this.remedy = remedy ? printable(remedy) : null;
    this.status = status;
  }
}

const NO_SERVER = {
  what: "the server does not answer",
  where: null,
  remedy: "is wsi-embed view, or the SSH tunnel to it, still running?",
};

const NOT_EXPORTED = { what: "this part is not in the export", where: null, remedy: null };

/** Whether the page is an export without a server: answers are files, and there is nothing to search or change. */
export const still = "still" in document.documentElement.dataset;

const fileOf = (path, suffix) => (still ? path.split("?")[0] + suffix : path);

/** Get a JSON value. */
export async function get(path) {
  return (await request(fileOf(path, ".json"))).json();
}

/** Send a JSON value, and return the answer. */
export async function post(path, value) {
  const headers = { "content-type": "application/json", "x-wsi-embed": "1" };
  return (await request(path, { method: "POST", headers, body: JSON.stringify(value) })).json();
}

const ARRAYS = {
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, float32: Float32Array,
};

/** Get packed columns (`wsi_embed/viewer/packed.py`): `{columns: {name: typed array}, ...facts}`. */
export async function getPacked(path) {
  const buffer = await (await request(fileOf(path, ".bin"))).arrayBuffer();
  const size = new DataView(buffer).getUint32(0, true);
  const { columns: listed, ...facts } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const columns = {};
  for (const { name, type, start, length } of listed)
    columns[name] = new ARRAYS[type](buffer, 4 + size + start, length);
  return { ...facts, columns };
}

/** Return the path of a slide, below which its layers and pictures are. */
export const slidePath = (store, key) => `api/stores/${store}/slides/${encodeURIComponent(key)}`;

// A page that was opened as a file may not read other files, but it may load scripts, which bring their contents.
const arrived = new Map();
if (location.protocol === "file:")
  window.wsiEmbedFile = (path, base64) => arrived.set(path, Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));

/** Return the content of a file of the export as a response. */
function fromScript(path) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${path}.js`;
    script.onload = () => {
      resolve(new Response(arrived.get(path)));
      arrived.delete(path);
      script.remove();
    };
    script.onerror = () => (script.remove(), reject(new ApiError(NOT_EXPORTED)));
    document.head.append(script);
  });
}

async function request(path, options) {
  if (location.protocol === "file:") return fromScript(path);
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    throw new ApiError(NO_SERVER);
  }
  if (response.ok) return response;
  if (still) throw new ApiError(NOT_EXPORTED, response.status);
  const body = await response.text();
  let error = { what: body.trim() || `the server answered ${response.status}`, where: null, remedy: null };
  try {
    error = JSON.parse(body).error ?? error;
  } catch {
    // an answer that is no JSON: its text says what is wrong
  }
  throw new ApiError(error, response.status);
}
