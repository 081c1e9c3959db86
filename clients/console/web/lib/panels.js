/** Pieces of a view beside its image: sections, sliders, what closes a report, and what is seen before there is one. */

import { problemOf } from "./api.js";
import { fill, h, icon, iconButton, percent, save } from "./dom.js";
import { askLong } from "./jobs.js";
import { blobOf } from "./packing.js";
import { facts } from "./tables.js";

const KINDS = /** @type {Record<string, [string, string]>} */ ({
  "image/png": ["PNG", "png"],
  "application/json": ["Report (JSON)", "json"],
  "application/geo+json": ["GeoJSON", "geojson"],
  "image/tiff": ["GeoTIFF (COG)", "tif"],
  "application/zip": ["Zip (xView2)", "zip"],
  "application/geopackage+sqlite3": ["GeoPackage", "gpkg"],
  "application/vnd.flatgeobuf": ["FlatGeobuf", "fgb"],
  "application/vnd.apache.parquet": ["GeoParquet", "parquet"],
  "application/dicom": ["DICOM SEG", "dcm"],
  "application/x-nifti": ["NIfTI", "nii.gz"],
  "application/x-nrrd": ["NRRD", "nrrd"],
});

/** Tasks of which there is a drawn sample. */
const DRAWN = new Set(["damage", "interactive", "ct", "radiograph", "waste"]);

/** @param {string} title @param {...import("./dom.js").Child} children */
export const section = (title, ...children) => h("section", { class: "section" }, h("h2", {}, title), ...children);

/** @param {string} title @param {...import("./dom.js").Child} children */
export const folded = (title, ...children) =>
  h("details", { class: "section" }, h("summary", {}, title), h("div", { class: "form" }, ...children));

/** A stage with a panel beside it. @param {HTMLElement} area @param {...import("./dom.js").Child} side */
export const workspace = (area, ...side) => h("div", { class: "view" }, area, h("div", { class: "side" }, ...side));

/** @param {string} label @param {HTMLElement} input @param {string} [hint] */
export const field = (label, input, hint) =>
  h("label", { class: "field" }, h("span", {}, label), input, hint && h("span", { class: "fine" }, hint));

/** Buttons that zoom all of some stages at once. @param {() => readonly { zoom(by: number): void, fit(): void }[]} stages */
export const zoomTools = (stages) => [
  iconButton("minus", "Zoom out", () => stages().forEach((stage) => stage.zoom(0.8)), { class: "quiet zoom" }),
  iconButton("plus", "Zoom in", () => stages().forEach((stage) => stage.zoom(1.25)), { class: "quiet zoom" }),
  iconButton("fit", "Fit", () => stages().forEach((stage) => stage.fit())),
];

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

/**
 * What ends the panel of every report: its notices, what can be saved of it, and where it comes from.
 *
 * @param {Record<string, any>} report
 * @param {object} options
 * @param {string} options.name first part of the files' names
 * @param {readonly string[]} options.formats media types that are asked for
 * @param {string} [options.shows] what the PNG among them is of
 * @param {{ label: string, file: string, blob: () => Blob | Promise<Blob> }[]} [options.here] what is at hand already
 * @param {string} options.path that is asked
 * @param {() => FormData | undefined} options.body
 * @param {import("./work.js").Work} options.work
 * @param {{ label: string, file: string, query: string, unpack?: (document: any) => string }[]} [options.also] further
 *   files by their queries: PNGs, or what `unpack` finds in the JSON as base64
 */
export function closing(report, { name, formats, shows = "label map", here = [], path, body, work, also = [] }) {
  /** @param {string} label @param {() => Promise<unknown>} act */
  const button = (label, act) => h("button", { type: "button", onclick: () => void act() }, icon("down"), label);
  /** @param {string} file @param {string} accept @param {string} [query] @param {(document: any) => string} [unpack] */
  async function fetchAndSave(file, accept, query = "", unpack) {
    const answer = await work.start(
      (run) => askLong(`${path}${query}`, body(), run, accept),
      () => void fetchAndSave(file, accept, query, unpack),
    );
    if (!answer) return;
    save(unpack ? blobOf(unpack(JSON.parse(await answer.blob.text())), "application/octet-stream") : answer.blob, file);
  }
  /** @param {string} file @param {() => Blob | Promise<Blob>} blob */
  async function saveHere(file, blob) {
    try {
      save(await blob(), file);
    } catch (error) {
      work.show(problemOf(error));
    }
  }
  const document = () => jsonBlob({ ...report, pictures: undefined, files: undefined });
  const buttons = [
    button("Report (JSON)", () => saveHere(`${name}.json`, document)),
    ...here.map(({ label, file, blob }) => button(label, () => saveHere(file, blob))),
    ...formats
      .filter((format) => format !== "application/json")
      .map((format) => {
        const [label, extension] = KINDS[format] ?? [format, "bin"];
        return button(format === "image/png" ? `${label} ${shows}` : label, () => fetchAndSave(`${name}.${extension}`, format));
      }),
    ...also.map(({ label, file, query, unpack }) =>
      button(label, () => fetchAndSave(file, unpack ? "application/json" : "image/png", query, unpack)),
    ),
  ];
  return [
    report.notices?.length > 0 &&
      section(
        "Notices",
        h("ul", { class: "notices" }, ...report.notices.map((/** @type {string} */ notice) => h("li", {}, notice))),
      ),
    section("Download", h("div", { class: "buttons" }, ...buttons)),
    report.provenance && provenanceList(report.provenance),
  ];
}

/** @param {Record<string, any>} provenance */
function provenanceList({ model, version, digest, input_digest: input, engine, gateway }) {
  const rows = /** @type {[string, string][]} */ ([
    ["model", `${model}${version ? ` · version ${version}` : ""}`],
    ["digest", digest],
    ["input", input],
    ["engine", engine],
    ["gateway", gateway],
  ]);
  return folded("Provenance", facts(rows.map(([name, value]) => !!value && [name, value, "mono"])));
}

/** @param {unknown} document */
export const jsonBlob = (document) => new Blob([JSON.stringify(document, null, 1)], { type: "application/json" });

/**
 * What is to be seen before anything was opened.
 *
 * @param {import("./store.js").Task} task
 * @param {string} detail what to do, in a line
 * @param {() => void} choose
 * @param {{ verb?: string, tried?: (files: File[]) => void }} [options] `tried` takes a drawn sample
 */
export function emptyStage(task, detail, choose, { verb = "Choose a file", tried } = {}) {
  const drawn = async () => tried?.(await (await import("./drawings.js")).draw(task.name));
  return h(
    "div",
    { class: "empty" },
    h("h1", {}, task.title),
    h("p", {}, detail),
    h(
      "div",
      { class: "row" },
      h("button", { type: "button", class: "primary", onclick: choose }, verb),
      tried &&
        DRAWN.has(task.name) &&
        h("button", { type: "button", class: "bare", onclick: () => void drawn() }, "Try with a sample"),
    ),
    h("p", { class: "fine" }, "Files can be dropped here, too."),
  );
}

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
