/** Masks of selected objects: their run lengths, and the files that annotation tools read. */

import { Problem } from "../lib/api.js";
import { crc32, through } from "../lib/packing.js";
import { newCanvas } from "../lib/pictures.js";

/**
 * @typedef {object} Found one object, as the gateway answers it
 * @property {{ size: [number, number], counts: string }} rle
 * @property {{ polygon: [number, number][], holes: [number, number][][], area: number }[]} polygons
 * @property {[number, number, number, number] | null} box far bounds exclusive
 * @property {number} area
 * @property {number | null} score
 * @property {string[]} notices
 * @property {Candidate[]} [candidates] of clicks without a box, the likeliest first, which is the object itself
 */
/** @typedef {Pick<Found, "rle" | "box" | "area"> & { score: number }} Candidate */
/** @typedef {{ name: string, model: string, colour: number[], found: Found }} Kept an object that is exported */

/** Return run lengths, background first, from COCO's compressed text. @param {string} text */
export function runs(text) {
  /** @type {number[]} */
  const counts = [];
  let at = 0;
  while (at < text.length) {
    let value = 0;
    let shift = 0;
    let code;
    do {
      code = text.charCodeAt(at++) - 48;
      value |= (code & 31) << (5 * shift++);
    } while (code & 32);
    if (code & 16) value |= -1 << (5 * shift);
    counts.push(counts.length > 2 ? value + counts[counts.length - 2] : value);
  }
  return counts;
}

/** Write a value where a mask is, row by row; COCO counts column by column. @param {Pick<Found, "rle">} found @param {Uint8Array} into @param {number} value */
export function stamp({ rle: { size, counts } }, into, value) {
  const [height, width] = size;
  let at = 0;
  let inside = false;
  for (const count of runs(counts)) {
    if (inside) for (let n = at; n < at + count; n++) into[(n % height) * width + Math.floor(n / height)] = value;
    at += count;
    inside = !inside;
  }
}

/** Return a COCO annotation file; objects of one name are of one category. @param {Kept[]} objects @param {number} width @param {number} height @param {string} file */
export function coco(objects, width, height, file) {
  const names = [...new Set(objects.map((object) => object.name))];
  return {
    images: [{ id: 1, width, height, file_name: file }],
    annotations: objects
      .map(({ name, found, model }, n) => {
        const [x0, y0, x1, y1] = found.box ?? [0, 0, 0, 0];
        const category_id = names.indexOf(name) + 1;
        return {
          id: n + 1,
          image_id: 1,
          category_id,
          segmentation: found.rle,
          area: found.area,
          bbox: [x0, y0, x1 - x0, y1 - y0],
          iscrowd: 0,
          score: found.score,
          attributes: { model },
        };
      })
      .filter((annotation) => annotation.area > 0),
    categories: names.map((name, n) => ({ id: n + 1, name })),
  };
}

/**
 * Return the masks of a COCO annotation file that are of an image's size, each with the name of its category.
 *
 * @param {string} text @param {number} width @param {number} height
 * @returns {{ name: string, mask: { size: number[], counts: string | number[] } }[]}
 * @throws {Problem}
 */
export function readCoco(text, width, height) {
  /** @type {any} */
  let read = null;
  try {
    read = JSON.parse(text);
  } catch {
    // What is no JSON has no annotations either.
  }
  const names = new Map((read?.categories ?? []).map((/** @type {any} */ one) => [one.id, one.name]));
  const masks = /** @type {any[]} */ (read?.annotations ?? [])
    .filter(({ segmentation }) => segmentation?.counts && segmentation.size?.join() === `${height},${width}`)
    .map(({ segmentation, category_id: category }) => ({ name: names.get(category) ?? "object", mask: segmentation }));
  if (masks.length) return masks;
  throw new Problem({
    title: "There are no masks for this image",
    detail: `Run lengths of ${width} × ${height} pixels are looked for in a COCO annotation file.`,
    code: "not-shown",
  });
}

/** Return outlines as GeoJSON. A picture lies nowhere on Earth: coordinates are its pixels, y downwards. @param {Kept[]} objects */
export function geojson(objects) {
  const closed = (/** @type {[number, number][]} */ ring) => [...ring, ring[0]];
  return {
    type: "FeatureCollection",
    coordinates: "pixels of the image, (x, y), origin at the centre of the top left one, y downwards",
    features: objects.map(({ name, found, model }, n) => ({
      type: "Feature",
      id: n + 1,
      properties: { name, model, area: found.area, score: found.score },
      geometry: {
        type: "MultiPolygon",
        coordinates: found.polygons.map(({ polygon, holes }) => [closed(polygon), ...holes.map(closed)]),
      },
    })),
  };
}

/** Return the instance map as indexed PNG: 0 background, n the n-th object, later ones on top. @param {Kept[]} objects @param {number} width @param {number} height */
export async function maskPng(objects, width, height) {
  const values = new Uint8Array(width * height);
  objects.forEach(({ found }, n) => stamp(found, values, n + 1));
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, 3);
  const palette = Uint8Array.from([[0, 0, 0], ...objects.map(({ colour }) => colour)].flat());
  const packed = await through(rows, new CompressionStream("deflate"));
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const parts = [
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("PLTE", palette),
    chunk("IDAT", packed),
    chunk("IEND", new Uint8Array(0)),
  ];
  return new Blob([signature, ...parts], { type: "image/png" });
}

/** @param {string} kind @param {Uint8Array} data */
function chunk(kind, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let n = 0; n < 4; n++) bytes[4 + n] = kind.charCodeAt(n);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/** Outlines of what was found, by what was found. @type {WeakMap<Found, Path2D>} */
const paths = new WeakMap();

/** Return an object's outlines; coordinates of pixels are those of their corners. @param {Found} found */
export function pathOf(found) {
  let path = paths.get(found);
  if (!path) {
    path = new Path2D();
    for (const part of found.polygons)
      for (const ring of [part.polygon, ...part.holes]) {
        ring.forEach(([x, y], n) => (n ? path?.lineTo(x + 0.5, y + 0.5) : path?.moveTo(x + 0.5, y + 0.5)));
        path.closePath();
      }
    paths.set(found, path);
  }
  return path;
}

const scratch = /** @type {CanvasRenderingContext2D} */ (newCanvas(1, 1).getContext("2d"));

/** Whether a point is on an object. @param {Found | null} found @param {import("../lib/stage.js").Point} at */
export const isOn = (found, { x, y }) => found !== null && scratch.isPointInPath(pathOf(found), x, y, "evenodd");
