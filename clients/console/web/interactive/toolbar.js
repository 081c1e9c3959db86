/** The tools over the image, and what mouse, fingers and keys do. */

import { h, icon, iconButton } from "../lib/dom.js";

/** @param {import("./log.js").Log} log @param {import("../lib/stage.js").Stage} stage */
export function toolbar(log, stage) {
  const { state } = log;
  const tool = (/** @type {"draw" | "pan"} */ name, /** @type {string} */ label) =>
    iconButton(name === "draw" ? "draw" : "hand", label, () => state.set({ tool: name }));
  const draw = tool("draw", "Box and click");
  const pan = tool("pan", "Move the image (P)");
  const negative = h(
    "button",
    {
      type: "button",
      title: "Clicks mark what is too much (N, right button or Alt)",
      onclick: () => state.set({ negative: !state.get().negative }),
    },
    icon("minus"),
    "Too much",
  );
  const undo = iconButton("undo", "Undo (Ctrl Z)", () => log.undo());
  const redo = iconButton("redo", "Redo (Shift Ctrl Z)", () => log.redo());
  const gap = () => h("span", { class: "gap" });
  const bar = h(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Tools" },
    draw,
    pan,
    gap(),
    negative,
    gap(),
    undo,
    redo,
    gap(),
    iconButton("minus", "Zoom out", () => stage.zoom(0.8)),
    iconButton("plus", "Zoom in", () => stage.zoom(1.25)),
    iconButton("fit", "Fit", () => stage.fit()),
  );
  /** @param {import("./log.js").State} now */
  const refresh = (now) => {
    draw.setAttribute("aria-pressed", String(now.tool === "draw"));
    pan.setAttribute("aria-pressed", String(now.tool === "pan"));
    negative.setAttribute("aria-pressed", String(now.negative));
    undo.disabled = !now.past.length || now.steps > 0;
    redo.disabled = !now.future.length || now.steps > 0;
  };
  return { bar, refresh };
}

export function keysHelp() {
  const rows = [
    ["Drag", "a box: begins an object"],
    ["Click", "adds to the chosen object; on another object, chooses that"],
    ["Right button, Alt, Shift", "takes away from it"],
    ["Wheel, pinch, + −, 0", "zoom; 0 fits"],
    ["Arrows, Enter, Alt Enter", "move a cross, click there, click away"],
    ["B … B", "two corners of a box at the cross"],
    ["N, P", "clicks take away; move the image"],
    ["Page Up, Page Down, Delete", "choose an object; delete it"],
    ["Ctrl Z, Shift Ctrl Z", "undo, redo"],
  ];
  return h("dl", { class: "facts" }, ...rows.flatMap(([keys, what]) => [h("dt", {}, keys), h("dd", {}, what)]));
}
