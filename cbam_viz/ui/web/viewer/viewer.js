// The viewer: one state, what shows it, and what changes it.

import { h, setText } from "../shared/dom.js";
import { explained } from "../shared/glossary.js";
import { clamp } from "../shared/numbers.js";
import { isLanguage, languageOf, translator } from "../shared/words.js";
import { ChannelSection } from "./channels.js";
import { ColourBar } from "./colour_bar.js";
import { Controls } from "./controls.js";
import { FeatureMaps, PATIENCE } from "./features.js";
import { buildHead, buildLanguages, buildWarnings, CopyButton } from "./head.js";
import { hashOfState, LINKED, stateOfHash, writeHash } from "./link.js";
import { Pane } from "./pane.js";
import { altOf } from "./places.js";
import { buildReadout } from "./readout.js";
import { comparisons, settled, START } from "./state.js";
import { figuresCard, Strip } from "./strip.js";
import { Subject } from "./subject.js";
import { Tour } from "./tour.js";

/** @import { Payload, SentFeatures } from "./payload.js" */
/** @import { State } from "./state.js" */
/** @import { Block, Gate } from "./subject.js" */

/** @typedef {[Subject, Block]} Pair an explanation and a block of it. */

/** What a change of these parts of the state makes necessary. */
const LOOK = ["subject", "mode", "colours", "opacity", "scale", "keep"];
const MAPS = [...LOOK, "block", "other", "compare"];
const CHANNELS = ["subject", "block", "scale", "order", "channel", "features"];

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
    const { lang, state, onState, onFeatures, onTourEnd, title, switchable = true } = options;
    this.root = root;
    this.title = title;
    this.onState = onState;
    this.onFeatures = onFeatures;
    this.switchable = switchable;
    this.onTourEnd = onTourEnd;
    /** @type {?number} the step at which the visitor is; null where there is no tour. */
    this.step = onTourEnd ? 0 : null;
    /** @type {Map<string, FeatureMaps>} of blocks of this explanation. */
    this.features = new Map();
    /** @type {Map<string, ReturnType<typeof setTimeout>>} of those that were asked for. */
    this.awaited = new Map();
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
    this.changed = new Set();
    this.turn = 0;
    this.over = new AbortController();
    const { signal } = this.over;
    window.addEventListener("hashchange", () => this.guarded(() => this.restore()), { signal });
    // Charts take their colours from the style sheet: paper is white whatever the page is.
    const redraw = () => this.guarded(() => this.channels?.chart.draw());
    const repaint = (paper) => () => {
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
  guarded(work) {
    try {
      return work();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Nothing but the photo and a sentence, until another explanation is opened. */
  fail(error) {
    console.error(error);
    this.rest();
    this.subject = this.second = this.channels = null;
    this.broken = true;
    this.build();
  }

  /** Nothing goes on by itself, nothing is awaited, and nothing is still to be drawn. */
  rest() {
    this.features.clear();
    this.awaited.forEach(clearTimeout);
    this.awaited.clear();
    if (this.strip) this.strip.stop();
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.thumbFrame);
    this.frame = null;
  }

  /** Show other explanations. What is on screen stays until they are decoded; the last call wins. */
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
      if (this.subject) this.step = null;
      // A second photo that was not there before: it is what there is to see now.
      const arrived = beside && !this.second;
      this.subject = subject;
      this.second = beside;
      this.broken = false;
      this.built = false;
      this.set(arrived ? { compare: "photo" } : {}, ["subject"]);
      this.draw();
    } catch (error) {
      if (turn === this.turn) this.fail(error);
    }
  }

  /** Change parts of the state; what it is of no value for stays as it is. */
  set(patch, more = []) {
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
  change(patch) {
    this.guarded(() => this.set(patch));
  }

  /** Show what the address says, and nothing of what was chosen before. */
  restore() {
    this.state = /** @type {State & Record<string, any>} */ ({ ...START, lang: this.state.lang });
    this.set(stateOfHash(location.hash, this.linked), LINKED);
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
      channels: (block) => subject.block(block).channel.length,
    };
  }

  /** The explanation that a second picture is of. */
  get beside() {
    return this.state.compare === "photo" && this.second ? this.second : this.subject;
  }

  /** Draw now what a change made necessary. */
  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.guarded(() => {
      const all = !this.built;
      if (all) this.build();
      if (!this.subject) return;
      const { changed } = this;
      this.changed = new Set();
      const touches = (keys) => all || keys.some((key) => changed.has(key));
      this.showControls();
      if (touches(MAPS)) this.drawMaps();
      if (touches([...MAPS, "wipe"])) this.showWipe();
      if (touches(["subject", "block", "other", "compare"])) {
        const { block, compare, other } = this.state;
        this.strip.mark(block, compare === "block" ? other : null);
      }
      if (touches(["subject", "block", "other", "compare"])) this.showFigures();
      if (touches(CHANNELS)) this.showChannels();
      this.showCells();
      if (touches(LOOK)) this.drawThumbsSoon();
    });
  }

  // What is shown, from top to bottom.

  build() {
    this.resized.disconnect();
    this.pointed = null;
    this.root.lang = this.state.lang;
    this.built = true;
    if (!this.subject) {
      this.root.replaceChildren(this.broken ? this.buildStill() : this.buildEmpty());
      return;
    }
    const { t } = this;
    const events = {
      onPoint: (pane, point) => this.guarded(() => this.pointAt(pane, point)),
      onPin: (pane, point) => this.guarded(() => this.pin(pane, point)),
      onWipe: (wipe) => this.change({ wipe }),
    };
    this.panes = [new Pane(t, events), new Pane(t, events)];
    const alt = (block) => altOf(t, this.subject, block);
    this.strip = new Strip(t, this.subject, alt, (block) => this.change({ block }));
    this.bar = new ColourBar(t);
    this.channels = new ChannelSection(t, this.subject, {
      onChange: (patch) => this.change(patch),
      onAsk: this.onFeatures && (() => this.guarded(() => this.askForFeatures())),
    });
    const { payload, tables } = this.subject;
    const compare = comparisons(Boolean(this.second));
    const choices = { modes: payload.modes, colours: Object.keys(tables), compare };
    this.controls = new Controls(t, choices, (patch) => this.change(patch));
    this.figures = h("div", { class: "cv-figures" });
    const copy = new CopyButton(t, () => this.noteLink());
    const { lang } = this.state;
    const languages = this.switchable ? buildLanguages(lang, (lang) => this.change({ lang })) : [];
    const tools = [copy.element, ...languages];
    const head = buildHead(t, lang, payload, this.title ? tools : [], this.title);
    // A page that has a head of its own has no room for tools in it.
    if (!this.title) this.controls.element.append(h("div", { class: "cv-tools" }, tools));
    this.note = h("p", { class: "cv-note-line" });
    this.readout = h("div", { class: "cv-readout", "aria-live": "polite" });
    const panes = h(
      "div",
      { class: "cv-panes" },
      this.panes.map((pane) => pane.element),
    );
    const below = [this.bar.element, this.note, this.strip.controls, this.readout];
    this.picture = h("div", { class: "cv-picture" }, panes, below);
    const main = h("div", { class: "cv-main" }, this.picture, this.controls.element);
    this.around = h("div", { class: "cv-around" });
    this.showTour();
    const top = [head, ...buildWarnings(t, payload), this.around, main];
    this.root.replaceChildren(...top, this.strip.element, this.channels.element);
    this.resized.observe(this.channels.chart.element);
  }

  /** The step of the tour at which the visitor is. */
  showTour() {
    const { around, step, subject, t } = this;
    around.hidden = step == null;
    if (step == null) return around.replaceChildren();
    const [likeliest] = subject.payload.predictions;
    const label = likeliest[`label_${this.state.lang}`] ?? likeliest.label;
    const share = `${Math.round(100 * likeliest.probability)} %`;
    const tour = new Tour({
      t,
      values: { label, share, block: this.state.block ?? subject.payload.openAt },
      step,
      onStep: (next, patch) => {
        this.step = next;
        this.change(patch);
        this.showTour();
      },
      onEnd: () => {
        this.step = null;
        this.showTour();
        this.onTourEnd();
      },
    });
    const moved = around.contains(document.activeElement);
    around.replaceChildren(tour.element);
    if (moved) tour.next.focus();
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

  // Showing the state.

  showControls() {
    const { state } = this;
    const given = this.beside === this.second && state.other === state.block;
    this.controls.show(state, this.beside.names, this.shown.length > 1 && !given);
  }

  /** What a pane, the first or the second, is called. */
  titleOf(block, i) {
    const photo = this.state.compare === "photo" && this.t(i ? "secondPhoto" : "firstPhoto");
    if (photo) return [`${photo} · ${block.name}`];
    return this.shown.length > 1
      ? [block.name]
      : explained(this.t, "title_map", { block: block.name });
  }

  /** What the panes show. @returns {Pair[]} */
  get shown() {
    const { state, subject } = this;
    const first = /** @type {Pair} */ ([subject, subject.block(state.block)]);
    const two = state.compare === "block" || state.compare === "photo";
    return two ? [first, [this.beside, this.beside.block(state.other)]] : [first];
  }

  /** The values that the ends of the scale stand for, over some pairs. */
  rangeOf(/** @type {Pair[]} */ pairs, /** @type {Gate} */ gate = "spatial") {
    if (this.state.scale === "absolute") return [0, 1];
    const all = this.state.scale === "shared";
    const blocks = pairs.flatMap(([subject, block]) => (all ? subject.blocks : [block]));
    return Subject.range(blocks, gate);
  }

  lookFor(/** @type {number[]} */ [low, high]) {
    const { mode, opacity, keep, colours } = this.state;
    return { mode, opacity, keep, low, high, table: this.subject.tables[colours] };
  }

  drawMaps() {
    const { shown, panes } = this;
    const [low, high] = this.rangeOf(shown);
    const look = this.lookFor([low, high]);
    panes[1].element.hidden = shown.length < 2;
    this.root.classList.toggle("cv-two", shown.length > 1);
    const ratios = shown.map(([{ painter }]) => painter.width / painter.height);
    this.root.style.setProperty("--cv-ratios", String(ratios.reduce((a, b) => a + b)));
    const outlined = shown.map(([subject, block], i) =>
      panes[i].draw(subject, block, look, this.titleOf(block, i), altOf(this.t, subject, block)),
    );
    const figures = shown.map(([, block]) => block.figures.spatial);
    // As one sees the colours: through them the photo shows, here from its light to its dark parts.
    const coloured = look.mode === "heat" || look.mode === "cells";
    const opacity = coloured ? look.opacity : 1;
    const words = explained(this.t, "barTitle");
    if (opacity < 1) words.push(" ", ...explained(this.t, "barGrounds"));
    this.bar.title.replaceChildren(...words);
    this.bar.set(this.rampOf(look, outlined[0]), low, high, figures, { opacity });
    setText(this.note, this.noteOf(look, outlined));
  }

  /** The colours of the bar: the table, or grey for the product, or the two sides of an outline. */
  rampOf({ mode, table }, outlined) {
    if (mode === "heat" || mode === "cells") return table;
    const light = (i) => (mode === "multiply" ? i : i < 255 * outlined.level ? 128 : 255);
    return Uint8Array.from({ length: 768 }, (_, i) => light(Math.floor(i / 3)));
  }

  noteOf({ low, high }, outlined) {
    const percent = (share) => `${Math.round(100 * share)}%`;
    const words = outlined.filter(Boolean).map(({ held, area, level }) => {
      const value = (low + level * (high - low)).toFixed(3);
      return this.t("outlined", { held: percent(held), area: percent(area), level: value });
    });
    const { scale } = this.state;
    if (scale !== "absolute") words.push(this.t(`${scale}Note`));
    return words.join(" ");
  }

  showWipe() {
    this.panes[0].wipe(this.state.compare === "wipe" ? this.state.wipe : null);
    if (this.state.compare !== "wipe") this.panes[1].wipe(null);
  }

  drawThumbsSoon() {
    // A frame later: the large picture follows the hand first.
    cancelAnimationFrame(this.thumbFrame);
    this.thumbFrame = requestAnimationFrame(() => {
      const { state, shown, subject } = this;
      /** @returns {Pair[]} */
      const pairs = (block) => (state.scale === "shared" ? shown : [[subject, block]]);
      this.guarded(() => this.strip.draw((block) => this.lookFor(this.rangeOf(pairs(block)))));
    });
  }

  /** The numbers of what is shown: beside one picture, below two. */
  showFigures() {
    const { figures, shown, picture, t } = this;
    const home = shown.length > 1 ? picture : this.controls.element;
    if (figures.parentElement !== home) home.append(figures);
    const columns = shown.map(([subject, block], i) => {
      const parts = Object.entries(block.figures).map(([gate, figures]) =>
        figuresCard(t, t(`${gate}Gate`), figures, subject.isConstant(figures)),
      );
      const heading = shown.length > 1 ? this.titleOf(block, i) : t("figures");
      return h("div", { class: "cv-gates" }, h("h2", {}, heading), parts);
    });
    figures.replaceChildren(...columns, h("p", { class: "cv-small" }, explained(t, "gateNote")));
  }

  showChannels() {
    const { state, subject } = this;
    const block = subject.block(state.block);
    const range = this.rangeOf([[subject, block]], "channel");
    const maps = this.features.get(block.name) ?? null;
    this.channels.show(state, block, range, maps, this.awaited.has(block.name));
  }

  /** The cells under the pointer and under the pin: on the pictures, on the bar, in words. */
  showCells() {
    const { state, panes, shown, pointed } = this;
    const follows = (pane) => pointed && (pane === pointed.pane || state.compare !== "photo");
    const points = panes.map((pane) => (follows(pane) ? pointed.point : null));
    const lines = { pointer: [], pinned: [] };
    shown.forEach(([subject, block], i) => {
      panes[i].outline(points[i], state.pin);
      for (const [key, point] of Object.entries({ pinned: state.pin, pointer: points[i] })) {
        const cell = point && subject.cellAt(block, point);
        if (cell) lines[key].push({ subject, block, cell });
      }
    });
    this.bar.setPointers(
      Object.values(lines)
        .flat()
        .map(({ cell }) => cell.value),
    );
    this.readout.replaceChildren(...buildReadout(this.t, lines));
  }

  // What the visitor does.

  pointAt(pane, point) {
    this.pointed = point && { pane, point };
    this.showCells();
  }

  /** Pin the cell at a point; let go if it is the one that is pinned. */
  pin(pane, point) {
    const { subject, block } = pane;
    const cell = point && subject.cellAt(block, point);
    const pinned = this.state.pin && subject.cellAt(block, this.state.pin);
    const same = cell && pinned && cell.row === pinned.row && cell.column === pinned.column;
    // A place on the photo, not a cell: it means something in every block.
    this.set({ pin: cell && !same ? point.map((share) => Math.round(share * 1e4) / 1e4) : null });
  }

  askForFeatures() {
    const { block } = this.state;
    if (this.awaited.has(block)) return;
    const again = () => {
      this.awaited.delete(block);
      this.set({}, ["features"]);
    };
    this.awaited.set(
      block,
      setTimeout(() => this.guarded(again), PATIENCE),
    );
    this.set({}, ["features"]);
    this.onFeatures(block);
  }

  /** Keep the feature maps of a block of this explanation; what comes too late is of another. */
  setFeatures(answer) {
    const block = this.subject?.block(answer.block);
    if (!block || !FeatureMaps.isOf(block, answer)) return;
    clearTimeout(this.awaited.get(block.name));
    this.awaited.delete(block.name);
    this.features.set(block.name, new FeatureMaps(answer));
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
    const write = () => this.subject && this.noteLink();
    this.linkTimer = setTimeout(write, 250);
  }

  /** Write exactly this view into the address. Parts of the hash that are the page's own stay. */
  noteLink() {
    const { look, photo } = this.subject.payload;
    writeHash(hashOfState(location.hash, this.state, { ...look, lang: this.home }, this.linked));
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
 *   what Python's `features` gives; ready is the promise of the first payload.
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
    /** A copy of it; null while there is nothing to see. @returns {?State} */
    state: () => (viewer.subject ? /** @type {State} */ ({ ...viewer.state }) : null),
    draw: () => viewer.draw(),
    destroy: () => viewer.destroy(),
    ready: setPayload(payload, options.second),
  };
}
