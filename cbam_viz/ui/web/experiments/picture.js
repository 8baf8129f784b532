// One gate: a spatial one over the photo, where it can be painted; a channel one as a curve.

import { centreOf } from "../shared/geometry.js";
import { h } from "../shared/dom.js";
import { gridMove } from "../shared/keys.js";
import { clamp, figuresOf, numbered } from "../shared/numbers.js";
import { contextOf } from "../shared/pixels.js";
import { LOOK } from "./parts.js";

/** @import { Bench } from "./bench.js" */
/** @import { Block } from "../viewer/subject.js" */

export class GatePicture {
  /**
   * @param {Bench} bench
   * @param {string} title
   * @param {"spatial" | "channel"} kind
   * @param {Block} block whose gate is shown.
   * @param {Block} before gives the order of the channels.
   * @param {?((cells: Float32Array) => void)} onPaint called with the painted cells when the
   *   pointer is let go, or a key was pressed; null where nobody paints.
   */
  constructor(bench, title, kind, block, before, onPaint) {
    this.bench = bench;
    this.kind = kind;
    this.onPaint = onPaint;
    /** What is painted, and how far around: a share of the photo's longer side. */
    this.value = 0;
    this.reach = 0.06;
    this.order = Array.from(before.channel.keys()).sort(
      (a, b) => before.channel[b] - before.channel[a],
    );
    this.canvas = h("canvas", {});
    this.figures = h("small", {});
    this.element = h(
      "figure",
      { class: `ce-picture ce-${kind}` },
      h("figcaption", {}, h("strong", {}, title), this.figures),
      this.canvas,
    );
    this.draw(block);
    if (kind === "spatial" && onPaint) this.listen();
  }

  /** Show another gate, unless it is being painted: then it is as painted. */
  show(/** @type {Block} */ block) {
    if (!this.onPaint) this.draw(block);
  }

  draw(/** @type {Block} */ block) {
    this.block = block;
    const { subject, t } = this.bench;
    const f = figuresOf(block[this.kind]);
    const numbers = { min: numbered(f.min), mean: numbered(f.mean), max: numbered(f.max) };
    this.figures.textContent = t("figures", numbers);
    const alt = `${block.name} ${t(`${this.kind}Gate`)}: ${t("figures", numbers)}`;
    this.canvas.setAttribute("aria-label", this.onPaint ? `${alt}. ${t("paintKeys")}` : alt);
    if (!this.onPaint) this.canvas.setAttribute("role", "img");
    if (this.kind === "spatial") {
      const { painter } = subject;
      painter.paint(block, { ...LOOK, table: subject.tables.magma });
      contextOf(this.canvas, painter).putImageData(painter.image, 0, 0);
    } else this.drawCurve(block.channel);
  }

  /** The channels in the order of what their gates were; 0 below, 1 above. */
  drawCurve(/** @type {Float32Array} */ gate) {
    const [width, height] = [512, 256];
    const c = contextOf(this.canvas, { width, height });
    const colour = (name) => getComputedStyle(this.element).getPropertyValue(name) || "#6a3fd0";
    c.clearRect(0, 0, width, height);
    c.fillStyle = colour("--cv-accent");
    const step = width / gate.length;
    this.order.forEach((channel, i) => {
      const tall = gate[channel] * height;
      c.fillRect(i * step, height - tall, Math.max(step, 1), tall);
    });
    c.fillStyle = colour("--cv-soft");
    c.fillRect(0, height / 2, width, 1);
  }

  listen() {
    const { canvas } = this;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.classList.add("ce-paintable");
    const paint = (/** @type {PointerEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      this.paint([
        clamp((event.clientX - box.left) / box.width, 0, 1),
        clamp((event.clientY - box.top) / box.height, 0, 1),
      ]);
    };
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      canvas.focus();
      canvas.setPointerCapture(event.pointerId);
      paint(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) paint(event);
    });
    canvas.addEventListener("lostpointercapture", () => this.onPaint(this.block.spatial));
    let at = { row: this.block.rows >> 1, column: this.block.columns >> 1 };
    canvas.addEventListener("keydown", (event) => {
      const move = gridMove(event.key);
      if (!move) return;
      event.preventDefault();
      at = {
        row: clamp(at.row + move[0], 0, this.block.rows - 1),
        column: clamp(at.column + move[1], 0, this.block.columns - 1),
      };
      this.paint(centreOf(this.bench.subject.view, this.block, at));
      this.onPaint(this.block.spatial);
    });
  }

  /** Give the cells about a point the brush's value. */
  paint(/** @type {[number, number]} */ [x, y]) {
    const { view } = this.bench.subject;
    const { rows, columns } = this.block;
    const [width, height] = view.resized;
    const reach = this.reach * Math.max(width, height);
    const spatial = Float32Array.from(this.block.spatial);
    let nearest = { distance: Infinity, at: 0 };
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const [cx, cy] = centreOf(view, this.block, { row, column });
        const distance = Math.hypot((cx - x) * width, (cy - y) * height);
        const at = row * columns + column;
        if (distance < nearest.distance) nearest = { distance, at };
        if (distance <= reach) spatial[at] = this.value;
      }
    }
    spatial[nearest.at] = this.value; // a brush finer than the cells paints the one it is on
    this.draw({ ...this.block, spatial });
  }
}
