/** The map of a pair: both images, a swipe between them, and the buildings over both. OpenLayers draws it. */

import { css } from "../lib/dom.js";
import { openLayers } from "../lib/load.js";
import { newCanvas } from "../lib/pictures.js";

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
    const view = new ol.View({
      projection: this.#projection,
      extent: padded(pre.extent, 0.5),
      showFullExtent: true,
      maxResolution: Math.max(dx, dy) * 64,
      minResolution: Math.min(dx, dy) / 16,
    });
    if (!this.map) this.#make();
    this.map.setLayers([...this.#images.filter(Boolean), this.#buildings]);
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
      const found = this.map.forEachFeatureAtPixel(event.pixel, (/** @type {any} */ feature) => feature.getId());
      this.chosen(found ?? null);
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

  /** @param {Scene} scene @param {any} projection @param {number[]} [extent] */
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
    if (!before || !after) return;
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

  /** @param {Region[]} regions */
  show(regions, /** @type {{ value: number, colour: number[] }[]} */ classes) {
    const ol = this.#ol;
    const source = this.#buildings?.getSource();
    if (!source) return;
    this.colours = new Map(classes.map(({ value, colour }) => [value, colour]));
    source.clear();
    source.addFeatures(
      regions.map((region, n) => {
        const rings = [region.polygon, ...region.holes].map((/** @type {number[][]} */ ring) =>
          [...ring, ring[0]].map(this.#toMap),
        );
        const feature = new ol.Feature({ geometry: new ol.geom.Polygon(rings), value: region.class });
        feature.setId(n);
        return feature;
      }),
    );
  }

  /** @param {any} feature */
  #style(feature) {
    const { style } = this.#ol;
    const value = feature.get("value");
    if (this.hidden.has(value)) return undefined;
    const colour = this.colours?.get(value) ?? [255, 255, 255];
    const chosen = feature.getId() === this.selected;
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

  /** Bring a building to the middle. @param {Region} region */
  look({ box: [x0, y0, x1, y1] }) {
    const [[west, north], [east, south]] = [this.#toMap([x0, y0]), this.#toMap([x1, y1])];
    this.map.getView().fit(padded([west, south, east, north], 3), { duration: 150 });
  }

  fit() {
    this.map?.getView().fit(this.#extent, { size: this.map.getSize() });
  }

  /** @param {number} by */
  zoom(by) {
    const view = this.map?.getView();
    if (view) view.setZoom(view.getZoom() + by);
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
