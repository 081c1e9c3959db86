/** Every model: how it stands, and its card with figures, limits and licence. */

import { askJson, problemOf } from "../lib/api.js";
import { fill, h, number, percent, tabName, words } from "../lib/dom.js";
import { app } from "../lib/store.js";
import { learn } from "../lib/shell.js";
import { className, facts, table } from "../lib/tables.js";
import { problemCard } from "../lib/work.js";

/** @typedef {import("../lib/store.js").Model} Model */

/** @returns {import("../console.js").View} */
export function view() {
  const list = h("div", { class: "card scroll-x" });
  const card = h("div", { class: "models-card", "aria-live": "polite" });
  const element = h(
    "div",
    { class: "page models" },
    h(
      "div",
      { class: "row" },
      h("h1", {}, "Models"),
      h("button", { type: "button", class: "quiet", onclick: () => void learn() }, "Look again"),
    ),
    h("div", { class: "split" }, list, card),
  );
  let chosen = "";

  app.watch(({ models, tasks }) => {
    const order = [...tasks.map((task) => task.name), ""];
    const place = (/** @type {Model} */ model) => (order.indexOf(model.task ?? "") + order.length) % order.length;
    const sorted = [...models].sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name));
    const defaults = new Set(tasks.map((task) => task.default_model));
    fill(
      list,
      table(
        [["model"], ["task"], ["version"], ["state"]],
        sorted.map((model) => row(model, defaults.has(model.name))),
        { kind: "pad", mark: (line, n) => line.classList.toggle("chosen", sorted[n].name === chosen) },
      ),
    );
  });

  /** @param {Model} model @param {boolean} byDefault */
  function row(model, byDefault) {
    return [
      h(
        "span",
        {},
        h("a", { href: `#/models/${model.name}` }, model.name),
        byDefault && h("span", { class: "fine" }, " default"),
      ),
      model.task ? tabName(model.task) : "",
      model.version ?? "",
      h(
        "div",
        {},
        h("span", { class: `state ${model.state}` }, model.state),
        model.reason && h("p", { class: "fine" }, model.reason),
      ),
    ];
  }

  /** @param {string} name */
  async function show(name) {
    chosen = name;
    for (const line of list.querySelectorAll("tr"))
      line.classList.toggle("chosen", line.querySelector("a")?.textContent === name && name !== "");
    if (!name)
      return fill(
        card,
        h(
          "p",
          { class: "fine" },
          "Choose a model to read its card: what it learnt from, how well it does, what it must not be used for.",
        ),
      );
    try {
      const answer = await askJson(`v1/models/${encodeURIComponent(name)}`);
      if (chosen === name) fill(card, answer.card ? cardOf(answer) : h("p", {}, answer.reason || "It has no card."));
    } catch (error) {
      fill(
        card,
        problemCard(problemOf(error), () => void show(name)),
      );
    }
  }

  return { element, show: (rest) => void show(rest) };
}

/** @param {Record<string, any>} answer */
function cardOf({ card, digest, version, state }) {
  const known = /** @type {[string, any][]} */ ([
    ["Intended use", card.intended_use],
    ["Limitations", card.limitations],
    ["Licence", card.licence],
    ["Learnt from", card.training.data],
    ["Recipe", card.training.recipe],
    ["Never seen", card.training.untrained?.join(", ")],
    [
      "Network",
      `${card.network.architecture}, ${number(card.network.parameters)} parameters, ${card.network.weights ?? "float32"} weights`,
    ],
    ["Tile", card.inputs[0]?.shape.join(" × ")],
    ["Threshold", card.threshold],
    ["Digest", digest],
  ]).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h(
    "article",
    { class: "card" },
    h(
      "div",
      { class: "section" },
      h("h1", {}, card.title),
      h("p", {}, card.summary),
      h("p", { class: "fine" }, `${card.name} · version ${version} · `, h("span", { class: `state ${state}` }, state)),
    ),
    h(
      "div",
      { class: "section" },
      h("h2", {}, "Classes"),
      h("div", { class: "row" }, ...card.classes.map((/** @type {any} */ one) => className(one))),
    ),
    ...card.figures.map((/** @type {any} */ figures) => figuresOf(figures, card.classes)),
    h("div", { class: "section" }, facts(known.map(([name, value]) => [name, value, name === "Digest" ? "mono" : ""]))),
  );
}

/** @param {Record<string, any>} figures @param {Record<string, any>[]} classes */
function figuresOf(figures, classes) {
  const names = Object.keys(figures.metrics);
  const shown = (/** @type {number | undefined} */ value) =>
    value === undefined ? "" : Math.abs(value) >= 10 ? number(value, 1) : value.toFixed(3);
  return h(
    "details",
    { class: "section", open: true },
    h("summary", {}, `Measured on ${figures.split}: ${number(figures.images)} images`),
    h(
      "div",
      { class: "scroll" },
      table(
        [["measure"], ["model", "n"], [figures.baseline_name, "n"]],
        names.map((name) => [words(name), shown(figures.metrics[name]), shown(figures.baseline[name])]),
      ),
    ),
    figures.confusion?.length > 0 && confusionOf(figures.confusion, classes),
  );
}

/** @param {number[][]} rows @param {Record<string, any>[]} classes */
function confusionOf(rows, classes) {
  const name = (/** @type {number} */ n) => words(classes[n]?.name ?? String(n));
  const cell = (/** @type {number} */ count, /** @type {number[]} */ row) => {
    const share = count / (row.reduce((sum, one) => sum + one, 0) || 1);
    return h(
      "td",
      {
        class: "n",
        title: number(count),
        style: { background: `color-mix(in srgb, var(--accent) ${Math.round(45 * share)}%, transparent)` },
      },
      percent(share),
    );
  };
  return h(
    "div",
    { class: "scroll-x" },
    h(
      "table",
      { class: "table confusion" },
      h("caption", { class: "fine" }, "Rows are the truth, columns what the model said; shares of each row"),
      h("thead", {}, h("tr", {}, h("td", {}), ...rows.map((_, n) => h("th", { scope: "col", class: "n" }, name(n))))),
      h(
        "tbody",
        {},
        ...rows.map((row, n) =>
          h("tr", {}, h("th", { scope: "row" }, name(n)), ...row.map((count) => cell(count, row))),
        ),
      ),
    ),
  );
}
