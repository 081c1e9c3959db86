/** What can be said of a CT beyond its file: which series, what it shows, its units; or that it lies in the PACS. */

import { append, fill, h } from "../lib/dom.js";
import { field } from "../lib/panels.js";

/** @typedef {import("./volume.js").Series} Series */

const STORES = [
  ["", "nothing"],
  ["dicom", "the SEG"],
  ["report", "SEG and report"],
];

/**
 * @param {{ chosen: (series: Series) => void, changed: () => void }} hooks `chosen` is told which series is to be drawn,
 *   `changed` that what can be sent may have changed
 */
export function ctOptions({ chosen, changed }) {
  /** @type {readonly Series[]} */
  let offered = [];
  const series = h("select", { onchange: () => chosen(offered[series.selectedIndex]) });
  const seriesField = field("Series", series);
  seriesField.hidden = true;
  const chest = h("input", { type: "checkbox" });
  const number = () => h("input", { type: "number", step: "any", class: "plain" });
  const [scale, offset] = [number(), number()];
  const uid = (/** @type {string} */ placeholder) =>
    h("input", { type: "text", placeholder, spellcheck: false, autocomplete: "off", oninput: changed });
  const [study, wanted] = [uid("StudyInstanceUID"), uid("SeriesInstanceUID")];
  const store = h("select", {}, ...STORES.map(([value, text]) => h("option", { value }, text)));
  const pacs = h(
    "details",
    { class: "options", ontoggle: changed },
    h("summary", {}, "From the PACS"),
    h(
      "div",
      { class: "form" },
      field("Study", study),
      field("Series", wanted),
      field("Store there", store, "The gateway fetches from, and stores in, the DICOMweb server of its settings"),
    ),
  );
  const isArchived = () => pacs.open && study.value.trim() !== "" && wanted.value.trim() !== "";

  return {
    beside: [seriesField, pacs],
    elements: [
      h("label", { class: "check" }, chest, "It shows a chest, whatever the file says"),
      field("HU per value", scale, "NIfTI and PNG of 16 bits, which do not say it; else 1"),
      field("HU of zero", offset),
    ],
    isArchived,
    /** Offer the series of a zip, the one drawn first. @param {readonly Series[]} found */
    offer(found) {
      offered = found;
      seriesField.hidden = found.length < 2;
      fill(series);
      append(series, ...found.map(({ label }) => h("option", {}, label)));
    },
    /** Parameters of the request; `whole` with what is to be stored, which happens once. @param {boolean} whole */
    query(whole) {
      const said = /** @type {[string, string][]} */ ([
        ["body_part", chest.checked ? "chest" : ""],
        ["scale", scale.value],
        ["offset", offset.value],
      ]);
      if (isArchived())
        said.push(
          ["source", "dicomweb"],
          ["study", study.value.trim()],
          ["series", wanted.value.trim()],
          ["store", whole ? store.value : ""],
        );
      else if (offered.length > 1) said.push(["series", offered[series.selectedIndex].uid]);
      return said.filter(([, value]) => value);
    },
  };
}
