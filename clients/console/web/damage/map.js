/** The map of a pair: both images, a swipe between them, and the buildings over both. OpenLayers draws it. */

import { css } from "../lib/dom.js";
import { openLayers } from "../lib/load.js";
import { newCanvas } from "../lib/pictures.js";
import { readFeatures } from "./footprints.js";

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {Record<string, any>} Region */

export class PairMap {
  /** @param {HTMLElement} target @param {(text: string) => void} tell where the pointer is @param {(region: number | null) => void} chosen */
  constructor(target, tell, chosen) {
    this.target = target;
    this.tell = tell;
    this.chosen = chosen;
    /** @type {any} */
    this.map = null;
    this.swipe = 0.5;
    /** @type {ReadonlySet<number>} */
    this.hidden = new Set();
    /** @type {number | null} */
    this.selected = null;
  }

  /** @type {any} */
  #ol = null;
  /** @type {any} */
  #buildings = null;
  /** @type {any} */
  #sure = null;
  /** @type {any} */
  #outlines = null;
  /** @type {any[]} */
  #images = [];
  /** @type {any} */
  #projection = null;
  #extent = [0, 0, 1, 1];
  /** @type {(point: readonly number[]) => number[]} */
  #toMap = ([x, y]) => [x, y];

  /**
   * Show a pair on the grid of its first image.
   *
   * @param {Scene} pre @param {Scene | null} post
   * @returns {Promise<string>} what has to be said of it; empty: nothing
   */
  async open(pre, post) {
    const ol = (this.#ol ??= await openLayers());
    this.#projection = this.#projectionOf(pre);
    const [west, south, east, north] = (this.#extent = pre.extent);
    const [dx, dy] = [(east - west) / pre.width, (north - south) / pre.height];
    // Coordinates of pixels are those of their centres; a building's outline runs through the centres of its border.
    this.#toMap = ([x, y]) => [west + (x + 0.5) * dx, north - (y + 0.5) * dy];
    const foreign = post && post.crs !== pre.crs && !(ol.proj.get(post.crs) && ol.proj.get(pre.crs));
    this.#images = [
      this.#image(pre, this.#projection),
      post && !foreign
        ? this.#image(
            post,
            post.crs === pre.crs ? this.#projection : ol.proj.get(post.crs),
            post.crs ? post.extent : pre.extent,
          )
        : null,
    ];
    this.#buildings = new ol.layer.Vector({
      source: new ol.source.Vector(),
      style: (/** @type {any} */ feature) => this.#style(feature),
    });
    this.#outlines = new ol.layer.Vector({
      source: new ol.source.Vector(),
      style: (/** @type {any} */ feature) => this.#outline(feature),
    });
    this.#sure = null;
    const view = new ol.View({
      projection: this.#projection,
      extent: padded(pre.extent, 0.5),
      showFullExtent: true,
      maxResolution: Math.max(dx, dy) * 64,
      minResolution: Math.min(dx, dy) / 16,
    });
    if (!this.map) this.#make();
    this.map.setLayers([...this.#images.filter(Boolean), this.#outlines, this.#buildings]);
    this.map.setView(view);
    this.scale.setMap(pre.crs ? this.map : null);
    this.fit();
    if (!pre.canvas) return pre.why;
    return foreign
      ? `After lies in ${post.crs}, which is not warped here: the gateway does it for the assessment.`
      : (post?.why ?? "");
  }

  #make() {
    const ol = this.#ol;
    this.scale = new ol.control.ScaleLine();
    this.map = new ol.Map({ target: this.target, controls: [], layers: [], keyboardEventTarget: this.target });
    this.map.on("pointermove", (/** @type {any} */ event) => this.tell(this.#place(event.coordinate)));
    this.map.on("singleclick", (/** @type {any} */ event) => {
      const found = /** @type {Promise<any[]>} */ (this.#buildings.getFeatures(event.pixel));
      void found.then(([feature]) => this.chosen(feature?.get("n") ?? null));
    });
    new ResizeObserver(() => this.map.updateSize()).observe(this.target);
  }

  /** @param {Scene} scene */
  #projectionOf(scene) {
    const { proj } = this.#ol;
    const known = scene.crs && proj.get(scene.crs);
    if (known) return known;
    // Without its definition coordinates are still right; only lengths are taken as metres.
    return new proj.Projection({
      code: scene.crs || "pixels",
      units: scene.crs ? "m" : "pixels",
      extent: scene.extent,
    });
  }

  /** @param {Pick<Scene, "canvas" | "extent">} scene @param {any} projection @param {number[]} [extent] */
  #image({ canvas, extent: own }, projection, extent = own) {
    const ol = this.#ol;
    const layer = new ol.layer.Image({
      source: new ol.source.ImageCanvas({
        projection,
        ratio: 1.2,
        interpolate: true,
        canvasFunction: (
          /** @type {number[]} */ wanted,
          /** @type {number} */ resolution,
          /** @type {number} */ ratio,
          /** @type {number[]} */ [width, height],
        ) => {
          const piece = newCanvas(Math.round(width), Math.round(height));
          const context = /** @type {CanvasRenderingContext2D} */ (piece.getContext("2d"));
          const per = ratio / resolution;
          context.imageSmoothingEnabled = ((extent[2] - extent[0]) * per) / (canvas?.width ?? 1) < 2;
          if (canvas)
            context.drawImage(
              canvas,
              (extent[0] - wanted[0]) * per,
              (wanted[3] - extent[3]) * per,
              (extent[2] - extent[0]) * per,
              (extent[3] - extent[1]) * per,
            );
          return piece;
        },
      }),
    });
    layer.on("prerender", (/** @type {any} */ event) => this.#clip(layer, event));
    layer.on("postrender", (/** @type {any} */ event) => event.context.restore());
    return layer;
  }

  /** Left of the swipe the image before, right of it the one after. @param {any} layer @param {any} event */
  #clip(layer, event) {
    const { context } = event;
    context.save();
    const [before, after] = this.#images;
    if (!before || !after || layer === this.#sure) return;
    const [width, height] = this.map.getSize();
    const [left, right] = layer === before ? [0, width * this.swipe] : [width * this.swipe, width];
    const pixel = (/** @type {number[]} */ at) => this.#ol.render.getRenderPixel(event, at);
    context.beginPath();
    for (const [n, at] of [
      [left, 0],
      [right, 0],
      [right, height],
      [left, height],
    ].entries()) {
      const [x, y] = pixel(at);
      if (n) context.lineTo(x, y);
      else context.moveTo(x, y);
    }
    context.closePath();
    context.clip();
  }

  /**
   * Show buildings; those of `known` have their outlines there, by id, the others in their pixels.
   *
   * @param {Region[]} regions @param {{ value: number, colour: number[] }[]} classes @param {File | null} [known]
   */
  async show(regions, classes, known = null) {
    const ol = this.#ol;
    const source = this.#buildings?.getSource();
    if (!source) return;
    this.colours = new Map(classes.map(({ value, colour }) => [value, colour]));
    source.clear();
    const sent = known ? await readFeatures(known, ol, this.#projection, this.#toMap) : [];
    const outlines = new Map(sent.map((feature) => [String(feature.getId()), feature.getGeometry()]));
    const found = (/** @type {Region} */ { polygon, holes }) =>
      new ol.geom.Polygon(
        [polygon, ...holes].map((/** @type {number[][]} */ ring) => [...ring, ring[0]].map(this.#toMap)),
      );
    source.addFeatures(
      regions.flatMap((region, n) => {
        const geometry = known ? outlines.get(String(region.id)) : found(region);
        return geometry ? [new ol.Feature({ geometry, value: region.class, n })] : [];
      }),
    );
  }

  /** Show where districts end. @param {File | null} districts */
  async outline(districts) {
    const source = this.#outlines?.getSource();
    if (!source) return;
    source.clear();
    if (districts) source.addFeatures(await readFeatures(districts, this.#ol, this.#projection, this.#toMap));
  }

  /** Lay a picture over the images, on the grid of the first; without one, take it away. @param {HTMLCanvasElement | null} canvas */
  cover(canvas) {
    if (this.#sure) this.map.removeLayer(this.#sure);
    this.#sure = canvas && this.#image({ canvas, extent: this.#extent }, this.#projection);
    if (this.#sure) this.map.getLayers().insertAt(this.#images.filter(Boolean).length, this.#sure);
  }

  /** @param {any} feature */
  #outline(feature) {
    const { style } = this.#ol;
    const line = (/** @type {string} */ color, /** @type {number} */ width) =>
      new style.Style({ stroke: new style.Stroke({ color, width }) });
    const name = feature.get("name") ?? feature.get("NAME") ?? "";
    const text = new style.Text({
      text: String(name),
      font: "600 12px system-ui, sans-serif",
      fill: new style.Fill({ color: "#fff" }),
      stroke: new style.Stroke({ color: "rgb(0 0 0 / 0.75)", width: 3 }),
      overflow: true,
    });
    return [line("rgb(0 0 0 / 0.6)", 3.5), line("#fff", 1.5), new style.Style({ text })];
  }

  /** @param {any} feature */
  #style(feature) {
    const { style } = this.#ol;
    const value = feature.get("value");
    if (this.hidden.has(value)) return undefined;
    const colour = this.colours?.get(value) ?? [255, 255, 255];
    const chosen = feature.get("n") === this.selected;
    return new style.Style({
      fill: new style.Fill({ color: css(colour, 0.45) }),
      stroke: new style.Stroke({ color: chosen ? "#fff" : css(colour), width: chosen ? 3 : 1.2 }),
      zIndex: chosen ? 1 : 0,
    });
  }

  /** @param {{ swipe?: number, opacity?: number, hidden?: ReadonlySet<number>, selected?: number | null }} to */
  set({ swipe, opacity, hidden, selected }) {
    if (swipe !== undefined) this.swipe = swipe;
    if (hidden !== undefined) this.hidden = hidden;
    if (selected !== undefined) this.selected = selected;
    if (opacity !== undefined) this.#buildings?.setOpacity(opacity);
    this.#buildings?.changed();
    this.map?.render();
  }

  /** Bring a building to the middle; one that lies outside the image has no place. @param {Region} region */
  look({ box }) {
    if (!box) return;
    const [x0, y0, x1, y1] = box;
    const [[west, north], [east, south]] = [this.#toMap([x0, y0]), this.#toMap([x1, y1])];
    this.map.getView().fit(padded([west, south, east, north], 3), { duration: 150 });
  }

  fit() {
    this.map?.getView().fit(this.#extent, { size: this.map.getSize() });
  }

  /** @param {number} by a factor, of which a map takes the direction alone */
  zoom(by) {
    this.map?.getView().adjustZoom(Math.sign(by - 1));
  }

  /** @param {number[]} at */
  #place(at) {
    const { proj } = this.#ol;
    if (this.#projection.getUnits() === "pixels")
      return `x ${at[0].toFixed(0)}, y ${(this.#projection.getExtent()[3] - at[1]).toFixed(0)}`;
    const own =
      this.#projection.getUnits() === "degrees"
        ? ""
        : `${this.#projection.getCode()} ${at[0].toFixed(1)}, ${at[1].toFixed(1)}`;
    if (!proj.get(this.#projection.getCode())) return own;
    const [longitude, latitude] = proj.toLonLat(at, this.#projection);
    return [own, `${latitude.toFixed(5)}° N, ${longitude.toFixed(5)}° E`].filter(Boolean).join(" · ");
  }
}

/** @param {readonly number[]} extent @param {number} by share of each side */
function padded([west, south, east, north], by) {
  const [x, y] = [(east - west) * by, (north - south) * by];
  return [west - x, south - y, east + x, north + y];
}
