/** Long work: left as a job where the gateway keeps jobs, so that it survives a broken line, and followed to its end. */

import { Problem, ask, askJson } from "./api.js";
import { fill, h } from "./dom.js";

/** A body of so many bytes is long work. */
export const LONG = 16e6;
const LOOK = 1000;

/** @typedef {import("./work.js").Run} Run */

/**
 * Return the answer of a task; of a large body by way of a job, where the gateway keeps some and the key may leave one.
 *
 * @param {string} path @param {FormData} body @param {Run} run @param {string} [accept]
 * @returns {Promise<import("./api.js").Answer>}
 */
export async function askLong(path, body, run, accept = "application/json") {
  const request = { ...run, body, accept };
  if (sizeOf(body) < LONG) return ask(path, request);
  try {
    // A gateway without jobs passes the preference over.
    const answer = await ask(path, { ...request, prefer: "respond-async" });
    if (answer.status !== 202) return answer;
    return await followed(JSON.parse(await answer.blob.text()).id, run);
  } catch (error) {
    if (error instanceof Problem && error.status === 403 && error.document.scope === "jobs") return ask(path, request);
    throw error;
  }
}

/** @param {string} path @param {FormData} body @param {Run} run @returns {Promise<Record<string, any>>} */
export const askLongJson = async (path, body, run) => JSON.parse(await (await askLong(path, body, run)).blob.text());

/** @param {FormData} body */
const sizeOf = (body) => [...body.values()].reduce((sum, part) => sum + (part instanceof File ? part.size : 0), 0);

/** @param {string} id @param {Run} run */
async function followed(id, { signal, say }) {
  const cancel = () => void ask(`v1/jobs/${id}`, { method: "DELETE" }).catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for (;;) {
      const [item] = (await askJson(`v1/jobs/${id}`, { signal })).items;
      if (item.state === "done") return await ask(`v1/jobs/${id}/results/0`, { signal, accept: "*/*" });
      if (item.problem)
        throw new Problem({ ...item.problem, requestId: item.problem.request_id, document: item.problem });
      if (item.state === "cancelled")
        throw new Problem({ title: "Cancelled", detail: "The job was given up.", code: "cancelled" });
      const { stage, done, total } = item.progress ?? {};
      say(
        item.state === "waiting"
          ? "Job waits for its turn"
          : `Job runs: ${stage ?? "begun"}${total ? ` ${done} of ${total}` : ""}`,
        total ? done / total : undefined,
      );
      await pause(LOOK, signal);
    }
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/** @param {number} milliseconds @param {AbortSignal} signal */
const pause = (milliseconds, signal) =>
  /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    })
  );

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
  fill(
    card,
    h("h2", {}, "Jobs"),
    h(
      "table",
      { class: "table" },
      h(
        "thead",
        {},
        h("tr", {}, ...["task", "begun", "state", "done", "failed", ""].map((name) => h("th", { scope: "col" }, name))),
      ),
      h(
        "tbody",
        {},
        ...told.jobs
          .slice(0, 12)
          .map((/** @type {Record<string, any>} */ job) =>
            h(
              "tr",
              {},
              h("td", {}, job.task),
              h("td", {}, new Date(job.created).toLocaleTimeString("en-GB")),
              h("td", {}, job.state),
              h("td", {}, `${job.done} of ${job.total}`),
              h("td", {}, job.failed || ""),
              h(
                "td",
                {},
                h(
                  "button",
                  { type: "button", class: "quiet", onclick: () => cancel(job.id) },
                  job.ended ? "Forget" : "Cancel",
                ),
              ),
            ),
          ),
      ),
    ),
  );
}
