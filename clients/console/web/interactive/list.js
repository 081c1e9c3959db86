/** The list of objects: to choose, name, hide and delete them. */

import { css, fill, h, iconButton, number } from "../lib/dom.js";

/** @typedef {import("./log.js").Log} Log */
/** @typedef {import("./log.js").Selected} Selected */

/** @param {Log} log @param {(object: Selected) => void} look brings an object into sight */
export function objectList(log, look) {
  const body = h("tbody", {});
  const none = h("p", { class: "fine" }, "None yet.");
  const table = h(
    "table",
    { class: "table objects" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ...["", "name", "pixels", "score", ""].map((name, n) =>
          h("th", { scope: "col", class: n === 2 || n === 3 ? "n" : "" }, name),
        ),
      ),
    ),
    body,
  );
  /** @type {unknown[]} */
  let drawn = [];

  log.state.watch(({ objects, active }) => {
    const now = [objects, active];
    if (now.every((one, n) => one === drawn[n])) return;
    drawn = now;
    const focus = /** @type {HTMLElement | null} */ (document.activeElement);
    const at = body.contains(focus) ? focus?.dataset.at : undefined;
    const there = log.objects;
    none.hidden = there.length > 0;
    table.hidden = there.length === 0;
    fill(body, ...there.map((object, n) => row(object, n + 1, object.id === active)));
    if (at) /** @type {HTMLElement | null} */ (body.querySelector(`[data-at="${at}"]`))?.focus();
  });

  /** @param {Selected} object @param {number} place @param {boolean} active */
  function row(object, place, active) {
    const { id, found } = object;
    const name = h("input", {
      type: "text",
      value: object.name,
      "aria-label": `Name of object ${place}`,
      maxLength: 60,
    });
    name.dataset.at = `${id}-name`;
    name.addEventListener("change", () => log.rename(id, name.value.trim()));
    name.addEventListener("focus", () => log.state.get().active !== id && log.choose(id));
    const choose = h(
      "button",
      {
        type: "button",
        class: "quiet number",
        "aria-pressed": active,
        "aria-label": `Object ${place}${active ? ", chosen" : ""}`,
        onclick: () => log.choose(id),
        ondblclick: () => look(object),
      },
      h("span", { class: "swatch", style: { background: css(object.colour) } }),
      String(place),
    );
    choose.dataset.at = `${id}-choose`;
    const line = h(
      "tr",
      { class: active ? "chosen" : "" },
      h("td", {}, choose),
      h("td", {}, name),
      h("td", { class: "n" }, object.pending ? "…" : found ? number(found.area) : ""),
      h("td", { class: "n" }, found?.score === null || found?.score === undefined ? "" : found.score.toFixed(2)),
      h(
        "td",
        { class: "n" },
        iconButton(
          object.hidden ? "hidden" : "eye",
          `${object.hidden ? "Show" : "Hide"} object ${place}`,
          () => log.toggle(id),
          { "aria-pressed": false },
        ),
        iconButton("bin", `Delete object ${place}`, () => log.remove(id)),
      ),
    );
    return line;
  }

  return h("div", {}, none, h("div", { class: "scroll" }, table));
}
