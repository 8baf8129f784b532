// Spot the bug: six slips of public re-implementations, each on the photo, beside the right form.

import { h, setText } from "../shared/dom.js";
import { clamp, decodeFloats, figuresOf, numbered } from "../shared/numbers.js";
import { percent, Pictures } from "../inside/pictures.js";
import { OnPhoto } from "./figures.js";

/** @import { Desk, Step } from "./course.js" */
/**
 * What Python sends: see `slip` in cbam_viz/ui/course.py.
 *
 * @typedef {object} Slip
 * @property {"channel" | "spatial"} kind of gate.
 * @property {string[]} code
 * @property {number[]} lines of the code that are the slip, counted from 0.
 * @property {string[]} mended what stands there in the right form.
 * @property {string} right values, float32 in base64.
 * @property {string} wrong
 * @property {?number} channel whose values have become a map.
 * @property {string} measure
 * @property {number[]} ofRight
 * @property {number[]} ofWrong
 */

/** As Python calls them, in the order in which they are told. */
const SLIPS = [
  "no-sigmoid",
  "two-perceptrons",
  "average-twice",
  "sigmoid-twice",
  "window-of-one",
  "random-gates",
];

/** @type {Step[]} */
export const BUGS = SLIPS.map((name, i) => {
  const key = `bug${i + 1}`;
  return {
    key,
    mark: "ABCDEF"[i],
    words: { name: "bug_name", title: "bug_title", do: "bug_do", see: "bug_see" },
    symbols: [],
    ahead: ["slip", { name }],
    build(desk) {
      const place = h("div", { class: "cc-column" }, h("p", {}, desk.t("bug_wait")));
      const shown = desk.ask("slip", { name }).then((slip) => {
        place.replaceChildren(...puzzle(desk, key, name, slip));
      });
      shown.catch(() => desk.say("missing"));
      return place;
    },
  };
});

/** The code with lines to pick, the pictures, hint and answer. */
function puzzle(
  /** @type {Desk} */ desk,
  /** @type {string} */ key,
  /** @type {string} */ name,
  /** @type {Slip} */ slip,
) {
  const { t, did } = desk;
  const verdict = h("p", { class: "cc-verdict" });
  const hint = h("p", { class: "cc-reply", hidden: true }, t(`${key}_hint`));
  const reply = h("div", { class: "cc-answer", hidden: true });
  const lines = slip.code.map((text, i) => {
    if (i === 0) return h("li", {}, h("code", {}, text));
    const button = h("button", { type: "button" }, h("code", {}, text));
    button.addEventListener("click", () => {
      const found = slip.lines.includes(i);
      button.classList.add(found ? "cc-found" : "cc-missed");
      setText(verdict, t(found ? "bug_found" : "bug_not"));
      if (found) reveal();
    });
    return h("li", {}, button);
  });

  function reveal() {
    if (!reply.hidden) return;
    reply.hidden = false;
    reply.replaceChildren(...answer(desk, key, name, slip));
    slip.lines.forEach((i) => lines[i].firstElementChild?.classList.add("cc-found"));
    did();
  }

  const way = (/** @type {string} */ words, /** @type {() => void} */ onClick) => {
    const button = h("button", { type: "button", class: "cv-button" }, t(words));
    button.addEventListener("click", onClick);
    return button;
  };
  return [
    pictures(desk, slip),
    h("ol", { class: "cc-code", "aria-label": t("bug_code"), lang: "en" }, ...lines),
    h(
      "div",
      { class: "cc-tools" },
      way("bug_hint", () => (hint.hidden = false)),
      way("bug_answer", reveal),
    ),
    h("div", { class: "cc-column", "aria-live": "polite" }, hint, verdict, reply),
  ];
}

/** Both forms of the gate, on one scale. */
function pictures(/** @type {Desk} */ { t, lesson }, /** @type {Slip} */ slip) {
  const [right, wrong] = [decodeFloats(slip.right), decodeFloats(slip.wrong)];
  const ranged = (/** @type {string} */ words, /** @type {Float32Array} */ values) => {
    const { min, max } = figuresOf(values);
    return t("bug_range", { form: t(words), low: numbered(min), high: numbered(max) });
  };
  if (slip.kind === "channel" && slip.channel == null) {
    // In one order, so that the two can be compared channel by channel.
    const order = Array.from(right.keys()).sort((a, b) => right[b] - right[a]);
    const drawn = new Pictures(t, lesson, { onCell() {}, onChannel() {} });
    const strip = (/** @type {string} */ words, /** @type {Float32Array} */ values) =>
      h(
        "div",
        { class: "cc-strip" },
        h("p", {}, ranged(words, values)),
        h("div", { class: "ci-frame" }, drawn.bars(order.map((c) => values[c]), 0, 1, 0.5)), // prettier-ignore
      );
    return h(
      "div",
      { class: "cc-strips" },
      strip("bug_right", right),
      strip("bug_wrong", wrong),
      h("p", {}, t("bug_bars", { channels: lesson.channels })),
    );
  }
  const map = (/** @type {string} */ words, /** @type {Float32Array} */ values) => {
    const caption = ranged(words, values);
    const picture = new OnPhoto(lesson, caption);
    // What lies beyond the colours is drawn as their end; the range below tells.
    const spatial = values.map((v) => clamp(v, 0, 1));
    picture.show({ ...lesson, spatial }, { table: lesson.tables.gate }, caption);
    return picture.element;
  };
  const of = slip.channel == null ? t("bug_cells") : t("bug_channel", { channel: slip.channel });
  return h(
    "div",
    { class: "cc-row" },
    map("bug_right", right),
    map("bug_wrong", wrong),
    h("p", { class: "cc-note" }, of),
  );
}

/** What is wrong, what is right, and the difference in numbers. */
function answer(
  /** @type {Desk} */ { t, ask, lang },
  /** @type {string} */ key,
  /** @type {string} */ name,
  /** @type {Slip} */ slip,
) {
  const printed = (/** @type {number[]} */ values) =>
    values.map((v) => (Number.isInteger(v) ? String(v) : numbered(v, 4))).join(", ");
  const row = (/** @type {string} */ words, /** @type {number[]} */ values) =>
    h("tr", {}, h("th", { scope: "row" }, t(words)), h("td", {}, printed(values)));
  const after = h("p", {}, t("bug_after_wait"));
  ask("slipped", { name }).then(
    (sent) => {
      const label = (/** @type {any} */ p) => (lang() === "zh" ? p.label_zh : p.label);
      const values = {
        before: label(sent.before),
        sure: percent(sent.before.probability),
        after: label(sent.after),
        now: percent(sent.after.probability ?? 0),
      };
      after.textContent = t(sent.left == null ? "bug_after_none" : "bug_after", values);
    },
    () => (after.textContent = t("missing")),
  );
  return [
    h("p", {}, t(`${key}_answer`)),
    h("pre", { class: "cc-code", tabindex: "0", lang: "en" }, h("code", {}, slip.mended.map((line) => line.trim()).join("\n"))), // prettier-ignore
    h("p", {}, t("bug_measure"), " ", h("code", { lang: "en" }, `print(${slip.measure})`)),
    h(
      "table",
      { class: "cc-table", "aria-label": t("bug_measure") },
      h("tbody", {}, row("bug_right", slip.ofRight), row("bug_wrong", slip.ofWrong)),
    ),
    after,
  ];
}
