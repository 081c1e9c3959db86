/** One piece of work of a view at a time: how far it is, Cancel, and what went wrong, in one place of the panel. */

import { Problem, askJson, problemOf } from "./api.js";
import { bytes, h, fill, icon } from "./dom.js";
import { openKey } from "./shell.js";

const POLL = 700;
const MISSES = 6;
const STAGES = /** @type {Record<string, string>} */ ({
  receive: "Receiving",
  queue: "Waiting for its turn",
  decode: "Reading",
  infer: "Computing",
  finish: "Finishing",
  encode: "Writing the answer",
});

/**
 * @typedef {object} Run what a piece of work gets
 * @property {AbortSignal} signal
 * @property {string} requestId to be sent along, so that the gateway tells how far the request is
 * @property {(sent: number, total: number) => void} onUpload
 * @property {(text: string, share?: number) => void} say
 */

/** Work whose progress and problems are shown in `element`. */
export class Work {
  /** @param {{ busy?: (busy: boolean) => void }} [hooks] `busy` is told when work begins and ends */
  constructor({ busy } = {}) {
    this.status = h("p", { class: "status", role: "status" });
    this.bar = h("progress", { hidden: true, "aria-label": "Progress" });
    this.cancel = h(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: () => this.#abort?.abort() },
      "Cancel",
    );
    this.trouble = h("div", { class: "trouble", role: "alert" });
    this.element = h(
      "div",
      { class: "work" },
      h("div", { class: "row" }, this.status, this.cancel),
      this.bar,
      this.trouble,
    );
    this.#busy = busy ?? (() => {});
  }

  /** @type {AbortController | null} */
  #abort = null;
  /** @type {(busy: boolean) => void} */
  #busy;
  #misses = 0;

  get running() {
    return this.#abort !== null;
  }

  /**
   * Run `work`, and return what it returns; null where it failed, was cancelled, or another is under way: a second press
   * sends nothing.
   *
   * @template T
   * @param {(run: Run) => Promise<T>} work
   * @param {() => void} [again] offered where the same may succeed later
   * @returns {Promise<T | null>}
   */
  async start(work, again) {
    if (this.#abort) return null;
    const abort = (this.#abort = new AbortController());
    const requestId = `console-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
    this.trouble.replaceChildren();
    this.#say("Sending");
    this.cancel.hidden = this.bar.hidden = false;
    this.bar.removeAttribute("value");
    this.#busy(true);
    let sent = false;
    this.#misses = 0;
    const poll = setInterval(() => sent && this.#misses < MISSES && void this.#poll(requestId), POLL);
    try {
      return await work({
        signal: abort.signal,
        requestId,
        say: (text, share) => this.#say(text, share),
        onUpload: (done, total) => {
          sent = done === total;
          this.#say(sent ? "Working" : `Sending ${bytes(done)} of ${bytes(total)}`, sent ? undefined : done / total);
        },
      });
    } catch (error) {
      const problem = problemOf(error);
      if (problem.code !== "cancelled") this.show(problem, again);
      return null;
    } finally {
      clearInterval(poll);
      this.#abort = null;
      this.cancel.hidden = this.bar.hidden = true;
      this.#say("");
      this.#busy(false);
    }
  }

  /** @param {Problem} problem @param {() => void} [again] */
  show(problem, again) {
    fill(this.trouble, problemCard(problem, again));
  }

  clear() {
    this.trouble.replaceChildren();
  }

  /** @param {string} text @param {number} [share] */
  #say(text, share) {
    if (this.status.textContent !== text) this.status.textContent = text;
    if (share === undefined) this.bar.removeAttribute("value");
    else this.bar.value = share;
  }

  /** Ask how far the request is; another process of the gateway may not know it, and then nothing is said. @param {string} id */
  async #poll(id) {
    try {
      const { stage, done, total } = await askJson(`v1/progress/${id}`);
      if (!this.#abort) return;
      const counted = total ? ` ${done} of ${total}` : "";
      this.#say(`${STAGES[stage] ?? stage}${counted}`, total ? done / total : undefined);
    } catch {
      // The answer itself says more than this would. A request that is left as a job is never known by its id.
      this.#misses += 1;
    }
  }
}

/**
 * Show a problem as people can act on it.
 *
 * @param {Problem} problem
 * @param {() => void} [again]
 */
export function problemCard(problem, again) {
  const unknown = problem.status === 401;
  const later = problem.retryAfter || (problem.document.retryable ? 1 : 0) || problem.code === "unreachable";
  return h(
    "div",
    { class: "problem" },
    h("p", {}, h("strong", {}, problem.title), " ", problem.detail),
    unknown && h("button", { type: "button", onclick: openKey }, icon("key"), "Enter a key"),
    later &&
      again &&
      h(
        "button",
        { type: "button", onclick: again },
        problem.retryAfter ? `Try again (best after ${problem.retryAfter} s)` : "Try again",
      ),
    problem.requestId && h("p", { class: "fine" }, `${problem.code} · request ${problem.requestId}`),
  );
}
