/** The form of a task: a field per part of its body, its model, and one button that sends. */

import { bytes, fill, h, icon } from "./dom.js";
import { field } from "./panels.js";
import { app } from "./store.js";
import { Work } from "./work.js";

/** @typedef {import("./store.js").Part} Part */
/** @typedef {import("./store.js").Task} Task */

const EXTENSIONS = /** @type {Record<string, string>} */ ({
  "image/tiff": ".tif,.tiff",
  "application/dicom": ".dcm",
  "application/zip": ".zip",
  "application/x-nifti": ".nii,.nii.gz",
  "application/geo+json": ".geojson,.json",
});

/** What a file field accepts: media types, and extensions of those that browsers do not know. @param {Part} part */
const acceptOf = (part) => part.media_types.flatMap((type) => [type, EXTENSIONS[type] ?? []].flat()).join(",");

/** Whether a part is written, not chosen. @param {Part} part */
const isText = (part) => part.media_types.every((type) => type === "application/json" || type.startsWith("text/"));

/** A field for one file, to choose it or drop it on. */
export class FileField {
  /** @type {File | null} */
  file = null;

  /** @param {Part} part @param {(file: File | null) => void} changed @param {string} [label] */
  constructor(part, changed, label = part.name) {
    this.part = part;
    this.label = label;
    this.#changed = changed;
    const id = `part-${part.name}-${(FileField.count += 1)}`;
    this.input = h("input", {
      type: "file",
      id,
      accept: acceptOf(part),
      name: part.name,
      "aria-describedby": `${id}-hint`,
    });
    this.input.addEventListener("change", () => this.input.files?.[0] && this.set(this.input.files[0]));
    this.told = h("span", { class: "told" });
    this.element = h(
      "div",
      { class: "file" },
      h(
        "label",
        { htmlFor: id },
        icon("file"),
        h(
          "span",
          { class: "name" },
          label[0].toUpperCase() + label.slice(1),
          part.required ? "" : h("span", { class: "fine" }, " optional"),
        ),
      ),
      this.input,
      this.told,
      h("p", { class: "fine hint", id: `${id}-hint` }, part.description),
    );
    droppable(this.element, ([file]) => this.set(file));
    this.#tell();
  }

  static count = 0;
  /** @type {(file: File | null) => void} */
  #changed;

  /** @param {File | null} file */
  set(file) {
    this.file = file;
    this.#tell();
    this.#changed(file);
  }

  #tell() {
    fill(this.told, this.file ? `${this.file.name} · ${bytes(this.file.size)}` : "none chosen");
    this.element.classList.toggle("chosen", this.file !== null);
  }
}

/** Take files that are dropped on an element. @param {HTMLElement} element @param {(files: File[]) => void} take */
export function droppable(element, take) {
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove("over");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) take(files);
  });
}

/** The models of a task that are ready, the default one first. @param {Task} task @returns {string[]} */
export function modelsOf(task) {
  const ready = app
    .get()
    .models.filter((model) => model.task === task.name && model.state === "ready")
    .map(({ name }) => name);
  return [...new Set([task.default_model, ...ready])];
}

export class TaskForm {
  /**
   * @param {Task} task
   * @param {{ models?: string[], verb?: string, labels?: Record<string, string>, beside?: HTMLElement[], options?: HTMLElement[],
   *   changed?: (part: Part, file: File | null) => void, without?: () => boolean, send: () => void }} given `beside` stands
   *   under the files, `options` is folded away with the parts that may be left out; `without` says that no file is needed
   */
  constructor(task, { models = modelsOf(task), verb = "Run", labels = {}, send, ...given }) {
    const { beside = [], options = [], changed = () => {}, without = () => false } = given;
    this.task = task;
    this.send = send;
    this.#without = without;
    this.button = h("button", { class: "primary" }, verb);
    this.work = new Work({ busy: () => this.refresh() });
    this.model = h("select", { "aria-label": "Model" }, ...models.map((name) => h("option", {}, name)));
    /** @type {FileField[]} */
    this.files = [];
    /** @type {Map<string, HTMLTextAreaElement>} */
    this.texts = new Map();
    const fields = (/** @type {boolean} */ required) =>
      task.parts
        .filter((part) => part.required === required)
        .map((part) => (isText(part) ? this.#text(part) : this.#file(part, labels[part.name], changed)));
    const needed = fields(true);
    const folded = [...fields(false), ...options];
    const form = h(
      "form",
      { class: "form", noValidate: true },
      ...needed,
      ...beside,
      field("Model", this.model),
      folded.length > 0 &&
        h("details", { class: "options" }, h("summary", {}, "Options"), h("div", { class: "form" }, ...folded)),
      h("div", { class: "row" }, this.button),
      this.work.element,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.work.running) send();
    });
    this.element = form;
    this.refresh();
    app.watch(() => this.#offer());
  }

  /** @type {() => boolean} */
  #without;

  /** @param {Part} part */
  #text(part) {
    const text = h("textarea", { rows: 3, spellcheck: false, required: part.required });
    this.texts.set(part.name, text);
    return field(part.name, text, part.description);
  }

  /** @param {Part} part @param {string | undefined} label @param {(part: Part, file: File | null) => void} changed */
  #file(part, label, changed) {
    const one = new FileField(
      part,
      (file) => {
        this.work.clear();
        this.refresh();
        changed(part, file);
      },
      label,
    );
    this.files.push(one);
    return one.element;
  }

  get complete() {
    return this.#without() || this.files.every(({ file, part }) => file || !part.required);
  }

  /** @param {string} name */
  file(name) {
    return this.files.find((one) => one.part.name === name)?.file ?? null;
  }

  /**
   * Give files to the fields that they seem to be for.
   *
   * @param {File[]} files @param {{ names?: Record<string, RegExp>, send?: boolean }} [options] `names` are patterns by
   *   part; with `send` the work begins, where all is there
   */
  take(files, { names = {}, send = false } = {}) {
    const left = [...files];
    const given = new Set();
    // The last field's pattern may be the narrower one.
    for (const one of [...this.files].reverse()) {
      const fit = left.findIndex((file) => names[one.part.name]?.test(file.name));
      if (fit < 0) continue;
      given.add(one);
      one.set(left.splice(fit, 1)[0]);
    }
    // What is there already gives way to as many files as are needed, not to fewer.
    const needed = this.files.filter((one) => one.part.required && !given.has(one));
    const free = needed.filter(({ file }) => !file || left.length >= needed.length);
    for (const one of free.slice(0, left.length)) one.set(/** @type {File} */ (left.shift()));
    if (left.length && this.files.length === 1) this.files[0].set(left[0]);
    if (send && this.complete && !this.work.running) this.send();
  }

  /** The multipart body. */
  body() {
    const body = new FormData();
    for (const { part, file } of this.files) if (file) body.append(part.name, file, "upload");
    for (const [name, text] of this.texts) if (text.value.trim()) body.append(name, text.value);
    return body;
  }

  /** New models may be ready since. */
  #offer() {
    const there = [...this.model.options].map((option) => option.value);
    for (const name of modelsOf(this.task)) if (!there.includes(name)) this.model.append(h("option", {}, name));
  }

  /** Whether it can be sent may have changed. */
  refresh() {
    this.button.disabled = this.work.running || !this.complete;
  }
}
