/** What can be said of a pair beyond its images, and how thoroughly it is to be looked at. */

import { h } from "../lib/dom.js";
import { field } from "../lib/panels.js";

/**
 * @typedef {object} Hints how one image is to be read, where its file does not say or errs
 * @property {number[]} bands from 1; empty: the file's own
 * @property {number | null} nodata
 * @property {string} crs "EPSG:…", or empty
 */

const ALIGN = [
  ["", "as the images need"],
  ["auto", "where the shift is sure"],
  ["off", "never"],
  ["require", "refuse where it is not sure"],
];

/** Values that a field holds: of both images, or as pre:… and post:… of one each. @param {string} text */
const several = (text) => text.split(/[\s;]+/).filter(Boolean);

/** @param {() => void} reread how an image is read has changed */
export function pairOptions(reread) {
  const written = (/** @type {string} */ label, /** @type {string} */ placeholder, /** @type {string} */ hint) => {
    const input = h("input", { type: "text", placeholder, spellcheck: false, autocomplete: "off" });
    return { input, element: field(label, input, hint) };
  };
  const align = h("select", {}, ...ALIGN.map(([value, text]) => h("option", { value }, text)));
  const bands = written("Bands", "3,2,1", "TIFF: red, green, blue, or one of grey; of one image as pre:3,2,1");
  const nodata = written("No data", "-9999", "TIFF: the sample of what was not observed; of one image as post:0");
  const crs = written("CRS", "EPSG:32633", "TIFF: in place of the file's; of one image as pre:EPSG:32633");
  const name = written("District", "ADM3_EN", "Property of the districts that is their name");
  const output = written("Layers in", "WGS 84", "GeoPackage and the like: source, or a code of EPSG");
  const below = h("input", { type: "number", min: 0, max: 1, step: 0.05, value: 0.5 });
  const tta = h("input", { type: "checkbox" });
  const sure = h("input", { type: "checkbox" });
  const check = (/** @type {HTMLInputElement} */ box, /** @type {string} */ label) =>
    h("label", { class: "check" }, box, label);
  for (const one of [bands, nodata, crs]) one.input.addEventListener("change", reread);

  /** @param {HTMLInputElement} input @param {"pre" | "post"} part */
  function said(input, part) {
    const values = several(input.value);
    const own = values.find((value) => value.startsWith(`${part}:`))?.slice(part.length + 1);
    return own ?? values.find((value) => !/^(pre|post):/.test(value)) ?? "";
  }

  return {
    elements: [
      field("Align", align),
      bands.element,
      nodata.element,
      crs.element,
      name.element,
      output.element,
      field("Unsure below", below, "A building of less confidence counts as uncertain"),
      check(sure, "Map how sure each pixel is"),
      check(tta, "Look twice, the second time in a mirror (takes twice as long)"),
    ],
    /** How the image of a part is to be read. @param {"pre" | "post"} part @returns {Hints} */
    hints: (part) => ({
      bands: said(bands.input, part).split(",").map(Number).filter(Boolean),
      nodata: said(nodata.input, part) ? Number(said(nodata.input, part)) : null,
      crs: said(crs.input, part).toUpperCase(),
    }),
    /** Parameters of the request; those at their default are left out. @param {boolean} whole with what the view itself draws */
    query(whole) {
      /** @type {[string, string][]} */
      const pairs = [["align", align.value]];
      for (const [key, { input }] of Object.entries({ bands, nodata, crs }))
        pairs.push(.../** @type {[string, string][]} */ (several(input.value).map((value) => [key, value])));
      pairs.push(["district_name", name.input.value.trim()], ["output_crs", output.input.value.trim()]);
      pairs.push(
        ["uncertain_below", Number(below.value) === 0.5 ? "" : below.value],
        ["tta", tta.checked ? "flip" : ""],
      );
      pairs.push(["include", whole && sure.checked ? "confidence" : ""]);
      return pairs.filter(([, value]) => value);
    },
  };
}
