/** What was found in a CT, in words and numbers. */

import { css, h, number, percent, words } from "../lib/dom.js";

/** @typedef {Record<string, any>} Report */

/** @param {Readonly<import("./planes.js").Look & { report: Report | null }>} now */
export function readoutOf({ volume, at, window: [centre, width], labels, report }) {
  if (!volume) return "";
  const n = at[0] + volume.size[0] * (at[1] + volume.size[1] * at[2]);
  const label = labels && report?.classes.find((/** @type {any} */ one) => one.value === labels[n] && one.value);
  return [
    `Slice ${at[2] + 1} of ${volume.size[2]}`,
    `C ${centre} W ${width}`,
    `${Math.round(volume.values[n])} ${volume.unit}`,
    label && words(label.name),
  ]
    .filter(Boolean)
    .join(" · ");
}

/** The slice with most of what was found; null where nothing was. @param {Uint8Array} labels @param {number[]} size */
export function worstSlice(labels, [columns, rows, slices]) {
  const counts = new Uint32Array(slices);
  labels.forEach((label, n) => label && counts[Math.floor(n / (columns * rows))]++);
  const most = Math.max(...counts);
  return most ? counts.indexOf(most) : null;
}

/** @param {Report} report @param {(value: number) => void} toggle */
export function lesionTable({ lesions, classes }, toggle) {
  const colours = new Map(classes.map((/** @type {any} */ one) => [one.value, one.colour]));
  return h(
    "table",
    { class: "table" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "class"),
        h("th", { scope: "col", class: "n" }, "ml"),
        h("th", { scope: "col", class: "n" }, "voxels"),
        h("th", { scope: "col", class: "n" }, "of the field"),
      ),
    ),
    h(
      "tbody",
      {},
      ...lesions.map((/** @type {any} */ one) =>
        h(
          "tr",
          {},
          h(
            "td",
            {},
            h(
              "label",
              { class: "check" },
              h("input", { type: "checkbox", checked: true, onchange: () => toggle(one.value) }),
              h("span", { class: "swatch", style: { background: css(colours.get(one.value) ?? []) } }),
              words(one.name),
            ),
          ),
          h("td", { class: "n" }, one.volume_ml === null ? "–" : number(one.volume_ml, 1)),
          h("td", { class: "n" }, number(one.voxels)),
          h("td", { class: "n" }, percent(one.imaged_share)),
        ),
      ),
    ),
  );
}
