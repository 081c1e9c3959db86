/** Mouse, fingers and keys on the image, and what each means for the objects. */

import { isOn } from "./masks.js";
import { corners } from "./paint.js";

/** @typedef {import("../lib/stage.js").Stage} Stage */
/** @typedef {import("../lib/stage.js").Point} Point */
/** @typedef {import("./log.js").Log} Log */

const STEP = 10;

export class Hands {
  /**
   * @param {Stage} stage @param {Log} log
   * @param {() => "iog" | "dextr"} takes what the model of the active or next object takes
   * @param {(text: string) => void} tell
   */
  constructor(stage, log, takes, tell) {
    this.stage = stage;
    this.log = log;
    this.takes = takes;
    this.tell = tell;
    /** @type {import("./paint.js").Underway} */
    this.underway = { box: null, extreme: [], cursor: null };
    stage.gesture = {
      start: (at) => this.#start(at),
      move: (at) => this.#move(at),
      end: (at, event, dragged) => this.#end(at, event, dragged),
      cancel: () => this.#drop(),
    };
    log.state.watch(({ tool }) => {
      stage.pans = tool === "pan";
      stage.canvas.style.cursor = tool === "pan" ? "grab" : "crosshair";
    });
    stage.canvas.addEventListener("keydown", (event) => this.key(event));
    stage.canvas.addEventListener("blur", () => this.#set({ cursor: null }));
  }

  /** @type {Point | null} */
  #from = null;

  /** Forget the box and the points under way. */
  reset() {
    this.#from = null;
    this.#set({ box: null, extreme: [] });
  }

  /** @param {Partial<import("./paint.js").Underway>} patch */
  #set(patch) {
    this.underway = { ...this.underway, ...patch };
    this.stage.redraw();
  }

  #drop() {
    this.#from = null;
    this.#set({ box: null });
  }

  /** Keep a point on the image: its centre coordinates are whole numbers on pixels. @param {Point} at @returns {Point} */
  #inside({ x, y }) {
    const on = (/** @type {number} */ value, /** @type {number} */ size) =>
      Math.min(size - 1, Math.max(0, Math.floor(value))) + 0.5;
    return { x: on(x, this.stage.width), y: on(y, this.stage.height) };
  }

  /** @param {Point} at */
  #start(at) {
    this.#from = this.#inside(at);
  }

  /** @param {Point} at */
  #move(at) {
    if (this.#from && this.takes() === "iog") this.#set({ box: [this.#from, this.#inside(at)] });
  }

  /** @param {Point} at @param {PointerEvent} event @param {boolean} dragged */
  #end(at, event, dragged) {
    const from = this.#from;
    this.#drop();
    if (!from) return;
    const to = this.#inside(at);
    const negative = event.button === 2 || event.altKey || event.shiftKey || this.log.state.get().negative;
    if (dragged && event.button !== 2 && this.takes() === "iog") this.box(from, to);
    else if (!dragged && at.x >= 0 && at.y >= 0 && at.x < this.stage.width && at.y < this.stage.height)
      this.click(to, negative);
  }

  /** @param {Point} from @param {Point} to */
  box(from, to) {
    this.log.add({ box: corners([from, to]) }, true);
  }

  /** @param {Point} at @param {boolean} negative */
  click(at, negative) {
    const { log } = this;
    const point = [at.x - 0.5, at.y - 0.5];
    const over = [...log.objects].reverse().find((object) => !object.hidden && isOn(object.found, at));
    const { active } = log;
    if (over && active && over.id !== active.id && !isOn(active.found, at)) {
      log.choose(over.id);
      // A click on another object means that one: it takes a negative click; a positive one would add nothing to it.
      if (!negative) return this.tell(`Object ${log.objects.indexOf(over) + 1} is chosen; clicks go to it now`);
    }
    if (this.takes() === "dextr") return this.#extreme(at);
    log.add(negative ? { negative: [point] } : { positive: [point] });
  }

  /** @param {Point} at */
  #extreme(at) {
    const extreme = [...this.underway.extreme, at];
    if (extreme.length < 4) {
      this.#set({ extreme });
      return this.tell(`${4 - extreme.length} more of the object's four extreme points`);
    }
    this.#set({ extreme: [] });
    this.log.add({ extreme: extreme.map(({ x, y }) => [x - 0.5, y - 0.5]) }, true);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { stage, log } = this;
    if (event.ctrlKey || event.metaKey || !stage.width) return;
    const { tool } = log.state.get();
    const moves = /** @type {Record<string, [number, number]>} */ ({
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    });
    const move = moves[event.key];
    if (move && tool === "draw") this.#moveCursor(move, event.shiftKey ? 1 : STEP / stage.scale);
    else if (event.key === "Enter" || event.key === " ") this.#press(event.altKey);
    else if (event.key === "b" || event.key === "B") this.#corner();
    else if (event.key === "n" || event.key === "N") log.state.set({ negative: !log.state.get().negative });
    else if (event.key === "p" || event.key === "P") log.state.set({ tool: tool === "pan" ? "draw" : "pan" });
    else if (event.key === "Escape") this.reset();
    else if (event.key === "Delete" && log.active) log.remove(log.active.id);
    else if (event.key === "PageUp" || event.key === "PageDown") this.#next(event.key === "PageDown" ? 1 : -1);
    else return void stage.key(event);
    event.preventDefault();
  }

  /** @param {[number, number]} way @param {number} by */
  #moveCursor([x, y], by) {
    const { width, height } = this.stage;
    const from = this.underway.cursor ?? { x: width / 2, y: height / 2 };
    const cursor = this.#inside({ x: from.x + x * Math.max(1, by), y: from.y + y * Math.max(1, by) });
    this.#set({ cursor, box: this.#from ? [this.#from, cursor] : null });
    this.tell(`x ${cursor.x - 0.5}, y ${cursor.y - 0.5}`);
  }

  get #cursor() {
    return this.underway.cursor ?? this.#inside({ x: this.stage.width / 2, y: this.stage.height / 2 });
  }

  #corner() {
    const from = this.#from;
    if (!from) {
      this.#from = this.#cursor;
      this.#set({ cursor: this.#cursor, box: [this.#from, this.#from] });
      return this.tell("One corner of the box is set; move to the opposite one and press B");
    }
    this.#drop();
    return this.box(from, this.#cursor);
  }

  /** @param {boolean} alt */
  #press(alt) {
    if (this.#from) return this.#corner();
    this.#set({ cursor: this.#cursor });
    return this.click(this.#cursor, alt || this.log.state.get().negative);
  }

  /** @param {number} by */
  #next(by) {
    const { objects, active } = this.log;
    if (!objects.length) return;
    const at = (objects.findIndex((object) => object.id === active?.id) + by + objects.length) % objects.length;
    this.log.choose(objects[at].id);
  }
}
