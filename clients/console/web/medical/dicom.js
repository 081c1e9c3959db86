/** DICOM as far as images are drawn from it: plain, deflated and most compressed transfer syntaxes, one frame or many. */

import { Problem } from "../lib/api.js";
import { through } from "../lib/packing.js";
import { PACKED, framesOf, unpackFrame } from "./frames.js";

/** @typedef {{ at: number, length: number, items: Dataset[] | null }} Element */
/** @typedef {Map<number, Element>} Dataset by group and number, (group << 16 | number) >>> 0 */

const LONG = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT", "SV", "UV"]);
const UNDEFINED = 0xffffffff;
const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;
const PIXELS = 0x7fe00010;
const IMPLICIT = "1.2.840.10008.1.2";
const EXPLICIT = "1.2.840.10008.1.2.1";
const DEFLATED = "1.2.840.10008.1.2.1.99";

/** @param {string} detail */
export const notShown = (detail) => new Problem({ title: "The image cannot be drawn here", detail, code: "not-shown" });

/** Whether bytes begin as a DICOM file does. @param {Uint8Array} bytes */
export const isDicom = (bytes) => bytes.length > 132 && String.fromCharCode(...bytes.subarray(128, 132)) === "DICM";

export class Dicom {
  /** @param {Uint8Array} bytes @param {boolean} explicit @param {number} start @param {Dicom | null} meta */
  constructor(bytes, explicit, start, meta) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#explicit = explicit;
    this.meta = meta;
    /** Where reading stopped. */
    this.end = start;
    /** @type {Dataset} */
    this.root = new Map();
    this.#read(start, bytes.length, this.root, meta === null);
  }

  #explicit;

  /** @param {Uint8Array} bytes @returns {Promise<Dicom>} @throws {Problem} */
  static async open(bytes) {
    const meta = new Dicom(bytes, true, 132, null);
    const syntax = meta.text(0x00020010);
    if (syntax === DEFLATED)
      return new Dicom(await through(bytes.subarray(meta.end), new DecompressionStream("deflate-raw")), true, 0, meta);
    if (syntax === IMPLICIT || syntax === EXPLICIT || syntax in PACKED)
      return new Dicom(bytes, syntax !== IMPLICIT, meta.end, meta);
    throw notShown(
      `Its transfer syntax, ${syntax || "none"}, is not decoded here. The gateway reads it: lesions, numbers and files are there all the same.`,
    );
  }

  /**
   * @param {number} start @param {number} end @param {Dataset} into @param {boolean} [meta] only group 2
   * @returns {number} where it ends
   */
  #read(start, end, into, meta = false) {
    const { view } = this;
    let at = start;
    while (at + 8 <= end) {
      const tag = ((view.getUint16(at, true) << 16) | view.getUint16(at + 2, true)) >>> 0;
      if (meta && tag >>> 16 !== 2) break;
      if (tag === ITEM_END || tag === SEQUENCE_END) return at + 8;
      let length = 0;
      let kind = "";
      if (this.#explicit || meta) {
        kind = String.fromCharCode(view.getUint8(at + 4), view.getUint8(at + 5));
        const long = LONG.has(kind);
        length = long ? view.getUint32(at + 8, true) : view.getUint16(at + 6, true);
        at += long ? 12 : 8;
      } else {
        length = view.getUint32(at + 4, true);
        at += 8;
      }
      const nested =
        kind === "SQ" || (length === UNDEFINED && tag !== PIXELS) || (!kind && this.#isSequence(at, length));
      if (nested) {
        /** @type {Dataset[]} */
        const items = [];
        into.set(tag, { at, length, items });
        at = this.#items(at, length === UNDEFINED ? end : Math.min(end, at + length), items);
      } else {
        into.set(tag, { at, length: Math.min(length, end - at), items: null });
        at += length;
      }
      if (tag === PIXELS) break;
    }
    this.end = Math.min(at, end);
    return at;
  }

  /** Implicit VR does not say what a sequence is; it begins with an item. @param {number} at @param {number} length */
  #isSequence(at, length) {
    return (
      length >= 8 &&
      at + 8 <= this.bytes.length &&
      this.view.getUint16(at, true) === 0xfffe &&
      this.view.getUint16(at + 2, true) === 0xe000
    );
  }

  /** @param {number} start @param {number} end @param {Dataset[]} items */
  #items(start, end, items) {
    let at = start;
    while (at + 8 <= end) {
      const tag = ((this.view.getUint16(at, true) << 16) | this.view.getUint16(at + 2, true)) >>> 0;
      const length = this.view.getUint32(at + 4, true);
      at += 8;
      if (tag !== ITEM) return at;
      /** @type {Dataset} */
      const item = new Map();
      items.push(item);
      at = length === UNDEFINED ? this.#read(at, end, item) : (this.#read(at, at + length, item), at + length);
    }
    return at;
  }

  /** @param {number} tag @param {Dataset} [from] */
  text(tag, from = this.root) {
    const element = from.get(tag);
    if (!element || element.items) return "";
    return new TextDecoder("latin1")
      .decode(this.bytes.subarray(element.at, element.at + element.length))
      .replace(/[\0 ]+$/, "");
  }

  /** @param {number} tag @param {Dataset} [from] @returns {number[]} */
  numbers(tag, from = this.root) {
    const text = this.text(tag, from);
    return text ? text.split("\\").map(Number).filter(Number.isFinite) : [];
  }

  /** @param {number} tag */
  integer(tag) {
    const element = this.root.get(tag);
    return element && element.length >= 2 ? this.view.getUint16(element.at, true) : 0;
  }

  /** What holds for a frame: its own groups, then those of all frames, then the file itself. @param {number} frame @param {number} macro @param {number} tag */
  ofFrame(frame, macro, tag) {
    for (const [group, n] of [
      [0x52009230, frame],
      [0x52009229, 0],
    ]) {
      const inside = this.root.get(group)?.items?.[n]?.get(macro)?.items?.[0];
      if (inside?.has(tag)) return this.numbers(tag, inside);
    }
    return this.numbers(tag);
  }

  get frames() {
    return this.numbers(0x00280008)[0] || 1;
  }

  get rows() {
    return this.integer(0x00280010);
  }

  get columns() {
    return this.integer(0x00280011);
  }

  /** Values of a frame, rescaled. @param {number} frame @param {Int16Array | Float32Array} into @param {number} at @throws {Problem} */
  async values(frame, into, at) {
    const { rows, columns } = this;
    const allocated = this.integer(0x00280100);
    const stored = this.integer(0x00280101) || allocated;
    if (!rows || !columns || (allocated !== 8 && allocated !== 16) || this.integer(0x00280002) > 1)
      throw notShown("It has no grey pixels of 8 or 16 bits.");
    const bytes = allocated === 8 ? 1 : 2;
    const pixels = await this.#pixels(frame, bytes);
    const view = new DataView(pixels.buffer, pixels.byteOffset, pixels.byteLength);
    const signed = this.integer(0x00280103) === 1;
    const unused = 32 - stored;
    const slope = this.ofFrame(frame, 0x00289145, 0x00281053)[0] ?? 1;
    const intercept = this.ofFrame(frame, 0x00289145, 0x00281052)[0] ?? 0;
    for (let n = 0; n < rows * columns; n++) {
      const raw = bytes === 1 ? view.getUint8(n) : view.getUint16(2 * n, true);
      // Bits beyond those stored may be of an overlay.
      const value = signed ? (raw << unused) >> unused : (raw << unused) >>> unused;
      into[at + n] = value * slope + intercept;
    }
  }

  /** @type {Uint8Array[] | null} */
  #frames = null;

  /** @param {number} frame @param {1 | 2} bytes @returns {Promise<Uint8Array>} */
  async #pixels(frame, bytes) {
    const { rows, columns } = this;
    const element = this.root.get(PIXELS);
    const size = rows * columns * bytes;
    const kind = PACKED[this.meta?.text(0x00020010) ?? ""];
    if (!element) throw notShown("It has no pixels.");
    if (!kind) {
      const from = element.at + frame * size;
      if (from + size > this.bytes.length) throw notShown("It is cut short.");
      return this.bytes.subarray(from, from + size);
    }
    this.#frames ??= framesOf(this.bytes, element.at, this.frames);
    const packed = this.#frames[frame];
    if (!packed) throw notShown("Its frames cannot be told apart.");
    try {
      return await unpackFrame(kind, packed, { rows, columns, bytes });
    } catch (error) {
      throw notShown(`A frame cannot be decoded: ${error instanceof Error ? error.message : error}.`);
    }
  }
}
