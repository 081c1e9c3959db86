/** The form of a task: a field per part of its body, its model, and one button that sends. */

import { bytes, fill, h, icon } from "./dom.js";
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
   * @param {{ models?: string[], verb?: string, labels?: Record<string, string>, extra?: HTMLElement[],
   *   changed?: (part: Part, file: File | null) => void, send: () => void }} options
   */
  constructor(task, { models = modelsOf(task), verb = "Run", labels = {}, extra = [], changed = () => {}, send }) {
    this.task = task;
    this.button = h("button", { class: "primary" }, verb);
    this.work = new Work({ busy: (busy) => this.#busy(busy) });
    this.model = h("select", { "aria-label": "Model" }, ...models.map((name) => h("option", {}, name)));
    /** @type {FileField[]} */
    this.files = [];
    /** @type {Map<string, HTMLTextAreaElement>} */
    this.texts = new Map();
    const fields = task.parts.map((part) => {
      if (isText(part)) {
        const text = h("textarea", { rows: 3, spellcheck: false, "aria-label": part.name, required: part.required });
        this.texts.set(part.name, text);
        return h(
          "div",
          { class: "field" },
          h("span", {}, part.name),
          text,
          h("p", { class: "fine" }, part.description),
        );
      }
      const field = new FileField(part, (file) => this.#chosen(part, file, changed), labels[part.name]);
      this.files.push(field);
      return field.element;
    });
    const form = h(
      "form",
      { class: "form", noValidate: true },
      ...fields,
      h("label", { class: "field" }, h("span", {}, "Model"), this.model),
      ...extra,
      h("div", { class: "row" }, this.button),
      this.work.element,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.work.running) send();
    });
    this.element = form;
    this.#busy(false);
    app.watch(() => this.#refresh());
  }

  /** @param {Part} part @param {File | null} file @param {(part: Part, file: File | null) => void} changed */
  #chosen(part, file, changed) {
    this.work.clear();
    this.#busy(this.work.running);
    changed(part, file);
  }

  get complete() {
    return this.files.every((field) => field.file || !field.part.required);
  }

  /** @param {string} name */
  file(name) {
    return this.files.find((field) => field.part.name === name)?.file ?? null;
  }

  /** Give files to the fields that they seem to be for. @param {File[]} files @param {Record<string, RegExp>} [names] */
  take(files, names = {}) {
    const left = [...files];
    // The last field's pattern may be the narrower one.
    for (const field of [...this.files].reverse()) {
      const fit = left.findIndex((file) => names[field.part.name]?.test(file.name));
      if (fit >= 0) field.set(left.splice(fit, 1)[0]);
    }
    for (const field of this.files.filter((one) => !one.file && one.part.required)) {
      const [next] = left.splice(0, 1);
      if (next) field.set(next);
    }
    const [first] = this.files;
    if (left.length && this.files.length === 1) first.set(left[0]);
  }

  /** The multipart body. */
  body() {
    const body = new FormData();
    for (const { part, file } of this.files) if (file) body.append(part.name, file, "upload");
    for (const [name, text] of this.texts) if (text.value.trim()) body.append(name, text.value);
    return body;
  }

  /** New models may be ready since. */
  #refresh() {
    const there = [...this.model.options].map((option) => option.value);
    for (const name of modelsOf(this.task)) if (!there.includes(name)) this.model.append(h("option", {}, name));
  }

  /** @param {boolean} busy */
  #busy(busy) {
    this.button.disabled = busy || !this.complete;
  }
}
