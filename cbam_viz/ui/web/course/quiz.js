// A quiz made freshly from the photo: four questions, checked against the network, and explained.

import { h, segmented, setText } from "../shared/dom.js";
import { clamp, figuresOf, numbered } from "../shared/numbers.js";
import { percent, Pictures } from "../inside/pictures.js";
import { cellPicker, OnPhoto } from "./figures.js";

/** @import { Desk, Step } from "./course.js" */
/** @import { Lesson } from "./lesson.js" */
/**
 * A question once it is made. It calls `answered` with whether the answer is right, and why.
 *
 * @typedef {(answered: (right: boolean, why: string) => void) => HTMLElement[]} Question
 */
/** @typedef {{key: string, values?: Record<string, unknown>, build: Question}} Asked */

/** The share of cells that may have a greater gate than the one that was pointed at. */
const QUARTER = 0.25;

/** @type {Step} */
export const quiz = {
  key: "quiz",
  mark: "?",
  symbols: [],
  build(desk) {
    const place = h("div", { class: "cc-column" });
    const again = h("button", { type: "button", class: "cv-button" }, desk.t("quiz_again"));
    const round = async () => {
      place.replaceChildren(h("p", {}, desk.t("quiz_wait")));
      try {
        place.replaceChildren(...cards(desk, await questions(desk)));
      } catch (error) {
        console.error(error);
        place.replaceChildren(h("p", { role: "alert" }, desk.t("missing")));
      }
    };
    again.addEventListener("click", round);
    round();
    return h("div", { class: "cc-column" }, place, h("div", { class: "cc-tools" }, again));
  },
};

/** One of several, by chance. @template T @returns {T} */
const oneOf = (/** @type {T[]} */ all) => all[Math.floor(Math.random() * all.length)];

/** In another order, by chance. @template T @returns {T[]} */
function shuffled(/** @type {T[]} */ all) {
  const left = [...all];
  return all.map(() => left.splice(Math.floor(Math.random() * left.length), 1)[0]);
}

/** The questions that this photo and this network allow. @returns {Promise<Asked[]>} */
async function questions(/** @type {Desk} */ desk) {
  const made = [whichBlock(desk), await whichIsGradCam(desk), whenShut(desk), whereToLook(desk)];
  return made.filter((question) => question != null);
}

/** The questions with their replies and the score. */
function cards(/** @type {Desk} */ { t, say, did }, /** @type {Asked[]} */ asked) {
  let [answered, right] = [0, 0];
  const score = () => say("quiz_said", { answered, right, count: asked.length });
  score();
  return asked.map(({ key, values, build }, i) => {
    const reply = h("p", { class: "cc-reply", "aria-live": "polite" });
    const card = h("section", { class: "cc-card", "data-question": key });
    const parts = build((found, why) => {
      answered++;
      right += Number(found);
      card.dataset.right = String(found);
      setText(reply, `${t(found ? "right" : "wrong")} ${why}`);
      score();
      if (answered === asked.length) did();
    });
    card.append(h("h3", {}, `${i + 1}. ${t(`quiz_${key}`, values)}`), ...parts, reply);
    return card;
  });
}

/**
 * Answers to choose from; the first click counts, and shows which one is right.
 *
 * @param {Array<[string, string]>} choices values and their words.
 * @param {string | Promise<string>} right
 * @param {(right: boolean, value: string) => void} onAnswer
 */
function choices(choices, right, onAnswer) {
  const buttons = choices.map(([value, words]) => {
    const button = h("button", { type: "button", class: "cv-button", "data-value": value }, words);
    button.addEventListener("click", () => choose(value));
    return button;
  });
  let chosen = false;
  async function choose(/** @type {string} */ value) {
    if (chosen) return;
    chosen = true;
    const expected = await right;
    for (const button of buttons) {
      // Not disabled: a disabled button loses the focus.
      button.setAttribute("aria-disabled", "true");
      if (button.dataset.value === expected) button.classList.add("cc-found");
      if (button.dataset.value === value) button.setAttribute("aria-pressed", "true");
    }
    onAnswer(value === expected, value);
  }
  return h("div", { class: "cc-tools" }, buttons);
}

/** Which block is this map from? Told by the size of its cells. @returns {?Asked} */
function whichBlock(/** @type {Desk} */ { t, lesson }) {
  const strides = [...new Set(lesson.blocks.map(({ stride }) => stride))];
  if (strides.length < 2) return null;
  const offered = strides.map((s) => oneOf(lesson.blocks.filter(({ stride }) => stride === s)));
  const block = oneOf(offered);
  return {
    key: "block",
    build(answered) {
      const picture = gateOf(lesson, block, t("quiz_block_alt"), t("quiz_stretched"), "cells");
      const named = offered.map(({ name }) => /** @type {[string, string]} */ ([name, name]));
      const pick = choices(named, block.name, (right) =>
        answered(right, t("quiz_block_why", { ...block })),
      );
      return [picture, pick];
    },
  };
}

/** A block's spatial gate over the photo, stretched to its own range. */
function gateOf(
  /** @type {Lesson} */ lesson,
  /** @type {Lesson["blocks"][0]} */ block,
  /** @type {string} */ alt,
  /** @type {string} */ caption,
  mode = "heat",
) {
  const { min, max } = figuresOf(block.spatial);
  const picture = new OnPhoto(lesson, alt);
  picture.show(block, { mode, table: lesson.tables.gate, low: min, high: max }, caption);
  return picture.element;
}

/** Which of these is Grad-CAM? @returns {Promise<?Asked>} null where there is none in the block. */
async function whichIsGradCam(/** @type {Desk} */ { t, lesson, ask, lang }) {
  const [first, second] = lesson.predictions;
  const own = lesson.blocks.find(({ name }) => name === lesson.name);
  const others = lesson.blocks.filter(({ name }) => name !== lesson.name);
  const { map } = await ask("cam", { index: first.index });
  if (!second || !others.length || figuresOf(map).max === 0) return null;
  const other = oneOf(others);
  const order = shuffled([null, own, other]); // null: Grad-CAM
  const letters = ["A", "B", "C"];
  const label = (/** @type {typeof first} */ p) => (lang() === "zh" ? p.label_zh : p.label);
  return {
    key: "cam",
    values: { label: label(first) },
    build(answered) {
      const pictures = letters.map((letter) => new OnPhoto(lesson, t("quiz_cam_alt", { letter })));
      const show = async (/** @type {number} */ index) => {
        const cam = { ...own, spatial: (await ask("cam", { index })).map };
        order.forEach((block, i) => {
          const drawn = block ?? cam;
          const { min, max } = figuresOf(drawn.spatial);
          const range = { low: min.toPrecision(3), high: max.toPrecision(3) };
          const look = { table: lesson.tables.gate, low: min, high: max };
          pictures[i].show(drawn, look, t("quiz_cam_range", { letter: letters[i], ...range }));
        });
      };
      /** @type {Array<[number, string]>} */
      const classes = [first, second].map((p) => [p.index, label(p)]);
      const choice = segmented(t("quiz_cam_class"), classes, show);
      choice.set(first.index);
      show(first.index);
      const [right, ...gates] = [null, own, other].map((block) => letters[order.indexOf(block)]);
      const values = { right, own: gates[0], other: gates[1], block: own.name };
      const why = t("quiz_cam_why", { ...values, otherBlock: other.name });
      const pick = choices(letters.map((l) => [l, l]), right, (found) => answered(found, why)); // prettier-ignore
      const figures = pictures.map(({ element }) => element);
      return [choice.element, h("div", { class: "cc-three" }, figures), pick];
    },
  };
}

/** What happens when this gate is shut? The network is asked. @returns {Asked} */
function whenShut(/** @type {Desk} */ { t, lesson, ask, lang }) {
  const block = oneOf(lesson.blocks);
  const label = (/** @type {any} */ p) => (lang() === "zh" ? p.label_zh : p.label);
  const [first] = lesson.predictions;
  const sent = ask("shut", { of: block.name });
  return {
    key: "shut",
    values: { block: block.name, label: label(first) },
    build(answered) {
      const right = sent.then(({ before, after, left }) => {
        if (left == null) return "none";
        return before.index === after.index ? "same" : "other";
      });
      /** @type {Array<[string, string]>} */
      const offered = ["same", "other", "none"].map((key) => [
        key,
        t(`quiz_shut_${key}`, { label: label(first) }),
      ]);
      const pick = choices(offered, right, async (found) => {
        const { before, after, left } = await sent;
        const values = {
          block: block.name,
          label: label(before),
          sure: percent(before.probability),
          left: percent(left ?? 0),
          after: label(after),
        };
        answered(found, t("quiz_shut_why", values));
      });
      return [pick];
    },
  };
}

/** Where would you look? The cell has to be among the quarter with the greatest gates. */
function whereToLook(/** @type {Desk} */ { t, lesson }) {
  const { rows, columns, stride, maps } = lesson;
  return {
    key: "look",
    values: { block: lesson.name },
    build(/** @type {Parameters<Question>[0]} */ answered) {
      const pictures = new Pictures(t, lesson, { onCell() {}, onChannel() {} });
      const photo = pictures.photo();
      let [row, column] = [rows >> 1, columns >> 1];
      const set = cellPicker(photo, lesson, t("planes_pick"), (r, c) => pick(r, c));
      function pick(/** @type {number} */ r, /** @type {number} */ c) {
        if (look.hasAttribute("aria-disabled")) return;
        [row, column] = [r, c];
        pictures.markCell(row, column);
        set(row, column, t("planes_cell", { row, column }));
      }
      photo.querySelector(".ci-grid")?.addEventListener("pointerdown", (event) => {
        const { clientX, clientY, currentTarget } = /** @type {PointerEvent} */ (event);
        const box = /** @type {Element} */ (currentTarget).getBoundingClientRect();
        const [width, height] = lesson.photo.size;
        // A cell lies at the centre of its receptive field.
        const at = (/** @type {number} */ px, /** @type {number} */ count) =>
          clamp(Math.round((px - 0.5) / stride), 0, count - 1);
        const x = ((clientX - box.left) / box.width) * width;
        pick(at(((clientY - box.top) / box.height) * height, rows), at(x, columns));
      });
      const look = h("button", { type: "button", class: "cv-button cv-primary" }, t("quiz_here"));
      const place = h("div", { class: "cc-row" }, photo);
      look.addEventListener("click", () => {
        if (look.hasAttribute("aria-disabled")) return;
        look.setAttribute("aria-disabled", "true");
        const gate = maps.gate[row * columns + column];
        const higher = maps.gate.filter((v) => v > gate).length / maps.gate.length;
        const { min, max } = figuresOf(maps.gate);
        const flat = max - min < lesson.nearlyConstant ? t("spatial_flat") : "";
        const [own, most] = [numbered(gate), numbered(max)];
        const why = t("quiz_look_why", { own, higher: percent(higher), most, flat });
        const shown = { ...lesson, spatial: maps.gate };
        place.append(gateOf(lesson, shown, t("spatial_alt"), t("quiz_stretched")));
        answered(higher < QUARTER, why);
      });
      pick(row, column);
      return [place, h("div", { class: "cc-tools" }, look)];
    },
  };
}
