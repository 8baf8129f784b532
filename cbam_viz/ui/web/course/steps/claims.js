// Four steps about what it comes to: the shortcut, photo times attention, Grad-CAM, the paper.

import { h, segmented, slider } from "../../shared/dom.js";
import { figuresOf, numbered } from "../../shared/numbers.js";
import { sumOf } from "../../inside/block.js";
import { percent, Pictures, sign } from "../../inside/pictures.js";
import { OnPhoto } from "../figures.js";
import { correlation } from "../lesson.js";

/** @import { Step } from "../course.js" */

/** @type {Step} */
export const inTheBlock = {
  key: "block",
  formula: "{out}<mo>=</mo>{relu}<mo>(</mo>{Ms}<mo>⊗</mo>{F1}<mo>+</mo>{S}<mo>)</mo>",
  symbols: ["Ms", "F1", "S", "relu", "out"],
  build({ t, lesson, say, did, symbols }) {
    const { maps, openings, sizes, reach } = lesson;
    const pictures = new Pictures(t, lesson, { onCell() {}, onChannel() {} });
    const colours = pictures.signed(...openings.map(({ map }) => map), maps.output);
    const place = h("div", { class: "cc-figure", "data-s": "out" });
    const control = slider(
      t("block_pick"),
      { min: 0, max: openings.length - 1, step: 1, format: (i) => String(openings[i].opening) },
      (i) => show(i, true),
    );
    const shortcut = pictures.map(t("meanShortcut"), maps.shortcut, pictures.signed(maps.shortcut));
    shortcut.dataset.s = "S";
    const bar = h(
      "div",
      { class: "ci-reach", "aria-hidden": "true" },
      h("i", {}, percent(reach)),
      h("i", {}, percent(1 - reach)),
    );
    /** @type {HTMLElement} */ (bar.firstChild).style.width = `${100 * reach}%`;

    function show(/** @type {number} */ i, /** @type {boolean} */ chosen) {
      const { opening, map } = openings[i];
      const name = chosen ? t("block_output", { opening }) : t("block_own");
      place.replaceChildren(pictures.map(name, chosen ? map : maps.output, colours));
      symbols.set({
        Ms: chosen ? String(opening) : `${numbered(figuresOf(maps.gate).min, 2)} … ${numbered(figuresOf(maps.gate).max, 2)}`,
        F1: sizes.features.toPrecision(3),
        S: sizes.shortcut.toPrecision(3),
        relu: t("block_relu"),
        out: sizes.output.toPrecision(3),
      }); // prettier-ignore
      say("block_said", { reach: percent(reach), rest: percent(1 - reach) });
      if (chosen) did();
    }

    control.set(openings.length >> 1);
    show(openings.length >> 1, false);
    return h(
      "div",
      { class: "cc-row" },
      shortcut,
      sign("→"),
      place,
      h(
        "div",
        { class: "cc-controls" },
        control.element,
        bar,
        h("p", { class: "ci-legend" }, h("span", {}, t("reachTouch")), h("span", {}, t("reachPass"))), // prettier-ignore
      ),
    );
  },
};

/** @type {Step} */
export const photoTimes = {
  key: "photo",
  formula:
    "{Ms}<mo>⊗</mo>{F1}<mspace width='0.7em'></mspace><mo>≠</mo><mspace width='0.7em'></mspace>{Ms}<mo>⊗</mo>{I}",
  symbols: ["Ms", "F1", "I"],
  build({ t, lesson, say, did, symbols }) {
    const { blocks } = lesson;
    const picture = new OnPhoto(lesson, t("photo_alt"));
    picture.element.classList.add("cc-large");
    picture.element.dataset.s = "Ms";
    const control = slider(
      t("photo_pick"),
      { min: 0, max: blocks.length - 1, step: 1, format: (i) => blocks[i].name },
      (i) => show(i, true),
    );
    function show(/** @type {number} */ i, /** @type {boolean} */ chosen) {
      const block = blocks[i];
      const { min, max, mean } = figuresOf(block.spatial);
      const look = { mode: "multiply", table: lesson.tables.gate };
      picture.show(block, look, t("photo_of", { block: block.name }));
      symbols.set({
        F1: `${lesson.channels} × ${block.rows} × ${block.columns}`,
        I: `3 × ${lesson.photo.size[1]} × ${lesson.photo.size[0]}`,
        Ms: `${numbered(min, 2)} … ${numbered(max, 2)}`,
      });
      const words = max - min < lesson.nearlyConstant ? "photo_flat" : "photo_said";
      say(words, { block: block.name, mean: percent(mean), low: numbered(min, 2), high: numbered(max, 2) }); // prettier-ignore
      if (chosen) did();
    }
    const start = blocks.findIndex(({ name }) => name === lesson.name);
    control.set(start);
    show(start, false);
    const photo = h("figure", { class: "cc-onphoto", "data-s": "I" }, h("img", { class: "cc-photo", src: lesson.photo.url, alt: t("photo") }), h("figcaption", {}, t("photo"))); // prettier-ignore
    return h(
      "div",
      { class: "cc-row" },
      photo,
      picture.element,
      h("div", { class: "cc-controls" }, control.element),
    );
  },
};

/** @type {Step} */
export const gradCam = {
  key: "cam",
  formula: "{L}<mo>=</mo>{relu}<mo>(</mo><munder><mo>∑</mo><mi>k</mi></munder>{alpha}{A}<mo>)</mo>",
  symbols: ["A", "alpha", "relu", "L", "Ms"],
  build({ t, lesson, say, did, symbols, ask, lang }) {
    const { maps, predictions } = lesson;
    const label = (/** @type {typeof predictions[0]} */ p) =>
      lang() === "zh" ? p.label_zh : p.label;
    const gate = new OnPhoto(lesson, t("spatial_alt"));
    gate.element.dataset.s = "Ms";
    const map = new OnPhoto(lesson, t("cam_alt"));
    map.element.dataset.s = "L";
    gate.show({ ...lesson, spatial: maps.gate }, { table: lesson.tables.gate }, t("cam_gate"));
    const choice = segmented(
      t("cam_pick"),
      predictions.map((p) => [String(p.index), label(p)]),
      (/** @type {string} */ index) => show(Number(index), true),
    );
    let asked = -1;
    /** @type {(index: number, chosen: boolean) => Promise<void>} */
    const show = async (index, chosen) => {
      asked = index;
      if (chosen) did();
      const answer = await ask("cam", { index });
      if (asked !== index) return;
      const found = predictions.find((p) => p.index === index);
      const { max } = figuresOf(answer.map);
      map.show(
        { ...lesson, spatial: answer.map },
        { table: lesson.tables.gate, low: 0, high: max || 1 },
        t("cam_of", { label: label(found) }),
      );
      const alike = correlation(maps.gate, answer.map);
      symbols.set({
        A: `${lesson.channels} × ${lesson.rows} × ${lesson.columns}`,
        alpha: label(found),
        relu: "≥ 0",
        L: `0 … ${max.toPrecision(2)}`,
        Ms: t("cam_same"),
      });
      const values = { label: label(found), alike: numbered(alike, 2) };
      say(max === 0 || Number.isNaN(alike) ? "cam_none" : "cam_said", values);
    };
    choice.set(String(predictions[0].index));
    show(predictions[0].index, false);
    return h(
      "div",
      { class: "cc-row" },
      gate.element,
      map.element,
      h("div", { class: "cc-controls" }, choice.element),
    );
  },
};

/** What the paper says, and whether one photo can show it. */
const CLAIMS = /** @type {const} */ ([
  ["both", "no"],
  ["seven", "no"],
  ["order", "no"],
  ["cost", "yes"],
]);

/** @type {Step} */
export const paper = {
  key: "paper",
  symbols: [],
  build({ t, lesson, say, did }) {
    const { kernels, side, logits, weights } = lesson;
    const far = (/** @type {Float32Array} */ kernel) =>
      sumOf(
        kernel.map((w, i) => {
          const away = Math.max(
            Math.abs(Math.floor(i / side) - (side >> 1)),
            Math.abs((i % side) - (side >> 1)),
          );
          return away > 1 ? Math.abs(w) : 0;
        }),
      );
    const all = [...kernels.maximum, ...kernels.mean].reduce((a, b) => a + Math.abs(b), 0);
    const values = {
      alike: numbered(correlation(logits.average, logits.maximum), 2),
      outer: percent((far(kernels.maximum) + far(kernels.mean)) / all),
      gates: weights.gates.toLocaleString("en"),
      all: weights.all.toLocaleString("en"),
      share: (100 * (weights.gates / weights.all)).toFixed(1),
    };
    let answered = 0;
    const cards = CLAIMS.map(([key, right]) => {
      const reply = h("p", { class: "cc-reply", "aria-live": "polite" });
      const choice = segmented(
        t("paper_question"),
        [
          ["yes", t("yes")],
          ["no", t("no")],
        ],
        (/** @type {string} */ answer) => {
          if (!reply.textContent) answered++;
          const verdict = t(answer === right ? "right" : "wrong");
          reply.textContent = `${verdict} ${t(`paper_${key}_reply`, values)}`;
          say("paper_said", { answered, count: CLAIMS.length });
          did();
        },
      );
      return h(
        "li",
        { class: "cc-card" },
        h("h3", {}, t(`paper_${key}`)),
        h("p", {}, t(`paper_${key}_seen`, values)),
        choice.element,
        reply,
      );
    });
    say("paper_said", { answered, count: CLAIMS.length });
    return h("ul", { class: "cc-cards" }, cards);
  },
};
