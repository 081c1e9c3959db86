/** Compressed frames, decoded by a few workers, so that the page goes on meanwhile. */

/** How frames of a transfer syntax are packed; of all others nothing is drawn. @type {Record<string, string>} */
export const PACKED = {
  "1.2.840.10008.1.2.5": "rle",
  "1.2.840.10008.1.2.4.50": "jpeg",
  "1.2.840.10008.1.2.4.57": "lossless",
  "1.2.840.10008.1.2.4.70": "lossless",
  "1.2.840.10008.1.2.4.90": "j2k",
  "1.2.840.10008.1.2.4.91": "j2k",
};

const MOST = 4;

/** @type {Worker[]} */
const workers = [];
/** @type {Map<number, { resolve: (pixels: Uint8Array) => void, reject: (error: Error) => void }>} */
const waiting = new Map();
let asked = 0;

function worker() {
  const most = Math.max(1, Math.min(MOST, (navigator.hardwareConcurrency || 2) - 1));
  if (workers.length < most) {
    const one = new Worker(new URL("decoder.js", import.meta.url));
    one.onmessage = ({ data: { id, pixels, trouble } }) => {
      const { resolve, reject } = waiting.get(id) ?? {};
      waiting.delete(id);
      if (pixels) resolve?.(new Uint8Array(pixels));
      else reject?.(new Error(trouble));
    };
    one.onerror = () => {
      for (const { reject } of waiting.values()) reject(new Error("the decoder failed"));
      waiting.clear();
    };
    workers.push(one);
  }
  return workers[asked % workers.length];
}

/**
 * Return the pixels of a frame, little endian, as they were stored.
 *
 * @param {string} kind of `PACKED` @param {Uint8Array} frame @param {{ rows: number, columns: number, bytes: 1 | 2 }} shape
 * @returns {Promise<Uint8Array>}
 */
export function unpackFrame(kind, frame, shape) {
  const id = (asked += 1);
  const packed = frame.slice().buffer;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker().postMessage({ id, kind, packed, ...shape }, [packed]);
  });
}

/**
 * Return the fragments of each frame of encapsulated pixel data, joined.
 *
 * @param {Uint8Array} bytes of the file @param {number} start of the first item @param {number} frames
 * @returns {Uint8Array[]} empty where it cannot be told which fragments are which frame's
 */
export function framesOf(bytes, start, frames) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** @type {{ at: number, data: Uint8Array }[]} */
  const items = [];
  for (let at = start; at + 8 <= bytes.length && view.getUint32(at, true) === 0xe000fffe;) {
    const length = view.getUint32(at + 4, true);
    items.push({ at, data: bytes.subarray(at + 8, at + 8 + length) });
    at += 8 + length;
  }
  const [table, ...fragments] = items;
  if (!fragments.length) return [];
  if (fragments.length === frames) return fragments.map(({ data }) => data);
  if (frames === 1) return [joined(fragments)];
  const places = new DataView(table.data.buffer, table.data.byteOffset, table.data.length);
  if (table.data.length !== 4 * frames) return [];
  const starts = Array.from({ length: frames }, (_, n) => fragments[0].at + places.getUint32(4 * n, true));
  return starts.map((from, n) => joined(fragments.filter(({ at }) => at >= from && !(at >= starts[n + 1]))));
}

/** @param {{ data: Uint8Array }[]} fragments */
function joined(fragments) {
  const whole = new Uint8Array(fragments.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of fragments) {
    whole.set(data, at);
    at += data.length;
  }
  return whole;
}
