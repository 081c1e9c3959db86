/** What is to be known of a pair beside its buildings: how its images lie to each other, and its districts. */

import { h, number, percent, words } from "../lib/dom.js";

/** @typedef {Record<string, any>} Report */

/** @param {Report} report */
export function pairFacts({ alignment, observed_share: observed, featureless_share: blank, geography }) {
  const { shift, confidence, corrected, overlap } = alignment;
  const rows = [
    ["Observed", `${percent(observed)} of the image before`],
    blank > 0 && ["Blank or cloud", percent(blank)],
    ["Overlap", percent(overlap)],
    ["Shift", shift ? `${shift[0]}, ${shift[1]} px, ${corrected ? "undone" : "left as it is"}` : "not measured"],
    confidence !== null && ["Confidence of it", percent(confidence)],
    geography && ["CRS", geography.crs],
  ].filter(Boolean);
  return h(
    "dl",
    { class: "facts" },
    .../** @type {string[][]} */ (rows).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

/** @param {Report[]} districts */
export function districtTable(districts) {
  const classes = districts[0]?.classes ?? [];
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "table" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "district"),
          h("th", { scope: "col", class: "n" }, "observed"),
          ...classes.map((/** @type {any} */ one) => h("th", { scope: "col", class: "n" }, words(one.name))),
        ),
      ),
      h(
        "tbody",
        {},
        ...districts.map((one) =>
          h(
            "tr",
            {},
            h("td", {}, one.name ?? one.id ?? "in none"),
            h(
              "td",
              { class: "n" },
              one.not_assessed ? "not assessed" : one.observed_share === null ? "" : percent(one.observed_share),
            ),
            ...one.classes.map((/** @type {any} */ kind) =>
              h("td", { class: "n" }, one.not_assessed ? "–" : number(kind.buildings)),
            ),
          ),
        ),
      ),
    ),
  );
}
