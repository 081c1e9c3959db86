/** The one place where the console keeps its state: named slices that views change by `set` and follow by `watch`. */

/**
 * @template {object} T
 * @typedef {object} Slice
 * @property {() => Readonly<T>} get
 * @property {(patch: Partial<T>) => void} set
 * @property {(follower: (now: Readonly<T>) => void) => void} watch called at once, and after every change
 */

/** @type {Map<string, object>} */
const slices = new Map();

/**
 * Return the slice of a name, which begins as `initial`.
 *
 * @template {object} T
 * @param {string} name
 * @param {T} initial
 * @returns {Slice<T>}
 */
export function slice(name, initial) {
  /** @type {Set<(now: Readonly<T>) => void>} */
  const followers = new Set();
  let now = initial;
  slices.set(name, now);
  return {
    get: () => now,
    set(patch) {
      now = { ...now, ...patch };
      slices.set(name, now);
      for (const follower of followers) follower(now);
    },
    watch(follower) {
      followers.add(follower);
      follower(now);
    },
  };
}

/** A set with a value taken out where it is in, and else put in. @param {ReadonlySet<number>} values @param {number} value */
export const toggled = (values, value) =>
  values.has(value) ? new Set([...values].filter((one) => one !== value)) : new Set([...values, value]);

/** Everything, by slice: for tests, and for whoever looks into a browser's console. */
export const snapshot = () => Object.fromEntries(slices);

/**
 * @typedef {object} Part
 * @property {string} name
 * @property {string} description
 * @property {boolean} required
 * @property {string[]} media_types
 */
/**
 * @typedef {object} Task
 * @property {string} name
 * @property {string} title
 * @property {string} default_model
 * @property {Part[]} parts
 * @property {string[]} formats
 * @property {"label map" | "scores" | "masks" | "image"} answer
 */
/**
 * @typedef {object} Model
 * @property {string} name
 * @property {string | null} task
 * @property {number | null} version
 * @property {string | null} digest
 * @property {string} state
 * @property {string} reason
 */
/**
 * @typedef {object} App
 * @property {Task[]} tasks
 * @property {Model[]} models
 * @property {boolean} ready whether tasks and models are known
 * @property {string} route
 * @property {string} key
 * @property {"" | "light" | "dark"} theme
 */

/** @param {string} name */
function remembered(name) {
  try {
    return sessionStorage.getItem(`maskgate.${name}`) ?? "";
  } catch {
    return "";
  }
}

/** Keep a word until the tab is closed. @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    sessionStorage.setItem(`maskgate.${name}`, value);
  } catch {
    // A browser that keeps nothing forgets it at the next load.
  }
}

const theme = remembered("theme");

/** What the whole console shares. */
export const app = slice(
  "app",
  /** @type {App} */ ({
    tasks: [],
    models: [],
    ready: false,
    route: "",
    key: remembered("key"),
    theme: theme === "light" || theme === "dark" ? theme : "",
  }),
);
