/** What stands around every view: tabs, the key, light and dark, and what is wrong with the gateway as a whole. */

import { askJson } from "./api.js";
import { fill, h, icon, tabName } from "./dom.js";
import { app, remember } from "./store.js";

/** @typedef {{ route: string, label: string, title: string, ready: boolean }} Tab */

/** Tasks with a view of their own, in the order of their tabs; every other task has the one that its description suffices for. */
export const OWN = ["damage", "interactive", "ct", "radiograph"];

/** @type {HTMLDialogElement | null} */
let dialog = null;

/** Tabs in order: every task, then what there is of the service. @returns {Tab[]} */
export function tabs() {
  const { tasks, models } = app.get();
  const place = (/** @type {string} */ name) => (OWN.includes(name) ? OWN.indexOf(name) : OWN.length);
  return [
    ...[...tasks]
      .sort((a, b) => place(a.name) - place(b.name))
      .map((task) => ({
        route: task.name,
        label: tabName(task.name),
        title: task.title,
        ready: models.some((model) => model.task === task.name && model.state === "ready"),
      })),
    { route: "models", label: "Models", title: "Models, their figures and licences", ready: true },
    { route: "service", label: "Service", title: "How the gateway is doing", ready: true },
  ];
}

/** @param {HTMLElement} header */
export function buildHeader(header) {
  const links = h("ul", {});
  const state = h("span", { class: "lamp", role: "status" });
  const key = h(
    "button",
    { type: "button", class: "quiet", onclick: openKey, title: "The key that requests carry" },
    icon("key"),
    h("span", {}),
  );
  const theme = h(
    "button",
    { type: "button", class: "quiet", onclick: nextTheme },
    icon("sun"),
    h("span", { class: "wide" }),
  );
  header.append(
    h("a", { class: "brand", href: "#/" }, "Maskgate"),
    h("nav", { "aria-label": "Tasks" }, links),
    h("div", { class: "tools" }, state, h("a", { class: "quiet button", href: "../docs" }, "API"), key, theme),
  );
  app.watch(({ key: value, theme: shade, ready, models }) => {
    fill(/** @type {Element} */ (key.lastChild), value ? "Key set" : "Key");
    const named = shade ? shade[0].toUpperCase() + shade.slice(1) : "Auto";
    fill(/** @type {Element} */ (theme.lastChild), named);
    theme.setAttribute("aria-label", `${named} colours`);
    document.documentElement.dataset.theme = shade;
    const failed = models.filter((model) => model.state !== "ready").length;
    fill(
      state,
      !ready
        ? "connecting"
        : failed
          ? `${models.length - failed} of ${models.length} models`
          : `${models.length} models`,
    );
    state.dataset.state = !ready ? "wait" : failed ? "part" : "good";
    drawTabs(links);
  });
}

/** @param {HTMLElement} links */
function drawTabs(links) {
  const { route } = app.get();
  const here = route.split("/")[0];
  fill(
    links,
    ...tabs().map((tab) =>
      h(
        "li",
        {},
        h(
          "a",
          {
            href: `#/${tab.route}`,
            title: tab.ready ? tab.title : `${tab.title}: no model is ready`,
            class: tab.ready ? "" : "off",
            "aria-current": tab.route === here ? "page" : undefined,
          },
          tab.label,
        ),
      ),
    ),
  );
  links.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function nextTheme() {
  const order = /** @type {const} */ (["", "dark", "light"]);
  const theme = order[(order.indexOf(app.get().theme) + 1) % order.length];
  remember("theme", theme);
  app.set({ theme });
}

/** Ask for the key; it stays in this tab. */
export function openKey() {
  dialog?.remove();
  const field = h("input", {
    type: "password",
    id: "key",
    autocomplete: "off",
    value: app.get().key,
    spellcheck: false,
  });
  const opened = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "key-title" },
    h(
      "form",
      { method: "dialog", onsubmit: () => useKey(field.value.trim()) },
      h("h2", { id: "key-title" }, "Key"),
      h("label", { htmlFor: "key" }, "Requests carry it as X-API-Key"),
      field,
      h(
        "p",
        { class: "fine" },
        "It is kept in this tab alone, until the tab is closed. Gateways without keys need none.",
      ),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "quiet", onclick: () => opened.close() }, "Close"),
        h("button", { class: "primary" }, "Use this key"),
      ),
    ),
  );
  opened.addEventListener("close", () => opened.remove());
  dialog = opened;
  document.body.append(opened);
  opened.showModal();
  field.focus();
}

/** @param {string} key */
function useKey(key) {
  remember("key", key);
  app.set({ key });
  dispatchEvent(new CustomEvent("maskgate:key"));
}

/** Learn which tasks and models there are. @returns {Promise<void>} */
export async function learn() {
  const [{ tasks }, { models }] = await Promise.all([askJson("v1/tasks"), askJson("v1/models")]);
  app.set({ tasks, models, ready: true });
}
