// How the picture is drawn, for the visitor to choose.

import { dropdown, h, segmented, slider } from "../shared/dom.js";
import { SCALES } from "./state.js";

/** @import { Translate } from "../shared/words.js" */
/** @import { State } from "./state.js" */

export class Controls {
  /**
   * @param {Translate} t
   * @param {{modes: string[], colours: string[], compare: string[]}} choices
   * @param {(patch: Partial<State>) => void} onChange called with what the visitor chose.
   */
  constructor(t, { modes, colours, compare }, onChange) {
    const named = (values) => values.map((value) => [value, t(value)]);
    const percent = (value) => `${Math.round(100 * value)}%`;
    const fine = { min: 0, max: 1, step: 0.05, format: percent };
    const to = (key) => (value) => onChange({ [key]: value });
    this.fields = {
      mode: segmented(t("mode"), named(modes), to("mode")),
      opacity: slider(t("opacity"), fine, to("opacity")),
      keep: slider(t("keep"), { ...fine, min: 0.05, max: 0.95 }, to("keep")),
      colours: dropdown(t("colours"), to("colours")),
      scale: segmented(t("scale"), named(SCALES), to("scale")),
      compare: segmented(t("compare"), named(compare), to("compare")),
      other: dropdown(t("other"), to("other")),
    };
    this.fields.colours.offer(colours);
    const elements = Object.values(this.fields).map((field) => field.element);
    this.element = h("aside", { class: "cv-side", "aria-label": t("controls") }, elements);
  }

  /**
   * @param {State} state
   * @param {string[]} others names of the blocks that can be the second one.
   * @param {boolean} choose whether the second one is to be chosen.
   */
  show(state, others, choose) {
    const { fields } = this;
    fields.other.offer(others);
    for (const [key, field] of Object.entries(fields)) field.set(state[key]);
    const coloured = state.mode === "heat" || state.mode === "cells";
    fields.opacity.element.hidden = state.mode === "multiply";
    fields.keep.element.hidden = state.mode !== "contour";
    fields.colours.element.hidden = !coloured;
    fields.other.element.hidden = !choose;
  }
}
