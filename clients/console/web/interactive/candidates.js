/** What a click without a box may mean: the model's other answers, small and beside each other, to take one of. */

import { css, fill, h, number } from "../lib/dom.js";
import { contextOf, newCanvas } from "../lib/pictures.js";
import { stamp } from "./masks.js";

/** @typedef {import("./masks.js").Candidate} Candidate */

const [WIDE, HIGH] = [108, 81];
const AROUND = 0.15;

/** @param {import("./log.js").Log} log */
export function candidateList(log) {
  const buttons = h("div", { class: "candidates" });
  const element = h("div", { hidden: true }, h("p", { class: "fine" }, "The click may mean:"), buttons);
  /** @type {unknown} */
  let drawn = null;
  log.state.watch(({ picture }) => {
    const { active } = log;
    const asked = active?.found && active.events.length === 1 && !active.events[0].box ? active : null;
    if (asked?.found === drawn) return;
    drawn = asked?.found;
    const candidates = (asked?.found?.candidates ?? []).filter((one) => one.box);
    element.hidden = candidates.length < 2 || !picture;
    fill(buttons, ...(element.hidden || !picture || !asked ? [] : candidates.map((one, n) => button(one, n))));

    /** @param {Candidate} one @param {number} n */
    function button(one, n) {
      const canvas = small(/** @type {HTMLCanvasElement} */ (picture), one, around(candidates), asked?.colour ?? []);
      return h(
        "button",
        {
          type: "button",
          "aria-label": `Meaning ${n + 1}: ${number(one.area)} pixels, score ${one.score.toFixed(2)}`,
          onclick: () => (n ? log.add({ box: one.box }) : log.choose(asked?.id ?? null)),
        },
        canvas,
        h("span", { class: "fine" }, `${number(one.area)} px · ${one.score.toFixed(2)}`),
      );
    }
  });
  return element;
}

/** What all candidates lie in, in the form of a button, with some ground around it. @param {Candidate[]} candidates */
function around(candidates) {
  const boxes = candidates.map((one) => /** @type {number[]} */ (one.box));
  const [x0, y0] = [0, 1].map((n) => Math.min(...boxes.map((box) => box[n])));
  const [x1, y1] = [2, 3].map((n) => Math.max(...boxes.map((box) => box[n])));
  const scale = Math.min(WIDE / (x1 - x0), HIGH / (y1 - y0)) * (1 - 2 * AROUND);
  return { scale, left: (x0 + x1) / 2 - WIDE / 2 / scale, top: (y0 + y1) / 2 - HIGH / 2 / scale };
}

/**
 * @param {HTMLCanvasElement} picture @param {Candidate} candidate
 * @param {{ scale: number, left: number, top: number }} view @param {readonly number[]} colour
 */
function small(picture, candidate, { scale, left, top }, colour) {
  const canvas = newCanvas(WIDE, HIGH);
  const context = contextOf(canvas);
  context.drawImage(picture, -left * scale, -top * scale, picture.width * scale, picture.height * scale);
  const mask = new Uint8Array(picture.width * picture.height);
  stamp(candidate, mask, 1);
  context.fillStyle = css(colour, 0.55);
  for (let y = 0; y < HIGH; y++)
    for (let x = 0; x < WIDE; x++) {
      const [column, row] = [Math.floor(left + (x + 0.5) / scale), Math.floor(top + (y + 0.5) / scale)];
      const inside = column >= 0 && row >= 0 && column < picture.width && row < picture.height;
      if (inside && mask[row * picture.width + column]) context.fillRect(x, y, 1, 1);
    }
  return canvas;
}
