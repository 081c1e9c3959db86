/** Image files as the gateway sees them: upright, opaque; and label maps as layers to lay over them. */

import { Problem } from "./api.js";

/**
 * Return a picture as the gateway takes it: turned as EXIF says, alpha dropped, so that what is transparent is seen.
 *
 * @param {Blob} file
 * @returns {Promise<HTMLCanvasElement>}
 * @throws {Problem} the browser cannot show it
 */
export async function openPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  } catch {
    throw new Problem({
      title: "The picture cannot be shown",
      detail: "The browser does not read it as an image; the gateway may still say why, or take it.",
      code: "not-shown",
    });
  }
  const canvas = newCanvas(bitmap.width, bitmap.height);
  const context = contextOf(canvas);
  context.drawImage(bitmap, 0, 0);
  if (file.type !== "image/jpeg" && isTransparent(context, bitmap.width, bitmap.height)) dropAlpha(canvas, bitmap);
  bitmap.close();
  return canvas;
}

/** @param {number} width @param {number} height */
export const newCanvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

/** @param {HTMLCanvasElement} canvas */
export const contextOf = (canvas) =>
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));

/** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
function isTransparent(context, width, height) {
  const rows = 256;
  for (let top = 0; top < height; top += rows) {
    const { data } = context.getImageData(0, top, width, Math.min(rows, height - top));
    for (let n = 3; n < data.length; n += 4) if (data[n] < 255) return true;
  }
  return false;
}

/**
 * Paint a bitmap's colours without its alpha. A canvas keeps colours times alpha, which loses them where that is 0; WebGL
 * reads them as they are in the file.
 *
 * @param {HTMLCanvasElement} canvas @param {ImageBitmap} bitmap
 */
function dropAlpha(canvas, bitmap) {
  const { width, height } = canvas;
  const context = contextOf(canvas);
  const gl = newCanvas(1, 1).getContext("webgl2");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    // Without it, what is transparent is at least told from the background.
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    return;
  }
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(
    gl.FRAMEBUFFER,
    gl.COLOR_ATTACHMENT0,
    gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D),
    0,
  );
  const pixels = new Uint8ClampedArray(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  for (let n = 3; n < pixels.length; n += 4) pixels[n] = 255;
  context.putImageData(new ImageData(pixels, width, height), 0, 0);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
}

/**
 * @typedef {object} LabelClass
 * @property {number} value
 * @property {string} name
 * @property {number[]} colour
 * @property {number} pixels
 * @property {number} share
 */

/** A label map's classes, pixel by pixel, painted into a layer of which any class can be left out. */
export class LabelLayer {
  /** @param {Uint8Array} values one per pixel @param {number} width @param {number} height @param {LabelClass[]} classes */
  constructor(values, width, height, classes) {
    this.values = values;
    this.classes = classes;
    this.canvas = newCanvas(width, height);
    this.paint(new Set());
  }

  /**
   * From an indexed PNG, whose colours are the classes'.
   *
   * @param {Blob} png @param {LabelClass[]} classes
   */
  static async of(png, classes) {
    const bitmap = await createImageBitmap(png, { colorSpaceConversion: "none" });
    const { width, height } = bitmap;
    const context = contextOf(newCanvas(width, height));
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const values = new Uint8Array(width * height);
    const byColour = new Map(classes.map(({ colour: [r, g, b], value }) => [(r << 16) | (g << 8) | b, value]));
    for (let n = 0, at = 0; n < values.length; n++, at += 4)
      values[n] = byColour.get((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]) ?? 0;
    return new LabelLayer(values, width, height, classes);
  }

  /** @param {ReadonlySet<number>} hidden values of classes */
  paint(hidden) {
    const { width, height } = this.canvas;
    const context = contextOf(this.canvas);
    const image = context.createImageData(width, height);
    const words = new Uint32Array(image.data.buffer);
    const palette = new Uint32Array(256);
    for (const { value, colour } of this.classes)
      if (value && !hidden.has(value)) palette[value] = (255 << 24) | (colour[2] << 16) | (colour[1] << 8) | colour[0];
    for (let n = 0; n < words.length; n++) words[n] = palette[this.values[n]];
    context.putImageData(image, 0, 0);
  }
}
