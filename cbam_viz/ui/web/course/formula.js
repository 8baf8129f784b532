// Formulas in MathML, whose symbols are explained, and bound to the numbers on screen.

import { h, setText } from "../shared/dom.js";

/** @import { Translate } from "../shared/words.js" */

/** @typedef {string} Key of a symbol; its words have the key `sym_` with it. */

/** How each symbol is written. @type {Record<Key, string>} */
const SYMBOLS = {
  F: "<mi>F</mi>",
  Fc: "<msub><mi>F</mi><mi>c</mi></msub>",
  C: "<mi>C</mi>",
  H: "<mi>H</mi>",
  W: "<mi>W</mi>",
  avg: "<msub><mi>F</mi><mtext>avg</mtext></msub>",
  max: "<msub><mi>F</mi><mtext>max</mtext></msub>",
  W0: "<msub><mi>W</mi><mn>0</mn></msub>",
  W1: "<msub><mi>W</mi><mn>1</mn></msub>",
  v: "<mi>v</mi>",
  relu: "<mi>ReLU</mi>",
  mlp: "<mi>MLP</mi>",
  sigma: "<mi>σ</mi>",
  Mc: "<msub><mi>M</mi><mi>c</mi></msub>",
  F1: "<mi>F′</mi>",
  max1: "<msub><mi>F′</mi><mtext>max</mtext></msub>",
  avg1: "<msub><mi>F′</mi><mtext>avg</mtext></msub>",
  f: "<msup><mi>f</mi><mrow><mn>7</mn><mo>×</mo><mn>7</mn></mrow></msup>",
  z: "<mi>z</mi>",
  Ms: "<msub><mi>M</mi><mi>s</mi></msub>",
  S: "<mi>S</mi>",
  out: "<mi>out</mi>",
  I: "<mi>I</mi>",
  A: "<msup><mi>A</mi><mi>k</mi></msup>",
  alpha: "<msub><mi>α</mi><mi>k</mi></msub>",
  L: "<mi>L</mi>",
};

/** A formula from a text in which {key} stands for a symbol. */
export function formula(/** @type {string} */ text) {
  const still = text.replace(/<mo>([()[\]])<\/mo>/g, '<mo stretchy="false">$1</mo>');
  const marked = still.replace(
    /\{(\w+)\}/g,
    (_, key) => `<mrow class="cc-sym" data-s="${key}">${SYMBOLS[key]}</mrow>`,
  );
  const element = h("div", { class: "cc-formula", tabindex: "0", role: "group" });
  element.innerHTML = `<math display="block">${marked}</math>`;
  return element;
}

/** The symbols of a formula with their values; a symbol that is pointed at is explained. */
export class Symbols {
  /**
   * @param {Translate} t
   * @param {Key[]} keys
   */
  constructor(t, keys) {
    this.t = t;
    /** @type {Map<Key, HTMLElement>} */
    this.values = new Map();
    const chips = keys.map((key) => {
      const value = h("b", {});
      this.values.set(key, value);
      const mathematics = h("span", {});
      mathematics.innerHTML = `<math>${SYMBOLS[key]}</math>`;
      return h("li", {}, h("button", { type: "button", "data-s": key }, mathematics, value));
    });
    this.explained = h("p", { class: "cc-explained", "aria-live": "polite" }, t("symbolHint"));
    this.element = h("div", {}, h("ul", { class: "cc-symbols" }, chips), this.explained);
  }

  /** Bind symbols to numbers. */
  set(/** @type {Record<Key, string>} */ values) {
    for (const [key, text] of Object.entries(values)) {
      const value = this.values.get(key);
      if (value) setText(value, `= ${text}`);
    }
  }

  /**
   * Explain what is pointed at within a step, and light up whatever stands for the same.
   *
   * @param {HTMLElement} step
   */
  listen(step) {
    const light = (/** @type {?string} */ key) => {
      for (const part of step.querySelectorAll("[data-s]")) {
        part.classList.toggle("cc-lit", part.getAttribute("data-s") === key);
      }
      if (key) setText(this.explained, this.t(`sym_${key}`));
    };
    const of = (/** @type {Event} */ event) =>
      /** @type {Element} */ (event.target).closest?.("[data-s]")?.getAttribute("data-s") ?? null;
    step.addEventListener("pointerover", (event) => light(of(event)));
    step.addEventListener("focusin", (event) => light(of(event)));
    step.addEventListener("click", (event) => light(of(event)));
    step.addEventListener("pointerleave", () => light(null));
  }
}
