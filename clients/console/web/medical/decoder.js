/* A worker that decodes frames of DICOM: RLE here, JPEG by the browser, lossless JPEG and JPEG 2000 by libraries. */

const LIBRARIES = "../vendor/";

/** @typedef {{ id: number, kind: string, packed: ArrayBuffer, rows: number, columns: number, bytes: 1 | 2 }} Asked */

/** @type {Record<string, (asked: Asked) => Promise<ArrayBuffer> | ArrayBuffer>} */
const DECODERS = {
  rle: ({ packed, rows, columns, bytes }) => unpackRuns(packed, rows * columns, bytes),
  jpeg: ({ packed }) => ofJpeg(packed),
  async lossless({ packed }) {
    const { Decoder } = await import(`${LIBRARIES}jpeg-lossless-decoder-js-2.1.2/lossless-min.js`);
    return new Decoder().decompress(packed);
  },
  j2k({ packed, bytes }) {
    const scope = /** @type {any} */ (globalThis);
    if (!scope.JpxImage) scope.importScripts(`${LIBRARIES}daikon-1.2.46/jpx.js`);
    const image = new scope.JpxImage();
    image.parse(new Uint8Array(packed));
    if (image.tiles.length !== 1 || image.componentsCount !== 1) throw new Error("it is of several tiles or of colour");
    // Negative values come as such; they are wanted as they are stored.
    return (bytes === 1 ? Uint8Array : Uint16Array).from(image.tiles[0].items).buffer;
  },
};

/**
 * PS3.5, annex G: a header of 16 numbers, then a run-length coded plane for each byte of the pixels, the highest first.
 *
 * @param {ArrayBuffer} packed @param {number} count of pixels @param {1 | 2} bytes of each
 */
function unpackRuns(packed, count, bytes) {
  const view = new DataView(packed);
  const data = new Int8Array(packed);
  const out = new Int8Array(count * bytes);
  if (view.getUint32(0, true) !== bytes) throw new Error("it has not a plane for each byte");
  for (let plane = 0; plane < bytes; plane++) {
    let at = view.getUint32(4 + 4 * plane, true);
    const end = plane + 1 < bytes ? view.getUint32(8 + 4 * plane, true) : data.length;
    let to = bytes - 1 - plane;
    while (at < end && to < out.length) {
      const length = data[at++];
      if (length >= 0) for (let n = 0; n <= length && to < out.length; n++, to += bytes) out[to] = data[at++];
      else if (length !== -128) {
        for (let n = 0; n <= -length && to < out.length; n++, to += bytes) out[to] = data[at];
        at++;
      }
    }
  }
  return out.buffer;
}

/** @param {ArrayBuffer} packed of 8 bits */
async function ofJpeg(packed) {
  const bitmap = await createImageBitmap(new Blob([packed], { type: "image/jpeg" }), { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return Uint8Array.from({ length: bitmap.width * bitmap.height }, (_, n) => data[4 * n]).buffer;
}

/** @param {MessageEvent<Asked>} event */
globalThis.onmessage = async ({ data: asked }) => {
  const post = /** @type {(message: object, transfer?: Transferable[]) => void} */ (
    /** @type {unknown} */ (globalThis.postMessage)
  );
  try {
    const pixels = await DECODERS[asked.kind](asked);
    if (pixels.byteLength < asked.rows * asked.columns * asked.bytes) throw new Error("it is cut short");
    post({ id: asked.id, pixels }, [pixels]);
  } catch (error) {
    post({ id: asked.id, trouble: error instanceof Error ? error.message : String(error) });
  }
};
