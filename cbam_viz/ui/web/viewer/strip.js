// All blocks at a glance, and where from 0 to 1 a gate's values lie.

import { h, icon, slider } from "../shared/dom.js";
import { listStep } from "../shared/keys.js";
import { contextOf } from "../shared/pixels.js";

/** How long "play" stays at a block, in ms. */
const PLAY_STEP = 900;
const CALM_PLAY_STEP = 2000;

/** A gate's range and mean from 0 to 1. */
function trackOf({ min, mean, max }) {
  const marks = ["cv-range", "cv-mean"].map((name) => h("i", { class: name }));
  const track = h("span", { class: "cv-track" }, marks);
  track.style.setProperty("--cv-min", min);
  track.style.setProperty("--cv-max", max);
  track.style.setProperty("--cv-at", mean);
  return track;
}

/** A gate's figures in full, nearly constant said in words. */
export function figuresCard(t, name, figures, constant) {
  const values = ["min", "mean", "max", "deviation"].map((key) =>
    h("div", {}, h("dt", {}, t(key)), h("dd", {}, figures[key].toFixed(3))),
  );
  const span = (figures.max - figures.min).toFixed(3);
  return h(
    "div",
    { class: "cv-gate" },
    h("h3", {}, name, constant && h("span", { class: "cv-pill" }, t("constant"))),
    trackOf(figures),
    h("dl", {}, values),
    constant && h("p", { class: "cv-small" }, t("constantNote", { span })),
  );
}

/** The strip of all blocks, the depth slider and "play". */
export class Strip {
  /**
   * @param {Function} t gives the words of a key.
   * @param {import("./subject.js").Subject} subject whose blocks to show.
   * @param {Function} altOf gives a block's map in a sentence.
   * @param {Function} onChoose called with the name of a block that was chosen.
   */
  constructor(t, subject, altOf, onChoose) {
    this.t = t;
    this.subject = subject;
    this.altOf = altOf;
    this.onChoose = onChoose;
    this.names = subject.names;
    this.thumbs = new Map();
    this.list = this.buildList();
    const attributes = { type: "button", class: "cv-button cv-play" };
    this.play = h("button", attributes, icon("play"), icon("pause"));
    this.play.addEventListener("click", () => (this.timer ? this.stop() : this.start()));
    const format = (i) => this.names[i];
    const range = { min: 0, max: this.names.length - 1, step: 1, format };
    this.depth = slider(t("depth"), range, (i) => this.choose(i));
    this.controls = h("div", { class: "cv-depth" }, this.play, this.depth.element);
    const heading = h("h2", {}, t("blocks"));
    this.element = h("section", { class: "cv-all" }, heading, this.list);
    this.showPlaying();
  }

  buildList() {
    const { blocks, thumbPainter } = this.subject;
    const size = blocks.length <= 8 ? "few" : blocks.length <= 16 ? "some" : "many";
    const attributes = { class: `cv-strip cv-${size}`, role: "listbox" };
    const stages = [...new Set(blocks.map((block) => block.stage))];
    const list = h(
      "div",
      attributes,
      stages.map((stage) => this.buildStage(stage)),
    );
    list.setAttribute("aria-label", this.t("blocks"));
    list.style.setProperty("--cv-ratio", thumbPainter.width / thumbPainter.height);
    list.addEventListener("keydown", (e) => this.onKey(e));
    return list;
  }

  buildStage(stage) {
    const members = this.subject.blocks.filter((block) => block.stage === stage);
    const name = this.t("stage", { stage });
    const [{ columns, rows }] = members;
    const title = [h("b", {}, name), h("span", {}, `${columns} × ${rows}`)];
    return h(
      "div",
      { class: "cv-stage", role: "group", "aria-label": name },
      h("div", { class: "cv-stage-name", "aria-hidden": "true" }, title),
      h(
        "div",
        { class: "cv-thumbs" },
        members.map((block) => this.buildThumb(block)),
      ),
    );
  }

  buildThumb(block) {
    const figures = block.figures.spatial;
    const constant = this.subject.isConstant(figures) ? " cv-constant" : "";
    const range = `${figures.min.toFixed(2)}–${figures.max.toFixed(2)}`;
    const canvas = h("canvas");
    const thumb = h(
      "div",
      { class: "cv-thumb", role: "option", tabindex: "-1", "aria-label": this.altOf(block) },
      canvas,
      h("span", { class: "cv-name" }, block.name),
      trackOf(figures),
      h("span", { class: `cv-values${constant}` }, range),
    );
    thumb.addEventListener("click", () => this.choose(this.names.indexOf(block.name)));
    this.thumbs.set(block.name, { thumb, canvas });
    return thumb;
  }

  /** Draw every thumb. @param {Function} lookFor gives the look for a block. */
  draw(lookFor) {
    const { blocks, thumbPainter } = this.subject;
    for (const block of blocks) {
      thumbPainter.paint(block, lookFor(block));
      const { canvas } = this.thumbs.get(block.name);
      contextOf(canvas, thumbPainter).putImageData(thumbPainter.image, 0, 0);
    }
  }

  /** Mark the block in view, and the one beside it or null. */
  mark(chosen, second) {
    this.at = this.names.indexOf(chosen);
    for (const [name, { thumb }] of this.thumbs) {
      thumb.setAttribute("aria-selected", name === chosen);
      thumb.tabIndex = name === chosen ? 0 : -1;
      thumb.classList.toggle("cv-second", name === second);
    }
    this.depth.set(this.at);
    // Within the strip alone: scrolling the page is the visitor's business.
    const { list } = this;
    const { thumb } = this.thumbs.get(chosen);
    const left = thumb.offsetLeft - (list.clientWidth - thumb.offsetWidth) / 2;
    if (list.scrollWidth > list.clientWidth) list.scrollTo({ left });
  }

  choose(at) {
    this.stop();
    this.onChoose(this.names[at]);
  }

  onKey(event) {
    const at = listStep(event.key, this.at, this.names.length);
    if (at == null) return;
    event.preventDefault();
    this.choose(at);
    this.thumbs.get(this.names[at]).thumb.focus({ preventScroll: true });
  }

  /** Play from the block in view to the last, or all if that is the last. */
  start() {
    const last = this.names.length - 1;
    if (this.at === last) this.onChoose(this.names[0]);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const step = () => {
      const next = this.at + 1;
      if (next <= last) this.onChoose(this.names[next]);
      if (next >= last) this.stop();
    };
    this.timer = setInterval(step, calm ? CALM_PLAY_STEP : PLAY_STEP);
    this.showPlaying();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.showPlaying();
  }

  showPlaying() {
    const playing = Boolean(this.timer);
    this.play.classList.toggle("cv-playing", playing);
    this.play.setAttribute("aria-label", this.t(playing ? "pause" : "play"));
  }
}
