/** Prometheus' text format, as far as the console draws it. */

/** @typedef {{ name: string, labels: Record<string, string>, value: number }} Sample */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** @param {string} text @returns {Sample[]} */
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : LINE.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
    samples.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return samples;
}

/** Return the sum of a metric over all of its series that have these labels. @param {Sample[]} samples @param {string} name @param {Record<string, string>} [labels] */
export const sum = (samples, name, labels = {}) =>
  samples
    .filter((one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value))
    .reduce((total, one) => total + (Number.isFinite(one.value) ? one.value : 0), 0);

/**
 * Return a quantile of what a histogram counted between two looks, from its buckets; NaN where nothing came.
 *
 * @param {Sample[]} before @param {Sample[]} now @param {string} name @param {number} quantile @param {Record<string, string>} [labels]
 */
export function quantile(before, now, name, quantile, labels = {}) {
  const bounds = [...new Set(now.filter((one) => one.name === `${name}_bucket`).map((one) => one.labels.le))];
  const counted = bounds
    .map((le) => ({
      bound: le === "+Inf" ? Infinity : Number(le),
      count: sum(now, `${name}_bucket`, { ...labels, le }) - sum(before, `${name}_bucket`, { ...labels, le }),
    }))
    .sort((a, b) => a.bound - b.bound);
  const all = counted.at(-1)?.count ?? 0;
  if (all <= 0) return NaN;
  let low = 0;
  let below = 0;
  for (const { bound, count } of counted) {
    if (count >= quantile * all)
      return bound === Infinity ? low : low + ((bound - low) * (quantile * all - below)) / (count - below || 1);
    low = bound;
    below = count;
  }
  return low;
}
