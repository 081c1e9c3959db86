/** Objects by boxes and clicks: zoom, mark, mend, name them, and save them for annotation tools. */

import { candidateList } from "../interactive/candidates.js";
import { FIRST, Hands } from "../interactive/hands.js";
import { objectList } from "../interactive/list.js";
import { Log } from "../interactive/log.js";
import { coco, geojson, maskPng, readCoco } from "../interactive/masks.js";
import { keysHelp, toolbar } from "../interactive/toolbar.js";
import { paint } from "../interactive/paint.js";
import { joined } from "../interactive/transport.js";
import { askJson, problemOf } from "../lib/api.js";
import { fill, h, icon, number, save } from "../lib/dom.js";
import { FileField, droppable, modelsOf } from "../lib/form.js";
import { emptyStage, field, folded, jsonBlob, section, workspace } from "../lib/panels.js";
import { openPicture } from "../lib/pictures.js";
import { Stage } from "../lib/stage.js";
import { app } from "../lib/store.js";
import { problemCard } from "../lib/work.js";

/** Tools that need no model of the repository, and what they take. @type {Map<string, import("../interactive/hands.js").Takes>} */
const TOOLS = new Map([
  ["grabcut", "iog"],
  ["watershed", "strokes"],
  ["polygon", "polygon"],
]);
const SAID = { iog: "", dextr: " (four extreme points)", strokes: " (lines)", polygon: " (an outline)" };

/** @param {import("../lib/store.js").Task} task @returns {import("../console.js").View} */
export function view(task) {
  const log = new Log();
  /** What each model takes. @type {Map<string, import("../interactive/hands.js").Takes>} */
  const takes = new Map();
  const canvas = h("canvas", {
    tabIndex: 0,
    role: "application",
    "aria-label":
      "The image. Arrow keys move a cross, Enter clicks there, Alt Enter clicks what is too much, B sets a corner of a box, plus and minus zoom.",
    "aria-describedby": "interactive-status",
  });
  const readout = h("p", { class: "readout", role: "status", id: "interactive-status" });
  const tell = (/** @type {string} */ text) => fill(readout, text);
  const stage = new Stage(canvas, (context) => paint(context, stage.scale, log.state.get(), hands.underway));
  /** @type {Hands} */
  const hands = new Hands(
    stage,
    log,
    () => takes.get(log.active && !hands.underway.extreme.length ? log.active.model : log.state.get().model) ?? "iog",
    tell,
  );
  const image = new FileField(task.parts[0], (file) => void open(file));
  const models = h("select", { onchange: () => chosen() });
  const other = h("select", { "aria-label": "Model to compare with" });
  const compare = h("button", { type: "button", onclick: () => log.compare(other.value, joined) }, "Compare");
  const compared = h("p", { class: "fine", role: "status" });
  const trouble = h("div", { role: "alert" });
  const saves = h(
    "div",
    { class: "buttons" },
    ...[
      [
        "COCO",
        "masks.json",
        () => jsonBlob(coco(kept(), stage.width, stage.height, log.state.get().file?.name ?? "image")),
      ],
      ["PNG", "masks.png", () => maskPng(kept(), stage.width, stage.height)],
      ["GeoJSON", "outlines.geojson", () => jsonBlob(geojson(kept()))],
    ].map(([label, file, blob]) =>
      h(
        "button",
        { type: "button", onclick: () => void store(/** @type {() => Blob | Promise<Blob>} */ (blob), String(file)) },
        icon("down"),
        String(label),
      ),
    ),
  );

  const empty = emptyStage(
    task,
    "Open an image, then drag a box around an object or click on it.",
    () => image.input.click(),
    { tried: ([file]) => image.set(file) },
  );
  const { bar, refresh } = toolbar(log, stage, () => hands.next());
  const area = h("div", { class: "stage" }, canvas, bar, readout, empty);
  droppable(area, ([file]) => image.set(file));

  const earlier = h("input", {
    type: "file",
    accept: ".json,application/json",
    class: "hidden-file",
    tabIndex: -1,
    "aria-label": "COCO annotations",
  });
  earlier.addEventListener("change", () => void goOn(earlier.files?.[0]));
  const resume = h(
    "button",
    { type: "button", class: "quiet", onclick: () => earlier.click() },
    "Go on with masks of a COCO file …",
  );
  const objects = section(
    "Objects",
    objectList(log, (object) => object.found?.box && stage.look(object.found.box)),
    candidateList(log),
    resume,
    earlier,
  );
  const element = workspace(
    area,
    section(task.title, h("div", { class: "form" }, image.element, field("Model", models), trouble)),
    objects,
    section("Compare", h("div", { class: "row" }, other, compare), compared),
    section("Download", saves),
    folded("Mouse, fingers and keys", keysHelp()),
  );

  /** Another model begins another object: one that is begun stays with its own. */
  function chosen() {
    log.state.set({ model: models.value });
    hands.next();
  }

  /** Show a model the masks of an earlier time. @param {File | undefined} file */
  async function goOn(file) {
    if (!file) return;
    earlier.value = "";
    try {
      const model = [...takes].find(([, kind]) => kind === "iog")?.[0];
      for (const { name, mask } of readCoco(await file.text(), stage.width, stage.height))
        log.add({ mask }, true, { name, model });
    } catch (error) {
      log.state.set({ problem: problemOf(error) });
    }
  }

  /** @returns {import("../interactive/masks.js").Kept[]} */
  const kept = () =>
    log.objects.flatMap(({ name, model, colour, found }) => (found ? [{ name, model, colour, found }] : []));

  /** @param {() => Blob | Promise<Blob>} blob @param {string} name */
  async function store(blob, name) {
    await log.settled;
    save(await blob(), name);
    log.state.set({ saved: true });
  }

  /** @param {File | null} file */
  async function open(file) {
    if (!file) return;
    if (unsaved() && !confirm("The objects of this image have not been saved. Open another image all the same?"))
      return;
    try {
      const picture = await openPicture(file);
      hands.reset();
      stage.open(picture.width, picture.height);
      log.open(file, picture);
      tell(FIRST[hands.takes()]);
    } catch (error) {
      fill(trouble, problemCard(problemOf(error)));
    }
  }

  const unsaved = () => !log.state.get().saved && kept().length > 0;

  /** Offer the models that take what can be given here. */
  async function offer() {
    for (const name of [...modelsOf(task), ...TOOLS.keys()]) {
      if (takes.has(name)) continue;
      const known = app.get().models.some((model) => model.name === name && model.state === "ready");
      if (!known && !TOOLS.has(name)) continue;
      const { card } = known ? await askJson(`v1/models/${encodeURIComponent(name)}`) : { card: null };
      const prompt = known ? card?.clicks?.prompt : TOOLS.get(name);
      if (!(prompt in SAID)) continue;
      takes.set(name, prompt);
      models.append(h("option", { value: name }, `${name}${SAID[/** @type {keyof typeof SAID} */ (prompt)]}`));
      // Boxes and clicks are what is kept of an object; who wants four extreme points makes nothing of them.
      if (prompt === "iog") other.append(h("option", {}, name));
    }
    if (!log.state.get().model) log.state.set({ model: models.value });
    if (other.options.length > 1) other.selectedIndex = 1;
  }

  log.state.watch((now) => {
    empty.hidden = now.picture !== null;
    refresh(now);
    stage.redraw();
    const { active } = log;
    compare.disabled = !active?.found || takes.get(active.model) !== "iog";
    resume.hidden = now.picture === null;
    for (const button of saves.querySelectorAll("button")) button.disabled = !kept().length;
    fill(trouble, now.problem && problemCard(now.problem));
    if (now.busy) return tell(`${now.busy} …`);
    const place = log.objects.findIndex((object) => object.id === active?.id) + 1;
    if (active?.found)
      tell(
        [
          `Object ${place}: ${number(active.found.area)} pixels`,
          active.found.score !== null && `score ${active.found.score.toFixed(2)}`,
          ...active.found.notices,
        ]
          .filter(Boolean)
          .join(" · "),
      );
    else if (now.picture && !log.objects.length) tell(FIRST[hands.takes()]);
    fill(
      compared,
      now.compared &&
        active?.found &&
        `${active.model}: ${number(active.found.area)} pixels. ${now.compared.model}, dashed: ${number(now.compared.found.area)} pixels, score ${now.compared.found.score?.toFixed(2) ?? "none"}.`,
    );
  });
  addEventListener("pagehide", () => log.end());
  document.addEventListener("keydown", (event) => {
    if (
      !element.isConnected ||
      !(event.ctrlKey || event.metaKey) ||
      /** @type {HTMLElement} */ (event.target).matches("input, textarea")
    )
      return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) log.redo();
    else log.undo();
  });
  void offer().catch((error) =>
    fill(
      trouble,
      problemCard(problemOf(error), () => void offer()),
    ),
  );

  return { element, show: () => stage.redraw(), unsaved };
}
