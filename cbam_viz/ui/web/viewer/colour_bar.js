// The scale's colours with its numbers, and where on it the block in view lies.

import { h } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { contextOf } from "../shared/pixels.js";

/** Over so many greys of a photo, from white down to black, the bar shows its colours. */
const GROUNDS = 12;

export class ColourBar {
  constructor(t) {
    this.t = t;
    this.canvas = h("canvas", { width: 256, height: GROUNDS });
    this.marks = h("div", { class: "cv-bar-marks", "aria-hidden": "true" });
    this.ticks = h("div", { class: "cv-bar-ticks" });
    const strip = h("div", { class: "cv-bar-strip" }, this.canvas, this.marks);
    this.picture = h("div", { role: "img" }, strip, this.ticks);
    this.title = h("p", { class: "cv-bar-title" });
    this.element = h("div", { class: "cv-bar" }, this.title, this.picture);
  }

  /**
   * @param {Uint8Array} ramp 256x3, the colours from low to high.
   * @param {import("../shared/numbers.js").Figures[]} figures of the maps on show.
   * @param {object} options
   * @param {number} [options.digits] of the numbers.
   * @param {number} [options.opacity] how opaque the colours lie over the photo.
   */
  set(ramp, low, high, figures, { digits = 3, opacity = 1 } = {}) {
    const image = new ImageData(256, GROUNDS);
    for (let at = 0; at < 256 * GROUNDS; at++) {
      const ground = 255 * (1 - Math.floor(at / 256) / (GROUNDS - 1));
      const colour = Array.from(ramp.subarray(3 * (at % 256), 3 * (at % 256) + 3));
      const seen = colour.map((part) => opacity * part + (1 - opacity) * ground);
      image.data.set([...seen, 255], 4 * at);
    }
    contextOf(this.canvas).putImageData(image, 0, 0);
    this.low = low;
    this.high = high;
    const whole = low === 0 && high === 1;
    const format = (v) => (whole || v === 0 ? String(v) : numbered(v, digits));
    const middle = low < 0 && high > 0 ? 0 : (low + high) / 2;
    // Where signs differ, 0 says more than the middle does; near an end there is no room for it.
    const inner = Math.abs(this.at(middle) - 50) < 35 ? [middle] : [];
    const values = whole ? [0, 0.25, 0.5, 0.75, 1] : [low, ...inner, high];
    this.ticks.replaceChildren(
      ...values.map((value, i) => {
        const neutral = whole && value === 0.5 ? ` ${this.t("neutral")}` : "";
        const tick = h("span", {}, format(value) + neutral);
        tick.style.left = high > low ? `${this.at(value)}%` : `${50 * i}%`;
        return tick;
      }),
    );
    const ends = { low: format(low), high: format(high) };
    this.picture.setAttribute("aria-label", this.t("scaleBar", ends));
    this.ranges = figures.map(({ min, mean, max }) => [min, mean, max]);
    this.setPointers([]);
  }

  /** Where on the bar a value lies, in %. */
  at(value) {
    return this.high > this.low ? (100 * (value - this.low)) / (this.high - this.low) : 50;
  }

  /** Point at values: those of the cells under the pointer. */
  setPointers(values) {
    const marks = this.ranges.map(([min, mean, max]) => {
      const range = h("i", { class: "cv-bar-range" }, h("i", { class: "cv-bar-mean" }));
      range.style.left = `${this.at(min)}%`;
      range.style.width = `${this.at(max) - this.at(min)}%`;
      range.firstChild.style.left = `${max > min ? (100 * (mean - min)) / (max - min) : 50}%`;
      return range;
    });
    const pointers = values.map((value) => {
      const pointer = h("i", { class: "cv-bar-pointer" });
      pointer.style.left = `${this.at(value)}%`;
      return pointer;
    });
    this.marks.replaceChildren(...marks, ...pointers);
  }
}
