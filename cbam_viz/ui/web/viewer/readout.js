// The numbers of the cells under the pointer and under the pin.

import { h } from "../shared/dom.js";
import { explained } from "../shared/glossary.js";

/** @import { Cell } from "../shared/geometry.js" */
/** @import { Translate } from "../shared/words.js" */
/** @import { Block, Subject } from "./subject.js" */

/** @typedef {{subject: Subject, block: Block, cell: Cell & {value: number}}} Read */

/**
 * @param {Translate} t
 * @param {Record<string, Read[]>} lines by what reads them, "pointer" or "pinned".
 * @returns {HTMLElement[]}
 */
export function buildReadout(t, lines) {
  const read = Object.entries(lines).filter(([, cells]) => cells.length);
  if (!read.length) return [h("p", { class: "cv-hint" }, t("hint"))];
  return read.map(([key, cells]) => {
    const name = h("span", { class: "cv-read-name" }, t(key));
    const parts = cells.map((cell) => buildCell(t, cell));
    return h("div", { class: `cv-read cv-read-${key}` }, name, h("div", {}, parts));
  });
}

function buildCell(/** @type {Translate} */ t, /** @type {Read} */ { subject, block, cell }) {
  const [width, height] = subject.view.size;
  const where = `${block.name} · ${t("cell", cell)}`;
  const field = block.field && explained(t, "field", { field: block.field, width, height });
  const value = h("b", {}, cell.value.toFixed(4));
  return h("p", {}, value, h("span", {}, where), field && h("small", {}, field));
}
