// What several steps draw with: maps over the photo, dots, a curve, a cell that is picked.

import { h, setAttributes, svg } from "../shared/dom.js";
import { gridMove } from "../shared/keys.js";
import { clamp } from "../shared/numbers.js";
import { Painter } from "../shared/paint.js";
import { contextOf } from "../shared/pixels.js";

/** @import { SpatialMap } from "../shared/paint.js" */
/** @import { Lesson } from "./lesson.js" */

/** A map over the photo as the network saw it. */
export class OnPhoto {
  /**
   * @param {Lesson} lesson
   * @param {string} name of the picture, for those who do not see it.
   */
  constructor(lesson, name) {
    this.canvas = h("canvas", { class: "cc-photo", role: "img", "aria-label": name });
    this.caption = h("figcaption", {});
    this.element = h("figure", { class: "cc-onphoto" }, this.canvas, this.caption);
    const [width, height] = lesson.photo.size;
    const context = contextOf(this.canvas, { width, height });
    const image = new Image();
    image.src = lesson.photo.url;
    /** @type {Promise<Painter>} */
    this.ready = image.decode().then(() => {
      context.drawImage(image, 0, 0, width, height);
      return new Painter(context.getImageData(0, 0, width, height), lesson.whole);
    });
    this.context = context;
  }

  /**
   * @param {SpatialMap} map
   * @param {{mode?: string, table: Uint8Array, low?: number, high?: number, opacity?: number}} look
   * @param {string} words to write below.
   */
  async show(map, look, words) {
    this.caption.textContent = words;
    const painter = await this.ready;
    painter.paint(map, { mode: "heat", low: 0, high: 1, opacity: 0.6, keep: 0.5, ...look });
    this.context.putImageData(painter.image, 0, 0);
    this.element.dataset.drawn = words;
  }
}

/** Where in a box of 100 by 100 a value lies. */
const along = (/** @type {number} */ v, /** @type {number[]} */ [low, high]) =>
  4 + (92 * (v - low)) / (high - low || 1);

/**
 * Points of two values each, as dots; some of them can be picked.
 *
 * @param {ArrayLike<number>} xs
 * @param {ArrayLike<number>} ys
 * @param {number[]} picks indices of those that can be picked.
 * @param {(index: number) => void} onPick
 */
export function scatter(xs, ys, picks, onPick) {
  const ends = (/** @type {ArrayLike<number>} */ v) => {
    const all = Array.from(v);
    return [Math.min(...all), Math.max(...all)];
  };
  const [across, up] = [ends(xs), ends(ys)];
  const at = (/** @type {number} */ i) => ({
    x: along(xs[i], across).toFixed(2),
    y: (100 - along(ys[i], up)).toFixed(2),
  });
  const dots = Array.from(xs, (_, i) => `M${at(i).x} ${at(i).y}h0`).join("");
  const large = picks.map((i) => {
    const { x, y } = at(i);
    const dot = svg("circle", { class: "cc-dot", cx: x, cy: y, r: 2.4 });
    dot.addEventListener("click", () => onPick(i));
    return dot;
  });
  const element = svg(
    "svg",
    { class: "cc-scatter", viewBox: "0 0 100 100", "aria-hidden": "true" },
    svg("path", { class: "cc-axes", d: "M3 2V97H98" }),
    svg("path", { class: "cc-dots", d: dots }),
    ...large,
  );
  const mark = (/** @type {number} */ index) =>
    large.forEach((dot, i) => dot.classList.toggle("cc-picked", picks[i] === index));
  return { element, mark };
}

/** The sigmoid with the channels' sums on it, and one point that moves. */
export function sigmoidCurve(/** @type {ArrayLike<number>} */ sums, /** @type {number} */ reach) {
  const x = (/** @type {number} */ v) => 100 + (100 * clamp(v, -reach, reach)) / reach;
  const y = (/** @type {number} */ v) => 96 - 92 / (1 + Math.exp(-v));
  const steps = Array.from({ length: 101 }, (_, i) => (reach * (i - 50)) / 50);
  const curve = steps.map((v, i) => `${i ? "L" : "M"}${x(v)} ${y(v).toFixed(2)}`).join("");
  const dots = Array.from(sums, (v) => `M${x(v).toFixed(2)} ${y(v).toFixed(2)}h0`).join("");
  const point = svg("circle", { class: "cc-point", r: 3.5 });
  const lines = svg("path", { class: "cc-lines" });
  const element = svg(
    "svg",
    { class: "cc-curve", viewBox: "0 0 200 100", "aria-hidden": "true" },
    svg("path", { class: "cc-axes", d: "M0 96H200M0 4H200M100 4V96M0 50H200" }),
    svg("path", { class: "cc-line", d: curve }),
    svg("path", { class: "cc-dots", d: dots }),
    lines,
    point,
  );
  const move = (/** @type {number} */ v) => {
    setAttributes(point, { cx: x(v), cy: y(v) });
    setAttributes(lines, { d: `M${x(v)} 96V${y(v)}H0` });
  };
  return { element, move };
}

/**
 * Make a map's grid one slider whose arrow keys go from cell to cell.
 *
 * @param {HTMLElement} figure of `Pictures.map`.
 * @param {Lesson} lesson
 * @param {string} label
 * @param {(row: number, column: number) => void} onCell
 */
export function cellPicker(figure, lesson, label, onCell) {
  const grid = /** @type {HTMLElement} */ (figure.querySelector(".ci-grid"));
  const { rows, columns } = lesson;
  let [row, column] = [0, 0];
  setAttributes(grid, {
    tabindex: "0",
    role: "slider",
    "aria-label": label,
    "aria-valuemin": 0,
    "aria-valuemax": rows * columns - 1,
  });
  grid.addEventListener("keydown", (event) => {
    const move = gridMove(event.key);
    if (!move) return;
    event.preventDefault();
    onCell(clamp(row + move[0], 0, rows - 1), clamp(column + move[1], 0, columns - 1));
  });
  return (/** @type {number} */ r, /** @type {number} */ c, /** @type {string} */ words) => {
    [row, column] = [r, c];
    setAttributes(grid, { "aria-valuenow": r * columns + c, "aria-valuetext": words });
  };
}
