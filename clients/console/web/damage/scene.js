/** Images of a pair, to be drawn: pictures, and TIFF with where on Earth it lies. */

import { Problem } from "../lib/api.js";
import { geoTiff } from "../lib/load.js";
import { contextOf, newCanvas, openPicture } from "../lib/pictures.js";

/**
 * @typedef {object} Scene
 * @property {HTMLCanvasElement | null} canvas null: it cannot be drawn here
 * @property {number} width of the file, in pixels; the canvas may be smaller
 * @property {number} height
 * @property {string} crs "EPSG:…", empty where the file does not say, or says it by a rotation
 * @property {number[]} extent in the CRS; in pixels, y upwards, where there is none
 * @property {string} why it cannot be drawn
 */

const LONGEST = 4096;
const MOST_READ = 64e6;
const UNSURE = [190, 60, 220];

/** @typedef {import("./options.js").Hints} Hints */

/** @param {File} file @param {Hints} hints @returns {Promise<Scene>} @throws {Problem} */
export async function openScene(file, hints) {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const [a, b] = head;
  if (!((a === 0x49 && b === 0x49) || (a === 0x4d && b === 0x4d))) {
    const canvas = await openPicture(file);
    return {
      canvas,
      width: canvas.width,
      height: canvas.height,
      crs: "",
      extent: [0, 0, canvas.width, canvas.height],
      why: "",
    };
  }
  try {
    return await openTiff(file, hints);
  } catch (error) {
    throw new Problem({
      title: "The TIFF cannot be shown",
      detail: `It can be assessed all the same. (${error instanceof Error ? error.message : error})`,
      code: "not-shown",
    });
  }
}

/** @param {File} file @param {Hints} hints @returns {Promise<Scene>} */
async function openTiff(file, hints) {
  const library = await geoTiff();
  const tiff = await library.fromBlob(file);
  const first = await tiff.getImage(0);
  const [width, height] = [first.getWidth(), first.getHeight()];
  const place = placeOf(first, width, height, hints.crs);
  const image = await overviewOf(tiff, first);
  const share = Math.min(1, LONGEST / Math.max(image.getWidth(), image.getHeight()));
  if (image.getWidth() * image.getHeight() > MOST_READ)
    return {
      canvas: null,
      width,
      height,
      ...place,
      why: "It has no overviews, and is too large to be drawn here whole.",
    };
  const size = { width: Math.round(image.getWidth() * share), height: Math.round(image.getHeight() * share) };
  return { canvas: await drawn(image, size, hints), width, height, ...place, why: "" };
}

/** @param {any} image @param {number} width @param {number} height @param {string} crs in place of the file's */
function placeOf(image, width, height, crs) {
  const keys = image.getGeoKeys() ?? {};
  const code = Number(crs.replace("EPSG:", "") || (keys.ProjectedCSTypeGeoKey ?? keys.GeographicTypeGeoKey));
  const matrix = image.fileDirectory.getValue?.("ModelTransformation") ?? image.fileDirectory.ModelTransformation;
  const turned = matrix && (matrix[1] || matrix[4]);
  if (!code || code === 32767 || turned) return { crs: "", extent: [0, 0, width, height] };
  try {
    return { crs: `EPSG:${code}`, extent: [...image.getBoundingBox()] };
  } catch {
    return { crs: "", extent: [0, 0, width, height] };
  }
}

/** The smallest overview that is still finer than what is drawn. @param {any} tiff @param {any} first */
async function overviewOf(tiff, first) {
  let best = first;
  for (let n = 1; n < (await tiff.getImageCount()); n++) {
    const image = await tiff.getImage(n);
    const kind = image.fileDirectory.getValue?.("NewSubfileType") ?? image.fileDirectory.NewSubfileType ?? 0;
    const reduced = (kind & 1) === 1 && (kind & 4) === 0;
    if (
      reduced &&
      Math.max(image.getWidth(), image.getHeight()) >=
        Math.min(LONGEST, Math.max(first.getWidth(), first.getHeight())) &&
      image.getWidth() < best.getWidth()
    )
      best = image;
  }
  return best;
}

/** @param {any} image @param {{ width: number, height: number }} size @param {Hints} hints */
async function drawn(image, { width, height }, hints) {
  const count = image.getSamplesPerPixel();
  const asked = hints.bands.filter((band) => band <= count).map((band) => band - 1);
  const bands = asked.length ? asked : count >= 3 ? [0, 1, 2] : [0];
  const rasters = await image.readRasters({ samples: bands, width, height, resampleMethod: "nearest" });
  const nodata = hints.nodata ?? image.getGDALNoData();
  const stretched = bands.map((_, n) => toBytes(rasters[n], nodata));
  const canvas = newCanvas(width, height);
  const context = contextOf(canvas);
  const picture = context.createImageData(width, height);
  for (let n = 0; n < width * height; n++) {
    for (let band = 0; band < 3; band++) picture.data[4 * n + band] = (stretched[band] ?? stretched[0])[n];
    const seen = nodata === null || rasters.some((/** @type {ArrayLike<number>} */ raster) => raster[n] !== nodata);
    picture.data[4 * n + 3] = seen ? 255 : 0;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Samples as they are seen: those of more than 8 bits from the 2nd to the 98th percentile. @param {any} raster @param {number | null} nodata */
function toBytes(raster, nodata) {
  if (raster instanceof Uint8Array || raster instanceof Uint8ClampedArray) return raster;
  const some = [];
  for (let n = 0; n < raster.length; n += Math.ceil(raster.length / 20000))
    if (raster[n] !== nodata && Number.isFinite(raster[n])) some.push(raster[n]);
  some.sort((a, b) => a - b);
  const low = some[Math.floor(0.02 * some.length)] ?? 0;
  const high = some[Math.floor(0.98 * some.length)] ?? 1;
  return Uint8ClampedArray.from(raster, (value) => (255 * (value - low)) / (high - low || 1));
}

/**
 * Paint how sure each pixel's class is: the less, the more of the ground is covered; nothing where nothing was observed.
 *
 * @param {Blob} tiff 255 times the probability @param {number} least value that says something
 */
export async function openConfidence(tiff, least) {
  const image = await (await (await geoTiff()).fromBlob(tiff)).getImage(0);
  const share = Math.min(1, LONGEST / Math.max(image.getWidth(), image.getHeight()));
  const [width, height] = [image.getWidth(), image.getHeight()].map((side) => Math.round(side * share));
  const [values] = await image.readRasters({ width, height, resampleMethod: "nearest" });
  const canvas = newCanvas(width, height);
  const context = contextOf(canvas);
  const picture = context.createImageData(width, height);
  for (let n = 0; n < values.length; n++) {
    picture.data.set(UNSURE, 4 * n);
    picture.data[4 * n + 3] = values[n] < least ? 0 : 2 * (255 - values[n]);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}
