// What the arrow keys and their like do to a place in a row, or in a grid.

import { clamp } from "./numbers.js";

/** @type {Record<string, number>} */
const ALONG = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
/** @type {Record<string, number>} */
const RISING = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
/** @type {Record<string, [number, number]>} */
const GRID = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Where a key leads in a list; up goes back. @returns {?number} null for any other key. */
export function listStep(
  /** @type {string} */ key,
  /** @type {number} */ at,
  /** @type {number} */ count,
) {
  return step(key, at, count, ALONG);
}

/** Where a key leads on a scale; up goes on, and a page is a tenth. @returns {?number} */
export function scaleStep(
  /** @type {string} */ key,
  /** @type {number} */ at,
  /** @type {number} */ count,
) {
  const far = Math.ceil(count / 10);
  return step(key, at, count, { ...RISING, PageUp: far, PageDown: -far });
}

/** @returns {?number} */
function step(
  /** @type {string} */ key,
  /** @type {number} */ at,
  /** @type {number} */ count,
  /** @type {Record<string, number>} */ steps,
) {
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return key in steps ? clamp(at + steps[key], 0, count - 1) : null;
}

/** How an arrow key moves in a grid. @returns {?[number, number]} rows and columns. */
export function gridMove(/** @type {string} */ key) {
  return GRID[key] ?? null;
}
