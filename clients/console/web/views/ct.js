/** CT of the chest: three planes, window, lesions over them, their volumes, and the files that go back to the PACS. */

import { lesionPanel, readoutOf, worstSlice } from "../medical/lesions.js";
import { ctOptions } from "../medical/options.js";
import { AXES, Plane, drawProfile } from "../medical/planes.js";
import { findLesions, ofDicom, openVolume } from "../medical/volume.js";
import { PRESETS, windowTools } from "../medical/window.js";
import { problemOf } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { TaskForm, droppable } from "../lib/form.js";
import { zip } from "../lib/packing.js";
import { emptyStage, section, slider, workspace, zoomTools } from "../lib/panels.js";
import { slice, toggled } from "../lib/store.js";

/** @typedef {Record<string, any>} Report */
/** @typedef {import("../medical/volume.js").Volume} Volume */
/** @typedef {import("../medical/planes.js").Look & { report: Report | null, drags: "cross" | "window" }} State */

/** @param {import("../lib/store.js").Task} task @returns {import("../console.js").View} */
export function view(task) {
  const state = slice(
    task.name,
    /** @type {State} */ ({
      volume: null,
      labels: null,
      colours: [],
      hidden: new Set(),
      opacity: 0.5,
      window: PRESETS[0][1],
      at: [0, 0, 0],
      report: null,
      drags: "cross",
    }),
  );
  const hands = {
    move: (/** @type {[number, number, number]} */ at) => state.set({ at }),
    window: (/** @type {[number, number]} */ window) => state.set({ window }),
    turn: (/** @type {number} */ steps) => turn(steps),
    drags: () => state.get().drags,
  };
  const planes = /** @type {import("../medical/planes.js").Name[]} */ (Object.keys(AXES)).map((name) => {
    const canvas = h("canvas", {
      tabIndex: 0,
      role: "application",
      "aria-label": `${name} plane; page up and page down go through the slices, plus and minus zoom`,
    });
    const plane = new Plane(canvas, name, state.get, hands);
    canvas.addEventListener("keydown", (event) => key(event, plane));
    return {
      name,
      plane,
      box: h(
        "div",
        { class: `plane ${name}` },
        canvas,
        h("span", { class: "tag" }, name[0].toUpperCase() + name.slice(1)),
      ),
    };
  });
  const readout = h("p", { class: "readout", role: "status" });
  const place = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Slice" });
  const profile = h("canvas", { class: "profile", "aria-hidden": "true" });
  const strip = h("div", { class: "strip" }, profile, place);
  const empty = emptyStage(
    task,
    "Open a DICOM file, a zip or a folder of one series, NIfTI, or a slice as PNG or JPEG; then scroll.",
    () => form.files[0].input.click(),
    { tried: (files) => form.take(files, { send: true }) },
  );
  const tools = windowTools(
    (window) => state.set({ window }),
    () => state.set({ drags: state.get().drags === "window" ? "cross" : "window" }),
  );
  const bar = h(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Window" },
    ...zoomTools(() => planes.map(({ plane }) => plane.stage)),
    h("span", { class: "gap" }),
    ...tools.elements,
  );
  const area = h(
    "div",
    { class: "stage ct" },
    bar,
    h("div", { class: "planes" }, ...planes.map(({ box }) => box)),
    strip,
    readout,
    empty,
  );
  const folder = h("input", {
    type: "file",
    webkitdirectory: true,
    class: "hidden-file",
    "aria-label": "Folder of a DICOM series",
    tabIndex: -1,
  });
  const options = ctOptions({
    changed: () => form.refresh(),
    chosen: ({ files }) => void show((tell) => ofDicom(files, tell)),
  });
  const form = new TaskForm(task, {
    verb: "Find lesions",
    send: () => void send(),
    without: options.isArchived,
    changed: (_, file) => void (opening = open(file)),
    beside: [
      h("button", { type: "button", class: "link", onclick: () => folder.click() }, "Open a folder of a series"),
      folder,
      ...options.beside,
    ],
    options: options.elements,
  });
  const layer = section(
    "Layer",
    slider("Opacity", state.get().opacity, (opacity) => state.set({ opacity })),
  );
  const results = h("div", { "aria-live": "polite" });
  folder.addEventListener("change", async () => form.files[0].set(await zip([...(folder.files ?? [])])));
  droppable(area, async (files) => form.files[0].set(files.length > 1 ? await zip(files) : files[0]));
  place.addEventListener("input", () => cut(Number(place.value)));

  /** @param {number} n */
  const cut = (n) => state.set({ at: [state.get().at[0], state.get().at[1], n] });
  /** @param {number} steps */
  const turn = (steps) => cut(Math.min((state.get().volume?.size[2] ?? 1) - 1, Math.max(0, state.get().at[2] + steps)));

  /** @param {KeyboardEvent} event @param {Plane} plane */
  function key(event, plane) {
    const steps = /** @type {Record<string, number>} */ ({ PageUp: 1, PageDown: -1, ArrowUp: 1, ArrowDown: -1 })[
      event.key
    ];
    const chosen = PRESETS[Number(event.key) - 1];
    if (steps) turn(steps);
    else if (chosen) tools.preset(chosen[0]);
    else return void plane.stage.key(event);
    event.preventDefault();
  }

  /** @param {File | null} file */
  async function open(file) {
    options.offer([]);
    if (!file) return;
    const volume = await show((tell) => openVolume(file, tell));
    if (volume?.series) options.offer(volume.series);
  }

  /** Volumes are opened one after the other; the last one counts. */
  let opened = 0;
  let opening = /** @type {Promise<unknown>} */ (Promise.resolve());

  /** @param {(tell: import("../medical/volume.js").Tell) => Promise<Volume>} read */
  async function show(read) {
    const mine = ++opened;
    state.set({ volume: null, labels: null, report: null });
    fill(readout, "Reading …");
    try {
      const volume = await read((done, all) => mine === opened && fill(readout, `Reading slice ${done} of ${all} …`));
      if (mine !== opened) return null;
      look(volume);
      return volume;
    } catch (error) {
      if (mine === opened) fill(readout, "");
      if (mine === opened) form.work.show(problemOf(error));
      return null;
    }
  }

  /** @param {Volume} volume */
  function look(volume) {
    const at = /** @type {[number, number, number]} */ (volume.size.map((size) => size >> 1));
    state.set({ volume, at, window: volume.window ?? PRESETS[0][1] });
    place.max = String(volume.size[2] - 1);
    area.classList.toggle("single", volume.size[2] === 1);
    for (const { plane } of planes) plane.open();
  }

  const path = (whole = false) =>
    `v1/${task.name}?${new URLSearchParams([["model", form.model.value], ...options.query(whole)])}`;
  const body = () => (options.isArchived() ? undefined : form.body());

  async function send() {
    if (options.isArchived()) state.set({ volume: null, labels: null, report: null });
    const found = await form.work.start(
      async (run) => {
        await opening;
        return findLesions(path(true), body(), run, state.get().volume);
      },
      () => void send(),
    );
    if (!found) return;
    if (found.volume && found.volume !== state.get().volume) look(found.volume);
    /** @type {number[][]} */
    const colours = [];
    for (const { value, colour } of found.report.classes) colours[value] = colour;
    state.set({ ...found, colours, hidden: new Set() });
    for (const { plane } of planes) plane.forget();
    const worst = found.labels && worstSlice(found.labels, state.get().volume?.size ?? [1, 1, 1]);
    if (worst !== null) cut(worst);
  }

  /** @type {Partial<State>} */
  let before = {};
  state.watch((now) => {
    empty.hidden = now.volume !== null || now.report !== null;
    strip.hidden = !now.volume || now.volume.size[2] < 2;
    layer.hidden = !now.labels;
    tools.show(now.window, now.drags === "window");
    place.value = String(now.at[2]);
    for (const { plane } of planes) plane.redraw();
    if (now.volume) fill(readout, readoutOf(now));
    if (now.labels !== before.labels || now.at[2] !== before.at?.[2] || now.hidden !== before.hidden)
      requestAnimationFrame(() => drawProfile(profile, state.get()));
    if (now.report !== before.report) fill(results, now.report && panel(now.report));
    before = now;
  });

  /** @param {Report} report */
  const panel = (report) =>
    lesionPanel(report, {
      task,
      isDrawn: state.get().labels !== null,
      toggle: (value) => state.set({ hidden: toggled(state.get().hidden, value) }),
      path: path(),
      body,
      work: form.work,
    });

  void tools.offer(task.default_model).catch(() => {});

  return {
    element: workspace(area, section(task.title, form.element), layer, results),
    show: () => requestAnimationFrame(() => drawProfile(profile, state.get())),
  };
}
