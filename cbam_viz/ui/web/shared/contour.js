// The outline around the smallest area that holds a share of all attention.

import { clamp, figuresOf } from "./numbers.js";

/** @import { Axis } from "./geometry.js" */
/**
 * @typedef {object} Outlined
 * @property {number} level the least value inside the outline.
 * @property {number} held the share of all attention inside.
 * @property {number} area the share of the area inside.
 */

/**
 * The least value inside the smallest area that holds a share of all attention.
 *
 * A histogram finds the bin in which that value lies; only that bin is sorted.
 *
 * @param {Float32Array} values of the map at each px.
 * @param {Axis} x
 * @param {Axis} y
 * @param {number} width of the picture in px.
 * @param {number} share of all attention to hold, 0 to 1.
 * @param {Float32Array} cells of the map.
 * @returns {Outlined}
 */
export function smallestArea(values, x, y, width, share, cells) {
  const BINS = 8192;
  const { min, max } = figuresOf(cells);
  if (min === max) return { level: min, held: 1, area: 1 };
  const factor = (BINS - 1) / (max - min);
  const counts = new Int32Array(BINS);
  const sums = new Float64Array(BINS);
  for (let j = y.first; j < y.end; j++) {
    for (let at = j * width + x.first, end = j * width + x.end; at < end; at++) {
      const bin = ((values[at] - min) * factor) | 0;
      counts[bin]++;
      sums[bin] += values[at];
    }
  }
  const total = sums.reduce((a, b) => a + b, 0);
  let held = 0;
  let taken = 0;
  let bin = BINS - 1;
  while (bin > 0 && held + sums[bin] < share * total) {
    held += sums[bin];
    taken += counts[bin--];
  }
  const inBin = new Float32Array(counts[bin]);
  let n = 0;
  for (let j = y.first; j < y.end && n < inBin.length; j++) {
    for (let at = j * width + x.first, end = j * width + x.end; at < end; at++) {
      if ((((values[at] - min) * factor) | 0) === bin) inBin[n++] = values[at];
    }
  }
  inBin.sort();
  let level = inBin[inBin.length - 1];
  // Equal values are in or out together.
  for (let i = inBin.length - 1; i >= 0; i--) {
    if (held >= share * total && inBin[i] < level) break;
    level = inBin[i];
    held += level;
    taken++;
  }
  const area = taken / ((x.end - x.first) * (y.end - y.first));
  return { level, held: held / total, area };
}

/**
 * Pillow's BoxBlur, with its fixed-point weights and its rounding after either direction.
 *
 * @param {Uint8Array} source row by row.
 * @param {number} width
 * @param {number} height
 * @param {number} radius
 * @param {Uint8Array} across of the same size, for what is between.
 * @param {Uint8Array} down of the same size, for the result.
 */
export function boxBlur(source, width, height, radius, across, down) {
  const reach = Math.floor(radius);
  const weight = Math.floor(2 ** 24 / (2 * radius + 1));
  const farWeight = Math.floor((2 ** 24 - (2 * reach + 1) * weight) / 2);
  const half = 2 ** 23;

  const padded = new Uint8Array(width + 2 * reach + 2);
  for (let j = 0; j < height; j++) {
    const line = source.subarray(j * width, (j + 1) * width);
    padded.fill(line[0], 0, reach + 1);
    padded.set(line, reach + 1);
    padded.fill(line[width - 1], reach + 1 + width);
    let sum = 0;
    for (let i = 0; i < 2 * reach + 1; i++) sum += padded[i];
    for (let i = 0, at = j * width; i < width; i++, at++) {
      const next = padded[i + 2 * reach + 1];
      sum += next - padded[i];
      const far = padded[i] + padded[i + 2 * reach + 2];
      across[at] = (Math.imul(sum, weight) + Math.imul(far, farWeight) + half) >>> 24;
    }
  }

  const line = (/** @type {number} */ j) => clamp(j, 0, height - 1) * width;
  const sums = new Int32Array(width);
  for (let j = -reach - 1; j < reach; j++) {
    for (let i = 0, at = line(j); i < width; i++, at++) sums[i] += across[at];
  }
  for (let j = 0; j < height; j++) {
    const before = line(j - reach - 1);
    const last = line(j + reach);
    const after = line(j + reach + 1);
    for (let i = 0, at = j * width; i < width; i++, at++) {
      const sum = (sums[i] += across[last + i] - across[before + i]);
      const far = across[before + i] + across[after + i];
      down[at] = (Math.imul(sum, weight) + Math.imul(far, farWeight) + half) >>> 24;
    }
  }
}
