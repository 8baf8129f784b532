// The first three steps: a feature map and its two poolings, one perceptron for both, the channel
// gate.

import { h, segmented, slider } from "../../shared/dom.js";
import { figuresOf, numbered } from "../../shared/numbers.js";
import { sigmoid } from "../../inside/block.js";
import { Pictures, sign } from "../../inside/pictures.js";
import { scatter, sigmoidCurve } from "../figures.js";

/** @import { Step } from "../course.js" */

/** Sums further from 0 than this are drawn at the curve's ends. */
const REACH = 6;

/** @type {Step} */
export const featureMap = {
  key: "map",
  formula:
    "{avg}<mo>=</mo><mfrac><mn>1</mn><mrow>{H}{W}</mrow></mfrac><munder><mo>∑</mo><mrow><mi>i</mi>" +
    "<mo>,</mo><mi>j</mi></mrow></munder>{Fc}<mo>(</mo><mi>i</mi><mo>,</mo><mi>j</mi><mo>)</mo>" +
    "<mo>,</mo><mspace width='1em'></mspace>{max}<mo>=</mo><munder><mi>max</mi><mrow><mi>i</mi>" +
    "<mo>,</mo><mi>j</mi></mrow></munder>{Fc}<mo>(</mo><mi>i</mi><mo>,</mo><mi>j</mi><mo>)</mo>",
  symbols: ["Fc", "avg", "max", "C", "H", "W"],
  build({ t, lesson, say, did, symbols }) {
    const { columns, rows, pooled } = lesson;
    const pictures = new Pictures(t, lesson, { onCell() {}, onChannel() {} });
    const colours = pictures.signed(...lesson.shown.map(({ map }) => map));
    const photo = pictures.photo(); // first: it has a mark too
    const place = h("div", { class: "cc-figure", "data-s": "Fc" });
    const channels = lesson.shown.map(({ channel }) => channel);
    const dots = scatter(pooled.average, pooled.maximum, channels, (channel) => {
      control.set(channels.indexOf(channel));
      show(channel, true);
    });
    const control = slider(
      t("map_pick"),
      { min: 0, max: channels.length - 1, step: 1, format: (i) => `#${channels[i]}` },
      (i) => show(channels[i], true),
    );

    function show(/** @type {number} */ channel, /** @type {boolean} */ chosen) {
      const map = lesson.mapOf(channel);
      const [average, maximum] = [pooled.average[channel], pooled.maximum[channel]];
      const at = map.indexOf(map.reduce((a, b) => Math.max(a, b)));
      const [row, column] = [Math.floor(at / columns), at % columns];
      const figure = pictures.map(t("map_of", { channel }), map, colours);
      pictures.markCell(row, column);
      place.replaceChildren(figure);
      dots.mark(channel);
      control.input.setAttribute("aria-valuetext", `#${channel}`);
      symbols.set({
        Fc: `#${channel}`,
        avg: numbered(average),
        max: numbered(maximum),
        C: String(lesson.channels),
        H: String(rows),
        W: String(columns),
      });
      say("map_said", {
        channel,
        average: numbered(average),
        maximum: numbered(maximum),
        row,
        column,
      });
      if (chosen) did();
    }

    const first = channels.reduce((a, b) => (pooled.maximum[b] > pooled.maximum[a] ? b : a));
    control.set(channels.indexOf(first));
    show(first, false);
    return h(
      "div",
      { class: "cc-row" },
      photo,
      place,
      h(
        "figure",
        { class: "cc-side" },
        dots.element,
        h("figcaption", {}, t("map_dots", { count: lesson.channels })),
      ),
      h("div", { class: "cc-controls" }, control.element, pictures.colourBar(colours)),
    );
  },
};

/** @type {Step} */
export const perceptron = {
  key: "mlp",
  formula: "{mlp}<mo>(</mo>{v}<mo>)</mo><mo>=</mo>{W1}{relu}<mo>(</mo>{W0}{v}<mo>)</mo>",
  symbols: ["v", "W0", "relu", "W1", "mlp"],
  build({ t, lesson, say, did, symbols }) {
    const { channels, hidden, logits, pooled } = lesson;
    const units = hidden.average.length;
    const pictures = new Pictures(t, lesson, { onCell() {}, onChannel() {} });
    const order = Array.from(lesson.gate.keys()).sort((a, b) => lesson.gate[b] - lesson.gate[a]);
    const most = Math.max(...hidden.average, ...hidden.maximum);
    const ends = figuresOf([...logits.average, ...logits.maximum, 0]);
    const drawing = h("div", { class: "cc-strips" });
    const strip = (/** @type {string} */ words, symbol, values, low, high) =>
      h(
        "div",
        { class: "cc-strip", "data-s": symbol },
        h("p", {}, words),
        h("div", { class: "ci-frame" }, pictures.bars(values, low, high, 0)),
      );
    /** @type {(branch: "average" | "maximum", chosen: boolean) => void} */
    const show = (branch, chosen) => {
      const vector = order.map((c) => pooled[branch][c]);
      const given = figuresOf([...vector, 0]);
      const silent = hidden[branch].filter((v) => v === 0).length;
      const other = branch === "average" ? "maximum" : "average";
      const alone = hidden[branch].filter((v, i) => v > 0 && hidden[other][i] === 0).length;
      drawing.replaceChildren(
        strip(t("mlp_given", { vector: t(branch), channels }), "v", vector, given.min, given.max),
        sign("W₀ ↓ ReLU"),
        strip(t("mlp_hidden", { units, silent }), "relu", Array.from(hidden[branch]), 0, most),
        sign("W₁ ↓"),
        strip(
          t("mlp_result", { channels }),
          "mlp",
          order.map((c) => logits[branch][c]),
          ends.min,
          ends.max,
        ),
      );
      symbols.set({
        v: t(branch),
        W0: `${units} × ${channels}`,
        relu: t("mlp_units", { awake: units - silent, units }),
        W1: `${channels} × ${units}`,
        mlp: `${numbered(figuresOf(logits[branch]).min, 2)} … ${numbered(figuresOf(logits[branch]).max, 2)}`,
      });
      const one = 2 * channels * units;
      say("mlp_said", { awake: units - silent, units, alone, one, two: 2 * one });
      if (chosen) did();
    };
    const choice = segmented(
      t("mlp_pick"),
      [
        ["average", t("average")],
        ["maximum", t("maximum")],
      ],
      (/** @type {"average" | "maximum"} */ branch) => show(branch, true),
    );
    choice.set("average");
    show("average", false);
    return h("div", { class: "cc-column" }, choice.element, drawing);
  },
};

/** @type {Step} */
export const channelGate = {
  key: "gate",
  formula:
    "{Mc}<mo>=</mo>{sigma}<mo>(</mo>{mlp}<mo>(</mo>{avg}<mo>)</mo><mo>+</mo>{mlp}<mo>(</mo>{max}" +
    "<mo>)</mo><mo>)</mo><mo>,</mo><mspace width='1em'></mspace>{F1}<mo>=</mo>{Mc}<mo>⊗</mo>{F}",
  symbols: ["avg", "max", "mlp", "sigma", "Mc", "F", "F1"],
  build({ t, lesson, say, did, symbols }) {
    const pictures = new Pictures(t, lesson, { onCell() {}, onChannel() {} });
    const colours = pictures.signed(...lesson.shown.map(({ map }) => map));
    // The map with the greatest maximum: there is something to see weaken.
    const { channel, map } = lesson.shown.reduce((a, b) =>
      lesson.pooled.maximum[b.channel] > lesson.pooled.maximum[a.channel] ? b : a,
    );
    const own = lesson.sums[channel];
    const curve = sigmoidCurve(lesson.sums, REACH);
    const after = h("div", { class: "cc-figure", "data-s": "F1" });
    const times = sign("");
    times.dataset.s = "Mc";
    const control = slider(
      t("gate_pick"),
      { min: -REACH, max: REACH, step: 0.1, format: (v) => numbered(Number(v), 2) },
      (sum) => show(sum, true),
    );
    const back = h("button", { type: "button", class: "cv-button" }, t("gate_back"));
    back.addEventListener("click", () => {
      control.set(own);
      show(own, true);
    });

    function show(/** @type {number} */ sum, /** @type {boolean} */ chosen) {
      const gate = sigmoid(sum);
      curve.move(sum);
      times.textContent = `× ${numbered(gate)} =`;
      after.replaceChildren(
        pictures.map(
          t("gate_after"),
          map.map((v) => v * gate),
          colours,
        ),
      );
      symbols.set({
        avg: numbered(lesson.pooled.average[channel]),
        max: numbered(lesson.pooled.maximum[channel]),
        mlp: `${numbered(lesson.logits.average[channel], 2)}, ${numbered(lesson.logits.maximum[channel], 2)}`,
        sigma: numbered(gate),
        Mc: numbered(gate),
        F: `#${channel}`,
        F1: `#${channel}`,
      });
      say("gate_said", { channel, sum: numbered(sum, 2), gate: numbered(gate), own: numbered(lesson.gate[channel]) }); // prettier-ignore
      if (chosen) did();
    }

    control.set(own);
    show(own, false);
    const before = h(
      "div",
      { class: "cc-figure", "data-s": "F" },
      pictures.map(t("map_of", { channel }), map, colours),
    );
    return h(
      "div",
      { class: "cc-row" },
      h(
        "figure",
        { class: "cc-wide", "data-s": "sigma" },
        curve.element,
        h("figcaption", {}, t("gate_dots", { count: lesson.channels })),
      ),
      h("div", { class: "cc-equation" }, before, times, after),
      h("div", { class: "cc-controls" }, control.element, back),
    );
  },
};
