// The photo changed: covered in part, blurred, moved, flipped, turned. Do the maps follow?

import { h, segmented, setText, slider } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { Subject } from "../viewer/subject.js";
import { oneAtATime } from "./bench.js";
import { Drawing } from "./drawing.js";
import { mapFigure, percent, table } from "./parts.js";
import { predictions } from "./predictions.js";

/** @import { Bench } from "./bench.js" */

const angle = (/** @type {number} */ degrees) => `${degrees}°`;
/** @typedef {{min: number, max: number, step: number, format: (value: number) => string}} Range */
/**
 * The sliders of each change, by the keys of their names, and where they begin.
 *
 * @type {Record<string, Array<[string, Range, number]>>}
 */
const SLIDERS = {
  cover: [],
  blur: [["radius", { min: 0, max: 0.2, step: 0.005, format: percent }, 0.03]],
  move: [
    ["moveRight", { min: -0.5, max: 0.5, step: 0.01, format: percent }, 0.15],
    ["moveDown", { min: -0.5, max: 0.5, step: 0.01, format: percent }, 0],
  ],
  flip: [],
  turn: [["degrees", { min: -180, max: 180, step: 1, format: angle }, 20]],
};
const PATCH = [0.35, 0.35, 0.65, 0.65];

export class ChangedPhoto {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t, subject } = bench;
    this.block = subject.payload.openAt;
    this.run = oneAtATime((change) => this.tried(change));
    this.kinds = segmented(
      t("photoKind"),
      Object.keys(SLIDERS).map((kind) => [kind, t(`photo_${kind}`)]),
      (kind) => this.choose(kind),
    );
    this.fields = h("div", { class: "ce-controls" });
    this.said = h("p", { class: "ce-said", role: "status" });
    this.pictures = h("div", { class: "ce-pictures" });
    this.answer = h("div", { class: "ce-answer" });
    this.element = h("section", { class: "ce-photo" },
      h("p", { class: "ce-lead" }, t("photoLead")),
      h("div", { class: "ce-desk" },
        h("div", { class: "ce-controls" }, this.kinds.element, this.fields),
        this.pictures),
      this.said, this.answer); // prettier-ignore
    this.choose("flip");
  }

  choose(/** @type {string} */ kind) {
    const { t } = this.bench;
    this.kinds.set(kind);
    if (kind === "cover") {
      const drawing = new Drawing(this.bench, ["box"], (outline) => {
        const [[left, top], , [right, bottom]] = outline;
        this.run({ kind, numbers: [left, top, right, bottom] });
      });
      this.fields.replaceChildren(h("p", { class: "cv-small" }, t("coverHow")), drawing.element);
      this.run({ kind, numbers: PATCH });
      return;
    }
    const sliders = SLIDERS[kind].map(([key, range, begin]) => {
      const field = slider(t(key), range, (value) => {
        field.set(value);
        change();
      });
      field.set(begin);
      return field;
    });
    const change = () =>
      this.run({ kind, numbers: sliders.map(({ input }) => Number(input.value)) });
    this.fields.replaceChildren(...sliders.map(({ element }) => element));
    change();
  }

  /** @param {{kind: string, numbers: number[]}} change */
  async tried(change) {
    const { bench } = this;
    const answer = await bench.ask("change", { change });
    if (answer.fault) {
      setText(this.said, bench.faultOf(answer));
      return;
    }
    setText(this.said, "");
    this.after = await Subject.open(answer.payload);
    this.followed = answer.followed;
    this.showPictures();
    this.answer.replaceChildren(predictions(bench, answer.classes), this.followedTable());
    this.element.dataset.answered = answer.id;
  }

  showPictures() {
    const { bench, after, block } = this;
    const one = this.followed.find(({ name }) => name === block);
    const note =
      one.correlation === null
        ? bench.t("followsConstant")
        : bench.t("follows", { r: numbered(one.correlation, 2) });
    this.pictures.replaceChildren(
      mapFigure(bench.subject, bench.subject.block(block), {
        title: bench.t("before"),
        note: block,
      }),
      mapFigure(after, after.block(block), { title: bench.t("after"), note }),
    );
  }

  followedTable() {
    const { t } = this.bench;
    const number = (value) => (value === null ? t("constantOrGone") : numbered(value, 3));
    return table({
      caption: t("followedCaption"),
      head: ["block", "correlation", "difference", "cellsLeft"].map((key) => t(key)),
      rows: this.followed.map(({ name, correlation, difference, cells }) => {
        const turn = h("button", { type: "button", class: "cv-plain-button" }, name);
        turn.addEventListener("click", () => {
          this.block = name;
          this.showPictures();
        });
        return [turn, number(correlation), number(difference), percent(cells)];
      }),
    });
  }
}
