/** What is painted over the image: objects, what was clicked, and the box or cross under way. */

import { css } from "../lib/dom.js";
import { pathOf } from "./masks.js";

/** @typedef {import("../lib/stage.js").Point} Point */
/** @typedef {import("./log.js").State} State */
/** @typedef {import("./log.js").Selected} Selected */
/** @typedef {import("./transport.js").Prompt} Prompt */

/** @typedef {{ object: number[][][], background: number[][][] }} Strokes */
/**
 * @typedef {object} Underway
 * @property {[Point, Point] | null} box
 * @property {Point[]} extreme
 * @property {Point[]} polygon
 * @property {Point[]} stroke that the pointer draws
 * @property {boolean} away whether that is beside the object
 * @property {Strokes} strokes that wait for one of the other kind
 * @property {Point | null} cursor
 */

const POSITIVE = "#1fae5b";
const NEGATIVE = "#e5372c";

/** @param {CanvasRenderingContext2D} context @param {number} scale @param {State} state @param {Underway} underway */
export function paint(context, scale, state, underway) {
  const { picture, objects, active, compared } = state;
  if (!picture) return;
  context.drawImage(picture, 0, 0);
  const there = objects.filter((object) => !object.deleted && !object.hidden);
  // The active object comes last, so that nothing lies over what is worked on.
  for (const object of [...there].sort((a, b) => Number(a.id === active) - Number(b.id === active))) {
    if (object.found) mask(context, scale, object, object.id === active);
    if (object.id === active) {
      for (const event of object.events) marks(context, scale, event, false);
      if (object.pending) marks(context, scale, object.pending, true);
    }
  }
  if (compared) {
    context.setLineDash([6 / scale, 4 / scale]);
    stroked(context, scale, () => context.stroke(pathOf(compared.found)), "#ffd23f", 2);
    context.setLineDash([]);
  }
  if (underway.box) marks(context, scale, { box: corners(underway.box) }, true);
  if (underway.extreme.length) marks(context, scale, { extreme: underway.extreme.map(centred) }, true);
  strokesOf(context, scale, underway.strokes, true);
  if (underway.stroke.length)
    polyline(context, scale, underway.stroke.map(centred), underway.away ? NEGATIVE : POSITIVE, 4);
  if (underway.polygon.length) {
    const line = [...underway.polygon, ...(underway.cursor ? [underway.cursor] : [])].map(centred);
    polyline(context, scale, line, "#fff", 1.5);
    marks(context, scale, { extreme: underway.polygon.map(centred) }, true);
  }
  if (underway.cursor) cross(context, scale, underway.cursor, state.negative);
}

/** A point as prompts have it: whole numbers are centres of pixels. @param {Point} at */
export const centred = ({ x, y }) => [x - 0.5, y - 0.5];

/**
 * @param {[Point, Point]} box two opposite corners
 * @returns {number[]} the box around both pixels; its far bounds are a pixel beyond the last one, as prompts have them
 */
export const corners = ([a, b]) => [
  Math.floor(Math.min(a.x, b.x)),
  Math.floor(Math.min(a.y, b.y)),
  Math.floor(Math.max(a.x, b.x)) + 1,
  Math.floor(Math.max(a.y, b.y)) + 1,
];

/** @param {CanvasRenderingContext2D} context @param {number} scale @param {Selected} object @param {boolean} active */
function mask(context, scale, { found, colour }, active) {
  if (!found) return;
  const path = pathOf(found);
  context.fillStyle = css(colour, active ? 0.42 : 0.28);
  context.fill(path, "evenodd");
  context.lineJoin = "round";
  stroked(context, scale, () => context.stroke(path), css(colour), active ? 2 : 1);
}

/**
 * Stroke twice, dark below bright, so that the line is seen on any picture.
 *
 * @param {CanvasRenderingContext2D} context @param {number} scale @param {() => void} stroke @param {string} colour @param {number} width
 */
function stroked(context, scale, stroke, colour, width) {
  context.strokeStyle = "rgb(0 0 0 / 0.6)";
  context.lineWidth = (width + 1.5) / scale;
  stroke();
  context.strokeStyle = colour;
  context.lineWidth = width / scale;
  stroke();
}

/** @param {CanvasRenderingContext2D} context @param {number} scale @param {Prompt} event @param {boolean} pending */
function marks(context, scale, event, pending) {
  if (event.box) {
    const [x0, y0, x1, y1] = event.box;
    context.setLineDash(pending ? [5 / scale, 4 / scale] : []);
    stroked(context, scale, () => context.strokeRect(x0, y0, x1 - x0, y1 - y0), "#fff", 1.5);
    context.setLineDash([]);
  }
  if (event.strokes) strokesOf(context, scale, event.strokes, pending);
  if (event.polygon && pending) polyline(context, scale, [...event.polygon, event.polygon[0]], "#fff", 1.5);
  for (const [x, y] of event.positive ?? []) mark(context, scale, x, y, "+", pending);
  for (const [x, y] of event.negative ?? []) mark(context, scale, x, y, "−", pending);
  for (const [x, y] of event.extreme ?? []) mark(context, scale, x, y, "", pending);
}

/** @param {CanvasRenderingContext2D} context @param {number} scale @param {Partial<Strokes>} strokes @param {boolean} pending */
function strokesOf(context, scale, { object = [], background = [] }, pending) {
  context.setLineDash(pending ? [7 / scale, 5 / scale] : []);
  for (const line of object) polyline(context, scale, line, POSITIVE, 4);
  for (const line of background) polyline(context, scale, line, NEGATIVE, 4);
  context.setLineDash([]);
}

/** A line through centres of pixels; one of a single point is a dot. @param {CanvasRenderingContext2D} context @param {number} scale @param {number[][]} points @param {string} colour @param {number} width */
function polyline(context, scale, points, colour, width) {
  const [[x, y], ...others] = points;
  context.beginPath();
  context.moveTo(x + 0.5, y + 0.5);
  for (const [left, top] of others.length ? others : [[x, y]]) context.lineTo(left + 0.5, top + 0.5);
  context.lineCap = context.lineJoin = "round";
  stroked(context, scale, () => context.stroke(), colour, width);
}

/** @param {CanvasRenderingContext2D} context @param {number} scale @param {number} x @param {number} y @param {string} sign @param {boolean} pending */
function mark(context, scale, x, y, sign, pending) {
  const radius = 7 / scale;
  const [left, top] = [x + 0.5, y + 0.5];
  const colour = sign === "−" ? NEGATIVE : sign ? POSITIVE : "#0b7fc2";
  context.beginPath();
  context.arc(left, top, radius, 0, 2 * Math.PI);
  context.fillStyle = pending ? "rgb(0 0 0 / 0.35)" : colour;
  context.fill();
  context.lineWidth = 2 / scale;
  context.strokeStyle = pending ? colour : "#fff";
  context.stroke();
  if (!sign) return;
  context.beginPath();
  context.moveTo(left - radius / 2, top);
  context.lineTo(left + radius / 2, top);
  if (sign === "+") {
    context.moveTo(left, top - radius / 2);
    context.lineTo(left, top + radius / 2);
  }
  context.strokeStyle = "#fff";
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context @param {number} scale @param {Point} at @param {boolean} negative */
function cross(context, scale, { x, y }, negative) {
  const arm = 12 / scale;
  stroked(
    context,
    scale,
    () => {
      context.beginPath();
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
      context.stroke();
    },
    negative ? NEGATIVE : "#fff",
    1.5,
  );
}
