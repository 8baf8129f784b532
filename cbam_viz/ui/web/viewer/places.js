// Places on a map in words.

/** @import { Translate } from "../shared/words.js" */
/** @import { Block, Subject } from "./subject.js" */

/** In words, in which ninth of a map a cell lies, counted row by row. */
export function placeOf(
  /** @type {Translate} */ t,
  /** @type {number} */ at,
  /** @type {{rows: number, columns: number}} */ { rows, columns },
) {
  const third = (/** @type {number} */ cell, /** @type {number} */ cells) =>
    Math.min(2, Math.floor((3 * (cell + 0.5)) / cells));
  const row = third(Math.floor(at / columns), rows);
  return t(`place${row}${third(at % columns, columns)}`);
}

/** What a block's map shows, in a sentence. */
export function altOf(
  /** @type {Translate} */ t,
  /** @type {Subject} */ subject,
  /** @type {Block} */ block,
) {
  const { min, max } = block.figures.spatial;
  const values = { block: block.name, low: min.toFixed(2), high: max.toFixed(2) };
  if (subject.isConstant(block.figures.spatial)) return t("altConstant", values);
  return t("alt", { ...values, place: placeOf(t, block.spatial.indexOf(max), block) });
}
