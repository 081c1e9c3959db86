/** The view of any task, from its description alone: what it takes, and what its answer is in the main. */

import { Problem, askJson, problemOf } from "../lib/api.js";
import { fill, h, number, percent, words } from "../lib/dom.js";
import { TaskForm, droppable } from "../lib/form.js";
import { blobOf } from "../lib/packing.js";
import { closing, emptyStage, scoreBars, section, slider, workspace, zoomTools } from "../lib/panels.js";
import { LabelLayer, openPicture } from "../lib/pictures.js";
import { Stage } from "../lib/stage.js";
import { slice, toggled } from "../lib/store.js";
import { legend, table } from "../lib/tables.js";

/** @typedef {import("../lib/store.js").Task} Task */

/**
 * @typedef {object} State
 * @property {HTMLCanvasElement | null} picture
 * @property {LabelLayer | null} layer
 * @property {Record<string, any> | null} report
 * @property {ReadonlySet<number>} hidden
 * @property {number} opacity
 * @property {readonly number[] | null} box of the region that is looked at
 */

const MOST = 500;

/** @param {Task} task @returns {import("../console.js").View} */
export function view(task) {
  const state = slice(
    task.name,
    /** @type {State} */ ({ picture: null, layer: null, report: null, hidden: new Set(), opacity: 0.6, box: null }),
  );
  const canvas = h("canvas", {
    tabIndex: 0,
    role: "img",
    "aria-label": `${task.title}: the image and what was found on it`,
  });
  const stage = new Stage(canvas, (context) => paint(context, state.get(), stage.scale));
  const results = h("div", { class: "results", "aria-live": "polite" });
  const form = new TaskForm(task, { send: () => void send(), changed: (_, file) => void open(file) });
  const layers = section(
    "Layer",
    slider("Opacity", state.get().opacity, (opacity) => state.set({ opacity })),
  );
  const empty = emptyStage(task, task.parts[0]?.description ?? "", () => form.files[0]?.input.click(), {
    tried: (files) => form.take(files, { send: true }),
  });
  const area = h("div", { class: "stage" }, canvas, h("div", { class: "toolbar" }, ...zoomTools(() => [stage])), empty);
  canvas.addEventListener("keydown", (event) => stage.key(event));
  droppable(area, (files) => form.take(files));

  /** @param {File | null} file */
  async function open(file) {
    if (!file) return;
    state.set({ picture: null, layer: null, report: null, box: null });
    try {
      const picture = await openPicture(file);
      state.set({ picture });
      stage.open(picture.width, picture.height);
    } catch (error) {
      form.work.show(problemOf(error));
    }
  }

  const path = () => `v1/${task.name}?${new URLSearchParams({ model: form.model.value })}`;

  async function send() {
    await form.work.start(
      async (run) => {
        const report = await askWithPicture(task, path(), { ...run, body: form.body() });
        const { label_map: map, overlay, image } = report.pictures ?? {};
        const layer = map && report.classes ? await LabelLayer.of(blobOf(map), report.classes) : null;
        const shown = layer ? null : (image ?? overlay);
        const picture = shown ? await openPicture(blobOf(shown)) : state.get().picture;
        if (picture && picture !== state.get().picture) stage.open(picture.width, picture.height);
        state.set({ report, layer, picture, hidden: new Set(), box: null });
        if (layer && !picture) stage.open(layer.canvas.width, layer.canvas.height);
      },
      () => void send(),
    );
  }

  /** @type {Record<string, any> | null} */
  let drawn = null;
  state.watch((now) => {
    empty.hidden = now.picture !== null || now.layer !== null;
    layers.hidden = now.layer === null;
    stage.redraw();
    if (now.report !== drawn) {
      drawn = now.report;
      fill(results, now.report && reportPanel(now.report));
    }
  });

  /** @param {number} value */
  function toggle(value) {
    const hidden = toggled(state.get().hidden, value);
    state.get().layer?.paint(hidden);
    state.set({ hidden });
  }

  /** @param {Record<string, any>} report */
  function reportPanel(report) {
    const regions = /** @type {Record<string, any>[] | undefined} */ (report.regions);
    const counts =
      regions && ((/** @type {any} */ one) => regions.filter((region) => region.class === one.value).length);
    const look = (/** @type {number[]} */ box) => {
      state.set({ box });
      stage.look(box);
    };
    return h(
      "div",
      {},
      report.classes && section("Classes", legend(report.classes, { toggle, counts, counted: "regions" })),
      report.scores && section("Scores", scoreBars(report.scores, report.label, report.threshold)),
      regions && regions.length > 0 && section("Regions", ...regionTable(regions, look)),
      ...closing(report, {
        name: task.name,
        formats: task.formats,
        shows: task.answer,
        path: path(),
        body: () => form.body(),
        work: form.work,
      }),
    );
  }

  return {
    element: workspace(area, section(task.title, form.element), layers, results),
    show: () => stage.redraw(),
  };
}

/**
 * Ask for a report with the label map in it, or the image that it is about; where the task has none to include, without.
 *
 * @param {Task} task @param {string} path @param {import("../lib/api.js").Request} request
 */
async function askWithPicture(task, path, request) {
  try {
    return await askJson(`${path}&include=${task.answer === "image" ? "image" : "label_map"}`, request);
  } catch (error) {
    if (error instanceof Problem && error.code === "parameter-invalid" && error.pointer === "/include")
      return askJson(path, request);
    throw error;
  }
}

/** @param {CanvasRenderingContext2D} context @param {State} state @param {number} scale */
function paint(context, { picture, layer, opacity, box }, scale) {
  if (picture) context.drawImage(picture, 0, 0);
  if (layer) {
    context.globalAlpha = opacity;
    context.drawImage(layer.canvas, 0, 0, picture?.width ?? layer.canvas.width, picture?.height ?? layer.canvas.height);
    context.globalAlpha = 1;
  }
  if (box) {
    context.lineWidth = 2 / scale;
    context.strokeStyle = "#fff";
    context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
  }
}

/** @param {Record<string, any>[]} regions @param {(box: number[]) => void} look */
function regionTable(regions, look) {
  const largest = [...regions].sort((a, b) => b.area - a.area).slice(0, MOST);
  const rows = largest.map((region) => [
    h("button", { type: "button", class: "link", onclick: () => look(region.box) }, words(region.name)),
    number(region.area),
    typeof region.confidence === "number" && percent(region.confidence),
  ]);
  return [
    h("div", { class: "scroll" }, table([["class"], ["pixels", "n"], ["confidence", "n"]], rows)),
    regions.length > MOST &&
      h("p", { class: "fine" }, `The ${MOST} largest of ${number(regions.length)}; the report has all.`),
  ];
}
