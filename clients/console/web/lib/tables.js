/** Tables of what was found and lists of facts: one look for all views. */

import { append, css, h, number, percent, words } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {import("./pictures.js").LabelClass} LabelClass */
/** @typedef {readonly [Child, string?]} Column its heading, and "n" where it holds numbers */

/**
 * @param {readonly Column[]} columns
 * @param {readonly (readonly Child[])[]} rows a cell for each column
 * @param {{ kind?: string, caption?: string, mark?: (line: HTMLTableRowElement, n: number) => void }} [options] further
 *   classes, a caption, and what is done to each row
 */
export function table(columns, rows, { kind = "", caption, mark } = {}) {
  const cell = (/** @type {Child} */ child, /** @type {number} */ n) => h("td", { class: columns[n][1] ?? "" }, child);
  const lines = rows.map((cells) => h("tr", {}, ...cells.map(cell)));
  if (mark) lines.forEach(mark);
  const heads = columns.map(([name, side]) => h("th", { scope: "col", class: side ?? "" }, name));
  return h(
    "table",
    { class: `table ${kind}` },
    caption && h("caption", { class: "fine" }, caption),
    h("thead", {}, h("tr", {}, ...heads)),
    h("tbody", {}, ...lines),
  );
}

/** @param {readonly (readonly [string, Child, string?] | null | false)[]} rows name, value, and its class */
export function facts(rows) {
  const list = h("dl", { class: "facts" });
  for (const row of rows) if (row) append(list, h("dt", {}, row[0]), h("dd", { class: row[2] ?? "" }, row[1]));
  return list;
}

/**
 * A class by its colour and name; where it can be hidden, behind a box that shows and hides it.
 *
 * @param {{ name: string, colour?: readonly number[] }} of without a colour its swatch is empty
 * @param {{ shown?: boolean, toggle?: () => void }} [options]
 */
export function className({ name, colour }, { shown = true, toggle } = {}) {
  const swatch = colour
    ? h("span", { class: "swatch", style: { background: css(colour) } })
    : h("span", { class: "swatch none" });
  const box = toggle && h("input", { type: "checkbox", checked: shown, onchange: toggle });
  return h(box ? "label" : "span", { class: "check" }, box, swatch, words(name));
}

/**
 * A legend whose boxes show and hide classes.
 *
 * @param {readonly LabelClass[]} classes
 * @param {{ toggle: (value: number) => void, counts?: (one: any) => number, counted?: string }} options
 */
export function legend(classes, { toggle, counts, counted = "count" }) {
  return table(
    [["class"], ...(counts ? [/** @type {Column} */ ([counted, "n"])] : []), ["pixels", "n"], ["share", "n"]],
    classes.map((one) => [
      one.value ? className(one, { toggle: () => toggle(one.value) }) : className({ name: one.name }),
      ...(counts ? [one.value ? number(counts(one)) : ""] : []),
      number(one.pixels),
      percent(one.share),
    ]),
  );
}
