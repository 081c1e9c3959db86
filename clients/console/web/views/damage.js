/** Damage per building: a pair on a map, a swipe between before and after, and every building in a list. */

import { buildingList } from "../damage/buildings.js";
import { districtTable, pairFacts } from "../damage/facts.js";
import { graded } from "../damage/footprints.js";
import { pairOptions } from "../damage/options.js";
import { problemOf } from "../lib/api.js";
import { fill, h, number } from "../lib/dom.js";
import { TaskForm, droppable, modelsOf } from "../lib/form.js";
import { askLongJson } from "../lib/jobs.js";
import { blobOf } from "../lib/packing.js";
import { closing, emptyStage, section, slider, workspace, zoomTools } from "../lib/panels.js";
import { slice, toggled } from "../lib/store.js";
import { legend } from "../lib/tables.js";

/** @typedef {Record<string, any>} Report */
/**
 * @typedef {object} State
 * @property {Report | null} report
 * @property {Report[]} buildings found, or sent and graded
 * @property {ReadonlySet<number>} hidden
 * @property {number} opacity
 * @property {number} swipe
 * @property {number | null} selected
 * @property {boolean} shown whether there is a map
 */

const NAMES = { pre: /pre|before|_a\./i, post: /post|after|_b\./i, footprints: /foot.*json$/i, districts: /json$/i };
const GEOGRAPHIC = /geo|flatgeobuf|parquet/;

/** @param {import("../lib/store.js").Task} task @returns {import("../console.js").View} */
export function view(task) {
  const none = { report: null, buildings: [], hidden: new Set(), selected: null };
  const state = slice(task.name, /** @type {State} */ ({ ...none, opacity: 0.8, swipe: 0.5, shown: false }));
  const target = h("div", {
    class: "map",
    tabIndex: 0,
    role: "application",
    "aria-label": "Map of the pair with its buildings; arrow keys move it, plus and minus zoom",
  });
  const readout = h("p", { class: "readout" });
  const note = h("p", { class: "fine", role: "status" });
  const options = pairOptions(() => void (opening = open()));
  const swap = h(
    "button",
    { type: "button", class: "link", hidden: true, onclick: () => exchange() },
    "Swap before and after",
  );
  const form = new TaskForm(task, {
    verb: "Assess",
    models: [...modelsOf(task), "fused"],
    labels: { pre: "before", post: "after" },
    beside: [swap],
    options: options.elements,
    changed: (part) => {
      if (part.required) opening = open();
      else if (part.name === "districts") opening = opening.then(() => map?.outline(form.file("districts")));
    },
    send: () => void send(),
  });
  const results = h("div", { "aria-live": "polite" });
  const take = (/** @type {File[]} */ files, send = false) => form.take(files, { names: NAMES, send });
  const both = h("input", {
    type: "file",
    multiple: true,
    class: "hidden-file",
    tabIndex: -1,
    "aria-label": "Both images",
  });
  both.accept = form.files[0].input.accept;
  both.addEventListener("change", () => take([...(both.files ?? [])]));
  const empty = emptyStage(
    task,
    "Choose the image before and the one after together, then press Assess.",
    () => both.click(),
    { verb: "Choose both images", tried: (files) => take(files, true) },
  );
  const swipe = h("input", {
    type: "range",
    class: "swipe",
    min: 0,
    max: 1000,
    "aria-label": "Swipe between before and after",
  });
  const line = h("div", { class: "swipe-line" }, h("div", { class: "grip" }));
  line.addEventListener("pointerdown", (event) => line.setPointerCapture(event.pointerId));
  line.addEventListener("pointermove", (event) => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    const { left, width } = target.getBoundingClientRect();
    state.set({ swipe: Math.min(1, Math.max(0, (event.clientX - left) / width)) });
  });
  /** @type {import("../damage/map.js").PairMap | null} */
  let map = null;
  /** @type {ReturnType<typeof buildingList> | null} */
  let list = null;

  const bar = h(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Map" },
    ...zoomTools(() => (map ? [map] : [])),
    h("span", { class: "gap" }),
    h("span", { class: "side-label" }, "Before"),
    swipe,
    h("span", { class: "side-label" }, "After"),
  );
  const area = h("div", { class: "stage" }, target, line, bar, readout, empty, both);
  droppable(area, (files) => take(files));
  swipe.addEventListener("input", () => state.set({ swipe: Number(swipe.value) / 1000 }));
  const layer = section(
    "Layer",
    slider("Opacity", state.get().opacity, (opacity) => state.set({ opacity })),
    note,
  );

  /** Pairs are opened one after the other; the last one counts. */
  let opened = 0;
  let opening = /** @type {Promise<unknown>} */ (Promise.resolve());

  async function open() {
    const mine = ++opened;
    state.set(none);
    const [pre, post] = [form.file("pre"), form.file("post")];
    swap.hidden = !pre || !post;
    if (!pre) return;
    try {
      const [{ openScene }, { PairMap }] = await Promise.all([
        import("../damage/scene.js"),
        import("../damage/map.js"),
      ]);
      const scenes = [openScene(pre, options.hints("pre")), post ? openScene(post, options.hints("post")) : null];
      const [before, after] = await Promise.all(scenes);
      if (mine !== opened || !before) return;
      map ??= new PairMap(
        target,
        (text) => fill(readout, text),
        (n) => state.set({ selected: n }),
      );
      fill(note, await map.open(before, after));
      await map.outline(form.file("districts"));
      state.set({ shown: true });
    } catch (error) {
      if (mine === opened) form.work.show(problemOf(error));
    }
  }

  function exchange() {
    const [pre, post] = [form.file("pre"), form.file("post")];
    form.files.find(({ part }) => part.name === "pre")?.set(post);
    form.files.find(({ part }) => part.name === "post")?.set(pre);
  }

  const path = (whole = false) =>
    `v1/${task.name}?${new URLSearchParams([["model", form.model.value], ...options.query(whole)])}`;

  async function send() {
    const report = await form.work.start(
      (run) => askLongJson(path(true), form.body(), run),
      () => void send(),
    );
    if (!report) return;
    await opening;
    const buildings = report.footprints ? graded(report.footprints) : report.regions;
    try {
      await map?.show(buildings, report.classes, report.footprints ? form.file("footprints") : null);
      const sure = report.files?.confidence;
      // Of what lies beside footprints that were sent the model is not asked, and 1 stands there.
      const cover = async () =>
        (await import("../damage/scene.js")).openConfidence(blobOf(sure, "image/tiff"), report.footprints ? 2 : 1);
      map?.cover(sure ? await cover() : null);
    } catch (error) {
      form.work.show(problemOf(error));
    }
    state.set({ ...none, report, buildings });
  }

  /** @type {State | null} */
  let before = null;
  state.watch((now) => {
    empty.hidden = now.shown;
    line.hidden = swipe.disabled = !now.shown;
    line.style.left = `${100 * now.swipe}%`;
    swipe.value = String(1000 * now.swipe);
    layer.hidden = !now.report && !note.textContent;
    map?.set(now);
    if (now.report !== before?.report) {
      list = null;
      fill(results, now.report && panel(now.report));
      if (!now.report) void map?.show([], []);
      if (!now.report) map?.cover(null);
    }
    if (before && now.hidden !== before.hidden) list?.hide(now.hidden);
    if (now.selected !== before?.selected) list?.mark(now.selected);
    before = now;
  });

  /** @param {Report} report */
  function panel(report) {
    const { buildings, hidden } = state.get();
    const ofClass = (/** @type {number} */ value) => buildings.filter((one) => one.class === value).length;
    const choose = (/** @type {number} */ n) => {
      state.set({ selected: n });
      map?.look(buildings[n]);
    };
    list = buildingList(buildings, report.classes, { hidden, choose });
    return h(
      "div",
      {},
      section(
        "Classes",
        legend(report.classes, {
          toggle: (value) => state.set({ hidden: toggled(state.get().hidden, value) }),
          counts: (one) => one.buildings ?? ofClass(one.value),
          counted: "buildings",
        }),
        report.files?.confidence && h("p", { class: "fine" }, "Violet covers what the model is unsure of."),
      ),
      section(`Buildings: ${number(buildings.length)}`, list.element),
      report.alignment && section("Pair", pairFacts(report)),
      report.districts && section("Districts", districtTable(report.districts)),
      ...closing(report, {
        name: task.name,
        formats: task.formats.filter((format) => report.geography || !GEOGRAPHIC.test(format)),
        path: path(),
        body: () => form.body(),
        work: form.work,
        here: report.files?.confidence
          ? [
              {
                label: "Confidence (GeoTIFF)",
                file: `${task.name}-confidence.tif`,
                blob: () => blobOf(report.files.confidence, "image/tiff"),
              },
            ]
          : [],
        also: [{ label: "Overlay", file: `${task.name}-overlay.png`, query: "&overlay=true" }],
      }),
    );
  }

  return { element: workspace(area, section(task.title, form.element), layer, results) };
}
