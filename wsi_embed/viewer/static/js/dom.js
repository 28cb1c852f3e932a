// Elements of the page. Texts are always set as text, never as HTML: names of slides and classes are foreign.

/** Return an element. `on...` properties are listeners, `class` and `data-...` attributes, others properties. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replace the children of an element. The control that had the focus gets it again, if it is still there. */
export function redraw(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const name = focused && nameOf(focused);
  element.replaceChildren(...children);
  const again = focused && [...element.querySelectorAll(focused.tagName)].find((each) => nameOf(each) === name);
  again?.focus({ preventScroll: true });
}

const nameOf = (control) => control.ariaLabel ?? control.labels?.[0]?.textContent ?? control.textContent;

export const byId = (id) => document.getElementById(id);

/** Return a number with thousands separated, and a noun: 1,234 tiles. */
export const counted = (number, noun) =>
  number.toLocaleString("en-US") + (noun ? ` ${noun}${number === 1 ? "" : "s"}` : "");

/** Return a share as the legends of `wsi-embed plot` write it. */
export const percent = (share) =>
  share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;

/** Return a text in which control characters, and those that change the direction of text, are visible. */
export const printable = (text) =>
  String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/g,
    (letter, at, whole) => {
      const code = letter.charCodeAt(0);
      if (code >= 0xd800 && isPaired(whole, at)) return letter;
      return `\\u${code.toString(16).padStart(4, "0")}`;
    },
  );

/** Return a name whose direction of writing does not change the order of the text around it. */
export const isolated = (name) => `\u2068${name}\u2069`;

function isPaired(text, at) {
  const high = (index) => text.charCodeAt(index) >= 0xd800 && text.charCodeAt(index) < 0xdc00;
  const low = (index) => text.charCodeAt(index) >= 0xdc00 && text.charCodeAt(index) < 0xe000;
  return (high(at) && low(at + 1)) || (low(at) && high(at - 1));
}
