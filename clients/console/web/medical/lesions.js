/** What was found in a CT, in words and numbers. */

import { h, number, percent, words } from "../lib/dom.js";
import { closing, section } from "../lib/panels.js";
import { className, facts, table } from "../lib/tables.js";

/** @typedef {Record<string, any>} Report */

/** @param {Readonly<import("./planes.js").Look & { report: Report | null }>} now */
export function readoutOf({ volume, at, window: [centre, width], labels, report }) {
  if (!volume) return "";
  const n = at[0] + volume.size[0] * (at[1] + volume.size[1] * at[2]);
  const label = labels && report?.classes.find((/** @type {any} */ one) => one.value === labels[n] && one.value);
  return [
    `Slice ${at[2] + 1} of ${volume.size[2]}`,
    volume.unit && `C ${centre} W ${width}`,
    volume.unit ? `${Math.round(volume.values[n])} ${volume.unit}` : "lesions alone: the images are not drawn here",
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
function lesionTable({ lesions, classes }, toggle) {
  const colours = new Map(classes.map((/** @type {any} */ one) => [one.value, one.colour]));
  return table(
    [["class"], ["ml", "n"], ["voxels", "n"], ["of the field", "n"]],
    lesions.map((/** @type {any} */ one) => [
      className({ name: one.name, colour: colours.get(one.value) }, { toggle: () => toggle(one.value) }),
      one.volume_ml === null ? "–" : number(one.volume_ml, 1),
      number(one.voxels),
      percent(one.imaged_share),
    ]),
  );
}

/**
 * @param {Report} report
 * @param {{ task: import("../lib/store.js").Task, isDrawn: boolean, toggle: (value: number) => void, path: string,
 *   body: () => FormData | undefined, work: import("../lib/work.js").Work }} options
 */
export function lesionPanel(report, { task, isDrawn, toggle, ...asking }) {
  const isDicom = report.slices.some((/** @type {Report} */ one) => one.instance);
  const single = report.slices.length === 1;
  const fits = (/** @type {string} */ format) => (format === "application/dicom" ? isDicom : true);
  const stored = /** @type {Report[]} */ (report.stored ?? []);
  const structured = {
    label: "Report (DICOM SR)",
    file: `${task.name}-report.dcm`,
    query: "&include=report",
    unpack: (/** @type {Report} */ told) => told.files.report,
  };
  return h(
    "div",
    {},
    section(
      "Lesions",
      lesionTable(report, toggle),
      !isDrawn && h("p", { class: "fine" }, "No layer is drawn: no array describes where the slices lie."),
    ),
    stored.length > 0 &&
      section("Stored in the PACS", facts(stored.map(({ form, instance }) => [form, instance, "mono"]))),
    ...closing(report, {
      name: task.name,
      formats: task.formats.filter((format) => fits(format) && (single || format !== "image/png")),
      ...asking,
      also: [
        ...(isDicom ? [structured] : []),
        ...(single ? [{ label: "Overlay", file: `${task.name}-overlay.png`, query: "&overlay=true" }] : []),
      ],
    }),
  );
}
