/** How the gateway is doing: readiness, queue, lanes and throughput, from `/readyz` and `/metrics`, every two seconds. */

import { Problem, ask, problemOf } from "../lib/api.js";
import { bytes, fill, h, number } from "../lib/dom.js";
import { listJobs } from "../lib/jobs.js";
import { parse, quantile, sum } from "../lib/metrics.js";
import { problemCard } from "../lib/work.js";

const PERIOD = 2000;
const KEPT = 90;

/** @typedef {import("../lib/metrics.js").Sample} Sample */
/**
 * @typedef {object} Chart
 * @property {string} title
 * @property {(now: Sample[], before: Sample[], seconds: number) => number} of
 * @property {(value: number) => string} shown
 */

const seconds = (/** @type {number} */ value) =>
  value < 1 ? `${(1000 * value).toFixed(value < 0.01 ? 1 : 0)} ms` : `${value.toFixed(1)} s`;
const rate =
  (/** @type {string} */ name, /** @type {Record<string, string>} */ labels = {}) =>
  (/** @type {Sample[]} */ now, /** @type {Sample[]} */ before, /** @type {number} */ passed) =>
    Math.max(0, sum(now, name, labels) - sum(before, name, labels)) / passed;
const busy =
  (/** @type {string} */ pool) =>
  (/** @type {Sample[]} */ now, /** @type {Sample[]} */ before, /** @type {number} */ passed) =>
    rate("maskgate_pool_busy_seconds_total", { pool })(now, before, passed) /
    (sum(now, "maskgate_pool_threads", { pool }) || 1);
const share = (/** @type {number} */ value) => `${Math.round(100 * value)} %`;
const perSecond = (/** @type {number} */ value) => `${number(value, value < 10 ? 1 : 0)} /s`;

/** @type {Chart[]} */
const CHARTS = [
  { title: "Requests", of: rate("maskgate_http_requests_total"), shown: perSecond },
  {
    title: "Task requests in flight",
    of: (now) => sum(now, "maskgate_inflight_requests"),
    shown: (value) => number(value),
  },
  { title: "Bytes in flight", of: (now) => sum(now, "maskgate_inflight_bytes"), shown: bytes },
  {
    title: "Waited for a turn, 95th percentile",
    of: (now, before) => quantile(before, now, "maskgate_queue_wait_seconds", 0.95) || 0,
    shown: seconds,
  },
  {
    title: "Queued work, emergency lane",
    of: (now) => sum(now, "maskgate_queued_work_seconds", { lane: "emergency" }),
    shown: seconds,
  },
  {
    title: "Queued work, bulk lane",
    of: (now) => sum(now, "maskgate_queued_work_seconds", { lane: "bulk" }),
    shown: seconds,
  },
  { title: "Tiles", of: rate("maskgate_tiles_total"), shown: perSecond },
  { title: "Model lanes busy", of: busy("lane"), shown: share },
  { title: "Worker threads busy", of: busy("worker"), shown: share },
  { title: "Refused", of: rate("maskgate_rejected_total"), shown: perSecond },
  { title: "Memory resident", of: (now) => sum(now, "maskgate_resident_memory_bytes"), shown: bytes },
  {
    title: "Event loop late, 95th percentile",
    of: (now, before) => quantile(before, now, "maskgate_event_loop_lag_seconds", 0.95) || 0,
    shown: seconds,
  },
];

/** @returns {import("../console.js").View} */
export function view() {
  const standing = h("div", { class: "card section", "aria-live": "polite" });
  const trouble = h("div", { role: "alert" });
  const charts = CHARTS.map((chart) => drawn(chart));
  const jobs = h("div", { class: "card section scroll-x", hidden: true });
  const element = h(
    "div",
    { class: "page" },
    h("h1", {}, "Service"),
    trouble,
    standing,
    jobs,
    h("div", { class: "grid" }, ...charts.map((one) => one.element)),
    h(
      "p",
      { class: "fine" },
      "The last three minutes, from /metrics, of all processes together. Rates are over two seconds.",
    ),
  );
  /** @type {number | undefined} */
  let timer;
  /** @type {{ samples: Sample[], at: number } | null} */
  let before = null;

  async function look() {
    try {
      await Promise.all([readiness(standing), listJobs(jobs)]);
      const text = await (await ask("metrics", { accept: "text/plain" })).blob.text();
      const samples = parse(text);
      const at = performance.now();
      if (before) for (const one of charts) one.add(samples, before.samples, (at - before.at) / 1000);
      before = { samples, at };
      trouble.replaceChildren();
    } catch (error) {
      const problem = problemOf(error);
      if (!trouble.firstChild) fill(trouble, problemCard(problem));
    }
  }

  async function round() {
    await look();
    if (timer !== undefined) timer = setTimeout(() => void round(), document.hidden ? 10 * PERIOD : PERIOD);
  }

  return {
    element,
    show() {
      timer = 0;
      void round();
    },
    hide() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}

/** @param {HTMLElement} standing */
async function readiness(standing) {
  /** @type {Record<string, any>} */
  let ready;
  try {
    ready = JSON.parse(await (await ask("readyz")).blob.text());
  } catch (error) {
    // Not ready is an answer too: of 503, with the same document.
    if (!(error instanceof Problem) || error.status !== 503) throw error;
    ready = { ready: false, models: {}, ...error.document };
  }
  const models = Object.entries(/** @type {Record<string, string>} */ (ready.models));
  const failed = models.filter(([, state]) => state !== "ready");
  fill(
    standing,
    h(
      "p",
      {},
      h(
        "strong",
        { class: `state ${ready.ready ? "ready" : "failed"}` },
        ready.draining ? "Draining" : ready.ready ? "Ready" : "Not ready",
      ),
      ready.engine
        ? ` · engine ${ready.engine}, tensors ${ready.transport} · ${models.length - failed.length} of ${models.length} models ready`
        : " · no request should be sent here now",
    ),
    failed.length > 0 &&
      h(
        "ul",
        { class: "notices" },
        ...failed.map(([name, state]) => h("li", {}, h("a", { href: `#/models/${name}` }, name), ` ${state}`)),
      ),
  );
}

/** A chart that keeps its last values. @param {Chart} chart */
function drawn({ title, of, shown }) {
  const width = 180;
  const height = 44;
  /** @type {number[]} */
  const values = [];
  const value = h("span", { class: "value" }, "…");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const floor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, of] of Object.entries({
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `${title}, the last three minutes`,
  }))
    svg.setAttribute(name, of);
  for (const [name, of] of Object.entries({ x1: 0, x2: width, y1: height - 1, y2: height - 1, class: "floor" }))
    floor.setAttribute(name, String(of));
  svg.append(floor, line);
  const most = h("span", { class: "fine" });
  return {
    element: h("div", { class: "card chart" }, h("h3", {}, title), h("div", { class: "row" }, value, most), svg),
    /** @param {Sample[]} now @param {Sample[]} before @param {number} passed */
    add(now, before, passed) {
      values.push(of(now, before, passed));
      if (values.length > KEPT) values.shift();
      const top = Math.max(...values);
      fill(value, shown(values[values.length - 1]));
      fill(most, `highest ${shown(top)}`);
      const step = width / (KEPT - 1);
      line.setAttribute(
        "points",
        values
          .map(
            (one, n) =>
              `${width - (values.length - 1 - n) * step},${height - 2 - (top > 0 ? one / top : 0) * (height - 6)}`,
          )
          .join(" "),
      );
    },
  };
}
