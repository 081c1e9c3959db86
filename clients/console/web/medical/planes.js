/** Three planes through a volume: the slice and two across it, with labels over them, and a cross that moves all. */

import { css } from "../lib/dom.js";
import { contextOf, newCanvas } from "../lib/pictures.js";
import { Stage } from "../lib/stage.js";

/** @typedef {import("./volume.js").Volume} Volume */
/** @typedef {"axial" | "coronal" | "sagittal"} Name */
/**
 * @typedef {object} Look how it is looked at
 * @property {Volume | null} volume
 * @property {Uint8Array | null} labels in the volume's order
 * @property {number[][]} colours of the classes, by value
 * @property {ReadonlySet<number>} hidden
 * @property {number} opacity
 * @property {[number, number]} window centre and width
 * @property {[number, number, number]} at column, row and slice of the cross
 */

/** Which axes of the volume run across and down, and which is fixed. @type {Record<Name, [number, number, number]>} */
export const AXES = { axial: [0, 1, 2], coronal: [0, 2, 1], sagittal: [1, 2, 0] };

export class Plane {
  /**
   * @param {HTMLCanvasElement} canvas @param {Name} name @param {() => Look} look
   * @param {{ move: (at: [number, number, number]) => void, window: (window: [number, number]) => void, turn: (steps: number) => void, drags: () => "cross" | "window" }} hands
   */
  constructor(canvas, name, look, hands) {
    this.name = name;
    this.look = look;
    this.hands = hands;
    this.image = newCanvas(1, 1);
    this.stage = new Stage(canvas, (context) => this.#paint(context));
    this.stage.pans = false;
    this.stage.turned = (steps) => hands.turn(steps);
    this.stage.gesture = {
      start: (at, event) => this.#start(at, event),
      move: (at, event) => this.#move(at, event),
      end: () => this.#drop(),
      cancel: () => this.#drop(),
    };
  }

  #drawn = "";
  /** @type {{ x: number, y: number, window: [number, number] } | null} */
  #window = null;
  #crossing = false;

  /** Pixels of the stage per voxel, across and down: the finest spacing is 1. */
  get #pitch() {
    const volume = this.look().volume;
    const [across, down] = AXES[this.name];
    const finest = volume ? Math.min(volume.spacing[across], volume.spacing[down]) : 1;
    return volume ? [volume.spacing[across] / finest, volume.spacing[down] / finest] : [1, 1];
  }

  /** The size has changed, or the volume. */
  open() {
    const { volume } = this.look();
    if (!volume) return;
    const [across, down] = AXES[this.name];
    const [x, y] = this.#pitch;
    this.#drawn = "";
    this.stage.open(volume.size[across] * x, volume.size[down] * y);
  }

  redraw() {
    this.stage.redraw();
  }

  /** Labels or their colours have changed. */
  forget() {
    this.#drawn = "";
    this.stage.redraw();
  }

  /** @param {CanvasRenderingContext2D} context */
  #paint(context) {
    const { volume, at } = this.look();
    if (!volume) return;
    this.#render();
    const [across, down] = AXES[this.name];
    const [x, y] = this.#pitch;
    context.drawImage(this.image, 0, 0, volume.size[across] * x, volume.size[down] * y);
    const [column, row] = [(at[across] + 0.5) * x, (this.#row(at[down]) + 0.5) * y];
    context.strokeStyle = "rgb(107 185 234 / 0.75)";
    context.lineWidth = 1 / this.stage.scale;
    context.beginPath();
    context.moveTo(column, 0);
    context.lineTo(column, this.stage.height);
    context.moveTo(0, row);
    context.lineTo(this.stage.width, row);
    context.stroke();
  }

  /** Heads are up: slices run upwards where they are seen from the side. @param {number} n */
  #row(n) {
    const { volume } = this.look();
    return this.name === "axial" || !volume ? n : volume.size[2] - 1 - n;
  }

  #render() {
    const {
      volume,
      labels,
      colours,
      hidden,
      opacity,
      window: [centre, width],
      at,
    } = this.look();
    if (!volume) return;
    const [across, down, fixed] = AXES[this.name];
    const key = [at[fixed], centre, width, opacity, [...hidden]].join();
    if (key === this.#drawn) return;
    this.#drawn = key;
    const [columns, rows] = [volume.size[across], volume.size[down]];
    Object.assign(this.image, { width: columns, height: rows });
    const context = contextOf(this.image);
    const picture = context.createImageData(columns, rows);
    const strides = [1, volume.size[0], volume.size[0] * volume.size[1]];
    const low = centre - width / 2;
    for (let row = 0, to = 0; row < rows; row++)
      for (let column = 0; column < columns; column++, to += 4) {
        const from = column * strides[across] + this.#row(row) * strides[down] + at[fixed] * strides[fixed];
        const grey = Math.min(255, Math.max(0, (255 * (volume.values[from] - low)) / width));
        const label = labels ? labels[from] : 0;
        const colour = label && !hidden.has(label) ? colours[label] : null;
        for (let band = 0; band < 3; band++)
          picture.data[to + band] = colour ? grey * (1 - opacity) + colour[band] * opacity : grey;
        picture.data[to + 3] = 255;
      }
    context.putImageData(picture, 0, 0);
  }

  /** @param {import("../lib/stage.js").Point} at @param {PointerEvent} event */
  #start(at, event) {
    if (event.button === 2 || this.hands.drags() === "window")
      this.#window = { x: event.clientX, y: event.clientY, window: this.look().window };
    else {
      this.#crossing = true;
      this.#cross(at);
    }
  }

  /** @param {import("../lib/stage.js").Point} at @param {PointerEvent} event */
  #move(at, event) {
    if (this.#crossing) this.#cross(at);
    if (!this.#window) return;
    const {
      x,
      y,
      window: [centre, width],
    } = this.#window;
    const step = Math.max(0.5, width / 250);
    this.hands.window([
      Math.round(centre + (event.clientY - y) * step),
      Math.max(1, Math.round(width + (event.clientX - x) * step)),
    ]);
  }

  #drop() {
    this.#window = null;
    this.#crossing = false;
  }

  /** @param {import("../lib/stage.js").Point} point */
  #cross({ x, y }) {
    const { volume, at } = this.look();
    if (!volume) return;
    const [across, down] = AXES[this.name];
    const [wide, high] = this.#pitch;
    const to = /** @type {[number, number, number]} */ ([...at]);
    const within = (/** @type {number} */ n, /** @type {number} */ size) =>
      Math.min(size - 1, Math.max(0, Math.floor(n)));
    to[across] = within(x / wide, volume.size[across]);
    to[down] = this.#row(within(y / high, volume.size[down]));
    this.hands.move(to);
  }
}

/**
 * Draw how much of each class there is in each slice.
 *
 * @param {HTMLCanvasElement} canvas @param {Look} look
 */
export function drawProfile(canvas, { volume, labels, colours, hidden, at }) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!volume || !width) return;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const context = contextOf(canvas);
  context.scale(ratio, ratio);
  const slices = volume.size[2];
  const size = volume.size[0] * volume.size[1];
  const counts = Array.from({ length: slices }, () => new Uint32Array(256));
  if (labels) for (let n = 0; n < labels.length; n++) counts[(n / size) | 0][labels[n]]++;
  const shown = colours.map((_, value) => value).filter((value) => value && !hidden.has(value));
  const most = Math.max(1, ...counts.map((of) => shown.reduce((sum, value) => sum + of[value], 0)));
  const step = width / slices;
  counts.forEach((of, n) => {
    let top = height;
    for (const value of shown) {
      const tall = (of[value] / most) * (height - 2);
      context.fillStyle = css(colours[value]);
      context.fillRect(n * step, top - tall, Math.max(1, step - 0.5), tall);
      top -= tall;
    }
  });
  context.fillStyle = "#6bb9ea";
  context.fillRect((at[2] + 0.5) * step - 1, 0, 2, height);
}
