/** Layers of the caller's own, districts and known buildings, brought to where the map lies. */

/** @typedef {Record<string, any>} Region */

/**
 * Return the features of a GeoJSON file on the map.
 *
 * @param {Blob} file @param {any} ol @param {any} projection of the map
 * @param {(point: readonly number[]) => number[]} ofPixels for layers of images that lie nowhere on Earth
 * @returns {Promise<any[]>} each with its id, or its place in the file
 */
export async function readFeatures(file, ol, projection, ofPixels) {
  const collection = JSON.parse(await file.text());
  const features = new ol.format.GeoJSON().readFeatures(collection);
  const named = /EPSG:*(\d+)$/.exec(collection.crs?.properties?.name ?? "");
  const own = ol.proj.get(named ? `EPSG:${named[1]}` : "EPSG:4326");
  features.forEach((/** @type {any} */ feature, /** @type {number} */ n) => {
    if (feature.getId() === undefined) feature.setId(n);
    const geometry = feature.getGeometry();
    if (!geometry) return;
    if (projection.getUnits() === "pixels")
      geometry.applyTransform(
        (/** @type {number[]} */ flat, /** @type {number[]} */ to, /** @type {number} */ step) => {
          // Corners of pixels, y downwards; the map counts from the bottom.
          for (let at = 0; at < flat.length; at += step)
            [to[at], to[at + 1]] = ofPixels([flat[at] - 0.5, flat[at + 1] - 0.5]);
          return to;
        },
      );
    else if (own && ol.proj.get(projection.getCode())) geometry.transform(own, projection);
  });
  return features;
}

/**
 * Footprints that were graded, as the list and the map take buildings; without a class where nothing was seen of one.
 *
 * @param {Record<string, any>[]} footprints
 * @returns {Region[]}
 */
export const graded = (footprints) =>
  footprints.map((one) => ({
    ...one,
    class: one.class ?? 0,
    name: one.name ?? "not assessed",
    area: one.pixels,
  }));
