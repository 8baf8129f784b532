// What several experiments are made of: a run with progress and a stop, a table, a map on the photo.

import { h, setText } from "../shared/dom.js";
import { decodeGate, numbered } from "../shared/numbers.js";
import { contextOf } from "../shared/pixels.js";

/** @import { Answer, Bench } from "./bench.js" */
/** @import { Subject } from "../viewer/subject.js" */

/** How a gate is drawn here: on the whole scale of 0 to 1. */
export const LOOK = { mode: "heat", opacity: 0.65, low: 0, high: 1, keep: 0.5 };

/** @typedef {{rows: number, columns: number, stride: number, spatial: Float32Array}} Cells */
/** @typedef {{values: string, greatest: number, rows: number, columns: number, stride: number}} SentMap */

/** A map as the server sends it, decoded. @returns {Cells} */
export function cellsOf(/** @type {SentMap} */ { values, rows, columns, stride }) {
  return { rows, columns, stride, spatial: decodeGate(values) };
}

/**
 * A map over the photo.
 *
 * @param {Subject} subject whose photo.
 * @param {Cells} cells
 * @param {{title: string, note?: string, small?: boolean, stretched?: boolean}} options
 *   small: as a thumbnail; stretched: on the map's own range, not on 0 to 1.
 */
export function mapFigure(subject, cells, { title, note = "", small = false, stretched = false }) {
  const painter = small ? subject.thumbPainter : subject.painter;
  const range = stretched
    ? { low: Math.min(...cells.spatial), high: Math.max(...cells.spatial) }
    : {};
  painter.paint(cells, { ...LOOK, ...range, table: subject.tables.magma });
  const canvas = h("canvas", { role: "img", "aria-label": `${title} ${note}` });
  contextOf(canvas, painter).putImageData(painter.image, 0, 0);
  return h(
    "figure",
    { class: `ce-picture ce-spatial${small ? " ce-small" : ""}` },
    h("figcaption", {}, h("strong", {}, title), h("small", {}, note)),
    canvas,
  );
}

/**
 * A table whose rows begin with their names.
 *
 * @param {{caption?: string, head: string[], rows: Array<Array<string | Node>>,
 *   first?: (row: number) => boolean}} options first: which rows stand out.
 */
export function table({ caption, head, rows, first = () => false }) {
  return h("div", { class: "ce-table", tabindex: "0" },
    h("table", {},
      caption && h("caption", {}, caption),
      h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map(([name, ...cells], i) =>
        h("tr", first(i) ? { class: "ce-first" } : {},
          h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell))))))); // prettier-ignore
}

/** A share of the whole in percent. */
export const percent = (/** @type {number} */ share) => `${numbered(100 * share, 1)} %`;

/** A button that asks the server for something; meanwhile it is busy. */
export class Asking {
  /**
   * @param {Bench} bench
   * @param {string} need
   * @param {string} words on the button.
   * @param {() => object} data
   * @param {(answer: Answer) => void} onAnswer not called with a fault: that is said here.
   */
  constructor(bench, need, words, data, onAnswer) {
    this.button = h("button", { type: "button", class: "cv-button cv-primary" }, words);
    this.said = h("p", { class: "ce-said", role: "status" });
    this.element = h("div", {}, h("div", { class: "ce-run" }, this.button), this.said);
    this.ask = async () => {
      if (this.button.disabled) return;
      this.button.disabled = true;
      this.button.setAttribute("aria-busy", "true");
      const answer = await bench.ask(need, data());
      this.button.disabled = false;
      this.button.removeAttribute("aria-busy");
      setText(this.said, answer.fault ? bench.faultOf(answer) : "");
      if (!answer.fault) onAnswer(answer);
    };
    this.button.addEventListener("click", this.ask);
  }
}

/** A button that starts an answer that grows, a bar that tells how far it is, and a stop. */
export class Run {
  /**
   * @param {Bench} bench
   * @param {string} need
   * @param {() => object} data
   * @param {(answer: Answer) => void} onStep called with each answer: `done` of `total`.
   */
  constructor(bench, need, data, onStep) {
    const { t } = bench;
    this.bench = bench;
    this.start = h("button", { type: "button", class: "cv-button cv-primary" }, t("run"));
    this.end = h("button", { type: "button", class: "cv-button", hidden: true }, t("stop"));
    this.bar = h("progress", { hidden: true, "aria-label": t("progress") });
    this.said = h("p", { class: "ce-said", role: "status" });
    this.element = h(
      "div",
      {},
      h("div", { class: "ce-run" }, this.start, this.end, this.bar),
      this.said,
    );
    this.start.addEventListener("click", () => {
      this.busy(true);
      this.bar.value = 0;
      setText(this.said, "");
      bench.steps(need, data(), (answer) => this.running && this.step(answer, onStep));
    });
    this.end.addEventListener("click", () => {
      this.leave();
      setText(this.said, t("stopped"));
    });
  }

  step(/** @type {Answer} */ answer, onStep) {
    if (answer.fault) {
      this.busy(false);
      setText(this.said, this.bench.faultOf(answer));
      return;
    }
    this.bar.max = answer.total;
    this.bar.value = answer.done;
    if (answer.done >= answer.total) this.busy(false);
    onStep(answer);
  }

  busy(/** @type {boolean} */ on) {
    this.running = on;
    this.start.disabled = on;
    this.end.hidden = this.bar.hidden = !on;
  }

  /** End it, here and on the server. */
  leave() {
    if (this.running) this.bench.stop();
    this.busy(false);
  }
}
