/** Mouse, fingers and keys on the image, and what each means for the objects. */

import { isOn } from "./masks.js";
import { centred, corners } from "./paint.js";

/** @typedef {import("../lib/stage.js").Stage} Stage */
/** @typedef {import("../lib/stage.js").Point} Point */
/** @typedef {import("./log.js").Log} Log */

/** @typedef {"iog" | "dextr" | "strokes" | "polygon"} Takes box and clicks, extreme points, lines on and beside, an outline */

const STEP = 10;
/** Pixels of the screen: points of a line lie farther apart, a click this near to an outline's first corner closes it. */
const APART = 3;
const NEAR = 12;
const NO_STROKES = { object: [], background: [] };

/** What to do first, by what a model takes. @type {Record<Takes, string>} */
export const FIRST = {
  iog: "Drag a box around an object, or click on it",
  dextr: "Click on the object's leftmost, topmost, rightmost and bottommost points",
  strokes: "Draw a line on an object, and with the right button or Too much one beside it",
  polygon: "Click along the object's outline; Enter, or a click on the first corner, closes it",
};

export class Hands {
  /**
   * @param {Stage} stage @param {Log} log
   * @param {() => Takes} takes what the model of the active or next object takes
   * @param {(text: string) => void} tell
   */
  constructor(stage, log, takes, tell) {
    this.stage = stage;
    this.log = log;
    this.takes = takes;
    this.tell = tell;
    /** @type {import("./paint.js").Underway} */
    this.underway = { box: null, extreme: [], polygon: [], stroke: [], away: false, strokes: NO_STROKES, cursor: null };
    stage.gesture = {
      start: (at) => this.#start(at),
      move: (at, event) => this.#move(at, event),
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
    this.#set({ box: null, extreme: [], polygon: [], stroke: [], strokes: NO_STROKES });
  }

  /** Begin another object with what comes next. */
  next() {
    this.reset();
    this.log.choose(null);
    this.tell(FIRST[this.takes()]);
  }

  /** @param {Partial<import("./paint.js").Underway>} patch */
  #set(patch) {
    this.underway = { ...this.underway, ...patch };
    this.stage.redraw();
  }

  #drop() {
    this.#from = null;
    this.#set({ box: null, stroke: [] });
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

  /** @param {Point} at @param {PointerEvent} event */
  #move(at, event) {
    if (!this.#from) return;
    const takes = this.takes();
    if (takes === "iog") this.#set({ box: [this.#from, this.#inside(at)] });
    if (takes === "strokes") this.#draw(this.#inside(at), this.#isAway(event) || event.buttons === 2);
  }

  /** Whether an event means what is not the object. @param {PointerEvent} event */
  #isAway(event) {
    return event.button === 2 || event.altKey || event.shiftKey || this.log.state.get().negative;
  }

  /** @param {Point} at @param {boolean} away */
  #draw(at, away) {
    const line = this.underway.stroke.length ? this.underway.stroke : [/** @type {Point} */ (this.#from)];
    const last = /** @type {Point} */ (line.at(-1));
    if (Math.hypot(at.x - last.x, at.y - last.y) * this.stage.scale > APART) this.#set({ stroke: [...line, at], away });
  }

  /** @param {Point} at @param {PointerEvent} event @param {boolean} dragged */
  #end(at, event, dragged) {
    const from = this.#from;
    const line = this.underway.stroke;
    this.#drop();
    if (!from) return;
    const to = this.#inside(at);
    const negative = this.#isAway(event);
    if (dragged && line.length) this.#stroke(line, negative);
    else if (dragged && event.button !== 2 && this.takes() === "iog") this.box(from, to);
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
    if (this.takes() === "polygon" && this.underway.polygon.length) return this.#vertex(at);
    const over = [...log.objects].reverse().find((object) => !object.hidden && isOn(object.found, at));
    const { active } = log;
    if (over && active && over.id !== active.id && !isOn(active.found, at)) {
      log.choose(over.id);
      // A click on another object means that one: it takes a negative click; a positive one would add nothing to it.
      if (!negative) return this.tell(`Object ${log.objects.indexOf(over) + 1} is chosen; clicks go to it now`);
    }
    const takes = this.takes();
    if (takes === "dextr") return this.#extreme(at);
    if (takes === "polygon") return this.#vertex(at);
    if (takes === "strokes") return this.#stroke([at], negative);
    log.add(negative ? { negative: [centred(at)] } : { positive: [centred(at)] });
  }

  /** The first lines of an object wait for each other: without one of each kind there is nothing to ask. @param {Point[]} line @param {boolean} negative */
  #stroke(line, negative) {
    const points = line.map(centred);
    const side = negative ? "background" : "object";
    if (this.log.active) return this.log.add({ strokes: { [side]: [points] } });
    const strokes = { ...this.underway.strokes, [side]: [...this.underway.strokes[side], points] };
    if (!strokes.object.length || !strokes.background.length) {
      this.#set({ strokes });
      return this.tell(negative ? "Now a line on the object" : "Now a line beside it: right button, Alt or Too much");
    }
    this.#set({ strokes: NO_STROKES });
    return this.log.add({ strokes }, true);
  }

  /** @param {Point} at */
  #vertex(at) {
    const { polygon } = this.underway;
    const [first] = polygon;
    const near = first && Math.hypot(at.x - first.x, at.y - first.y) * this.stage.scale < NEAR;
    if (near && polygon.length > 2) return this.#close();
    this.#set({ polygon: [...polygon, at] });
    return this.tell(`${polygon.length + 1} corners; Enter or a click on the first one closes the outline`);
  }

  #close() {
    const { polygon } = this.underway;
    this.#set({ polygon: [] });
    this.log.add({ polygon: polygon.map(centred) }, true);
  }

  /** @param {Point} at */
  #extreme(at) {
    const extreme = [...this.underway.extreme, at];
    if (extreme.length < 4) {
      this.#set({ extreme });
      return this.tell(`${4 - extreme.length} more of the object's four extreme points`);
    }
    this.#set({ extreme: [] });
    this.log.add({ extreme: extreme.map(centred) }, true);
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
    else if (event.key === "o" || event.key === "O") this.next();
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
    if (this.takes() === "polygon") return this.underway.polygon.length > 2 ? this.#close() : undefined;
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
    const last = this.underway.polygon.at(-1);
    if (last && this.underway.polygon.length > 2 && last.x === this.#cursor.x && last.y === this.#cursor.y)
      return this.#close();
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
