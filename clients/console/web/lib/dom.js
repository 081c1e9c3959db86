/** Making elements, and writing numbers: what every view uses. */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Return a new element.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties] `on…` are listeners; `style` holds single properties, since the policy
 *   allows no style attribute; what the element has as a property is set so, all else is an attribute.
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "style") Object.assign(element.style, value);
    else if (name === "class") element.className = String(value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name in element && !name.includes("-") && name !== "list" && name !== "form")
      /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (element))[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, ...children);
  return element;
}

/** @param {Element} element @param {...Child} children */
export function append(element, ...children) {
  for (const child of children)
    if (child !== null && child !== undefined && child !== false)
      element.append(child instanceof Node ? child : String(child));
}

/** @param {Element} element @param {...Child} children */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, ...children);
}

/** Paths of 16×16 icons, drawn with a line of 1.5. @type {Record<string, string>} */
const ICONS = {
  key: "M10 6a3 3 0 1 1-2.8 4H6v2H4v2H2v-2.5l5.2-5.1A3 3 0 0 1 10 6z",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.4 1.4M11.6 11.6 13 13M3 13l1.4-1.4M11.6 4.4 13 3",
  file: "M9 1.5H3.5v13h9V5zM9 1.5V5h3.5",
  down: "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
  eye: "M1 8s2.5-4.5 7-4.5S15 8 15 8s-2.500 4.500-7 4.500S1 8 1 8zM8 6a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
  hidden: "M1 8s2.500-4.500 7-4.500S15 8 15 8s-2.500 4.500-7 4.500S1 8 1 8zM2.500 13.500l11-11",
  bin: "M2.500 4h11M6 4V2.500h4V4M4 4l.6 9.500h6.800L12 4M6.500 6.500v5M9.500 6.500v5",
  undo: "M3 6h6.500a3.500 3.500 0 0 1 0 7H6M5.500 3.500 3 6l2.500 2.500",
  redo: "M13 6H6.500a3.500 3.500 0 0 0 0 7H10M10.500 3.500 13 6l-2.500 2.500",
  fit: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  hand: "M4.500 9V5.500a1 1 0 0 1 2 0V3a1 1 0 0 1 2 0v2.500-1.500a1 1 0 0 1 2 0V6a1 1 0 0 1 2 0v4.500a4 4 0 0 1-4 4c-2 0-3-1-4-2.500L2.500 9a1 1 0 0 1 2-1z",
  draw: "M2 2h12v12H2zM8 6v4M6 8h4",
  close: "M4 4l8 8M12 4l-8 8",
};

/** @param {string} name @returns {SVGSVGElement} */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", "aria-hidden": "true", class: "icon" }))
    svg.setAttribute(key, value);
  path.setAttribute("d", ICONS[name] ?? "");
  svg.append(path);
  return svg;
}

/**
 * A button of an icon alone, which has its words for those who do not see it.
 *
 * @param {string} name @param {string} label @param {(event: MouseEvent) => void} onclick
 * @param {Record<string, unknown>} [properties]
 */
export const iconButton = (name, label, onclick, properties = {}) =>
  h(
    "button",
    { type: "button", class: "quiet", "aria-label": label, title: label, onclick, ...properties },
    icon(name),
  );

/** @param {number} value @param {number} [digits] */
export const number = (value, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** @param {number} share 0 to 1 */
export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 3 : share < 0.1 ? 2 : 1)} %`;

/** @param {number} count */
export const bytes = (count) =>
  count < 1e3
    ? `${count} B`
    : count < 1e6
      ? `${(count / 1e3).toFixed(0)} kB`
      : count < 1e9
        ? `${(count / 1e6).toFixed(1)} MB`
        : `${(count / 1e9).toFixed(2)} GB`;

/** @param {readonly number[]} colour sRGB @param {number} [alpha] */
export const css = (colour, alpha = 1) => `rgb(${colour.slice(0, 3).join(" ")} / ${alpha})`;

/** "no-damage" as people write it. @param {string} name */
export const words = (name) => name.replace(/[_-]/g, " ");

/** The tab of a task: its name, abbreviations in capitals. @param {string} name */
export const tabName = (name) => (name.length < 4 ? name.toUpperCase() : words(name[0].toUpperCase() + name.slice(1)));

/** @param {Blob} blob @param {string} name Save a file. */
export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
