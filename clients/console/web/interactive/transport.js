/** How clicks reach a model: by a session, or where the gateway offers none, with the image each time. */

import { Problem, BASE, ask, askJson } from "../lib/api.js";
import { app } from "../lib/store.js";

/** @typedef {import("./masks.js").Found} Found */
/** @typedef {Record<string, any>} Prompt */

const LOST = new Set(["session-not-found", "session-outdated"]);
/** Parts of a prompt, and of its strokes, that are added up; others take each other's place. */
const ADDED = new Set(["positive", "negative", "object", "background"]);

/** Return what events of one object add up to, as a session of the gateway joins them. @param {readonly Prompt[]} events @returns {Prompt} */
export function joined(events) {
  /** @type {Prompt} */
  const sum = {};
  for (const event of events)
    for (const [key, value] of Object.entries(event)) {
      if (key === "strokes") sum[key] = joined([sum[key] ?? {}, value]);
      else sum[key] = ADDED.has(key) ? [...(sum[key] ?? []), ...value] : value;
    }
  return sum;
}

/** One image in front of one model. What was sent is kept here, so that a session that is gone is made again. */
export class Transport {
  /** @param {File} file @param {string} model @param {(text: string) => void} say */
  constructor(file, model, say) {
    this.file = file;
    this.model = model;
    /** What the session has been told, in order. @type {{ object: number, event: Prompt }[]} */
    this.sent = [];
    this.#say = say;
  }

  /** @type {string | null} */
  #session = null;
  #without = false;
  /** @type {(text: string) => void} */
  #say;

  /** Begin a session, so that the first click does not wait for the upload. */
  async begin() {
    if (this.#session || this.#without) return;
    const body = new FormData();
    body.append("image", this.file, "upload");
    try {
      const onUpload = (/** @type {number} */ done, /** @type {number} */ all) =>
        this.#say(done < all ? `Sending the image, ${Math.round((100 * done) / all)} %` : "Opening the image");
      this.#session = (
        await askJson(`v1/interactive/sessions?model=${encodeURIComponent(this.model)}`, { body, onUpload })
      ).id;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 501) throw error;
      this.#without = true;
    }
  }

  /**
   * Return the object with an event added to those that it has.
   *
   * @param {number} object @param {Prompt} event
   * @returns {Promise<Found>}
   */
  async add(object, event) {
    const found = await this.#inSession(() => this.#post(object, event));
    this.sent.push({ object, event });
    return found;
  }

  /** Take back what was sent last. */
  async undo() {
    this.sent.pop();
    if (!this.#session) return;
    try {
      await ask(`v1/interactive/sessions/${this.#session}/clicks/last`, { method: "DELETE" });
    } catch (error) {
      // It is made again, without that event, when there is something to add.
      this.#session = null;
      if (!(error instanceof Problem) || !LOST.has(error.code)) throw error;
    }
  }

  /** Forget the session; without waiting, since the page may be leaving. */
  end() {
    const { key } = app.get();
    const headers = key ? { "X-API-Key": key } : undefined;
    if (this.#session)
      void fetch(new URL(`v1/interactive/sessions/${this.#session}`, BASE), {
        method: "DELETE",
        keepalive: true,
        headers,
      }).catch(() => {});
    this.#session = null;
  }

  /** What a model makes of a prompt, asked once. @param {string} model @param {Prompt} prompt @returns {Promise<Found>} */
  async ask(model, prompt) {
    const body = new FormData();
    body.append("image", this.file, "upload");
    body.append("prompt", JSON.stringify(prompt));
    return (await askJson(`v1/interactive?model=${encodeURIComponent(model)}`, { body })).objects[0];
  }

  /**
   * Do a step; where the session is gone, begin another, send all events again, and do it once more.
   *
   * @param {() => Promise<Found>} step
   */
  async #inSession(step) {
    for (let tries = 0; ; tries++) {
      const begins = !this.#session && !this.#without;
      await this.begin();
      if (begins && this.#session) await this.#replay();
      try {
        return await step();
      } catch (error) {
        if (!(error instanceof Problem) || tries > 1) throw error;
        if (LOST.has(error.code)) this.#session = null;
        else if (error.code !== "session-changed") throw error;
      }
    }
  }

  async #replay() {
    const events = this.sent;
    this.sent = [];
    try {
      for (const [n, { object, event }] of events.entries()) {
        this.#say(`The session had ended: sending click ${n + 1} of ${events.length} again`);
        await this.#post(object, event);
        this.sent.push({ object, event });
      }
    } catch (error) {
      this.#session = null;
      this.sent = events;
      throw error;
    }
  }

  /** @param {number} object @param {Prompt} event @returns {Promise<Found>} */
  async #post(object, event) {
    this.#say(`Asking ${this.model}`);
    if (this.#without) {
      const earlier = this.sent.filter((one) => one.object === object).map((one) => one.event);
      return this.ask(this.model, joined([...earlier, event]));
    }
    // The gateway numbers objects in the order in which they began.
    const order = [...new Set(this.sent.map((one) => one.object))];
    const number = order.indexOf(object) + 1;
    const answer = await askJson(`v1/interactive/sessions/${this.#session}/clicks`, {
      body: { ...event, object: number || "new" },
    });
    return answer.objects[0];
  }
}
