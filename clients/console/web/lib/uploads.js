/** Uploads that go on where they broke off: tus 1.0, as `/v1/uploads` speaks it. */

import { Problem, ask } from "./api.js";
import { bytes } from "./dom.js";

/** @typedef {import("./work.js").Run} Run */

const PIECE = 8e6;
const TRIES = 30;
const LONGEST_PAUSE = 15_000;
const TUS = { "Tus-Resumable": "1.0.0" };
const PIECES = { ...TUS, "Content-Type": "application/offset+octet-stream" };
/** Another request of ours may still be taken for one that writes. */
const PASSING = new Set([409, 423]);

/**
 * Send files, each as an upload; a line that breaks costs the piece that was under way.
 *
 * @param {Record<string, Blob>} files by part
 * @param {Run} run
 * @returns {Promise<Record<string, string>>} ids by part
 * @throws {Problem}
 */
export async function upload(files, { signal, say }) {
  const total = Object.values(files).reduce((sum, file) => sum + file.size, 0);
  /** @type {Record<string, string>} */
  const ids = {};
  let before = 0;
  try {
    for (const [part, file] of Object.entries(files)) {
      const headers = { ...TUS, "Upload-Length": String(file.size) };
      ids[part] = idOf(await ask("v1/uploads", { method: "POST", headers, signal }));
      await send(file, ids[part], signal, (sent, trouble) =>
        say(trouble || `Sending ${bytes(before + sent)} of ${bytes(total)}`, (before + sent) / total),
      );
      before += file.size;
    }
  } catch (error) {
    // What nobody will name is not left to lie there for a day.
    for (const id of Object.values(ids))
      void ask(`v1/uploads/${id}`, { method: "DELETE", headers: TUS }).catch(() => {});
    throw error;
  }
  return ids;
}

/** @param {import("./api.js").Answer} answer */
const idOf = (answer) => /** @type {string} */ (answer.header("Location").split("/").at(-1));

/**
 * @param {Blob} file @param {string} id @param {AbortSignal} signal
 * @param {(sent: number, trouble: string) => void} tell
 */
async function send(file, id, signal, tell) {
  const path = `v1/uploads/${id}`;
  let sent = 0;
  let failed = 0;
  while (sent < file.size) {
    try {
      if (failed) sent = Number((await ask(path, { method: "HEAD", headers: TUS, signal })).header("Upload-Offset"));
      const [from, to] = [sent, Math.min(file.size, sent + PIECE)];
      if (from === file.size) return;
      const headers = { ...PIECES, "Upload-Offset": String(from) };
      const onUpload = (/** @type {number} */ done) => tell(from + done, "");
      await ask(path, { method: "PATCH", body: file.slice(from, to), headers, signal, onUpload });
      sent = to;
      failed = 0;
    } catch (error) {
      if (!(error instanceof Problem) || !passes(error) || ++failed > TRIES) throw error;
      const wait = Math.min(LONGEST_PAUSE, 500 * 2 ** failed);
      tell(sent, `The line broke at ${bytes(sent)} of ${bytes(file.size)}; going on in ${Math.round(wait / 1000)} s`);
      await pause(wait, signal);
    }
  }
}

/** @param {Problem} problem */
const passes = ({ code, status }) =>
  code === "unreachable" || (code !== "cancelled" && (status >= 500 || PASSING.has(status)) && status !== 501);

/** @param {number} milliseconds @param {AbortSignal} signal */
export const pause = (milliseconds, signal) =>
  /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    })
  );
