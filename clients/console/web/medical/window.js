/** The window through which Hounsfield units are seen: presets, centre and width, and the model's own. */

import { askJson } from "../lib/api.js";
import { h } from "../lib/dom.js";

/** @typedef {[number, number]} Window centre and width in Hounsfield units */

/** @type {[string, Window][]} */
export const PRESETS = [
  ["Lung", [-600, 1500]],
  ["Mediastinum", [40, 400]],
  ["Soft tissue", [50, 350]],
  ["Bone", [400, 1800]],
];

/**
 * @param {(window: Window) => void} change
 * @param {() => void} toggle whether a drag sets the window
 */
export function windowTools(change, toggle) {
  const centre = h("input", { type: "number", "aria-label": "Window centre", class: "short" });
  const width = h("input", { type: "number", min: 1, "aria-label": "Window width", class: "short" });
  const presets = h(
    "select",
    { "aria-label": "Window preset", onchange: () => preset(presets.value) },
    ...PRESETS.map(([name]) => h("option", {}, name)),
    h("option", { value: "" }, "Own"),
  );
  const drag = h(
    "button",
    { type: "button", onclick: toggle, title: "Drag sets the window, as the right button always does" },
    "Window drag",
  );
  for (const field of [centre, width])
    field.addEventListener("change", () => change([Number(centre.value), Math.max(1, Number(width.value))]));

  /** @param {string | undefined} name */
  function preset(name) {
    const window = PRESETS.find(([one]) => one === name)?.[1];
    if (window) change(window);
  }

  return {
    elements: [h("label", {}, "Window", presets), h("label", {}, "C", centre), h("label", {}, "W", width), drag],
    preset,
    /** @param {Window} window @param {boolean} drags */
    show(window, drags) {
      [centre.value, width.value] = window.map(String);
      presets.value = PRESETS.find(([, one]) => one.join() === window.join())?.[0] ?? "";
      drag.setAttribute("aria-pressed", String(drags));
    },
    /** Offer the window that a model sees through. @param {string} model */
    async offer(model) {
      const { card } = await askJson(`v1/models/${encodeURIComponent(model)}`);
      if (!card?.window) return;
      PRESETS.push(["Model's own", [(card.window.low + card.window.high) / 2, card.window.high - card.window.low]]);
      presets.insertBefore(h("option", {}, "Model's own"), presets.lastChild);
    },
  };
}
