/** Pieces of the panel beside an image: legend, notices, provenance, downloads, tables. */

import { problemOf } from "./api.js";
import { css, fill, h, icon, number, percent, save, words } from "./dom.js";
import { askLong } from "./jobs.js";

/** @typedef {import("./pictures.js").LabelClass} LabelClass */

const KINDS = /** @type {Record<string, [string, string]>} */ ({
  "image/png": ["PNG label map", "png"],
  "application/json": ["Report (JSON)", "json"],
  "application/geo+json": ["GeoJSON", "geojson"],
  "image/tiff": ["GeoTIFF (COG)", "tif"],
  "application/zip": ["Zip", "zip"],
  "application/geopackage+sqlite3": ["GeoPackage", "gpkg"],
  "application/dicom": ["DICOM SEG", "dcm"],
  "application/x-nifti": ["NIfTI", "nii.gz"],
  "application/x-nrrd": ["NRRD", "nrrd"],
});

/** @param {string} title @param {...import("./dom.js").Child} children */
export const section = (title, ...children) => h("section", { class: "section" }, h("h2", {}, title), ...children);

/**
 * A legend whose boxes show and hide classes.
 *
 * @param {readonly (LabelClass & { buildings?: number })[]} classes
 * @param {{ hidden: ReadonlySet<number>, toggle?: (value: number) => void, counts?: (value: number) => number, counted?: string }} options
 */
export function legend(classes, { hidden, toggle, counts, counted = "count" }) {
  const rows = classes.map((one) => {
    const swatch = h("span", {
      class: one.value ? "swatch" : "swatch none",
      style: { background: one.value ? css(one.colour) : "transparent" },
    });
    const shown = toggle && one.value > 0;
    const box =
      shown && h("input", { type: "checkbox", checked: !hidden.has(one.value), onchange: () => toggle(one.value) });
    return h(
      "tr",
      {},
      h(
        "td",
        {},
        shown
          ? h("label", { class: "check" }, box, swatch, words(one.name))
          : h("span", { class: "check" }, swatch, words(one.name)),
      ),
      counts && h("td", { class: "n" }, one.value ? number(counts(one.value)) : ""),
      h("td", { class: "n" }, number(one.pixels)),
      h("td", { class: "n" }, percent(one.share)),
    );
  });
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
        counts && h("th", { scope: "col", class: "n" }, counted),
        h("th", { scope: "col", class: "n" }, "pixels"),
        h("th", { scope: "col", class: "n" }, "share"),
      ),
    ),
    h("tbody", {}, ...rows),
  );
}

/**
 * @param {string} label @param {number} value 0 to 1 @param {(value: number) => void} changed
 */
export function slider(label, value, changed) {
  const told = h("output", {}, percentage(value));
  const input = h("input", { type: "range", min: 0, max: 100, value: Math.round(100 * value), "aria-label": label });
  input.addEventListener("input", () => {
    fill(told, percentage(Number(input.value) / 100));
    changed(Number(input.value) / 100);
  });
  return h("label", { class: "slider" }, h("span", {}, label), input, told);
}

/** @param {number} value */
const percentage = (value) => `${Math.round(100 * value)} %`;

/** @param {readonly string[]} notices */
export const noticeList = (notices) =>
  notices.length > 0 &&
  section("Notices", h("ul", { class: "notices" }, ...notices.map((notice) => h("li", {}, notice))));

/** @param {Record<string, any>} provenance */
export function provenanceList(provenance) {
  const rows = [
    ["model", `${provenance.model}${provenance.version ? ` · version ${provenance.version}` : ""}`],
    ["digest", provenance.digest],
    ["input", provenance.input_digest],
    ["engine", provenance.engine],
    ["gateway", provenance.gateway],
  ].filter(([, value]) => value);
  const list = h(
    "dl",
    { class: "facts" },
    ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", { class: "mono" }, value)]),
  );
  return h("details", { class: "section" }, h("summary", {}, "Provenance"), list);
}

/**
 * Buttons that save answers in other forms; each asks the gateway for its own.
 *
 * @param {object} options
 * @param {string} options.name first part of the files' names
 * @param {readonly string[]} options.formats media types that are asked for
 * @param {{ label: string, file: string, blob: () => Blob | Promise<Blob> }[]} [options.here] what is at hand already
 * @param {string} options.path that is asked
 * @param {() => FormData} options.body
 * @param {import("./work.js").Work} options.work
 * @param {[string, string][]} [options.also] labels and queries of further PNGs
 */
export function downloads({ name, formats, here = [], path, body, work, also = [] }) {
  /** @param {string} label @param {string} file @param {string} accept @param {string} query */
  const remote = (label, file, accept, query) =>
    h("button", { type: "button", onclick: () => void fetchAndSave(file, accept, query) }, icon("down"), label);
  /** @param {string} file @param {string} accept @param {string} query */
  async function fetchAndSave(file, accept, query) {
    const answer = await work.start((run) => askLong(`${path}${query}`, body(), run, accept));
    if (answer) save(answer.blob, file);
  }
  return section(
    "Download",
    h(
      "div",
      { class: "buttons" },
      ...here.map(({ label, file, blob }) =>
        h(
          "button",
          {
            type: "button",
            onclick: async () => {
              try {
                save(await blob(), file);
              } catch (error) {
                work.show(problemOf(error));
              }
            },
          },
          icon("down"),
          label,
        ),
      ),
      ...formats
        .filter((format) => format !== "application/json")
        .map((format) => {
          const [label, extension] = KINDS[format] ?? [format, "bin"];
          return remote(label, `${name}.${extension}`, format, "");
        }),
      ...also.map(([label, query]) =>
        remote(label, `${name}-${label.toLowerCase().replaceAll(" ", "-")}.png`, "image/png", query),
      ),
    ),
  );
}

/** @param {unknown} document */
export const jsonBlob = (document) => new Blob([JSON.stringify(document, null, 1)], { type: "application/json" });

/**
 * What is to be seen before anything was opened.
 *
 * @param {string} title @param {string} detail @param {() => void} choose @param {string} [verb]
 */
export const emptyStage = (title, detail, choose, verb = "Choose a file") =>
  h(
    "div",
    { class: "empty" },
    h("h1", {}, title),
    h("p", {}, detail),
    h("button", { type: "button", class: "primary", onclick: choose }, verb),
    h("p", { class: "fine" }, "or drop it here"),
  );

/**
 * Scores of classes, the one decided for set off, and the threshold of the first.
 *
 * @param {Record<string, number>} scores @param {string} [label] @param {number} [threshold]
 */
export function scoreBars(scores, label, threshold) {
  return h(
    "div",
    { class: "bars" },
    ...Object.entries(scores).map(([name, score]) =>
      h(
        "div",
        { class: name === label ? "bar decided" : "bar" },
        h("span", { class: "name" }, name),
        h(
          "span",
          { class: "track" },
          h("span", { class: "fill", style: { width: `${100 * score}%` } }),
          threshold !== undefined &&
            name === Object.keys(scores)[0] &&
            h("span", { class: "mark", style: { left: `${100 * threshold}%` }, title: `threshold ${threshold}` }),
        ),
        h("span", { class: "n" }, percent(score)),
      ),
    ),
  );
}
