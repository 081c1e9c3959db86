/** Libraries of others, each loaded when a view first needs it. */

const VENDOR = new URL("../vendor/", import.meta.url);

/** @type {Map<string, Promise<void>>} */
const loading = new Map();

/** @param {string} path */
function script(path) {
  let loaded = loading.get(path);
  if (!loaded) {
    loaded = new Promise((resolve, reject) => {
      const element = document.createElement("script");
      element.src = new URL(path, VENDOR).href;
      element.onload = () => resolve();
      element.onerror = () => {
        loading.delete(path);
        reject(new Error(`${path} could not be loaded`));
      };
      document.head.append(element);
    });
    loading.set(path, loaded);
  }
  return loaded;
}

/** OpenLayers, for maps. @returns {Promise<any>} */
export async function openLayers() {
  if (!document.querySelector("link[data-ol]")) {
    const link = Object.assign(document.createElement("link"), {
      rel: "stylesheet",
      href: new URL("ol-10.11.0/ol.css", VENDOR).href,
    });
    link.dataset.ol = "";
    document.head.append(link);
  }
  await script("ol-10.11.0/ol.js");
  return /** @type {any} */ (globalThis).ol;
}

/** geotiff.js, for TIFF of any kind. @returns {Promise<any>} */
export async function geoTiff() {
  await script("geotiff-3.0.5/geotiff.js");
  return /** @type {any} */ (globalThis).GeoTIFF;
}
