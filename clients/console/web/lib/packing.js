/** Bytes: base64, compressed, and zip archives: read, and written without compression. */

import { Problem } from "./api.js";

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** @param {Uint8Array} data */
export function crc32(data) {
  let crc = 0xffffffff;
  for (const byte of data) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** @param {Uint8Array | Blob} data @param {CompressionStream | DecompressionStream} by @returns {Promise<Uint8Array<ArrayBuffer>>} */
export const through = async (data, by) =>
  new Uint8Array(await new Response(new Blob([/** @type {BlobPart} */ (data)]).stream().pipeThrough(by)).arrayBuffer());

/** @param {Uint8Array | Blob} data */
export const gunzip = (data) => through(data, new DecompressionStream("gzip"));

/** @param {string} base64 @param {string} [type] */
export function blobOf(base64, type = "image/png") {
  const text = atob(base64);
  const data = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) data[n] = text.charCodeAt(n);
  return new Blob([data], { type });
}

const damaged = () =>
  new Problem({
    title: "The zip cannot be read here",
    detail: "Its directory is damaged or of a kind that is not read; the gateway says whether it takes it.",
    code: "not-shown",
  });

/** Yield the files of a zip, each once it is unpacked. @param {ArrayBuffer} buffer @returns {AsyncGenerator<Uint8Array>} */
export async function* unzip(buffer) {
  const view = new DataView(buffer);
  let end = buffer.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw damaged();
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (at + 46 > buffer.byteLength || view.getUint32(at, true) !== 0x02014b50) throw damaged();
    const method = view.getUint16(at + 10, true);
    const packed = view.getUint32(at + 20, true);
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const data = new Uint8Array(buffer, start, packed);
    if (packed && method === 0) yield data.slice();
    else if (packed && method === 8) yield await through(data, new DecompressionStream("deflate-raw"));
    at += 46 + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
}

/** Put files into a zip as they are; their names stay here. @param {readonly File[]} files @returns {Promise<File>} */
export async function zip(files) {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const pieces = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const directory = [];
  let offset = 0;
  for (const [n, file] of files.entries()) {
    const data = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(`${n}.dcm`);
    const local = head(30, 0x04034b50, [
      [14, 4, crc32(data)],
      [18, 4, data.length],
      [22, 4, data.length],
      [26, 2, name.length],
    ]);
    directory.push(
      head(46, 0x02014b50, [
        [16, 4, crc32(data)],
        [20, 4, data.length],
        [24, 4, data.length],
        [28, 2, name.length],
        [42, 4, offset],
      ]),
      name,
    );
    pieces.push(local, name, data);
    offset += local.length + name.length + data.length;
  }
  const size = directory.reduce((sum, piece) => sum + piece.length, 0);
  const end = head(22, 0x06054b50, [
    [8, 2, files.length],
    [10, 2, files.length],
    [12, 4, size],
    [16, 4, offset],
  ]);
  return new File([...pieces, ...directory, end], "series.zip", { type: "application/zip" });
}

/** @param {number} length @param {number} signature @param {[number, number, number][]} fields place, size, value */
function head(length, signature, fields) {
  const view = new DataView(new ArrayBuffer(length));
  view.setUint32(0, signature, true);
  for (const [at, size, value] of fields) {
    if (size === 4) view.setUint32(at, value, true);
    else view.setUint16(at, value, true);
  }
  return new Uint8Array(view.buffer);
}
