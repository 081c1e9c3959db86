/** The view of any task, from its description alone: what it takes, and what its answer is in the main. */

import { Problem, askJson } from "../lib/api.js";
import { fill, h, iconButton, number, percent, words } from "../lib/dom.js";
import { TaskForm, droppable } from "../lib/form.js";
import {
  downloads,
  emptyStage,
  jsonBlob,
  legend,
  noticeList,
  provenanceList,
  section,
  slider,
  scoreBars,
} from "../lib/panels.js";
import { LabelLayer, blobOf, openPicture } from "../lib/pictures.js";
import { Stage } from "../lib/stage.js";
import { slice } from "../lib/store.js";

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
  const empty = emptyStage(task.title, task.parts[0]?.description ?? "", () => form.files[0]?.input.click());
  const bar = h(
    "div",
    { class: "toolbar" },
    iconButton("minus", "Zoom out", () => stage.zoom(0.8)),
    iconButton("plus", "Zoom in", () => stage.zoom(1.25)),
    iconButton("fit", "Fit", () => stage.fit()),
  );
  const area = h("div", { class: "stage" }, canvas, bar, empty);
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
      form.work.show(/** @type {Problem} */ (error));
    }
  }

  async function send() {
    await form.work.start(
      async (run) => {
        const query = new URLSearchParams({ model: form.model.value });
        const path = `v1/${task.name}?${query}`;
        const report = await askWithMap(path, { ...run, body: form.body() });
        const { label_map: map, overlay } = report.pictures ?? {};
        const layer = map && report.classes ? await LabelLayer.of(blobOf(map), report.classes) : null;
        const picture = !layer && overlay ? await openPicture(blobOf(overlay)) : state.get().picture;
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
    const hidden = new Set(state.get().hidden);
    if (!hidden.delete(value)) hidden.add(value);
    state.get().layer?.paint(hidden);
    state.set({ hidden });
  }

  /** @param {Record<string, any>} report */
  function reportPanel(report) {
    const regions = /** @type {Record<string, any>[] | undefined} */ (report.regions);
    const counts =
      regions && ((/** @type {number} */ value) => regions.filter((region) => region.class === value).length);
    return h(
      "div",
      {},
      report.classes &&
        section("Classes", legend(report.classes, { hidden: new Set(), toggle, counts, counted: "regions" })),
      report.scores && section("Scores", scoreBars(report.scores, report.label, report.threshold)),
      regions &&
        regions.length > 0 &&
        section(
          "Regions",
          regionTable(regions, (box) => {
            state.set({ box });
            stage.look(box);
          }),
        ),
      noticeList(report.notices ?? []),
      downloads({
        name: task.name,
        formats: task.formats,
        path: `v1/${task.name}?${new URLSearchParams({ model: form.model.value })}`,
        body: () => form.body(),
        work: form.work,
        here: [
          {
            label: "Report (JSON)",
            file: `${task.name}.json`,
            blob: () => jsonBlob({ ...report, pictures: undefined }),
          },
        ],
      }),
      report.provenance && provenanceList(report.provenance),
    );
  }

  const element = h(
    "div",
    { class: "view" },
    area,
    h("div", { class: "side" }, section(task.title, form.element), layers, results),
  );
  return { element, show: () => stage.redraw() };
}

/**
 * Ask for a report with the label map in it; where the task has none to include, without.
 *
 * @param {string} path @param {import("../lib/api.js").Request} request
 */
async function askWithMap(path, request) {
  try {
    return await askJson(`${path}&include=label_map`, request);
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
  const most = 500;
  const rows = [...regions].sort((a, b) => b.area - a.area).slice(0, most);
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
          h("th", { scope: "col" }, "class"),
          h("th", { scope: "col", class: "n" }, "pixels"),
          h("th", { scope: "col", class: "n" }, "confidence"),
        ),
      ),
      h(
        "tbody",
        {},
        ...rows.map((region) =>
          h(
            "tr",
            {},
            h(
              "td",
              {},
              h("button", { type: "button", class: "link", onclick: () => look(region.box) }, words(region.name)),
            ),
            h("td", { class: "n" }, number(region.area)),
            h(
              "td",
              { class: "n" },
              region.confidence === null || region.confidence === undefined ? "" : percent(region.confidence),
            ),
          ),
        ),
      ),
    ),
    regions.length > most &&
      h("p", { class: "fine" }, `The ${most} largest of ${number(regions.length)}; the report has all.`),
  );
}
