// Three sentences that walk the eye over a first result.

import { h } from "../shared/dom.js";

/** @import { Translate } from "../shared/words.js" */
/** @import { State } from "./state.js" */

/**
 * What each step shows; its words have the key `tour` with its number. Stretched, and they say so:
 * to be plain at the first glance.
 *
 * @type {Array<Partial<State>>}
 */
export const STEPS = [
  { mode: "multiply", scale: "stretched" },
  { mode: "heat", scale: "stretched" },
  { mode: "multiply", scale: "stretched" },
];

/**
 * What becomes of the look of a step once the tour is over: the usual one, but what the visitor
 * has chosen meanwhile.
 *
 * @param {number} step
 * @param {State & Record<string, any>} state
 * @param {Record<string, any>} usual
 * @returns {Partial<State>}
 */
export function lookAfter(step, state, usual) {
  const look = Object.entries(STEPS[step]).filter(([key, value]) => state[key] === value);
  return Object.fromEntries(look.map(([key]) => [key, usual[key]]));
}

export class Tour {
  /**
   * @param {object} about
   * @param {Translate} about.t
   * @param {Record<string, unknown>} about.values of the sentences' places.
   * @param {number} about.step where to begin.
   * @param {(step: number, patch: Partial<State>) => void} about.onStep called with another step
   *   and what it shows.
   * @param {() => void} about.onEnd
   */
  constructor({ t, values, step, onStep, onEnd }) {
    const last = step === STEPS.length - 1;
    const words = h("p", { "aria-live": "polite" }, t(`tour${step + 1}`, values));
    const dots = STEPS.map((_, i) => h("i", { class: i === step ? "cv-here" : "" }));
    const go = (by) => () => onStep(step + by, STEPS[step + by]);
    const back = step > 0 && button(t("tourBack"), "cv-button", go(-1));
    const next = last
      ? button(t("tourEnd"), "cv-button cv-primary", onEnd)
      : button(t("tourNext"), "cv-button cv-primary", go(1));
    const skip = !last && button(t("tourSkip"), "cv-plain-button", onEnd);
    this.element = h(
      "section",
      { class: "cv-tour", "aria-label": t("tour") },
      h("div", { class: "cv-dots", "aria-hidden": "true" }, dots),
      words,
      h("div", { class: "cv-tour-buttons" }, skip, back, next),
    );
    this.next = next;
  }
}

function button(words, name, onClick) {
  const element = h("button", { type: "button", class: name }, words);
  element.addEventListener("click", onClick);
  return element;
}
