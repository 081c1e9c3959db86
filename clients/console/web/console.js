/** Where the console begins: learns what tasks there are, and shows the view that the address names. */

import { problemOf } from "./lib/api.js";
import { fill, h } from "./lib/dom.js";
import { OWN, buildHeader, learn, tabs } from "./lib/shell.js";
import { app, snapshot } from "./lib/store.js";
import { problemCard } from "./lib/work.js";

/**
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {(rest: string) => void} [show] called whenever the view comes into sight, with the rest of the address
 * @property {() => void} [hide]
 * @property {() => boolean} [unsaved] whether leaving the page would lose work
 */

const SERVICE = new Set(["models", "service"]);

const content = /** @type {HTMLElement} */ (document.getElementById("content"));
const banner = /** @type {HTMLElement} */ (document.getElementById("banner"));
/** Each is made once, and then shown and hidden: what was done in it stays. @type {Map<string, View>} */
const views = new Map();
/** @type {View | null} */
let shown = null;

/** @param {string} name @returns {Promise<View>} */
async function make(name) {
  if (SERVICE.has(name)) return (await import(`./views/${name}.js`)).view();
  const task = app.get().tasks.find((one) => one.name === name);
  if (!task) throw new Error(`there is no task ${name}`);
  return (await import(OWN.includes(name) ? `./views/${name}.js` : "./views/generic.js")).view(task);
}

async function go() {
  const { ready } = app.get();
  const wanted = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  if (!ready) return app.set({ route: wanted });
  const all = tabs();
  const tab = all.find((one) => one.route === wanted.split("/")[0]) ?? all.find((one) => one.ready) ?? all[0];
  const route = wanted.startsWith(tab.route) ? wanted : tab.route;
  app.set({ route });
  document.title = `${tab.label} · Maskgate`;
  try {
    let view = views.get(tab.route);
    if (!view) {
      view = await make(tab.route);
      views.set(tab.route, view);
    }
    if (app.get().route !== route) return;
    if (shown !== view) shown?.hide?.();
    shown = view;
    content.setAttribute("aria-label", tab.title);
    content.replaceChildren(view.element);
    view.show?.(route.split("/").slice(1).join("/"));
    performance.mark("shown");
  } catch (error) {
    fill(
      banner,
      problemCard(problemOf(error), () => location.reload()),
    );
  }
}

async function begin() {
  banner.replaceChildren();
  try {
    await learn();
    await go();
  } catch (error) {
    const problem = problemOf(error);
    fill(banner, problemCard(problem, begin));
    if (!content.childElementCount) fill(content, h("p", { class: "empty" }, "Nothing can be asked yet."));
  }
}

buildHeader(/** @type {HTMLElement} */ (document.getElementById("header")));
addEventListener("hashchange", () => void go());
addEventListener("maskgate:key", () => void begin());
addEventListener("beforeunload", (event) => {
  if ([...views.values()].some((view) => view.unsaved?.())) event.preventDefault();
});
Object.assign(globalThis, { maskgate: { state: snapshot } });
void begin();
