// All that shows an explanation, from top to bottom, and how it draws a state.

import { h, setText } from "../shared/dom.js";
import { explained } from "../shared/glossary.js";
import { ChannelSection } from "./channels.js";
import { ColourBar } from "./colour_bar.js";
import { Controls } from "./controls.js";
import { buildHead, buildLanguages, buildWarnings, CopyButton } from "./head.js";
import { Pane } from "./pane.js";
import { altOf } from "./places.js";
import { buildReadout } from "./readout.js";
import { comparisons } from "./state.js";
import { figuresCard, Strip } from "./strip.js";
import { Subject } from "./subject.js";

/** @import { Outlined } from "../shared/contour.js" */
/** @import { Point } from "../shared/geometry.js" */
/** @import { Look } from "../shared/paint.js" */
/** @import { Translate } from "../shared/words.js" */
/** @import { FeatureStore } from "./features.js" */
/** @import { Read } from "./readout.js" */
/** @import { State } from "./state.js" */
/** @import { Block, Gate } from "./subject.js" */

/** @typedef {[Subject, Block]} Pair an explanation and a block of it. */

/** What a change of these parts of the state makes necessary. */
const LOOK = ["subject", "mode", "colours", "opacity", "scale", "keep"];
const BLOCKS = ["subject", "block", "other", "compare"];
const MAPS = [...LOOK, ...BLOCKS];
const CHANNELS = ["subject", "block", "scale", "order", "channel", "features"];

/**
 * @typedef {object} Shown
 * @property {Subject} subject
 * @property {?Subject} second of a second photo.
 * @property {State} state to begin with; its language stays.
 * @property {FeatureStore} features
 * @property {boolean} title whether to show a title, with the tools beside it.
 * @property {boolean} switchable whether the language can be changed here.
 */
/**
 * @typedef {object} Events
 * @property {(patch: Partial<State>) => void} onChange called with what the visitor chose.
 * @property {(pane: Pane, point: ?Point) => void} onPin called with the place that was picked.
 * @property {(() => void) | null} onAsk asks for the feature maps of the block in view; null if there is
 *   nobody to ask.
 * @property {() => {held: boolean}} onLink writes the link into the address; tells whether it holds
 *   the photo.
 * @property {(work: () => void) => void} guarded runs, and deals with what fails.
 */

export class Display {
  /**
   * @param {Translate} t
   * @param {Shown} shown
   * @param {Events} events
   */
  constructor(t, { subject, second, state, features, title, switchable }, events) {
    this.t = t;
    this.subject = subject;
    this.second = second;
    this.state = state;
    this.features = features;
    this.guarded = events.guarded;
    /** @type {?{pane: Pane, point: Point}} the place under the pointer. */
    this.pointed = null;
    const { onChange } = events;
    const onPane = {
      onPoint: (/** @type {Pane} */ pane, /** @type {?Point} */ point) =>
        this.guarded(() => this.pointAt(pane, point)),
      onPin: (/** @type {Pane} */ pane, /** @type {?Point} */ point) =>
        this.guarded(() => events.onPin(pane, point)),
      onWipe: (/** @type {number} */ wipe) => onChange({ wipe }),
    };
    this.panes = [new Pane(t, onPane), new Pane(t, onPane)];
    const alt = (/** @type {Block} */ block) => altOf(t, subject, block);
    this.strip = new Strip(t, subject, alt, (block) => onChange({ block }));
    this.bar = new ColourBar(t);
    this.channels = new ChannelSection(t, subject, { onChange, onAsk: events.onAsk });
    const { payload, tables } = subject;
    const compare = comparisons(Boolean(second));
    const choices = { modes: payload.modes, colours: Object.keys(tables), compare };
    this.controls = new Controls(t, choices, onChange);
    this.figures = h("div", { class: "cv-figures" });
    this.note = h("p", { class: "cv-note-line" });
    this.readout = h("div", { class: "cv-readout", "aria-live": "polite" });
    this.picture = this.buildPicture();
    /** Where the visitor is shown around; empty to begin with. */
    this.around = h("div", { class: "cv-around", hidden: true });
    const { lang } = state;
    const languages = switchable ? buildLanguages(lang, (lang) => onChange({ lang })) : [];
    const tools = [new CopyButton(t, events.onLink).element, ...languages];
    // A page that has a head of its own has no room for tools in it.
    if (!title) this.controls.element.append(h("div", { class: "cv-tools" }, tools));
    const main = h("div", { class: "cv-main" }, this.picture, this.controls.element);
    /** All of it, to be put into the root. */
    this.elements = [
      buildHead(t, lang, payload, title ? tools : [], title),
      ...buildWarnings(t, payload),
      this.around,
      main,
      this.strip.element,
      this.channels.element,
    ];
  }

  buildPicture() {
    const panes = h(
      "div",
      { class: "cv-panes" },
      this.panes.map((pane) => pane.element),
    );
    const below = [this.bar.element, this.note, this.strip.controls, this.readout];
    return h("div", { class: "cv-picture" }, panes, below);
  }

  /** Nothing goes on by itself, and nothing is still to be drawn. */
  rest() {
    this.strip.stop();
    cancelAnimationFrame(this.thumbFrame);
  }

  /**
   * Draw a state.
   *
   * @param {HTMLElement} root that all of it is in.
   * @param {State} state
   * @param {(keys: string[]) => boolean} touches whether one of these parts is another one now.
   */
  draw(root, state, touches) {
    this.state = state;
    this.showControls();
    if (touches(MAPS)) this.drawMaps(root);
    if (touches([...MAPS, "wipe"])) this.showWipe();
    if (touches(BLOCKS)) {
      this.strip.mark(state.block, state.compare === "block" ? state.other : null);
      this.showFigures();
    }
    if (touches(CHANNELS)) this.showChannels();
    this.showCells();
    if (touches(LOOK)) this.drawThumbsSoon();
  }

  /** Draw again what takes its colours from the style sheet. */
  redraw() {
    this.channels.chart.draw();
  }

  /** The explanation that a second picture is of. */
  get beside() {
    return this.state.compare === "photo" && this.second ? this.second : this.subject;
  }

  /** What the panes show. @returns {Pair[]} */
  get shown() {
    const { state, subject } = this;
    const first = /** @type {Pair} */ ([subject, subject.block(state.block)]);
    const two = state.compare === "block" || state.compare === "photo";
    return two ? [first, [this.beside, this.beside.block(state.other)]] : [first];
  }

  showControls() {
    const { state } = this;
    const given = this.beside === this.second && state.other === state.block;
    this.controls.show(state, this.beside.names, this.shown.length > 1 && !given);
  }

  /** What a pane, the first or the second, is called. */
  titleOf(/** @type {Block} */ block, /** @type {number} */ i) {
    const photo = this.state.compare === "photo" && this.t(i ? "secondPhoto" : "firstPhoto");
    if (photo) return [`${photo} · ${block.name}`];
    return this.shown.length > 1
      ? [block.name]
      : explained(this.t, "title_map", { block: block.name });
  }

  /** The values that the ends of the scale stand for, over some pairs. */
  rangeOf(/** @type {Pair[]} */ pairs, /** @type {Gate} */ gate = "spatial") {
    if (this.state.scale === "absolute") return [0, 1];
    const all = this.state.scale === "shared";
    const blocks = pairs.flatMap(([subject, block]) => (all ? subject.blocks : [block]));
    return Subject.range(blocks, gate);
  }

  /** @returns {Look} */
  lookFor(/** @type {number[]} */ [low, high]) {
    const { mode, opacity, keep, colours } = this.state;
    const { tables, payload } = this.subject;
    const table = tables[colours];
    return { mode, opacity, keep, low, high, table, least: payload.nearlyConstant };
  }

  drawMaps(/** @type {HTMLElement} */ root) {
    const { shown, panes } = this;
    const [low, high] = this.rangeOf(shown);
    const look = this.lookFor([low, high]);
    panes[1].element.hidden = shown.length < 2;
    root.classList.toggle("cv-two", shown.length > 1);
    const ratios = shown.map(([{ painter }]) => painter.width / painter.height);
    root.style.setProperty("--cv-ratios", String(ratios.reduce((a, b) => a + b)));
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
  rampOf(/** @type {Look} */ { mode, table }, /** @type {?Outlined} */ outlined) {
    if (mode === "heat" || mode === "cells") return table;
    const level = outlined ? 255 * outlined.level : 0;
    const light = (/** @type {number} */ i) => (mode === "multiply" ? i : i < level ? 128 : 255);
    return Uint8Array.from({ length: 768 }, (_, i) => light(Math.floor(i / 3)));
  }

  noteOf(/** @type {Look} */ { low, high }, /** @type {Array<?Outlined>} */ outlined) {
    const percent = (/** @type {number} */ share) => `${Math.round(100 * share)}%`;
    const words = outlined.flatMap((outline) => {
      if (!outline) return [];
      const { held, area, level } = outline;
      const value = (low + level * (high - low)).toFixed(3);
      return this.t("outlined", { held: percent(held), area: percent(area), level: value });
    });
    const { scale, mode } = this.state;
    if (mode === "contour" && outlined.includes(null)) words.push(this.t("notOutlined"));
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
      const pairs = (/** @type {Block} */ block) =>
        state.scale === "shared" ? shown : [[subject, block]];
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
    const { state, subject, features } = this;
    const block = subject.block(state.block);
    const range = this.rangeOf([[subject, block]], "channel");
    const maps = features.of(block.name);
    this.channels.show(state, block, range, maps, features.isAwaited(block.name));
  }

  /** The cells under the pointer and under the pin: on the pictures, on the bar, in words. */
  showCells() {
    const { state, panes, shown, pointed } = this;
    const points = panes.map((pane) =>
      pointed && (pane === pointed.pane || state.compare !== "photo") ? pointed.point : null,
    );
    /** @type {Record<string, Read[]>} */
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

  pointAt(/** @type {Pane} */ pane, /** @type {?Point} */ point) {
    this.pointed = point && { pane, point };
    this.showCells();
  }
}
