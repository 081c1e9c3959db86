/** Samples to try each task with, drawn by code: a town before and after a storm, a table, a chest, a belt of waste. */

import { newCanvas } from "./pictures.js";

/** @typedef {CanvasRenderingContext2D} Context */
/** @typedef {() => number} Random 0 to 1 */

/** @type {Record<string, () => Promise<File[]>>} */
const SAMPLES = {
  damage: async () => [
    await picture("pre.png", 768, 768, (context) => town(context, false)),
    await picture("post.png", 768, 768, (context) => town(context, true)),
  ],
  interactive: async () => [await picture("table.png", 960, 720, table)],
  ct: async () => [new File([chestVolume()], "chest.nii", { type: "application/x-nifti" })],
  radiograph: async () => [await picture("radiograph.png", 800, 800, radiograph)],
  waste: async () => [await picture("waste.png", 960, 640, belt)],
};

/** Return the files of a task's sample, in the order of its parts. @param {string} task */
export const draw = (task) => SAMPLES[task]();

/** @param {string} name @param {number} width @param {number} height @param {(context: Context) => void} paint */
async function picture(name, width, height, paint) {
  const canvas = newCanvas(width, height);
  paint(/** @type {Context} */ (canvas.getContext("2d", { alpha: false })));
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], name, { type: "image/png" });
}

/** The same numbers each time (mulberry32). @param {number} seed @returns {Random} */
function randomOf(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Grain over all that is painted so far. @param {Context} context @param {number} by @param {Random} random */
function grain(context, by, random) {
  const { width, height } = context.canvas;
  const image = context.getImageData(0, 0, width, height);
  for (let n = 0; n < image.data.length; n += 4) {
    const noise = by * (random() + random() - 1);
    for (let band = 0; band < 3; band++) image.data[n + band] += noise;
  }
  context.putImageData(image, 0, 0);
}

/** @param {Context} context @param {boolean} after the storm */
function town(context, after) {
  const random = randomOf(7);
  const { width, height } = context.canvas;
  context.fillStyle = after ? "#7d7550" : "#7c7a4e";
  context.fillRect(0, 0, width, height);
  for (let n = 0; n < 240; n++) {
    context.fillStyle = `rgb(${90 + 50 * random()} ${95 + 40 * random()} ${55 + 25 * random()} / 0.25)`;
    context.beginPath();
    context.ellipse(width * random(), height * random(), 20 + 60 * random(), 15 + 30 * random(), 3 * random(), 0, 7);
    context.fill();
  }
  context.strokeStyle = "#85837f";
  context.lineWidth = 20;
  for (const at of [150, 400, 640]) {
    context.strokeRect(-30, at, width + 60, 0);
    context.strokeRect(at - 10, -30, 0, height + 60);
  }
  for (const y of [40, 205, 300, 455, 550, 700])
    for (let x = 44; x < width - 30; x += 62)
      if (Math.min(...[140, 390, 630].map((road) => Math.abs(x - road))) > 34 && random() < 0.85)
        house(context, x, y, after, random);
  for (let n = 0; n < 90; n++)
    tree(context, width * random(), height * random(), 5 + 8 * random(), after && random() < 0.5);
  grain(context, 16, random);
}

/** @param {Context} context @param {number} x @param {number} y @param {boolean} after @param {Random} random */
function house(context, x, y, after, random) {
  const [wide, high] = [32 + 14 * random(), 26 + 12 * random()];
  const roof = [
    [158, 84, 66],
    [136, 128, 122],
    [176, 160, 138],
    [112, 104, 104],
  ][Math.floor(4 * random())];
  const turn = 0.3 * (random() - 0.5);
  // The storm ran from one corner to the opposite one.
  const hit = Math.abs(x - y) < 150 ? random() : 1;
  context.save();
  context.translate(x, y);
  context.rotate(turn);
  const torn = after && hit < 0.75;
  context.fillStyle = torn ? "rgb(120 104 84)" : "rgb(30 30 30 / 0.5)";
  context.fillRect(-wide / 2 + 4, -high / 2 + 5, wide, high);
  const shade = (/** @type {number} */ by) => `rgb(${roof.map((tone) => tone * by).join(" ")})`;
  if (!torn) {
    context.fillStyle = shade(1.12);
    context.fillRect(-wide / 2, -high / 2, wide, high / 2);
    context.fillStyle = shade(0.82);
    context.fillRect(-wide / 2, 0, wide, high / 2);
  }
  const pieces = torn ? 110 : after && hit < 1 ? 14 : 0;
  for (let n = 0; n < pieces; n++) {
    const tone = 60 + 150 * random();
    context.fillStyle = `rgb(${tone} ${tone * 0.93} ${tone * 0.84})`;
    const reach = torn ? 1.25 : 0.8;
    context.fillRect(
      wide * reach * (random() - 0.5),
      high * reach * (random() - 0.5),
      2 + 6 * random(),
      2 + 4 * random(),
    );
  }
  context.restore();
}

/** @param {Context} context @param {number} x @param {number} y @param {number} size @param {boolean} bare */
function tree(context, x, y, size, bare) {
  for (const [by, colour] of /** @type {[number, string][]} */ ([
    [1, bare ? "rgb(70 60 48 / 0.5)" : "rgb(34 44 24 / 0.9)"],
    [0.75, bare ? "rgb(110 96 74 / 0.5)" : "rgb(66 82 42)"],
  ])) {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x + (1 - by) * -3, y + (1 - by) * -3, size * by, 0, 7);
    context.fill();
  }
}

/** @param {Context} context */
function table(context) {
  const { width, height } = context.canvas;
  for (let y = 0; y < height; y++) {
    const by = 9 * Math.sin(y / 9 + Math.sin(y / 70));
    context.fillStyle = `rgb(${134 + by} ${98 + by} ${66 + by})`;
    context.fillRect(0, y, width, 1);
  }
  context.filter = "blur(2px)";
  for (const [x, y, radius, colour] of /** @type {[number, number, number, string][]} */ ([
    [640, 250, 110, "#e89220"],
    [700, 520, 90, "#609634"],
    [300, 340, 150, "#c42824"],
  ])) {
    context.fillStyle = "rgb(72 50 34)";
    context.beginPath();
    context.ellipse(x + 30, y + 32, radius, radius * 0.92, 0, 0, 7);
    context.fill();
    const light = context.createRadialGradient(x - radius / 3, y - radius / 3, 0, x, y, radius);
    light.addColorStop(0, `color-mix(in srgb, ${colour}, white 45%)`);
    light.addColorStop(0.5, colour);
    light.addColorStop(1, `color-mix(in srgb, ${colour}, black 18%)`);
    context.fillStyle = light;
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fill();
  }
}

/** @param {Context} context */
function radiograph(context) {
  const { width, height } = context.canvas;
  const random = randomOf(5);
  context.filter = "blur(14px)";
  context.fillStyle = "rgb(150 150 150)";
  context.fillRect(-50, -50, width + 100, height + 100);
  context.fillStyle = "rgb(62 62 62)";
  for (const side of [0.3, 0.71]) {
    context.beginPath();
    context.ellipse(width * side, height * 0.47, width * 0.16, height * 0.31, 0, 0, 7);
    context.fill();
  }
  context.fillStyle = "rgb(196 196 196)";
  context.fillRect(width * 0.465, 0, width * 0.07, height);
  context.beginPath();
  context.ellipse(width * 0.56, height * 0.6, width * 0.14, height * 0.16, 0.5, 0, 7);
  context.fill();
  context.filter = "blur(4px)";
  context.strokeStyle = "rgb(255 255 255 / 0.16)";
  context.lineWidth = 15;
  for (let rib = 0; rib < 8; rib++)
    for (const side of [0.3, 0.71]) {
      context.beginPath();
      context.ellipse(
        width * side,
        height * (0.24 + 0.075 * rib),
        width * 0.19,
        height * 0.06,
        0,
        Math.PI,
        2 * Math.PI,
      );
      context.stroke();
    }
  context.filter = "none";
  const image = context.getImageData(0, 0, width, height);
  for (let n = 0; n < image.data.length; n += 4) {
    const noise = 14 * (random() + random() - 1);
    // Grey must stay grey.
    image.data.fill(image.data[n] + noise, n, n + 3);
  }
  context.putImageData(image, 0, 0);
}

/** @param {Context} context */
function belt(context) {
  const random = randomOf(4);
  const { width, height } = context.canvas;
  context.fillStyle = "#55534f";
  context.fillRect(0, 0, width, height);
  for (let n = 0; n < 34; n++) {
    const [x, y, size] = [width * random(), height * random(), 30 + 70 * random()];
    context.fillStyle = `hsl(${360 * random()} ${55 * random()}% ${35 + 50 * random()}%)`;
    context.strokeStyle = "rgb(20 20 20 / 0.7)";
    context.beginPath();
    for (let corner = 0, turn = 7 * random(); corner < 9; corner++, turn += 0.7)
      context.lineTo(
        x + size * (0.7 + 0.3 * random()) * Math.cos(turn),
        y + size * (0.6 + 0.3 * random()) * Math.sin(turn),
      );
    context.closePath();
    context.fill();
    context.stroke();
  }
  grain(context, 22, random);
}

/** A chest with lesions in its lungs as NIfTI, in Hounsfield units: 192 × 192 × 24 voxels. */
function chestVolume() {
  const [side, slices, offset] = [192, 24, 352];
  const buffer = new ArrayBuffer(offset + 2 * side * side * slices);
  const view = new DataView(buffer);
  view.setInt32(0, 348, true);
  [3, side, side, slices, 1, 1, 1, 1].forEach((size, n) => view.setInt16(40 + 2 * n, size, true));
  view.setInt16(70, 4, true);
  view.setInt16(72, 16, true);
  [1, 1.9, 1.9, 10].forEach((step, n) => view.setFloat32(76 + 4 * n, step, true));
  view.setFloat32(108, offset, true);
  view.setFloat32(112, 1, true);
  view.setUint8(123, 2);
  view.setInt16(254, 1, true);
  // Columns run to the patient's left, rows to the back, as in DICOM.
  [-1.9, -1.9, 10].forEach((step, n) => view.setFloat32(280 + 20 * n, step, true));
  [0x6e, 0x2b, 0x31].forEach((letter, n) => view.setUint8(344 + n, letter));
  const values = new Int16Array(buffer, offset);
  const random = randomOf(11);
  const within = (/** @type {number[]} */ at, /** @type {number[]} */ middle, /** @type {number[]} */ reach) =>
    at.reduce((sum, one, n) => sum + ((one - middle[n]) / reach[n]) ** 2, 0) < 1;
  for (let n = 0; n < values.length; n++) {
    const at = [n % side, Math.floor(n / side) % side].map((one) => (2 * one) / (side - 1) - 1);
    const z = (2 * Math.floor(n / side / side)) / (slices - 1) - 1;
    at.push(z);
    let units = -1000;
    if (within(at, [0, 0, 0], [0.88, 0.62, 9])) units = -90;
    if (within(at, [0, 0, 0], [0.83, 0.57, 9])) units = 45;
    for (const lung of [-0.4, 0.4])
      if (within(at, [lung, 0, 0], [0.33, 0.46, 1.05])) {
        units = -840;
        if (within(at, [lung * 0.9, 0.2, -0.3], [0.17, 0.17, 0.35])) units = -480;
        if (lung > 0 && within(at, [0.52, 0.02, 0.15], [0.12, 0.12, 0.3])) units = -20;
      }
    if (within(at, [-0.06, -0.12, 0], [0.2, 0.22, 0.9])) units = 60;
    if (within(at, [0, 0.42, 0], [0.09, 0.1, 9])) units = 520;
    // Air is without noise: what a model makes of noise is no picture of what it is for.
    values[n] = units + (units > -950 ? 30 * (random() + random() - 1) : 0);
  }
  return buffer;
}
