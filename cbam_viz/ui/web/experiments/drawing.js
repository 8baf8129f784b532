// A box or a line drawn on the photo, with the pointer or by numbers.

import { h, segmented, setAttributes, svg } from "../shared/dom.js";
import { clamp } from "../shared/numbers.js";
import { contextOf } from "../shared/pixels.js";

/** @import { Bench } from "./bench.js" */
/** @typedef {[number, number]} Point of the photo, in shares of its width and height. */
/** @typedef {"box" | "line"} Tool */

/** Points nearer to the last one than this add nothing. */
const NEAR = 0.005;
/** Most points of an outline; the server takes twice as many. */
const MOST = 1000;
const SIDES = ["left", "top", "right", "bottom"];

/** The corners of the box between two of them. @returns {Point[]} */
export function corners(/** @type {Point} */ [x0, y0], /** @type {Point} */ [x1, y1]) {
  const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
  const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)];
  return [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ];
}

/** Every second point, and again, until there are no more than can be sent. @returns {Point[]} */
export function thinned(/** @type {Point[]} */ points) {
  return points.length > MOST ? thinned(points.filter((_, i) => i % 2 === 0)) : points;
}

/** Within the photo. @returns {Point} */
export function clamped(/** @type {Point} */ [x, y]) {
  return [clamp(x, 0, 1), clamp(y, 0, 1)];
}

export class Drawing {
  /**
   * @param {Bench} bench
   * @param {Tool[]} tools
   * @param {(outline: Point[]) => void} onOutline called when the pointer is let go.
   */
  constructor(bench, tools, onOutline) {
    const { t, subject } = bench;
    /** @type {Tool} */
    this.tool = tools[0];
    /** @type {Point[]} */
    this.outline = [];
    this.onOutline = onOutline;
    this.shape = svg("polygon", { "vector-effect": "non-scaling-stroke" });
    this.plane = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none" }, this.shape);
    const photo = h("canvas", { role: "img", "aria-label": t("drawHere") });
    const { painter } = subject;
    const image = new ImageData(painter.width, painter.height);
    new Uint32Array(image.data.buffer).set(painter.photo);
    contextOf(photo, painter).putImageData(image, 0, 0);
    this.listen();
    const choice = segmented(
      t("drawWith"),
      tools.map((tool) => [tool, t(`tool_${tool}`)]),
      (tool) => (this.tool = tool),
    );
    choice.set(this.tool);
    this.element = h("div", { class: "ce-drawing" },
      tools.length > 1 && choice.element,
      h("div", { class: "ce-stage" }, photo, this.plane),
      this.byNumbers(t)); // prettier-ignore
  }

  /** For who has no pointer, and for who wants it exact. */
  byNumbers(t) {
    const fields = SIDES.map((side, i) =>
      h("input", { type: "number", min: 0, max: 100, step: 1, value: [25, 25, 75, 75][i] }),
    );
    const take = h("button", { type: "button", class: "cv-button" }, t("takeBox"));
    take.addEventListener("click", () => {
      const [left, top, right, bottom] = fields.map((field) => Number(field.value) / 100);
      this.outline = corners(clamped([left, top]), clamped([right, bottom]));
      this.show();
      this.onOutline(this.outline);
    });
    return h("details", {},
      h("summary", {}, t("byNumbers")),
      h("div", { class: "ce-numbers" },
        fields.map((field, i) => h("label", {}, t(SIDES[i]), field)), take)); // prettier-ignore
  }

  show() {
    setAttributes(this.shape, { points: this.outline.map((point) => point.join()).join(" ") });
  }

  listen() {
    const { plane } = this;
    const at = (/** @type {PointerEvent} */ event) => {
      const { left, top, width, height } = plane.getBoundingClientRect();
      return clamped([(event.clientX - left) / width, (event.clientY - top) / height]);
    };
    /** @type {?Point} */
    let begun = null;
    plane.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      event.preventDefault();
      plane.setPointerCapture(event.pointerId);
      begun = at(event);
      this.outline = [begun];
    });
    plane.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (!begun) return;
      const point = at(event);
      const [x, y] = this.outline[this.outline.length - 1];
      if (this.tool === "box") this.outline = corners(begun, point);
      else if (Math.hypot(point[0] - x, point[1] - y) > NEAR) this.outline.push(point);
      this.show();
    });
    plane.addEventListener("pointerup", () => {
      begun = null;
      this.outline = thinned(this.outline);
      if (this.outline.length > 2) this.onOutline(this.outline);
    });
    plane.addEventListener("pointercancel", () => (begun = null));
  }
}
