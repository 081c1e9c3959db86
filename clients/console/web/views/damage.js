/** Damage per building: a pair on a map, a swipe between before and after, and every building in a list. */

import { buildingList } from "../damage/buildings.js";
import { districtTable, pairFacts } from "../damage/facts.js";
import { problemOf } from "../lib/api.js";
import { fill, h, iconButton, number } from "../lib/dom.js";
import { askLongJson } from "../lib/jobs.js";
import { TaskForm, droppable, modelsOf } from "../lib/form.js";
import { downloads, emptyStage, jsonBlob, legend, noticeList, provenanceList, section, slider } from "../lib/panels.js";
import { slice } from "../lib/store.js";

/** @typedef {Record<string, any>} Report */
/**
 * @typedef {object} State
 * @property {Report | null} report
 * @property {ReadonlySet<number>} hidden
 * @property {number} opacity
 * @property {number} swipe
 * @property {number | null} selected
 * @property {boolean} shown whether there is a map
 */

const NAMES = { pre: /pre|before|_a\./i, post: /post|after|_b\./i, footprints: /foot.*json$/i, districts: /json$/i };
const GEOGRAPHIC = new Set(["application/geo+json", "application/geopackage+sqlite3"]);

/** @param {import("../lib/store.js").Task} task @returns {import("../console.js").View} */
export function view(task) {
  const state = slice(
    task.name,
    /** @type {State} */ ({ report: null, hidden: new Set(), opacity: 0.8, swipe: 0.5, selected: null, shown: false }),
  );
  const target = h("div", {
    class: "map",
    tabIndex: 0,
    role: "application",
    "aria-label": "Map of the pair with its buildings; arrow keys move it, plus and minus zoom",
  });
  const readout = h("p", { class: "readout" });
  const note = h("p", { class: "fine", role: "status" });
  const align = h(
    "select",
    { "aria-label": "Alignment" },
    ...[
      ["", "as the images need"],
      ["auto", "auto"],
      ["off", "off"],
      ["require", "require"],
    ].map(([value, text]) => h("option", { value }, text)),
  );
  const form = new TaskForm(task, {
    verb: "Assess",
    models: [...modelsOf(task), "fused"],
    labels: { pre: "before", post: "after" },
    extra: [h("label", { class: "field" }, h("span", {}, "Align"), align)],
    changed: (part) => {
      if (part.required) opening = open();
    },
    send: () => void send(),
  });
  const results = h("div", { "aria-live": "polite" });
  const empty = emptyStage(
    task.title,
    "Two images of one place, before and after: GeoTIFF, PNG or JPEG. Drop both at once; names with pre and post say which is which.",
    () => form.files[0].input.click(),
    "Choose the image before",
  );
  const swipe = h("input", {
    type: "range",
    class: "swipe",
    min: 0,
    max: 1000,
    value: 500,
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
    iconButton("minus", "Zoom out", () => map?.zoom(-1)),
    iconButton("plus", "Zoom in", () => map?.zoom(1)),
    iconButton("fit", "Fit", () => map?.fit()),
    h("span", { class: "gap" }),
    h("span", { class: "side-label" }, "Before"),
    swipe,
    h("span", { class: "side-label" }, "After"),
  );
  const area = h("div", { class: "stage" }, target, line, bar, readout, empty);
  droppable(area, (files) => form.take(files, NAMES));
  swipe.addEventListener("input", () => state.set({ swipe: Number(swipe.value) / 1000 }));
  const layer = section(
    "Layer",
    slider("Opacity", state.get().opacity, (opacity) => state.set({ opacity })),
    note,
  );

  /** Pairs are opened one after the other; the last one counts. */
  let opened = 0;
  let opening = Promise.resolve();

  async function open() {
    const mine = ++opened;
    state.set({ report: null, hidden: new Set(), selected: null });
    const [pre, post] = [form.file("pre"), form.file("post")];
    if (!pre) return;
    try {
      const [{ openScene }, { PairMap }] = await Promise.all([
        import("../damage/scene.js"),
        import("../damage/map.js"),
      ]);
      const scenes = await Promise.all([openScene(pre), post ? openScene(post) : null]);
      if (mine !== opened) return;
      map ??= new PairMap(
        target,
        (text) => fill(readout, text),
        (n) => state.set({ selected: n }),
      );
      fill(note, await map.open(scenes[0], scenes[1]));
      state.set({ shown: true });
    } catch (error) {
      if (mine === opened) form.work.show(problemOf(error));
    }
  }

  const query = () => new URLSearchParams({ model: form.model.value, ...(align.value ? { align: align.value } : {}) });

  async function send() {
    const report = await form.work.start(
      (run) => askLongJson(`v1/${task.name}?${query()}`, form.body(), run),
      () => void send(),
    );
    if (!report) return;
    await opening;
    map?.show(report.regions, report.classes);
    state.set({ report, hidden: new Set(), selected: null });
  }

  /** @type {State | null} */
  let before = null;
  state.watch((now) => {
    empty.hidden = now.shown;
    line.hidden = swipe.disabled = !now.shown;
    line.style.left = `${100 * now.swipe}%`;
    swipe.value = String(1000 * now.swipe);
    layer.hidden = !now.report;
    map?.set(now);
    if (now.report !== before?.report) {
      list = null;
      fill(results, now.report && panel(now.report));
      if (!now.report) map?.show([], []);
    }
    if (before && now.hidden !== before.hidden) list?.hide(now.hidden);
    if (now.selected !== before?.selected) list?.mark(now.selected);
    before = now;
  });

  /** @param {number} value */
  function toggle(value) {
    const hidden = new Set(state.get().hidden);
    if (!hidden.delete(value)) hidden.add(value);
    state.set({ hidden });
  }

  /** @param {Report} report */
  function panel(report) {
    const counts = (/** @type {number} */ value) =>
      report.regions.filter((/** @type {any} */ region) => region.class === value).length;
    list = buildingList(report.regions, report.classes, {
      hidden: state.get().hidden,
      choose: (n) => {
        state.set({ selected: n });
        map?.look(report.regions[n]);
      },
    });
    return h(
      "div",
      {},
      section("Classes", legend(report.classes, { hidden: new Set(), toggle, counts, counted: "buildings" })),
      section(`Buildings: ${number(report.regions.length)}`, list.element),
      report.alignment && section("Pair", pairFacts(report)),
      report.districts && section("Districts", districtTable(report.districts)),
      noticeList(report.notices),
      downloads({
        name: task.name,
        formats: task.formats.filter((format) => report.geography || !GEOGRAPHIC.has(format)),
        path: `v1/${task.name}?${query()}`,
        body: () => form.body(),
        work: form.work,
        here: [{ label: "Report (JSON)", file: `${task.name}.json`, blob: () => jsonBlob(report) }],
        also: [["Overlay", "&overlay=true"]],
      }),
      provenanceList(report.provenance),
    );
  }

  const side = h("div", { class: "side" }, section(task.title, form.element), layer, results);
  return { element: h("div", { class: "view" }, area, side) };
}
