// The most likely classes, before and after, as a table with bars.

import { h } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { percent, table } from "./parts.js";

/** @import { Bench } from "./bench.js" */

/**
 * @typedef {object} ClassChange
 * @property {string} label
 * @property {string} labelZh
 * @property {[number, number]} probability before and after.
 * @property {[number, number]} logit likewise.
 */

/** A change of a number, with its sign. */
export function signed(/** @type {number} */ change, digits = 2) {
  const text = numbered(change, digits);
  return Number(change.toFixed(digits)) > 0 ? `+${text}` : text;
}

export function predictions(/** @type {Bench} */ bench, /** @type {ClassChange[]} */ classes) {
  const { t } = bench;
  const head = ["classOf", "before", "after", "logitBefore", "logitAfter", "change"];
  const most = Math.max(...classes.map(({ probability }) => probability[1]));
  const bar = (/** @type {number} */ share) => {
    const track = h("span", { class: "ce-bar" });
    track.style.setProperty("--ce-share", String(share));
    return h("span", {}, track, percent(share));
  };
  return table({
    caption: t("predictionsWords"),
    head: head.map((key) => t(key)),
    rows: classes.map((one) => [
      bench.name(one),
      ...one.probability.map(bar),
      ...one.logit.map((logit) => numbered(logit, 2)),
      signed(one.logit[1] - one.logit[0]),
    ]),
    first: (i) => classes[i].probability[1] === most,
  });
}
