// The viewer: one state, and what changes it. What shows it is in display.js.

import { h } from "../shared/dom.js";
import { isLanguage, languageOf, translator } from "../shared/words.js";
import { Display } from "./display.js";
import { FeatureMaps, FeatureStore } from "./features.js";
import { hashOfState, LINKED, stateOfHash, writeHash } from "./link.js";
import { settled, START } from "./state.js";
import { Subject } from "./subject.js";
import { lookAfter, STEPS, Tour } from "./tour.js";

/** @import { Point } from "../shared/geometry.js" */
/** @import { Pane } from "./pane.js" */
/** @import { Payload, SentFeatures } from "./payload.js" */
/** @import { State } from "./state.js" */

/**
 * @typedef {object} Options
 * @property {string} [lang] "en" or "zh"; the browser's if it is neither.
 * @property {Partial<State>} [state] to begin with, where the address says nothing else.
 * @property {?Payload} [second] of a second photo, shown beside the first.
 * @property {boolean} [title] whether to show a title, for a page that has no other.
 * @property {boolean} [switchable] false for a page that changes the language itself, by
 *   setState({lang}), and keeps `lang` in the address.
 * @property {() => void} [onTourEnd] called when the visitor has been shown around the first
 *   explanation, or does not want to be; without it nobody is shown around.
 * @property {() => boolean} [awaiting] whether the address names other explanations than those that
 *   were given last; they are then taken for what was shown before, not for what was expected.
 * @property {(state: State) => void} [onState] called with a copy of the state after every change.
 * @property {(block: string) => void} [onFeatures] called when the visitor asks for a block's
 *   feature maps, to be answered by setFeatures; without it they cannot be asked for.
 */

export class Viewer {
  /**
   * @param {HTMLElement} root
   * @param {Options} options
   */
  constructor(root, options) {
    const { lang, state, onState, onFeatures, onTourEnd } = options;
    const { title = false, switchable = true } = options;
    this.root = root;
    this.title = title;
    this.onState = onState;
    this.onFeatures = onFeatures;
    this.awaiting = options.awaiting ?? (() => false);
    this.switchable = switchable;
    this.onTourEnd = onTourEnd;
    /** @type {?number} the step at which the visitor is; null where there is no tour. */
    this.step = onTourEnd ? 0 : null;
    this.features = new FeatureStore();
    /** @type {?Payload} what is or was to be shown. */
    this.asked = null;
    /** @type {?Subject} */
    this.subject = null;
    /** @type {?Subject} */
    this.second = null;
    const given = { ...state, ...stateOfHash(location.hash, this.linked) };
    this.home = languageOf(lang);
    const begun = { ...START, ...given, lang: isLanguage(given.lang) ? given.lang : this.home };
    /** Whole as soon as there is an explanation. */
    this.state = /** @type {State & Record<string, any>} */ (begun);
    this.t = translator(() => this.state.lang, "viewer");
    /** @type {?Display} null while there is no explanation. */
    this.display = null;
    this.built = false;
    this.broken = false;
    /** Whether the address names another explanation, which is still to come. */
    this.expecting = false;
    /** @type {Set<string>} parts of the state that were not yet drawn as they are. */
    this.changed = new Set();
    /** @type {number | undefined} */
    this.frame = undefined;
    this.turn = 0;
    this.over = new AbortController();
    const { signal } = this.over;
    window.addEventListener("hashchange", () => this.guarded(() => this.restore()), { signal });
    // Charts take their colours from the style sheet: paper is white whatever the page is.
    const redraw = () => this.guarded(() => this.display?.redraw());
    const repaint = (/** @type {boolean} */ paper) => () => {
      root.classList.toggle("cv-paper", paper);
      redraw();
    };
    window.addEventListener("beforeprint", repaint(true), { signal });
    window.addEventListener("afterprint", repaint(false), { signal });
    this.resized = new ResizeObserver(redraw);
    this.themed = new MutationObserver(redraw);
    this.themed.observe(document.body, { attributeFilter: ["class"] });
  }

  /** Run, and leave the plain photo and a sentence if that fails. */
  guarded(/** @type {() => void} */ work) {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Nothing but the photo and a sentence, until another explanation is opened. */
  fail(/** @type {unknown} */ error) {
    console.error(error);
    this.rest();
    this.subject = this.second = null;
    this.broken = true;
    this.build();
  }

  /** Nothing goes on by itself, nothing is awaited, and nothing is still to be drawn. */
  rest() {
    this.features.clear();
    this.display?.rest();
    this.unschedule();
  }

  unschedule() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = undefined;
  }

  /**
   * Show other explanations. What is on screen stays until they are decoded; the last call wins.
   *
   * @param {?Payload} payload
   * @param {?Payload} second
   */
  async open(payload, second) {
    const turn = ++this.turn;
    this.asked = payload;
    try {
      const [subject, beside] = await Promise.all([
        payload && Subject.open(payload),
        payload && second && Subject.open(second),
      ]);
      if (turn !== this.turn) return;
      this.rest();
      let shown = this.subject ? this.leaveTour() : {};
      if (this.step != null) shown = STEPS[this.step];
      // A second photo that was not there before: it is what there is to see now.
      if (beside && !this.second) shown = { ...shown, compare: "photo" };
      if (this.expecting) {
        const { compare } = shown;
        this.expecting = this.awaiting();
        this.state = this.addressed;
        shown = compare && this.state.compare === START.compare ? { compare } : {};
      }
      this.subject = subject;
      this.second = beside;
      this.broken = false;
      this.built = false;
      this.set(shown, ["subject"]);
      this.draw();
    } catch (error) {
      if (turn === this.turn) this.fail(error);
    }
  }

  /** Change parts of the state; what it is of no value for stays as it is. */
  set(/** @type {Partial<State>} */ patch, /** @type {string[]} */ more = []) {
    const before = this.state;
    this.state = { ...before, ...patch };
    if (!isLanguage(this.state.lang)) this.state.lang = before.lang;
    if (this.state.lang !== before.lang) this.built = false;
    if (this.subject) this.state = settled(this.state, before, this.choices);
    const different = Object.keys(this.state).filter((key) => this.state[key] !== before[key]);
    for (const key of [...different, ...more]) this.changed.add(key);
    if (!this.changed.size) return;
    if (different.length && this.subject) {
      this.writeLink();
      if (this.onState) this.onState({ ...this.state });
    }
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  /** `set`, for what the visitor does. */
  change(/** @type {Partial<State>} */ patch) {
    this.guarded(() => this.set(patch));
  }

  /** Show what the address says, and nothing of what was chosen before. */
  restore() {
    if (this.expecting) return;
    const { lang } = this.state;
    this.state = /** @type {State & Record<string, any>} */ ({ ...START, lang });
    this.set(stateOfHash(location.hash, this.linked), LINKED);
  }

  /**
   * The address names another explanation than this one, or no longer does: blocks, cells and
   * channels in it are that one's. Until it is there the address is neither followed nor written.
   */
  expect(/** @type {boolean} */ on) {
    const missed = this.expecting && !on;
    this.expecting = on;
    if (missed && this.subject) this.restore();
  }

  /** The state as the address has it, not yet put right. */
  get addressed() {
    const said = stateOfHash(location.hash, this.linked);
    return /** @type {State & Record<string, any>} */ ({
      ...START,
      lang: this.state.lang,
      ...said,
    });
  }

  /** @returns {import("./state.js").Choices} */
  get choices() {
    const subject = /** @type {Subject} */ (this.subject);
    const names = subject.names;
    return {
      blocks: names,
      openAt: subject.payload.openAt,
      modes: subject.payload.modes,
      colours: Object.keys(subject.tables),
      look: subject.payload.look,
      second: Boolean(this.second),
      others: ({ compare }) => (compare === "photo" ? (this.second ?? subject) : subject).names,
      telling: (block) => subject.widestBeside(block),
      channels: (block) => subject.block(block).channel.length,
    };
  }

  /** Draw now what a change made necessary. */
  draw() {
    this.unschedule();
    this.guarded(() => {
      const all = !this.built;
      if (all) this.build();
      if (!this.display) return;
      const { changed } = this;
      this.changed = new Set();
      this.display.draw(
        this.root,
        this.state,
        (keys) => all || keys.some((key) => changed.has(key)),
      );
    });
  }

  /** What there is to show, anew: an explanation in a language, or a sentence. */
  build() {
    this.resized.disconnect();
    this.display?.rest();
    this.display = null;
    this.root.lang = this.state.lang;
    this.built = true;
    const { subject, second, state, features, switchable, t } = this;
    if (!subject) {
      this.root.replaceChildren(this.broken ? this.buildStill() : this.buildEmpty());
      return;
    }
    const { onFeatures } = this;
    const shown = { subject, second, state, features, title: this.title, switchable };
    this.display = new Display(t, shown, {
      onChange: (patch) => this.change(patch),
      onPin: (pane, point) => this.pin(pane, point),
      onAsk: onFeatures ? () => this.guarded(() => this.askForFeatures(onFeatures)) : null,
      onLink: () => this.noteLink(),
      guarded: (work) => this.guarded(work),
    });
    this.showTour();
    this.root.replaceChildren(...this.display.elements);
    this.resized.observe(this.display.channels.chart.element);
  }

  /** The step of the tour at which the visitor is. */
  showTour() {
    const { display, step, subject, t } = this;
    if (!display || !subject) return;
    const { around } = display;
    around.hidden = step == null;
    if (step == null) return around.replaceChildren();
    const [likeliest] = subject.payload.predictions;
    const label = likeliest[`label_${this.state.lang}`] ?? likeliest.label;
    const share = `${Math.round(100 * likeliest.probability)} %`;
    const block = this.state.block ?? subject.payload.openAt;
    const { min, max } = subject.block(block).figures.spatial;
    const ends = { low: min.toFixed(2), high: max.toFixed(2) };
    const tour = new Tour({
      t,
      values: { label, share, block, ...ends },
      step,
      onStep: (next, patch) => {
        this.step = next;
        this.change(patch);
        this.showTour();
      },
      onEnd: () => {
        this.change(this.leaveTour());
        this.showTour();
        this.onTourEnd?.();
      },
    });
    const moved = around.contains(document.activeElement);
    around.replaceChildren(tour.element);
    if (moved) tour.next.focus();
  }

  /** End the tour, if there is one. @returns {Partial<State>} what takes its look away with it. */
  leaveTour() {
    const { step, subject } = this;
    this.step = null;
    if (step == null || !subject) return {};
    return lookAfter(step, this.state, subject.payload.look);
  }

  buildEmpty() {
    return h("p", { class: "cv-empty" }, this.t("empty"));
  }

  buildStill() {
    const url = this.asked?.photo?.url;
    const photo = url && h("img", { src: url, alt: "" });
    const sentence = h("figcaption", { role: "alert" }, this.t("broken"));
    return h("figure", { class: "cv-still" }, photo, sentence);
  }

  // What the visitor does.

  /** Pin the cell at a point; let go if it is the one that is pinned. */
  pin(/** @type {Pane} */ pane, /** @type {?Point} */ point) {
    const { subject, block } = pane;
    const cell = point && subject.cellAt(block, point);
    const pinned = this.state.pin && subject.cellAt(block, this.state.pin);
    const same = cell && pinned && cell.row === pinned.row && cell.column === pinned.column;
    // A place on the photo, not a cell: it means something in every block.
    const rounded = (/** @type {number} */ share) => Math.round(share * 1e4) / 1e4;
    this.set({ pin: cell && !same ? [rounded(point[0]), rounded(point[1])] : null });
  }

  askForFeatures(/** @type {(block: string) => void} */ ask) {
    const { block } = this.state;
    if (this.features.isAwaited(block)) return;
    this.features.await(block, () => this.guarded(() => this.set({}, ["features"])));
    this.set({}, ["features"]);
    ask(block);
  }

  /** Keep the feature maps of a block of this explanation; what comes too late is of another. */
  setFeatures(/** @type {SentFeatures} */ answer) {
    const block = this.subject?.block(answer.block);
    if (!block || !FeatureMaps.isOf(block, answer)) return;
    this.features.keep(block.name, new FeatureMaps(answer));
    this.set({}, ["features"]);
  }

  // The link.

  /** The parts of the state that are in a link; the language only where it is changed here. */
  get linked() {
    return LINKED.filter((key) => key !== "lang" || this.switchable);
  }

  writeLink() {
    // Browsers allow a page few such calls: once things have come to rest.
    clearTimeout(this.linkTimer);
    const write = () => {
      const { step, subject, state } = this;
      if (!subject || this.expecting) return;
      // The look of the tour is nobody's choice.
      const own = step == null ? {} : lookAfter(step, state, subject.payload.look);
      this.noteLink({ ...state, ...own });
    };
    this.linkTimer = setTimeout(write, 250);
  }

  /** Write exactly this view into the address. Parts of the hash that are the page's own stay. */
  noteLink(/** @type {State} */ state = this.state) {
    const { look, photo } = this.subject.payload;
    writeHash(hashOfState(location.hash, state, { ...look, lang: this.home }, this.linked));
    return { held: photo.linked !== false };
  }

  destroy() {
    this.turn++;
    this.rest();
    clearTimeout(this.linkTimer);
    this.over.abort();
    this.resized.disconnect();
    this.themed.disconnect();
    this.root.replaceChildren();
  }
}

/**
 * Show an explanation.
 *
 * @param {HTMLElement} element to fill; its class should be "cbam-viewer".
 * @param {?Payload} payload null to say that there is nothing yet.
 * @param {Options} options
 * @returns setPayload(payload, second) gives a promise, and of several calls the last one wins;
 *   setState(patch) draws at the browser's next frame, draw() at once; setFeatures(answer) takes
 *   what Python's `features` gives; expect(true) says that the address is of an explanation still to
 *   come, expect(false) that it is of this one after all; ready is the promise of the first payload.
 */
export function mountViewer(element, payload, options = {}) {
  const viewer = new Viewer(element, options);
  const setPayload = (/** @type {?Payload} */ first, /** @type {?Payload} */ second = null) =>
    viewer.open(first, second);
  return {
    setPayload,
    setState: (/** @type {Partial<State>} */ patch) => viewer.guarded(() => viewer.set(patch)),
    setFeatures: (/** @type {SentFeatures} */ answer) =>
      viewer.guarded(() => viewer.setFeatures(answer)),
    expect: (/** @type {boolean} */ on) => viewer.guarded(() => viewer.expect(on)),
    /** A copy of it; null while there is nothing to see. @returns {?State} */
    state: () => (viewer.subject ? /** @type {State} */ ({ ...viewer.state }) : null),
    draw: () => viewer.draw(),
    destroy: () => viewer.destroy(),
    ready: setPayload(payload, options.second),
  };
}
