/** What is to be known of a pair beside its buildings: how its images lie to each other, and its districts. */

import { h, number, percent, words } from "../lib/dom.js";
import { facts, table } from "../lib/tables.js";

/** @typedef {Record<string, any>} Report */

/** @param {Report} report */
export function pairFacts({ alignment, observed_share: observed, featureless_share: blank, geography }) {
  const { shift, confidence, corrected, overlap } = alignment;
  return facts([
    ["Observed", `${percent(observed)} of the image before`],
    blank > 0 && ["Blank or cloud", percent(blank)],
    ["Overlap", percent(overlap)],
    ["Shift", shift ? `${shift[0]}, ${shift[1]} px, ${corrected ? "undone" : "left as it is"}` : "not measured"],
    confidence !== null && ["Confidence of it", percent(confidence)],
    geography && ["CRS", geography.crs],
  ]);
}

/** @param {Report[]} districts */
export function districtTable(districts) {
  const classes = /** @type {Report[]} */ (districts[0]?.classes ?? []);
  return h(
    "div",
    { class: "scroll" },
    table(
      [
        ["district"],
        ["observed", "n"],
        ...classes.map((one) => /** @type {[string, string]} */ ([words(one.name), "n"])),
      ],
      districts.map((one) => [
        one.name ?? one.id ?? "in none",
        one.not_assessed ? "not assessed" : one.observed_share === null ? "" : percent(one.observed_share),
        ...one.classes.map((/** @type {Report} */ kind) => (one.not_assessed ? "–" : number(kind.buildings))),
      ]),
    ),
  );
}
