// What a teacher gives the class: exercises, and views to open.

import given from "./links.json" with { type: "json" };

/** @import { Lesson } from "./lesson.js" */

/** The keys of their words end with these. */
export const EXERCISES = ["pool", "weights", "sigmoid", "products", "larger", "colours"];
/** Views of the bundled examples, and the model that they are of. */
export const { links: LINKS, model: MODEL } = given;

/** What the exercises ask of the block on screen. */
export function figuresFor(/** @type {Lesson} */ { channels, hidden, side, rows, columns }) {
  const units = hidden.average.length;
  const seen = (/** @type {number} */ cells) => Math.min(cells, (side >> 1) + 1);
  return {
    channels,
    units,
    weights: 2 * channels * units,
    side,
    products: 2 * side * side,
    zeros: 2 * (side * side - seen(rows) * seen(columns)),
  };
}
