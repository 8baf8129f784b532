// One step of a block: number, title, formula, words, and what there is to see.

import { h } from "../shared/dom.js";

/** @import { Translate } from "../shared/words.js" */
/** @import { Block } from "./block.js" */

/** What is computed, in the paper's terms; `norm` is there only where the network has one. */
/** @type {Record<string, (block: Block) => string>} */
const FORMULAS = {
  features: ({ channels, rows, columns }) =>
    `<mi>F</mi><mo>∈</mo><msup><mi>ℝ</mi><mrow><mn>${channels}</mn><mo>×</mo><mn>${rows}</mn>
     <mo>×</mo><mn>${columns}</mn></mrow></msup>`,
  channel: () => {
    const branch = (/** @type {string} */ pool) =>
      `<msub><mi>W</mi><mn>1</mn></msub><mi>ReLU</mi><mo>(</mo><msub><mi>W</mi><mn>0</mn></msub>
       <msub><mi>F</mi><mtext>${pool}</mtext></msub><mo>)</mo>`;
    return `<msub><mi>M</mi><mi>c</mi></msub><mo>=</mo><mi>σ</mi><mo>(</mo>${branch("avg")}
      <mo>+</mo>${branch("max")}<mo>)</mo>`;
  },
  refined: () => `<mi>F′</mi><mo>=</mo><msub><mi>M</mi><mi>c</mi></msub><mo>·</mo><mi>F</mi>`,
  spatial: ({ side, norm }) => {
    const pooled = (/** @type {string} */ pool) => `<msub><mi>F′</mi><mtext>${pool}</mtext></msub>`;
    const convolution = `<msup><mi>f</mi><mrow><mn>${side}</mn><mo>×</mo><mn>${side}</mn></mrow></msup>
      <mo>(</mo><mo>[</mo>${pooled("max")}<mo>;</mo>${pooled("avg")}<mo>]</mo><mo>)</mo>`;
    const inner = norm ? `<mi>norm</mi><mo>(</mo>${convolution}<mo>)</mo>` : convolution;
    return `<msub><mi>M</mi><mi>s</mi></msub><mo>=</mo><mi>σ</mi><mo>(</mo>${inner}<mo>)</mo>`;
  },
  output: () =>
    `<mi>F″</mi><mo>=</mo><msub><mi>M</mi><mi>s</mi></msub><mo>·</mo><mi>F′</mi><mo>,</mo>
     <mspace width="0.8em"></mspace><mi>out</mi><mo>=</mo><mi>ReLU</mi><mo>(</mo><mi>F″</mi>
     <mo>+</mo><mi>S</mi><mo>)</mo>`,
};

/**
 * @param {Translate} t
 * @param {Block} block
 * @param {number} number
 * @param {string} formula name of one.
 * @param {Record<string, unknown>} values of the words' places.
 * @param {...any} parts
 */
export function buildStep(t, block, number, formula, values, ...parts) {
  const math = h("div", { class: "ci-formula", tabindex: "0" });
  math.innerHTML = `<math>${FORMULAS[formula](block)}</math>`;
  const badge = h("i", { class: "ci-number", "aria-hidden": "true" }, number);
  return h(
    "section",
    { class: "ci-step", id: `ci-step-${number}` },
    h("div", { class: "ci-step-head" }, h("h2", {}, badge, t(`step${number}`)), math),
    h("p", { class: "ci-words" }, t(`step${number}Words`, values)),
    parts,
  );
}
