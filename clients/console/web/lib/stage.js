/** A canvas to look at an image on: zoom by wheel, pinch and keys, pan, and what is painted over the image. */

/** @typedef {{ x: number, y: number }} Point in pixels of the image, (0, 0) at the corner of the first one */
/**
 * @typedef {object} Gesture what a view makes of one finger, or of the mouse with its main or right button
 * @property {(at: Point, event: PointerEvent) => void} [start]
 * @property {(at: Point, event: PointerEvent) => void} [move]
 * @property {(at: Point, event: PointerEvent, dragged: boolean) => void} [end]
 * @property {() => void} [cancel] a second finger came: it was no gesture of one
 */

const LEAST = 0.02;
const MOST = 40;
const STEADY = 5;

export class Stage {
  /** @param {HTMLCanvasElement} canvas @param {(context: CanvasRenderingContext2D, stage: Stage) => void} paint */
  constructor(canvas, paint) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.paint = paint;
    this.width = this.height = 0;
    this.scale = 1;
    this.left = this.top = 0;
    /** @type {Gesture} */
    this.gesture = {};
    /** Whether a drag moves the image instead. */
    this.pans = true;
    /** What the wheel does without Ctrl, where it does not zoom. @type {((steps: number) => void) | null} */
    this.turned = null;
    canvas.style.touchAction = "none";
    new ResizeObserver(() => this.#resize()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#lost(event));
  }

  /** @type {Map<number, { x: number, y: number }>} */
  #fingers = new Map();
  /** @type {"" | "gesture" | "pan" | "pinch"} */
  #doing = "";
  #began = { x: 0, y: 0 };
  #dragged = false;
  #drawing = false;
  #fitted = true;

  /** Show an image of a size, whole. @param {number} width @param {number} height */
  open(width, height) {
    this.width = width;
    this.height = height;
    this.fit();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.width || !width) return;
    this.scale = Math.min(width / this.width, height / this.height) * 0.98;
    this.left = (width - this.width * this.scale) / 2;
    this.top = (height - this.height * this.scale) / 2;
    this.#fitted = true;
    this.redraw();
  }

  /** Zoom, a place of the canvas staying where it is. @param {number} factor @param {number} [x] @param {number} [y] */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const scale = Math.min(MOST, Math.max(LEAST, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.#fitted = false;
    this.redraw();
  }

  /** @param {number} x @param {number} y in pixels of the canvas */
  pan(x, y) {
    this.left += x;
    this.top += y;
    this.#fitted = false;
    this.redraw();
  }

  /** Bring a box of the image, x0, y0, x1, y1, to the middle. @param {readonly number[]} box */
  look([x0, y0, x1, y1]) {
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = Math.min(MOST, clientWidth / (3 * (x1 - x0 + 1)), clientHeight / (3 * (y1 - y0 + 1)));
    this.left = clientWidth / 2 - ((x0 + x1) / 2) * this.scale;
    this.top = clientHeight / 2 - ((y0 + y1) / 2) * this.scale;
    this.#fitted = false;
    this.redraw();
  }

  /** @param {{ clientX: number, clientY: number }} event @returns {Point} */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: (event.clientX - box.left - this.left) / this.scale,
      y: (event.clientY - box.top - this.top) / this.scale,
    };
  }

  redraw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      const { context, canvas } = this;
      const ratio = canvas.width / (canvas.clientWidth || 1);
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      if (!this.width) return;
      // Where the image is, for whoever looks on from outside: pixels of the canvas per pixel of the image, left, top.
      canvas.dataset.view = `${this.scale} ${this.left} ${this.top}`;
      context.setTransform(ratio * this.scale, 0, 0, ratio * this.scale, ratio * this.left, ratio * this.top);
      context.imageSmoothingEnabled = this.scale < 2;
      context.imageSmoothingQuality = "high";
      this.paint(context, this);
    });
  }

  /**
   * Do what a key means for looking; return whether it means anything.
   *
   * @param {KeyboardEvent} event
   */
  key(event) {
    const by = 60;
    /** @type {Record<string, () => void>} */
    const keys = {
      "+": () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8),
      0: () => this.fit(),
      ArrowLeft: () => this.pan(by, 0),
      ArrowRight: () => this.pan(-by, 0),
      ArrowUp: () => this.pan(0, by),
      ArrowDown: () => this.pan(0, -by),
    };
    if (event.ctrlKey || event.metaKey || !(event.key in keys)) return false;
    event.preventDefault();
    keys[event.key]();
    return true;
  }

  #resize() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    if (this.#fitted) this.fit();
    else this.redraw();
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    if (!this.width) return;
    event.preventDefault();
    if (this.turned && !event.ctrlKey) return this.turned(Math.sign(event.deltaY));
    const box = this.canvas.getBoundingClientRect();
    return this.zoom(
      Math.exp(-event.deltaY / (event.deltaMode ? 12 : 400)),
      event.clientX - box.left,
      event.clientY - box.top,
    );
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (!this.width) return;
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    try {
      this.canvas.setPointerCapture(event.pointerId);
    } catch {
      // A pointer that is gone already is not captured.
    }
    if (this.#fingers.size > 1) {
      if (this.#doing === "gesture") this.gesture.cancel?.();
      this.#doing = "pinch";
      return;
    }
    this.#began = { x: event.clientX, y: event.clientY };
    this.#dragged = false;
    this.#doing = event.button === 1 || this.pans ? "pan" : "gesture";
    if (this.#doing === "gesture") this.gesture.start?.(this.at(event), event);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    if (Math.hypot(now.x - this.#began.x, now.y - this.#began.y) > STEADY) this.#dragged = true;
    if (this.#doing === "pinch") this.#pinch(event.pointerId, now);
    else if (this.#doing === "pan") this.pan(now.x - before.x, now.y - before.y);
    else this.gesture.move?.(this.at(event), event);
    this.#fingers.set(event.pointerId, now);
  }

  /** @param {number} id @param {{ x: number, y: number }} now */
  #pinch(id, now) {
    const before = /** @type {{ x: number, y: number }} */ (this.#fingers.get(id));
    const other = [...this.#fingers].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const box = this.canvas.getBoundingClientRect();
    const factor =
      Math.hypot(now.x - other.x, now.y - other.y) / (Math.hypot(before.x - other.x, before.y - other.y) || 1);
    this.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    this.zoom(factor, (now.x + other.x) / 2 - box.left, (now.y + other.y) / 2 - box.top);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const doing = this.#doing;
    if (!this.#fingers.delete(event.pointerId)) return;
    if (doing === "gesture") this.gesture.end?.(this.at(event), event, this.#dragged);
    // The finger that stays after a pinch goes on with nothing: it would draw.
    if (!this.#fingers.size) this.#doing = "";
  }

  /** @param {PointerEvent} event */
  #lost(event) {
    if (this.#doing === "gesture") this.gesture.cancel?.();
    this.#fingers.delete(event.pointerId);
    if (!this.#fingers.size) this.#doing = "";
  }
}
