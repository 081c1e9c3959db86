/** Long work: left as a job where the gateway keeps jobs, so that it survives a broken line, and followed to its end. */

import { BASE, Problem, ask, askJson, problemOf } from "./api.js";
import { fill, h } from "./dom.js";
import { app } from "./store.js";
import { table } from "./tables.js";
import { pause, upload } from "./uploads.js";

/** A body of so many bytes is long work. */
export const LONG = 16e6;
const AGAIN = 1500;
const MISSES = 40;

/** @typedef {import("./work.js").Run} Run */

/**
 * Return the answer of a task; of a large body by way of a job, where the gateway keeps some and the key may leave one.
 *
 * @param {string} path @param {FormData | undefined} body @param {Run} run @param {string} [accept]
 * @returns {Promise<import("./api.js").Answer>}
 */
export async function askLong(path, body, run, accept = "application/json") {
  const request = { ...run, method: "POST", body, accept };
  const files = Object.fromEntries([...(body?.entries() ?? [])].map(([name, part]) => [name, new Blob([part])]));
  if (Object.values(files).reduce((sum, part) => sum + part.size, 0) < LONG || !keepsJobs) return ask(path, request);
  try {
    const uploads = await upload(files, run);
    return await followed(await leave(path, uploads, accept, run.signal), run);
  } catch (error) {
    if (!(error instanceof Problem) || !refused(error)) throw error;
    keepsJobs = error.status !== 501;
    return ask(path, request);
  }
}

/** Whether there are no jobs here, or none for this key. @param {Problem} problem */
const refused = ({ status, document }) => status === 501 || (status === 403 && document.scope === "jobs");

/** @param {string} path @param {FormData | undefined} body @param {Run} run @returns {Promise<Record<string, any>>} */
export const askLongJson = async (path, body, run) => JSON.parse(await (await askLong(path, body, run)).blob.text());

/**
 * @param {string} path of the task, with its query @param {Record<string, string>} uploads ids by part
 * @param {string} accept @param {AbortSignal} signal
 * @returns {Promise<string>} the job's id
 */
async function leave(path, uploads, accept, signal) {
  const { pathname, searchParams } = new URL(path, "http://host/");
  const parameters = Object.fromEntries(
    [...new Set(searchParams.keys())].map((name) => {
      const values = searchParams.getAll(name);
      return [name, values.length > 1 ? values : values[0]];
    }),
  );
  const parts = Object.fromEntries(Object.entries(uploads).map(([name, id]) => [name, { upload: id }]));
  const body = { task: pathname.split("/").at(-1), accept, parameters, items: [{ parts }] };
  // Should the line break before the answer is here, the same request does not leave a second job.
  const headers = { "Idempotency-Key": `console-${crypto.getRandomValues(new Uint32Array(4)).join("-")}` };
  for (let misses = 0; ; misses++) {
    try {
      return (await askJson("v1/jobs", { body, headers, signal })).id;
    } catch (error) {
      if (problemOf(error).code !== "unreachable" || misses > MISSES) throw error;
      await pause(AGAIN, signal);
    }
  }
}

/** @param {string} id @param {Run} run */
async function followed(id, { signal, say }) {
  const cancel = () => void ask(`v1/jobs/${id}`, { method: "DELETE" }).catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for await (const { event, data } of changes(`v1/jobs/${id}/events`, signal)) {
      if (event !== "item") continue;
      if (data.state === "done") return await ask(`v1/jobs/${id}/results/0`, { signal, accept: "*/*" });
      if (data.problem)
        throw new Problem({ ...data.problem, requestId: data.problem.request_id, document: data.problem });
      if (data.state === "cancelled") break;
      const { stage, done, total } = data.progress ?? {};
      say(
        data.state === "waiting"
          ? "The job waits for its turn"
          : `The job runs: ${stage ?? "begun"}${total ? ` ${done} of ${total}` : ""}`,
        total ? done / total : undefined,
      );
    }
    throw new Problem({ title: "Cancelled", detail: "The job was given up.", code: "cancelled" });
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/**
 * Server-sent events, followed over broken lines until the stream's end says that there are no more; by fetch, since an
 * EventSource carries no key.
 *
 * @param {string} path @param {AbortSignal} signal
 * @returns {AsyncGenerator<{ event: string, data: any }>}
 */
async function* changes(path, signal) {
  let last = "";
  let ended = false;
  for (let misses = 0; !ended && misses < MISSES && !signal.aborted; misses++) {
    if (misses) await pause(AGAIN, signal);
    const { key } = app.get();
    const headers = { ...(key ? { "X-API-Key": key } : {}), ...(last ? { "Last-Event-ID": last } : {}) };
    let text = "";
    try {
      const answer = await fetch(new URL(path, BASE), { headers, signal });
      if (!answer.ok || !answer.body) throw new Error(String(answer.status));
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        text += piece.value.replaceAll("\r", "");
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const told = parsed(text.slice(0, end));
          text = text.slice(end + 2);
          last = told.id || last;
          misses = 0;
          if (told.data) yield { event: told.event, data: JSON.parse(told.data) };
          ended ||= told.event === "job" && JSON.parse(told.data).ended !== null;
        }
      }
    } catch (error) {
      if (error instanceof Problem || error instanceof SyntaxError) throw error;
    }
  }
  if (!ended && !signal.aborted)
    throw new Problem({
      title: "The job cannot be followed",
      detail: "The gateway no longer answers. The job goes on there; the view Service lists it.",
      code: "unreachable",
    });
}

/** @param {string} text one event */
function parsed(text) {
  const fields = { event: "message", data: "", id: "" };
  for (const line of text.split("\n")) {
    const [, name, value] = /^(event|data|id): ?(.*)$/.exec(line) ?? [];
    if (name) fields[/** @type {keyof typeof fields} */ (name)] = value;
  }
  return fields;
}

let keepsJobs = true;

/** The caller's own jobs; a gateway without them, or a key that may leave none, shows none. @param {HTMLElement} card */
export async function listJobs(card) {
  if (!keepsJobs) return;
  const told = await askJson("v1/jobs").catch(() => null);
  // Asked again and again, it would be refused again and again.
  keepsJobs = told !== null;
  if (!told) return;
  const cancel = (/** @type {string} */ id) => void ask(`v1/jobs/${id}`, { method: "DELETE" }).catch(() => {});
  card.hidden = told.jobs.length === 0;
  if (card.contains(document.activeElement)) return;
  const rows = told.jobs
    .slice(0, 12)
    .map((/** @type {Record<string, any>} */ job) => [
      job.task,
      new Date(job.created).toLocaleTimeString("en-GB"),
      job.state,
      `${job.done} of ${job.total}`,
      job.failed || "",
      h("button", { type: "button", class: "quiet", onclick: () => cancel(job.id) }, job.ended ? "Forget" : "Cancel"),
    ]);
  fill(card, h("h2", {}, "Jobs"), table([["task"], ["begun"], ["state"], ["done"], ["failed"], [""]], rows));
}
