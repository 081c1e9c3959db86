/** The list of buildings: sortable, and each leads to its place on the map. */

import { fill, h, number, percent, words } from "../lib/dom.js";
import { className } from "../lib/tables.js";

/** @typedef {Record<string, any>} Region */

const MORE = 200;

/** @type {[string, string, (region: Region, n: number) => number | string][]} */
const COLUMNS = [
  ["#", "n", (_, n) => n],
  ["class", "", (region) => region.class],
  ["confidence", "n", (region) => region.confidence ?? -1],
  ["area", "n", (region) => region.area_m2 ?? region.area],
];

/**
 * @param {Region[]} regions @param {{ value: number, colour: number[] }[]} classes
 * @param {{ choose: (n: number) => void, hidden: ReadonlySet<number> }} options
 */
export function buildingList(regions, classes, { choose, hidden }) {
  let by = 1;
  let down = true;
  let most = MORE;
  const colours = new Map(classes.map(({ value, colour }) => [value, colour]));
  const metres = regions.some((region) => region.area_m2 !== null && region.area_m2 !== undefined);
  const twice = regions.some((region) => typeof region.disagreement === "number");
  const districts = regions.some((region) => region.district !== null && region.district !== undefined);
  const head = h("tr", {});
  const body = h("tbody", {});
  const more = h("button", {
    type: "button",
    class: "quiet",
    onclick: () => {
      most += MORE;
      draw();
    },
  });

  function draw() {
    const shown = regions
      .map((region, n) => /** @type {[Region, number]} */ ([region, n]))
      .filter(([region]) => !hidden.has(region.class));
    const [, , of] = COLUMNS[by];
    shown.sort(([a, n], [b, m]) => (of(a, n) < of(b, m) ? -1 : of(a, n) > of(b, m) ? 1 : n - m) * (down ? -1 : 1));
    fill(
      head,
      ...COLUMNS.map(([name, kind], n) =>
        h(
          "th",
          { scope: "col", class: kind, "aria-sort": n === by ? (down ? "descending" : "ascending") : undefined },
          h(
            "button",
            { type: "button", onclick: () => sort(n) },
            name === "area" ? `area, ${metres ? "m²" : "px"}` : name,
            n === by ? (down ? " ↓" : " ↑") : "",
          ),
        ),
      ),
      twice && h("th", { scope: "col", class: "n" }, "mirror"),
      districts && h("th", { scope: "col" }, "district"),
    );
    fill(body, ...shown.slice(0, most).map(([region, n]) => row(region, n)));
    more.hidden = shown.length <= most;
    more.textContent = `${number(shown.length - most)} more`;
  }

  /** @param {number} n */
  function sort(n) {
    down = n === by ? !down : true;
    by = n;
    draw();
    /** @type {HTMLElement | null} */ (head.querySelectorAll("button")[n])?.focus();
  }

  /** @param {Region} region @param {number} n */
  function row(region, n) {
    const line = h(
      "tr",
      {},
      h(
        "td",
        { class: "n" },
        h(
          "button",
          {
            type: "button",
            class: "link",
            "aria-label": `Building ${n + 1}, ${words(region.name)}: show it on the map`,
            onclick: () => choose(n),
          },
          String(n + 1),
        ),
      ),
      h(
        "td",
        {},
        className({ name: region.name, colour: colours.get(region.class) }),
        region.uncertain &&
          h(
            "span",
            { class: "fine", role: "img", "aria-label": "unsure", title: "Less sure than was asked for" },
            " ?",
          ),
      ),
      h(
        "td",
        { class: "n" },
        region.confidence === null || region.confidence === undefined ? "" : percent(region.confidence),
      ),
      h("td", { class: "n" }, number(metres ? (region.area_m2 ?? 0) : region.area)),
      twice && h("td", { class: "n" }, typeof region.disagreement === "number" ? percent(region.disagreement) : ""),
      districts && h("td", {}, String(region.district ?? "")),
    );
    line.dataset.building = String(n);
    line.addEventListener("click", () => choose(n));
    return line;
  }

  draw();
  const element = h(
    "div",
    {},
    h("div", { class: "scroll" }, h("table", { class: "table buildings" }, h("thead", {}, head), body)),
    more,
  );
  return {
    element,
    /** @param {number | null} n */
    mark(n) {
      for (const line of body.children)
        line.classList.toggle("chosen", /** @type {HTMLElement} */ (line).dataset.building === String(n));
      body.querySelector(".chosen")?.scrollIntoView({ block: "nearest" });
    },
    /** @param {ReadonlySet<number>} values */
    hide(values) {
      hidden = values;
      draw();
    },
  };
}
