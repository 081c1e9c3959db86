/** A chest radiograph beside the evidence for a class, its window, and what each model says. */

import { Dicom, isDicom } from "../medical/dicom.js";
import { askJson, problemOf } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { TaskForm, droppable } from "../lib/form.js";
import { blobOf } from "../lib/packing.js";
import { closing, emptyStage, field, scoreBars, section, slider, workspace, zoomTools } from "../lib/panels.js";
import { contextOf, newCanvas, openPicture } from "../lib/pictures.js";
import { Stage } from "../lib/stage.js";
import { slice } from "../lib/store.js";

/** @typedef {Record<string, any>} Report */
/** @typedef {{ values: Float32Array, width: number, height: number, window: [number, number], inverted: boolean }} Film */
/**
 * @typedef {object} State
 * @property {Film | null} film
 * @property {HTMLCanvasElement | null} evidence
 * @property {Report | null} report
 * @property {[number, number]} window centre and width, as shares of the range of the film's values
 * @property {number} opacity
 * @property {boolean} beside
 */

/** @param {import("../lib/store.js").Task} task @returns {import("../console.js").View} */
export function view(task) {
  const state = slice(
    task.name,
    /** @type {State} */ ({ film: null, evidence: null, report: null, window: [0.5, 1], opacity: 1, beside: true }),
  );
  const shown = newCanvas(1, 1);
  const left = h("canvas", { tabIndex: 0, role: "img", "aria-label": "The radiograph" });
  const right = h("canvas", { tabIndex: 0, role: "img", "aria-label": "The radiograph with the evidence for a class" });
  const stages = [left, right].map((canvas, n) => {
    const stage = new Stage(canvas, (context) => paint(context, n === 1));
    canvas.addEventListener("keydown", (event) => stage.key(event));
    return stage;
  });
  const beside = h(
    "button",
    { type: "button", onclick: () => state.set({ beside: !state.get().beside }) },
    "Side by side",
  );
  const bar = h(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "View" },
    ...zoomTools(() => stages),
    h("span", { class: "gap" }),
    beside,
  );
  const tag = h("span", { class: "tag" });
  const boxes = h(
    "div",
    { class: "planes pair" },
    h("div", { class: "plane" }, left, h("span", { class: "tag" }, "Radiograph")),
    h("div", { class: "plane" }, right, tag),
  );
  const empty = emptyStage(
    task,
    "Open a frontal radiograph of a chest: DICOM, or grey PNG or JPEG with bone bright.",
    () => form.files[0].input.click(),
    { tried: (files) => form.take(files, { send: true }) },
  );
  const area = h("div", { class: "stage ct" }, bar, boxes, empty);
  const form = new TaskForm(task, { verb: "Score", send: () => void send(), changed: (_, file) => void open(file) });
  const which = h("select", { "aria-label": "Class whose evidence is shown", onchange: () => void send(which.value) });
  const window = section(
    "Window",
    slider("Centre", 0.5, (centre) => state.set({ window: [centre, state.get().window[1]] })),
    slider("Width", 1, (width) => state.set({ window: [state.get().window[0], Math.max(0.01, width)] })),
  );
  const layer = section(
    "Evidence",
    field("Class", which),
    slider("Opacity", 1, (opacity) => state.set({ opacity })),
  );
  const results = h("div", { "aria-live": "polite" });
  droppable(area, (files) => form.take(files));

  /** @param {File | null} file */
  async function open(file) {
    if (!file) return;
    state.set({ film: null, evidence: null, report: null });
    try {
      const film = await openFilm(file);
      state.set({ film });
      for (const stage of stages) stage.open(film.width, film.height);
    } catch (error) {
      form.work.show(problemOf(error));
    }
  }

  const path = (/** @type {string} */ shownClass) =>
    `v1/${task.name}?${new URLSearchParams({ model: form.model.value, include: "saliency", ...(shownClass ? { saliency_class: shownClass } : {}) })}`;

  /** @param {string} [of] the class whose evidence is shown; without it the one decided for */
  async function send(of = "") {
    await form.work.start(
      async (run) => {
        const report = await askJson(path(of), { ...run, body: form.body() });
        const evidence = await openPicture(blobOf(report.pictures.saliency));
        if (!state.get().film) for (const stage of stages) stage.open(evidence.width, evidence.height);
        fill(
          which,
          ...Object.keys(report.scores).map((name) => h("option", { selected: name === report.saliency_class }, name)),
        );
        fill(tag, `Evidence for ${report.saliency_class}`);
        state.set({ report, evidence });
      },
      () => void send(of),
    );
  }

  /** @param {CanvasRenderingContext2D} context @param {boolean} heat */
  function paint(context, heat) {
    const { film, evidence, opacity } = state.get();
    if (film) context.drawImage(shown, 0, 0);
    if (!evidence || !(heat || !film)) return;
    context.globalAlpha = film ? opacity : 1;
    context.drawImage(evidence, 0, 0, film?.width ?? evidence.width, film?.height ?? evidence.height);
    context.globalAlpha = 1;
  }

  /** @type {Partial<State>} */
  let before = {};
  state.watch((now) => {
    empty.hidden = now.film !== null || now.evidence !== null;
    boxes.hidden = !empty.hidden;
    boxes.classList.toggle("alone", !now.beside || !now.evidence);
    boxes.classList.toggle("heat", !now.beside && now.evidence !== null);
    beside.setAttribute("aria-pressed", String(now.beside));
    window.hidden = !now.film;
    layer.hidden = !now.evidence;
    if (now.film && (now.film !== before.film || now.window !== before.window)) develop(now.film, now.window, shown);
    for (const stage of stages) stage.redraw();
    if (now.report !== before.report) fill(results, now.report && panel(now.report));
    before = now;
  });

  /** @param {Report} report */
  function panel(report) {
    const each = report.models.length ? report.models : [];
    return h(
      "div",
      {},
      section(
        `Decided: ${report.label}`,
        scoreBars(report.scores, report.label, report.threshold),
        h(
          "p",
          { class: "fine" },
          `by ${report.model}; the mark is the threshold of ${Object.keys(report.scores)[0]}, ${report.threshold}`,
        ),
      ),
      each.length > 0 &&
        section(
          "Each model",
          ...each.map((/** @type {Report} */ one) =>
            h(
              "div",
              { class: "model" },
              h("p", {}, one.provenance.model, h("span", { class: "fine" }, ` ${one.label}`)),
              scoreBars(one.scores, one.label, one.threshold),
            ),
          ),
        ),
      ...closing(report, {
        name: task.name,
        formats: [],
        path: path(""),
        body: () => form.body(),
        work: form.work,
        here: [
          { label: "Evidence (PNG)", file: `${task.name}-evidence.png`, blob: () => blobOf(report.pictures.saliency) },
        ],
      }),
    );
  }

  return {
    element: workspace(area, section(task.title, form.element), window, layer, results),
    show: () => stages.forEach((stage) => stage.redraw()),
  };
}

/** @param {File} file @returns {Promise<Film>} */
async function openFilm(file) {
  const head = new Uint8Array(await file.slice(0, 140).arrayBuffer());
  if (!isDicom(head)) {
    const canvas = await openPicture(file);
    const { width, height } = canvas;
    const { data } = contextOf(canvas).getImageData(0, 0, width, height);
    return {
      values: Float32Array.from({ length: width * height }, (_, n) => data[4 * n]),
      width,
      height,
      window: [0, 255],
      inverted: false,
    };
  }
  const dicom = await Dicom.open(new Uint8Array(await file.arrayBuffer()));
  const values = new Float32Array(dicom.rows * dicom.columns);
  await dicom.values(0, values, 0);
  const [centre] = dicom.numbers(0x00281050);
  const [width] = dicom.numbers(0x00281051);
  const range = width
    ? [centre - width / 2, centre + width / 2]
    : values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  return {
    values,
    width: dicom.columns,
    height: dicom.rows,
    window: /** @type {[number, number]} */ (range),
    inverted: dicom.text(0x00280004) === "MONOCHROME1",
  };
}

/** Paint a film through a window. @param {Film} film @param {[number, number]} window @param {HTMLCanvasElement} canvas */
function develop({ values, width, height, window: [low, high], inverted }, [centre, span], canvas) {
  Object.assign(canvas, { width, height });
  const context = contextOf(canvas);
  const picture = context.createImageData(width, height);
  const from = low + (high - low) * (centre - span / 2);
  const per = 255 / ((high - low) * span || 1);
  for (let n = 0; n < values.length; n++) {
    const grey = (values[n] - from) * per;
    picture.data.fill(inverted ? 255 - grey : grey, 4 * n, 4 * n + 3);
    picture.data[4 * n + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}
