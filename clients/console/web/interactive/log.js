/** What was done to an image's objects, one step after the other, with undo and redo. */

import { problemOf } from "../lib/api.js";
import { slice } from "../lib/store.js";
import { Transport } from "./transport.js";

/** @typedef {import("./masks.js").Found} Found */
/** @typedef {import("./transport.js").Prompt} Prompt */
/**
 * @typedef {object} Selected one object
 * @property {number} id
 * @property {string} name
 * @property {string} model that it is asked of, to its end
 * @property {number[]} colour
 * @property {boolean} hidden
 * @property {boolean} deleted
 * @property {Prompt[]} events
 * @property {Prompt | null} pending the event that is under way
 * @property {Found | null} found
 */
/**
 * @typedef {{ kind: "add", id: number, event: Prompt, before: Found | null, after: Found | null }
 *   | { kind: "delete", id: number }
 *   | { kind: "name", id: number, from: string, to: string }} Step
 */
/**
 * @typedef {object} State
 * @property {File | null} file
 * @property {HTMLCanvasElement | null} picture
 * @property {Selected[]} objects
 * @property {number | null} active
 * @property {Step[]} past
 * @property {Step[]} future
 * @property {string} busy what is waited for; empty: nothing
 * @property {number} steps how many are under way or wait
 * @property {import("../lib/api.js").Problem | null} problem
 * @property {boolean} negative
 * @property {"draw" | "pan"} tool
 * @property {string} model
 * @property {boolean} saved whether all that there is was exported
 * @property {{ id: number, model: string, found: Found } | null} compared
 */

const GOLDEN_ANGLE = 137.5;

export class Log {
  state = slice(
    "interactive",
    /** @type {State} */ ({
      file: null,
      picture: null,
      objects: [],
      active: null,
      past: [],
      future: [],
      busy: "",
      steps: 0,
      problem: null,
      negative: false,
      tool: "draw",
      model: "",
      saved: true,
      compared: null,
    }),
  );

  /** @type {Map<string, Transport>} */
  #transports = new Map();
  /** Steps wait for each other: a click is meant for the mask that is seen. */
  #steps = Promise.resolve();
  #next = 1;

  /** @param {File} file @param {HTMLCanvasElement} picture */
  open(file, picture) {
    this.end();
    this.#next = 1;
    this.state.set({
      file,
      picture,
      objects: [],
      active: null,
      past: [],
      future: [],
      problem: null,
      saved: true,
      compared: null,
    });
    this.#step(async () => this.#transport(this.state.get().model)?.begin());
  }

  end() {
    for (const transport of this.#transports.values()) transport.end();
    this.#transports.clear();
  }

  /** The objects that are there. @returns {Selected[]} */
  get objects() {
    return this.state.get().objects.filter((object) => !object.deleted);
  }

  /** @returns {Selected | null} */
  get active() {
    return this.objects.find((object) => object.id === this.state.get().active) ?? null;
  }

  /**
   * Add an event to the active object, or begin another with it.
   *
   * @param {Prompt} event @param {boolean} [begins] @param {{ name?: string, model?: string }} [as] of one that begins
   */
  add(event, begins = false, as = {}) {
    const { active } = this;
    const id = begins || !active ? this.#begin(as) : active.id;
    this.state.set({ active: id, compared: null });
    this.#change(id, (object) => ({ ...object, pending: event }));
    this.#step(async () => {
      const step = /** @type {Step} */ ({ kind: "add", id, event, before: this.#of(id).found, after: null });
      if (await this.#doAdd(step)) this.#done(step, []);
    });
  }

  /** @param {number} id */
  remove(id) {
    this.#record({ kind: "delete", id });
  }

  /** @param {number} id @param {string} to */
  rename(id, to) {
    const from = this.#of(id).name;
    if (to && to !== from) this.#record({ kind: "name", id, from, to });
  }

  /** @param {number} id */
  toggle(id) {
    this.#change(id, (object) => ({ ...object, hidden: !object.hidden }));
  }

  /** @param {number | null} id */
  choose(id) {
    this.state.set({ active: id, compared: null });
  }

  undo() {
    this.#step(async () => {
      const { past, future } = this.state.get();
      const step = past.at(-1);
      if (!step) return;
      await this.#undo(step);
      this.state.set({ past: past.slice(0, -1), future: [...future, step], saved: false, compared: null });
    });
  }

  redo() {
    this.#step(async () => {
      const { future } = this.state.get();
      const step = future.at(-1);
      if (!step) return;
      if (step.kind === "add") {
        this.#change(step.id, (object) => ({ ...object, deleted: false, pending: step.event }));
        if (!(await this.#doAdd(step))) return;
      } else this.#apply(step);
      this.#done(step, future.slice(0, -1));
    });
  }

  /** See what another model makes of the active object's clicks. @param {string} model @param {(events: readonly Prompt[]) => Prompt} join */
  compare(model, join) {
    const object = this.active;
    if (!object) return;
    this.#step(async () => {
      const transport = this.#transport(object.model);
      this.state.set({ busy: `Asking ${model}` });
      const found = await transport?.ask(model, join(object.events));
      if (found) this.state.set({ compared: { id: object.id, model, found } });
    });
  }

  /** @param {Step} step */
  #record(step) {
    this.#step(async () => {
      this.#apply(step);
      this.#done(step, []);
    });
  }

  /** @param {Step} step @param {Step[]} future */
  #done(step, future) {
    this.state.set({ past: [...this.state.get().past, step], future, saved: false });
  }

  /** @param {Step} step */
  #apply(step) {
    if (step.kind === "name") this.#change(step.id, (object) => ({ ...object, name: step.to }));
    if (step.kind !== "delete") return;
    this.#change(step.id, (object) => ({ ...object, deleted: true }));
    if (this.state.get().active === step.id) this.state.set({ active: this.objects.at(-1)?.id ?? null });
  }

  /** @param {Step} step */
  async #undo(step) {
    if (step.kind === "name") return this.#change(step.id, (object) => ({ ...object, name: step.from }));
    if (step.kind === "delete") {
      this.#change(step.id, (object) => ({ ...object, deleted: false }));
      return this.state.set({ active: step.id });
    }
    const object = this.#of(step.id);
    this.#change(step.id, (one) => ({
      ...one,
      events: one.events.slice(0, -1),
      found: step.before,
      deleted: one.events.length === 1,
    }));
    const last = [...this.state.get().past.slice(0, -1)]
      .reverse()
      .find((one) => one.kind === "add" && this.objects.some(({ id }) => id === one.id));
    this.state.set({ active: object.events.length > 1 ? step.id : (last?.id ?? this.objects.at(-1)?.id ?? null) });
    await this.#transport(object.model)?.undo();
  }

  /** @param {Step} step @returns {Promise<boolean>} whether it was taken */
  async #doAdd(step) {
    if (step.kind !== "add") return false;
    const { id, event } = step;
    try {
      const found = await this.#transport(this.#of(id).model)?.add(id, event);
      if (!found) return false;
      step.after = found;
      this.#change(id, (object) => ({ ...object, events: [...object.events, event], pending: null, found }));
      this.state.set({ active: id });
      return true;
    } catch (error) {
      // An object that nothing was found of yet goes with the event that was refused.
      this.#change(id, (object) => ({ ...object, pending: null, deleted: object.events.length === 0 }));
      this.state.set({ active: this.active?.id ?? this.objects.at(-1)?.id ?? null });
      throw error;
    }
  }

  /** @param {{ name?: string, model?: string }} as */
  #begin({ name = "object", model = this.state.get().model }) {
    const id = this.#next++;
    const { objects } = this.state.get();
    const colour = hue((GOLDEN_ANGLE * (id - 1)) % 360);
    this.state.set({
      objects: [
        ...objects,
        { id, name, model, colour, hidden: false, deleted: false, events: [], pending: null, found: null },
      ],
    });
    return id;
  }

  /** @param {number} id @returns {Selected} */
  #of(id) {
    return /** @type {Selected} */ (this.state.get().objects.find((object) => object.id === id));
  }

  /** @param {number} id @param {(object: Selected) => Selected} to */
  #change(id, to) {
    this.state.set({ objects: this.state.get().objects.map((object) => (object.id === id ? to(object) : object)) });
  }

  /** @param {string} model */
  #transport(model) {
    const { file } = this.state.get();
    let transport = this.#transports.get(model);
    if (!transport && file) {
      transport = new Transport(file, model, (busy) => this.state.set({ busy }));
      this.#transports.set(model, transport);
    }
    return transport;
  }

  /** @param {() => Promise<unknown>} work */
  #step(work) {
    const { file, steps } = this.state.get();
    this.state.set({ steps: steps + 1 });
    this.#steps = this.#steps.then(async () => {
      this.state.set({ problem: null });
      try {
        // Where another image has been opened since, what was meant for the one before goes with it.
        if (this.state.get().file === file) await work();
      } catch (error) {
        this.state.set({ problem: problemOf(error) });
      }
      this.state.set({ busy: "", steps: this.state.get().steps - 1 });
    });
  }

  /** When every step so far is through. */
  get settled() {
    return this.#steps;
  }
}

/** A vivid colour of a hue in degrees, as sRGB. @param {number} degrees */
function hue(degrees) {
  const channel = (/** @type {number} */ shift) => {
    const k = (shift + degrees / 30) % 12;
    return Math.round(255 * (0.55 - 0.45 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}
