// Pictures of one block: maps with the picked cell marked, colour bars, bars.

import { h, setAttributes, svg } from "../shared/dom.js";
import { clamp, figuresOf, numbered } from "../shared/numbers.js";
import { colourOf, inkOn, paintCells } from "../shared/pixels.js";

/** @import { Colours } from "../shared/pixels.js" */
/** @import { Translate } from "../shared/words.js" */
/** @import { Block } from "./block.js" */

/** Maps of up to this many rows and columns have their numbers written into the cells. */
const NUMBERED = 16;

/** A factor in so many figures that the product can be checked by hand. */
export function factor(/** @type {number} */ value) {
  return value === 0 ? "0" : value.toPrecision(5).replace("-", "−");
}

export function percent(/** @type {number} */ share) {
  return `${Math.round(100 * share)} %`;
}

/** What stands between pictures: an operation. */
export function sign(/** @type {string} */ text) {
  return h("span", { class: "ci-sign", "aria-hidden": "true" }, text);
}

/**
 * What the pictures' style sheet has to know of a block.
 *
 * @param {HTMLElement} root
 * @param {Block} block
 */
export function setSizes(root, { columns, rows, side }) {
  const sizes = { ratio: columns / rows, columns, rows, side };
  for (const [name, value] of Object.entries(sizes))
    root.style.setProperty(`--ci-${name}`, String(value));
}

export class Pictures {
  /**
   * @param {Translate} t
   * @param {Block} block
   * @param {object} events
   * @param {(row: number, column: number) => void} events.onCell called with a cell that was picked.
   * @param {(channel: number) => void} events.onChannel likewise.
   */
  constructor(t, block, { onCell, onChannel }) {
    this.t = t;
    this.block = block;
    this.onCell = onCell;
    this.onChannel = onChannel;
    /** @type {HTMLElement[]} */
    this.marks = [];
    /** @type {Array<{button: HTMLElement, channel: number}>} */
    this.picks = [];
  }

  /** Equally far to both sides of 0: white is 0, whatever the values are. */
  signed(...maps) {
    const most = Math.max(...maps.map((map) => map.reduce((a, b) => Math.max(a, Math.abs(b)), 0)));
    return { table: this.block.tables.signed, low: -most, high: most };
  }

  /** @returns {Colours} of single channels' maps, the same as in the viewer. */
  get channelled() {
    const { tables, most } = this.block;
    return { table: tables.signed, low: -most, high: most };
  }

  /** @returns {Colours} of gates. */
  get gated() {
    return { table: this.block.tables.gate, low: 0, high: 1 };
  }

  /** A map with its name and its range; a click picks the cell under it. */
  map(name, values, colours, options = {}) {
    const { columns } = this.block;
    const canvas = h("canvas", { role: "img", "aria-label": this.altOf(name, values) });
    paintCells(canvas, values, columns, colours);
    const mark = this.mark();
    this.marks.push(mark);
    const grid = h(
      "div",
      { class: `ci-grid ${options.windowed ? "ci-windowed" : ""}` },
      canvas,
      options.numbers && this.numbers(values, colours),
      mark,
    );
    this.pickable(grid);
    const caption = h("figcaption", {}, h("b", {}, name), this.rangeOf(values));
    return h("figure", { class: "ci-map" }, grid, caption);
  }

  /** The colours with the numbers of both ends and of the middle, which is neutral. */
  colourBar({ table, low, high }) {
    const canvas = h("canvas");
    const steps = Float32Array.from({ length: 256 }, (_, i) => i);
    paintCells(canvas, steps, 256, { table, low: 0, high: 255 });
    const digits = (value) => (Number.isInteger(value) ? String(value) : numbered(value, 2));
    const middle = (low + high) / 2;
    const neutral = middle ? `${middle} ${this.t("neutral")}` : "0";
    return h("div", { class: "ci-scale" }, canvas,
      h("p", {}, [digits(low), neutral, digits(high)].map((words) => h("span", {}, words)))); // prettier-ignore
  }

  rangeOf(values) {
    const { min, max } = figuresOf(values);
    return h("span", {}, this.t("range", { low: numbered(min), high: numbered(max) }));
  }

  altOf(name, values) {
    const { columns } = this.block;
    const { min, max } = figuresOf(values);
    const at = values.indexOf(max);
    const place = { row: Math.floor(at / columns), column: at % columns };
    return this.t("mapAlt", { name, low: numbered(min), high: numbered(max), ...place });
  }

  /** The outlines of the picked cell and of the window that the kernel sees around it. */
  mark() {
    const clip = h("div", { class: "ci-clip" }, h("i", { class: "ci-window" }));
    return h(
      "div",
      { class: "ci-mark", "aria-hidden": "true" },
      clip,
      h("i", { class: "ci-cell" }),
    );
  }

  /** Numbers in the cells, where there is room for them. */
  numbers(values, colours) {
    if (Math.max(this.block.rows, this.block.columns) > NUMBERED) return null;
    const parts = Array.from(values, (value) => {
      const part = h("span", {}, numbered(value, 2));
      part.style.color = inkOn(colourOf(value, colours));
      return part;
    });
    return h("div", { class: "ci-numbers", "aria-hidden": "true" }, parts);
  }

  pickable(grid) {
    const pick = (event) => {
      const box = grid.getBoundingClientRect();
      const { rows, columns } = this.block;
      const at = (share, count) => clamp(Math.floor(share * count), 0, count - 1);
      const row = at((event.clientY - box.top) / box.height, rows);
      this.onCell(row, at((event.clientX - box.left) / box.width, columns));
    };
    grid.addEventListener("pointerdown", (event) => event.isPrimary && pick(event));
    grid.addEventListener("pointermove", (event) => event.buttons === 1 && pick(event));
  }

  photo() {
    const { photo } = this.block;
    const image = h("img", { src: photo.url, alt: this.t("photoAlt") });
    this.onPhoto = this.mark();
    const frame = h("div", { class: "ci-grid ci-windowed ci-photo" }, image, this.onPhoto);
    frame.style.setProperty("--ci-ratio", photo.size[0] / photo.size[1]);
    return h(
      "figure",
      { class: "ci-map" },
      frame,
      h("figcaption", {}, h("b", {}, this.t("photo")), h("span", {}, photo.size.join(" × "))),
    );
  }

  /** A channel's map as a button that picks the channel. */
  example({ channel, map }, scale, words) {
    const value = { channel, gate: numbered(this.block.gate[channel]) };
    const canvas = h("canvas", { class: "ci-small" });
    paintCells(canvas, map, this.block.columns, scale);
    const button = h("button", { type: "button", class: "ci-stop", "aria-label": this.t("channelValue", value) },
      canvas, h("span", {}, words ?? `#${channel} · ${value.gate}`)); // prettier-ignore
    button.addEventListener("click", () => this.onChannel(channel));
    this.picks.push({ button, channel });
    return button;
  }

  /** Values as bars from a base line; red above it and blue below. */
  bars(values, low, high, base) {
    const y = (v) => 100 * (1 - (clamp(v, low, high) - low) / (high - low || 1));
    const path = (chosen) =>
      values
        .map((v, i) =>
          chosen(v)
            ? `M${i} ${y(base).toFixed(2)}V${y(v).toFixed(2)}h1V${y(base).toFixed(2)}z`
            : "",
        )
        .join("");
    const box = {
      viewBox: `0 0 ${values.length} 100`,
      preserveAspectRatio: "none",
      class: "ci-bars",
      "aria-hidden": "true",
    };
    return svg("svg", box,
      svg("path", { class: "ci-above", d: path((v) => v > base) }),
      svg("path", { class: "ci-below", d: path((v) => v < base) }),
      svg("path", { class: "ci-base", d: `M0 ${y(base)}H${values.length}`, "vector-effect": "non-scaling-stroke" })); // prettier-ignore
  }

  /** Mark the picked cell, and the window around it, on every map and on the photo. */
  markCell(/** @type {number} */ row, /** @type {number} */ column) {
    const { block } = this;
    const { side } = block;
    const reach = side >> 1;
    for (const mark of this.marks) {
      setAttributes(mark, {
        style: `--row:${row};--column:${column};--reach:${reach};--side:${side}`,
      });
    }
    if (!this.onPhoto) return;
    // On the photo a cell lies at the centre of its receptive field.
    const [width, height] = block.photo.size;
    const along = (/** @type {number} */ at, /** @type {number} */ length) =>
      (100 * (at * block.stride + 0.5)) / length;
    const step = [(100 * block.stride) / width, (100 * block.stride) / height];
    const outline = (/** @type {string} */ name, /** @type {number} */ cells) => {
      const box = this.onPhoto.querySelector(`.${name}`).style;
      box.left = `${along(column, width) - (cells * step[0]) / 2}%`;
      box.top = `${along(row, height) - (cells * step[1]) / 2}%`;
      box.width = `${cells * step[0]}%`;
      box.height = `${cells * step[1]}%`;
    };
    outline("ci-window", side);
    outline("ci-cell", 1);
  }

  /** Press the buttons of the picked channel. */
  markChannel(/** @type {number} */ channel) {
    for (const { button, channel: own } of this.picks) {
      button.setAttribute("aria-pressed", String(own === channel));
    }
  }
}
