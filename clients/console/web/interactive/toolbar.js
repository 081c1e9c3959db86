/** The tools over the image, and what mouse, fingers and keys do. */

import { h, icon, iconButton } from "../lib/dom.js";
import { zoomTools } from "../lib/panels.js";
import { facts } from "../lib/tables.js";

/** @param {import("./log.js").Log} log @param {import("../lib/stage.js").Stage} stage @param {() => void} next begins another object */
export function toolbar(log, stage, next) {
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
  const another = h(
    "button",
    { type: "button", title: "What comes next begins another object (O)", onclick: next },
    "New",
  );
  const undo = iconButton("undo", "Undo (Ctrl Z)", () => log.undo());
  const redo = iconButton("redo", "Redo (Shift Ctrl Z)", () => log.redo());
  const gap = () => h("span", { class: "gap" });
  const bar = h(
    "div",
    { class: "toolbar full", role: "toolbar", "aria-label": "Tools" },
    draw,
    pan,
    gap(),
    another,
    negative,
    gap(),
    undo,
    redo,
    gap(),
    ...zoomTools(() => [stage]),
  );
  /** @param {import("./log.js").State} now */
  const refresh = (now) => {
    another.disabled = log.active === null;
    draw.setAttribute("aria-pressed", String(now.tool === "draw"));
    pan.setAttribute("aria-pressed", String(now.tool === "pan"));
    negative.setAttribute("aria-pressed", String(now.negative));
    undo.disabled = !now.past.length || now.steps > 0;
    redo.disabled = !now.future.length || now.steps > 0;
  };
  return { bar, refresh };
}

export const keysHelp = () =>
  facts([
    ["Drag", "a box: begins an object"],
    ["Click", "adds to the chosen object; on another object, chooses that"],
    ["Right button, Alt, Shift", "takes away from it"],
    ["Wheel, pinch, + −, 0", "zoom; 0 fits"],
    ["Arrows, Enter, Alt Enter", "move a cross, click there, click away"],
    ["B … B", "two corners of a box at the cross"],
    ["Enter twice, or B", "closes an outline of the tool polygon"],
    ["O, N, P", "another object; clicks take away; move the image"],
    ["Page Up, Page Down, Delete", "choose an object; delete it"],
    ["Ctrl Z, Shift Ctrl Z", "undo, redo"],
  ]);
