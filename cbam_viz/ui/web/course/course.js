// The course: its parts, where one is in it, and what it asks of the server.

import { setSizes } from "../inside/pictures.js";
import { h, setText } from "../shared/dom.js";
import { hear } from "../shared/events.js";
import { decodeFloats } from "../shared/numbers.js";
import { keep, kept } from "../shared/storage.js";
import { awaiting } from "../shared/waiting.js";
import { addWords, languageOf, translator } from "../shared/words.js";
import { paramsOf } from "../viewer/link.js";
import { BUGS } from "./bugs.js";
import { formula, Symbols } from "./formula.js";
import { Lesson } from "./lesson.js";
import { quiz } from "./quiz.js";
import { movingWindow, planes, spatialGate } from "./steps/cells.js";
import { channelGate, featureMap, perceptron } from "./steps/channels.js";
import { gradCam, inTheBlock, paper, photoTimes } from "./steps/claims.js";
import { teacher } from "./teacher.js";
import words from "./strings.json" with { type: "json" };
import teachersWords from "./teacher.json" with { type: "json" };

/** @import { Translate } from "../shared/words.js" */

/**
 * What a step is built with.
 *
 * @typedef {object} Desk
 * @property {Translate} t
 * @property {Lesson} lesson
 * @property {(key: string, values?: Record<string, unknown>) => void} say what there is to see, in
 *   a sentence, anew whenever it is another one.
 * @property {() => void} did to be called when the visitor has done what there is to do.
 * @property {Symbols} symbols of the step's formula.
 * @property {(need: string, more: object) => Promise<any>} ask the server for what a step needs.
 * @property {() => boolean} calm whether the visitor wants nothing to move.
 * @property {() => string} lang
 * @property {(key: string) => string} nameOf another part.
 */
/**
 * @typedef {object} Step
 * @property {string} key its words' keys begin with it.
 * @property {string} [mark] for its place in the list; its number if there is none.
 * @property {Partial<Record<"name" | "title" | "do" | "see", string>>} [words] keys of those that
 *   it shares with others.
 * @property {[string, object]} [ahead] what it needs of the server: asked for before it is opened.
 * @property {boolean} [plain] whether there is nothing to do and see as in a step.
 * @property {string} [formula] see `formula`.
 * @property {string[]} symbols that are explained.
 * @property {(desk: Desk) => HTMLElement} build
 */

/** The ten steps. @type {Step[]} */
export const STEPS = [
  featureMap,
  perceptron,
  channelGate,
  planes,
  movingWindow,
  spatialGate,
  inTheBlock,
  photoTimes,
  gradCam,
  paper,
];

/** All parts, in the order in which one is led through them. */
const PARTS = [...STEPS, ...BUGS, quiz];
/** And one that is not for the class. */
const ALL = [...PARTS, teacher];

const KEPT = "cbam-viz-course";
/** Milliseconds after which an answer is given up. */
const PATIENCE = 60_000;

/** What was done in this browser before. @returns {string[]} */
function doneBefore() {
  try {
    const keys = JSON.parse(kept(KEPT) ?? "[]");
    return Array.isArray(keys) ? keys : [];
  } catch {
    return []; // somebody else's text under this key
  }
}

/** What stands for a part in the list. */
function markOf(/** @type {Step} */ part) {
  return part.mark ?? String(STEPS.indexOf(part) + 1);
}

class Course {
  /**
   * @param {object} given what `gr.HTML` gives, and the element to fill.
   * @param {HTMLElement} given.root
   * @param {Record<string, any>} given.props
   * @param {(event: string, data?: object) => void} given.trigger
   */
  constructor({ root, props, trigger }) {
    this.root = root;
    this.props = props;
    this.trigger = trigger;
    this.t = translator(() => this.lang, "course", "inside", "viewer");
    /** @type {Map<string, (answer: any) => void>} */
    this.waiting = new Map();
    /** @type {Map<string, Promise<any>>} */
    this.answers = new Map();
    this.asked = 0;
    /** @type {?Lesson} */
    this.lesson = null;
    /** @type {Set<string>} keys of what was done. */
    this.done = new Set(doneBefore());
    this.build();
  }

  get lang() {
    return languageOf(document.documentElement.lang);
  }

  /** The key of what is shown, as the address says it. */
  get key() {
    const key = paramsOf(location.hash).get("step") ?? "";
    return ALL.some((part) => part.key === key) ? key : ALL[0].key;
  }

  /** @param {string} need @param {object} more @returns {Promise<any>} */
  ask(need, more = {}) {
    const key = `${need} ${JSON.stringify(more)}`;
    const before = this.answers.get(key);
    if (before) return before;
    const id = `${Date.now()}-${++this.asked}`;
    const answer = new Promise((resolve, reject) => {
      const there = awaiting(PATIENCE, () => reject(new Error(`no answer about ${need}`)));
      this.waiting.set(id, (given) => {
        there();
        resolve(given);
      });
      this.trigger("select", { id, need, block: this.block, ...more });
    });
    this.answers.set(key, answer);
    answer.catch(() => this.answers.delete(key));
    return answer;
  }

  /** Give an answer to who waits for it. */
  take(/** @type {any} */ answer) {
    if (answer?.need === "cam") answer = { ...answer, map: decodeFloats(answer.map) };
    this.waiting.get(answer?.id)?.(answer);
    this.waiting.delete(answer?.id);
  }

  /** Begin with the photo and the block that are in view. */
  async load() {
    const block = /** @type {any} */ (globalThis).CbamPage?.block() ?? "";
    this.block = block;
    this.answers.clear();
    this.stale = false;
    this.root.setAttribute("aria-busy", "true");
    try {
      const sent = await this.ask("lesson");
      if (this.block !== block || this.stale) return;
      this.lesson = new Lesson(sent);
      this.show();
      // While the first step is looked at, what takes longest is made ready.
      this.ask("cam", { index: this.lesson.predictions[0].index }).catch(() => {});
    } catch (error) {
      console.error(error);
      const again = h("button", { type: "button", class: "cv-button" }, this.t("again"));
      again.addEventListener("click", () => this.load());
      this.stage.replaceChildren(h("p", { role: "alert" }, this.t("missing"), " ", again));
    } finally {
      this.root.removeAttribute("aria-busy");
    }
  }

  /** The frame: the list of steps, and the place for one. */
  build() {
    this.root.lang = this.lang;
    /** @type {Array<{part: Step, button: HTMLElement}>} */
    this.stops = [];
    const list = (/** @type {Step[]} */ parts, kind = "") => {
      const items = parts.map((part) => h("li", {}, this.stop(part)));
      return h("ol", { class: `cc-stops ${kind}` }, ...items);
    };
    this.count = h("p", { class: "cc-count" });
    this.stage = h("section", { class: "cc-stage" }, h("p", { class: "cv-empty" }, this.t("wait")));
    this.root.replaceChildren(
      h(
        "div",
        { class: "cc-frame" },
        h(
          "nav",
          { class: "cc-nav", "aria-label": this.t("steps") },
          list(STEPS),
          h("p", { class: "cc-group" }, this.t("bugs")),
          list(BUGS, "cc-short"),
          list([quiz, teacher]),
          this.count,
        ),
        this.stage,
      ),
    );
    this.mark();
  }

  /** A part's place in the list. */
  stop(/** @type {Step} */ part) {
    const button = h(
      "button",
      { type: "button", class: "cc-stop", "data-step": part.key },
      h("i", { "aria-hidden": "true" }, markOf(part)),
      h("span", {}, this.word(part, "name")),
    );
    button.addEventListener("click", () => this.go(part.key));
    this.stops.push({ part, button });
    return button;
  }

  /** A part's words. */
  word(/** @type {Step} */ part, /** @type {"name" | "title" | "do" | "see"} */ of) {
    return this.t(part.words?.[of] ?? `${part.key}_${of}`, { mark: markOf(part) });
  }

  /** Say where one is, and what is done. */
  mark() {
    for (const { part, button } of this.stops) {
      const done = this.done.has(part.key);
      button.classList.toggle("cc-done", done);
      if (part.key === this.key) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
      const number = part.mark ? "" : `${markOf(part)}. `;
      const state = done ? this.t("doneAlready") : "";
      button.setAttribute("aria-label", `${number}${this.word(part, "name")} ${state}`.trim());
    }
    const current = this.stops.find(({ part }) => part.key === this.key)?.button;
    const list = current?.closest("ol");
    // On a phone a list is one row: where one is has to be in view.
    if (list) list.scrollLeft += current.offsetLeft - list.offsetLeft - list.scrollLeft - 60;
    const done = PARTS.filter(({ key }) => this.done.has(key)).length;
    setText(this.count, this.t("progress", { done, count: PARTS.length }));
  }

  /** In projector mode the keys of a presenter lead on and back. */
  turn(/** @type {KeyboardEvent} */ event) {
    const by = { PageDown: 1, PageUp: -1 }[event.key];
    const element = /** @type {Element} */ (event.target);
    if (!by || element.matches("input, select, [role=slider]")) return;
    if (!document.documentElement.classList.contains("cv-presenting")) return;
    const part = PARTS[PARTS.findIndex(({ key }) => key === this.key) + by];
    if (!part) return;
    event.preventDefault();
    this.go(part.key);
  }

  /** Show another step, and say so in the address. */
  go(/** @type {string} */ key) {
    /** @type {any} */ (globalThis).CbamPage?.note({ step: key });
    this.show(true);
  }

  show(moved = false) {
    this.mark();
    if (!this.lesson) return;
    const index = PARTS.findIndex(({ key }) => key === this.key);
    const step = ALL.find(({ key }) => key === this.key) ?? ALL[0];
    this.shown = step.key;
    const { t, root, lesson } = this;
    setSizes(root, lesson);
    const symbols = new Symbols(t, step.symbols);
    const said = h("p", { class: "cc-said", "aria-live": "polite" });
    const figure = step.build({
      t,
      lesson,
      symbols,
      say: (key, values) => setText(said, t(key, values)),
      did: () => this.finish(step.key),
      ask: (need, more) => this.ask(need, more),
      calm: () => matchMedia("(prefers-reduced-motion: reduce)").matches,
      lang: () => this.lang,
      nameOf: (key) => {
        const part = ALL.find((one) => one.key === key);
        return part ? this.word(part, "name") : key;
      },
    });
    const title = h("h2", { class: "cc-title", tabindex: "-1" }, this.word(step, "title"));
    const where = lesson.example ? t("onExample") : t("onYours");
    const article = h(
      "article",
      { class: "cc-step", "data-key": step.key },
      title,
      h("p", { class: "cc-where" }, t("where", { photo: where, block: lesson.name, model: lesson.model.name })), // prettier-ignore
      h("p", { class: "cc-text" }, t(`${step.key}_text`)),
      !step.plain && this.tasks(step),
      figure,
      said,
      step.formula && formula(step.formula),
      step.formula && symbols.element,
      this.ways(index),
    );
    symbols.listen(article);
    this.stage.replaceChildren(article);
    const ahead = PARTS[index + 1]?.ahead;
    if (ahead) this.ask(...ahead).catch(() => {});
    if (moved) {
      title.focus({ preventScroll: true });
      root.scrollIntoView({ block: "nearest" });
    }
  }

  /** What there is to do and to see. */
  tasks(/** @type {Step} */ step) {
    const parts = /** @type {const} */ (["do", "see"]).flatMap((of) => [
      h("dt", {}, this.t(of)),
      h("dd", {}, this.word(step, of)),
    ]);
    return h("dl", { class: "cc-tasks" }, parts);
  }

  /** The ways to the parts before and after. */
  ways(/** @type {number} */ index) {
    const way = (/** @type {number} */ to, /** @type {string} */ words, look = "") => {
      const part = PARTS[to];
      if (!part) return h("span", {});
      const { key } = part;
      const name = this.t(words, { name: this.word(part, "name") });
      const button = h("button", { type: "button", class: `cv-button ${look}` }, name);
      button.addEventListener("click", () => this.go(key));
      return button;
    };
    return h(
      "div",
      { class: "cc-ways" },
      way(index - 1, "before"),
      way(index + 1, "next", "cv-primary"),
    );
  }

  /** Remember what was done, in this browser alone. */
  finish(/** @type {string} */ key) {
    if (this.done.has(key)) return;
    this.done.add(key);
    keep(KEPT, JSON.stringify([...this.done]));
    this.mark();
  }

  /** The page's language is another one. */
  speak() {
    this.build();
    this.show();
  }

  /** In view again: with another photo or another block it begins anew. */
  seen() {
    const block = /** @type {any} */ (globalThis).CbamPage?.block() ?? "";
    if (this.stale || block !== this.block) this.load();
    else this.follow();
  }

  /** Show the part that the address names, if it is another one; answers in this one stay. */
  follow() {
    if (this.shown !== this.key) this.show(true);
  }
}

/** The course's own style sheet, once it is there. @returns {Promise<void>} */
function styled() {
  const href = new URL("course.css", import.meta.url).href;
  const link = h("link", { rel: "stylesheet", href });
  return new Promise((resolve) => {
    link.addEventListener("load", () => resolve());
    link.addEventListener("error", () => resolve()); // it can be read without
    document.head.append(link);
  });
}

/**
 * Open the course in a component of a Gradio page.
 *
 * @param {object} given
 * @param {HTMLElement} given.root
 * @param {Record<string, any>} given.props
 * @param {(event: string, data?: object) => void} given.trigger
 * @param {(names: string | string[], changed: () => void) => void} given.watch
 */
export async function mountCourse({ root, props, trigger, watch }) {
  addWords("course", { en: { ...words.en, ...teachersWords.en }, zh: { ...words.zh, ...teachersWords.zh } }); // prettier-ignore
  const style = styled();
  const course = new Course({ root, props, trigger });
  watch("answer", () => course.take(props.answer));
  hear("lang", () => course.speak());
  hear("looked", () => {
    course.stale = true;
    if (root.offsetParent) course.load();
  });
  window.addEventListener("hashchange", () => root.offsetParent && course.follow());
  document.addEventListener("keydown", (event) => root.offsetParent && course.turn(event));
  course.load();
  await style;
  new IntersectionObserver(([entry]) => entry.isIntersecting && course.seen(), {
    rootMargin: "5000px", // what has merely been scrolled past is not opened again
  }).observe(root);
}
