/** A CT as it is drawn: values in the order slice, row, column, seen as a radiologist expects them. */

import { Problem } from "../lib/api.js";
import { askLongJson } from "../lib/jobs.js";
import { blobOf, gunzip, unzip } from "../lib/packing.js";
import { LabelLayer, contextOf, openPicture } from "../lib/pictures.js";
import { Dicom, isDicom, notShown } from "./dicom.js";

/**
 * @typedef {object} Volume
 * @property {Int16Array | Float32Array} values
 * @property {[number, number, number]} size columns, rows, slices
 * @property {[number, number, number]} spacing mm from column to column, row to row, slice to slice
 * @property {string[]} instances SOP instance of each slice, of DICOM
 * @property {[number, number] | null} window centre and width, where the file or its kind says
 * @property {((labels: Uint8Array) => Uint8Array) | null} order brings an array of the file's own order into that of `values`
 * @property {string} unit of the values; empty: there are none, and what was found is drawn alone
 * @property {Series[]} [series] those of a zip, this one first
 */
/** @typedef {{ uid: string, label: string, files: Dicom[] }} Series */
/** @typedef {(done: number, total: number) => void} Tell how many slices are read */

/** @param {File} file @param {Tell} tell @returns {Promise<Volume>} @throws {Problem} */
export async function openVolume(file, tell) {
  const head = new Uint8Array(await file.slice(0, 352).arrayBuffer());
  if (head[0] === 0x50 && head[1] === 0x4b) return ofZip(await file.arrayBuffer(), tell);
  if (head[0] === 0x1f && head[1] === 0x8b) return ofNifti(await gunzip(file));
  if (isDicom(head)) return ofDicom([await Dicom.open(new Uint8Array(await file.arrayBuffer()))], tell);
  if (isNifti(head)) return ofNifti(new Uint8Array(await file.arrayBuffer()));
  return ofPicture(file);
}

/** @param {Uint8Array} bytes */
const isNifti = (bytes) => bytes.length >= 348 && [0x6e2b, 0x6e69].includes((bytes[344] << 8) | bytes[345]);

/** @param {ArrayBuffer} buffer @param {Tell} tell @returns {Promise<Volume>} */
async function ofZip(buffer, tell) {
  /** @type {Map<string, Dicom[]>} */
  const found = new Map();
  for await (const bytes of unzip(buffer)) {
    if (!isDicom(bytes)) continue;
    const file = await Dicom.open(bytes);
    const name = file.text(0x0020000e);
    if (file.rows) found.set(name, [...(found.get(name) ?? []), file]);
  }
  const series = [...found]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([uid, files]) => ({ uid, label: labelOf(files), files }));
  if (!series.length) throw notShown("There is no DICOM image in the zip.");
  return { ...(await ofDicom(series[0].files, tell)), series };
}

/** @param {Dicom[]} files of one series */
const labelOf = ([first, ...others]) =>
  [
    `${first.text(0x00200011).trim() || "?"}: ${others.length + 1} ${others.length ? "files" : "file"}`,
    first.text(0x0008103e),
  ]
    .filter(Boolean)
    .join(", ");

/** @param {Dicom[]} files of one series @param {Tell} tell @returns {Promise<Volume>} */
export async function ofDicom(files, tell) {
  const [first] = files;
  const { rows, columns } = first;
  const across = first.ofFrame(0, 0x00209116, 0x00200037);
  const normal = across.length === 6 ? cross(across.slice(0, 3), across.slice(3)) : [0, 0, 1];
  const planes = files
    .filter((file) => file.rows === rows && file.columns === columns)
    .flatMap((file) =>
      Array.from({ length: file.frames }, (_, frame) => {
        const position = file.ofFrame(frame, 0x00209113, 0x00200032);
        return { file, frame, height: position.length === 3 ? dot(position, normal) : NaN };
      }),
    );
  if (planes.every((plane) => Number.isFinite(plane.height))) planes.sort((a, b) => a.height - b.height);
  const values = new Int16Array(rows * columns * planes.length);
  let done = 0;
  await Promise.all(
    planes.map(async ({ file, frame }, n) => {
      await file.values(frame, values, n * rows * columns);
      tell((done += 1), planes.length);
    }),
  );
  const [down, right] = first.ofFrame(0, 0x00289110, 0x00280030);
  const step =
    planes.length > 1 ? Math.abs(planes[planes.length - 1].height - planes[0].height) / (planes.length - 1) : NaN;
  const [centre] = first.ofFrame(0, 0x00289132, 0x00281050);
  const [width] = first.ofFrame(0, 0x00289132, 0x00281051);
  return {
    values,
    size: [columns, rows, planes.length],
    spacing: [right || 1, down || 1, step || first.ofFrame(0, 0x00289110, 0x00180050)[0] || 1],
    instances: planes.map(({ file }) => file.text(0x00080018)),
    window: centre !== undefined && width ? [centre, width] : null,
    order: null,
    unit: "HU",
  };
}

const READERS = /** @type {Record<number, [number, (view: DataView, at: number, little: boolean) => number]>} */ ({
  2: [1, (view, at) => view.getUint8(at)],
  4: [2, (view, at, little) => view.getInt16(at, little)],
  8: [4, (view, at, little) => view.getInt32(at, little)],
  16: [4, (view, at, little) => view.getFloat32(at, little)],
  64: [8, (view, at, little) => view.getFloat64(at, little)],
  256: [1, (view, at) => view.getInt8(at)],
  512: [2, (view, at, little) => view.getUint16(at, little)],
});

/** The voxels of a NIfTI file as bytes, for label maps. @param {Uint8Array} bytes */
export const niftiBytes = (bytes) => bytes.subarray(new DataView(bytes.buffer, bytes.byteOffset).getFloat32(108, true));

/** @param {Uint8Array} bytes @returns {Volume} */
function ofNifti(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = view.getInt32(0, true) === 348;
  const reader = READERS[view.getInt16(70, little)];
  if (!reader) throw notShown("Its voxels are of a type that is not read here.");
  const [size, read] = reader;
  const dims = [1, 2, 3].map((n) =>
    Math.max(1, n <= view.getInt16(40, little) ? view.getInt16(40 + 2 * n, little) : 1),
  );
  const steps = [1, 2, 3].map((n) => Math.abs(view.getFloat32(76 + 4 * n, little)) || 1);
  const start = view.getFloat32(108, little);
  const slope = view.getFloat32(112, little) || 1;
  const intercept = view.getFloat32(112, little) ? view.getFloat32(116, little) : 0;
  const { axes, flips } = orientation(view, little);
  const out = /** @type {[number, number, number]} */ (axes.map((axis) => dims[axis]));
  const strides = [1, dims[0], dims[0] * dims[1]];
  /** @template {Uint8Array | Float32Array} T @param {T} into @param {(n: number) => number} from @returns {T} */
  const ordered = (into, from) => {
    let to = 0;
    for (let z = 0; z < out[2]; z++)
      for (let y = 0; y < out[1]; y++)
        for (let x = 0; x < out[0]; x++)
          into[to++] = from(
            [x, y, z].reduce((sum, n, at) => sum + strides[axes[at]] * (flips[at] ? out[at] - 1 - n : n), 0),
          );
    return into;
  };
  const count = dims[0] * dims[1] * dims[2];
  return {
    values: ordered(new Float32Array(count), (n) => read(view, start + n * size, little) * slope + intercept),
    size: out,
    spacing: /** @type {[number, number, number]} */ (axes.map((axis) => steps[axis])),
    instances: [],
    window: null,
    order: (labels) => ordered(new Uint8Array(count), (n) => labels[n]),
    unit: "HU",
  };
}

/**
 * Return which axis of the array runs to the patient's left, back and head, and whether it runs the other way.
 *
 * @param {DataView} view @param {boolean} little
 */
function orientation(view, little) {
  /** @type {number[][]} */
  let rows;
  if (view.getInt16(254, little) > 0)
    rows = [280, 296, 312].map((at) => [0, 4, 8].map((by) => view.getFloat32(at + by, little)));
  else {
    const [b, c, d] = [256, 260, 264].map((at) => view.getFloat32(at, little));
    const a = Math.sqrt(Math.max(0, 1 - b * b - c * c - d * d));
    const sign = view.getFloat32(76, little) < 0 ? -1 : 1;
    rows = [
      [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), sign * 2 * (b * d + a * c)],
      [2 * (b * c + a * d), a * a + c * c - b * b - d * d, sign * 2 * (c * d - a * b)],
      [2 * (b * d - a * c), 2 * (c * d + a * b), sign * (a * a + d * d - b * b - c * c)],
    ];
  }
  /** @type {number[]} */
  const axes = [];
  for (const row of rows) {
    const free = [0, 1, 2].filter((axis) => !axes.includes(axis));
    axes.push(free.reduce((best, axis) => (Math.abs(row[axis]) > Math.abs(row[best]) ? axis : best), free[0]));
  }
  // NIfTI's axes run to the right, front and head; images show the patient's left on the right, the back below.
  const flips = rows.map((row, n) => (n < 2 ? row[axes[n]] > 0 : row[axes[n]] < 0));
  return { axes, flips };
}

/** @param {File} file @returns {Promise<Volume>} */
async function ofPicture(file) {
  const canvas = await openPicture(file);
  const { data } = contextOf(canvas).getImageData(0, 0, canvas.width, canvas.height);
  const values = Int16Array.from({ length: canvas.width * canvas.height }, (_, n) => data[4 * n]);
  return {
    values,
    size: [canvas.width, canvas.height, 1],
    spacing: [1, 1, 1],
    instances: [],
    window: [127.5, 255],
    order: null,
    unit: "grey",
  };
}

/**
 * Ask for the lesions of a CT with what draws them; of one that is not drawn here with what draws them alone.
 *
 * @param {string} path @param {FormData | undefined} body @param {import("../lib/work.js").Run} run @param {Volume | null} volume
 * @returns {Promise<{ report: Record<string, any>, labels: Uint8Array | null, volume: Volume | null }>}
 */
export async function findLesions(path, body, run, volume) {
  const form = volume?.size[2] === 1 ? "label_map" : "nifti";
  try {
    const report = await askLongJson(`${path}&include=${form}`, body, run);
    const file = blobOf(report.files[form]);
    if (form === "label_map") return { report, volume, labels: (await LabelLayer.of(file, report.classes)).values };
    const found = await gunzip(file);
    if (volume) return { report, volume, labels: placed(niftiBytes(found), report, volume) };
    const alone = ofNifti(found);
    const labels = Uint8Array.from(alone.values);
    alone.values.fill(-Infinity);
    return { report, labels, volume: { ...alone, unit: "" } };
  } catch (error) {
    // Some series lie so that no NIfTI describes them: numbers are there all the same.
    if (!(error instanceof Problem) || error.code !== "parameter-invalid" || error.pointer !== "/include") throw error;
    return { report: await askLongJson(path, body, run), labels: null, volume };
  }
}

/** Labels in the order of the slices that are drawn. @param {Uint8Array} labels @param {Record<string, any>} report @param {Volume} volume */
function placed(labels, report, volume) {
  if (volume.order) return volume.order(labels);
  const [columns, rows, slices] = volume.size;
  const size = columns * rows;
  if (labels.length !== size * slices) return null;
  const from = new Map(report.slices.map((/** @type {any} */ slice, /** @type {number} */ n) => [slice.instance, n]));
  // Frames of one file share its instance: they are in order already.
  if (from.size !== slices) return labels;
  const out = new Uint8Array(labels.length);
  volume.instances.forEach((instance, n) =>
    out.set(labels.subarray(size * (from.get(instance) ?? n), size * ((from.get(instance) ?? n) + 1)), n * size),
  );
  return out;
}

/** @param {number[]} a @param {number[]} b */
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
/** @param {number[]} a @param {number[]} b */
const dot = (a, b) => a.reduce((sum, one, n) => sum + one * b[n], 0);
