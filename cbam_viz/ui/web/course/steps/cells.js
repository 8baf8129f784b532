// Three steps about where: two maps of all channels, the window that moves over them, the gate.

import { h, segmented, slider } from "../../shared/dom.js";
import { figuresOf, numbered } from "../../shared/numbers.js";
import { contextOf, paintCells } from "../../shared/pixels.js";
import { Pictures, sign } from "../../inside/pictures.js";
import { cellPicker, OnPhoto } from "../figures.js";

/** @import { Step } from "../course.js" */

/** Milliseconds that the window rests on a cell while it plays, and the most for all of them. */
const REST = 60;
const WHOLE = 15_000;

/** @type {Step} */
export const planes = {
  key: "planes",
  formula:
    "{max1}<mo>(</mo><mi>i</mi><mo>,</mo><mi>j</mi><mo>)</mo><mo>=</mo><munder><mi>max</mi>" +
    "<mi>c</mi></munder>{F1}<mo>,</mo><mspace width='1em'></mspace>{avg1}<mo>(</mo><mi>i</mi>" +
    "<mo>,</mo><mi>j</mi><mo>)</mo><mo>=</mo><mfrac><mn>1</mn>{C}</mfrac><munder><mo>∑</mo>" +
    "<mi>c</mi></munder>{F1}",
  symbols: ["F1", "max1", "avg1", "C"],
  build({ t, lesson, say, did, symbols }) {
    const { columns, maps, channels } = lesson;
    const pictures = new Pictures(t, lesson, {
      onCell: (row, column) => show(row, column, true),
      onChannel() {},
    });
    const most = pictures.map(t("maxMap"), maps.maximum, pictures.signed(maps.maximum));
    const mean = pictures.map(t("meanMap"), maps.mean, pictures.signed(maps.mean));
    most.dataset.s = "max1";
    mean.dataset.s = "avg1";
    const set = cellPicker(most, lesson, t("planes_pick"), (row, column) =>
      show(row, column, true),
    );
    const strip = h("div", { class: "cc-strip", "data-s": "F1" });
    const winners = new Set(lesson.winners).size;

    function show(/** @type {number} */ row, /** @type {number} */ column, chosen = false) {
      const at = row * columns + column;
      const winner = lesson.winners[at];
      const values = lesson.shown.map(({ channel, map }) => map[at] * lesson.gate[channel]);
      const high = figuresOf(maps.maximum).max;
      const low = Math.min(0, ...lesson.shown.map(({ map }) => figuresOf(map).min));
      pictures.markCell(row, column);
      strip.replaceChildren(
        h("p", {}, t("planes_bars", { count: values.length, channels })),
        h("div", { class: "ci-frame" }, pictures.bars([...values, maps.maximum[at]], low, high, 0)),
      );
      const [maximum, average] = [numbered(maps.maximum[at]), numbered(maps.mean[at])];
      symbols.set({ F1: t("planes_cell", { row, column }), max1: maximum, avg1: average, C: String(channels) }); // prettier-ignore
      set(row, column, t("planes_value", { row, column, maximum, average }));
      say("planes_said", { row, column, maximum, average, winner, winners, channels });
      if (chosen) did();
    }

    const photo = pictures.photo();
    const { row, column } = lesson.brightest;
    show(row, column);
    return h("div", { class: "cc-row" }, photo, most, mean, strip);
  },
};

/** @type {Step} */
export const movingWindow = {
  key: "window",
  formula:
    "{z}<mo>(</mo><mi>i</mi><mo>,</mo><mi>j</mi><mo>)</mo><mo>=</mo>{f}<mo>(</mo><mo>[</mo>{max1}" +
    "<mo>;</mo>{avg1}<mo>]</mo><mo>)</mo>",
  symbols: ["f", "max1", "avg1", "z"],
  build({ t, lesson, say, did, symbols, calm }) {
    const { rows, columns, maps, side } = lesson;
    const count = rows * columns;
    const pictures = new Pictures(t, lesson, {
      onCell: (row, column) => show(row * columns + column, true),
      onChannel() {},
    });
    const scale = pictures.signed(maps.logits);
    const plane = (/** @type {"maximum" | "mean"} */ key, /** @type {string} */ words) =>
      pictures.map(t(words), maps[key], pictures.signed(maps[key]), { windowed: true });
    const result = pictures.map(t("window_result"), maps.logits, scale);
    const canvas = /** @type {HTMLCanvasElement} */ (result.querySelector("canvas"));
    const control = slider(
      t("window_pick"),
      { min: 0, max: count - 1, step: 1, format: (at) => `${Number(at) + 1} / ${count}` },
      (at) => {
        stop();
        show(at, true);
      },
    );
    /** @type {?number} */
    let timer = null;
    const play = h("button", { type: "button", class: "cv-button cv-primary" }, t("window_play"));
    const stop = () => {
      if (timer != null) window.clearInterval(timer);
      timer = null;
      play.textContent = t("window_play");
    };
    play.addEventListener("click", () => {
      if (timer != null) return stop();
      if (calm()) return show(count - 1, true);
      let at = Number(control.input.value) % (count - 1);
      const stride = Math.max(1, Math.ceil((count * REST) / WHOLE));
      play.textContent = t("window_stop");
      timer = window.setInterval(() => {
        at = Math.min(at + stride, count - 1);
        if (!play.isConnected || at === count - 1) stop();
        show(at, true);
      }, REST);
    });

    function show(/** @type {number} */ at, /** @type {boolean} */ chosen) {
      const [row, column] = [Math.floor(at / columns), at % columns];
      control.set(at);
      paintCells(canvas, maps.logits, columns, scale);
      // Where the window has not been yet, nothing is known.
      const context = contextOf(canvas);
      context.clearRect(column + 1, row, columns, 1);
      context.clearRect(0, row + 1, columns, rows);
      pictures.markCell(row, column);
      const cell = lesson.cell(row, column);
      const beyond = cell.maximum.filter((term) => !term.inside).length;
      symbols.set({
        f: `2 × ${side} × ${side}`,
        max1: numbered(cell.sums[0]),
        avg1: numbered(cell.sums[1]),
        z: numbered(cell.logit),
      });
      say("window_said", {
        row,
        column,
        terms: 2 * side * side,
        beyond: 2 * beyond,
        most: numbered(cell.sums[0]),
        mean: numbered(cell.sums[1]),
        z: numbered(cell.logit),
      });
      if (chosen) did();
    }

    const middle = (rows >> 1) * columns + (columns >> 1);
    const shown = [plane("maximum", "maxMap"), plane("mean", "meanMap")];
    shown[0].dataset.s = "max1";
    shown[1].dataset.s = "avg1";
    result.dataset.s = "z";
    show(middle, false);
    return h(
      "div",
      { class: "cc-row" },
      ...shown,
      sign("→"),
      result,
      h("div", { class: "cc-controls" }, play, control.element),
    );
  },
};

/** @type {Step} */
export const spatialGate = {
  key: "spatial",
  formula:
    "{Ms}<mo>=</mo>{sigma}<mo>(</mo>{z}<mo>)</mo><mo>,</mo><mspace width='1em'></mspace>" +
    "<mn>0</mn><mo>&lt;</mo>{Ms}<mo>&lt;</mo><mn>1</mn>",
  symbols: ["z", "sigma", "Ms"],
  build({ t, lesson, say, did, symbols }) {
    const { maps } = lesson;
    const { min, max, mean } = figuresOf(maps.gate);
    const logits = figuresOf(maps.logits);
    const picture = new OnPhoto(lesson, t("spatial_alt"));
    picture.element.dataset.s = "Ms";
    const pictures = new Pictures(t, lesson, { onCell() {}, onChannel() {} });
    const bar = h("div", { class: "cc-bar" });
    const block = { ...lesson, spatial: maps.gate };
    /** @type {(scale: string, chosen: boolean) => void} */
    const show = (scale, chosen) => {
      const [low, high] = scale === "fixed" ? [0, 1] : [min, max];
      picture.show(block, { table: lesson.tables.gate, low, high }, t(`spatial_${scale}`));
      bar.replaceChildren(pictures.colourBar({ table: lesson.tables.gate, low, high }));
      symbols.set({
        z: `${numbered(logits.min, 2)} … ${numbered(logits.max, 2)}`,
        sigma: "1 / (1 + e⁻ᶻ)",
        Ms: `${numbered(min)} … ${numbered(max)}`,
      });
      const flat = max - min < lesson.nearlyConstant ? t("spatial_flat") : "";
      say("spatial_said", { low: numbered(min), high: numbered(max), mean: numbered(mean), flat });
      if (chosen) did();
    };
    const choice = segmented(
      t("spatial_pick"),
      [
        ["fixed", t("spatial_fixed")],
        ["stretched", t("spatial_stretched")],
      ],
      (/** @type {string} */ scale) => show(scale, true),
    );
    choice.set("fixed");
    show("fixed", false);
    const logit = pictures.map(t("spatial_logits"), maps.logits, pictures.signed(maps.logits));
    logit.dataset.s = "z";
    return h(
      "div",
      { class: "cc-row" },
      logit,
      sign("σ →"),
      picture.element,
      h("div", { class: "cc-controls" }, choice.element, bar),
    );
  },
};
