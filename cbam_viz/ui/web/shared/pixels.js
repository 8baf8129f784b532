// Colours of pixels. A pixel is a 32-bit word, red in the lowest byte; a colour table holds 256
// colours, red, green, blue.

import { clamp } from "./numbers.js";

const OPAQUE = 0xff000000;
const RED_BLUE = 0x00ff00ff;

/** @typedef {{table: Uint8Array, low: number, high: number}} Colours and the values at their ends. */

/** A map as pixels, one a cell; `high` and `low` are the ends of the colour table. */
export function paintCells(
  /** @type {HTMLCanvasElement} */ canvas,
  /** @type {ArrayLike<number>} */ values,
  /** @type {number} */ columns,
  /** @type {Colours} */ colours,
) {
  canvas.width = columns;
  canvas.height = values.length / columns;
  const image = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < values.length; i++) image.data.set(colourOf(values[i], colours), 4 * i);
  contextOf(canvas).putImageData(image, 0, 0);
}

export function colourOf(/** @type {number} */ value, /** @type {Colours} */ { table, low, high }) {
  const share = high > low ? (value - low) / (high - low) : 0.5;
  const level = clamp(Math.floor(share * 255 + 0.5), 0, 255);
  return [table[3 * level], table[3 * level + 1], table[3 * level + 2], 255];
}
/** A px times keep, plus a colour that is given as red with blue and as green; all times 256. */
export function mixed(
  /** @type {number} */ p,
  /** @type {number} */ keep,
  /** @type {number} */ redBlue,
  /** @type {number} */ green,
) {
  return (
    OPAQUE |
    (((Math.imul(p & RED_BLUE, keep) + redBlue) >>> 8) & RED_BLUE) |
    ((Math.imul((p >>> 8) & 0xff, keep) + green) & 0xff00)
  );
}

/** Which of 256 levels a value from 0 to 1 is. */
export function levelOf(/** @type {number} */ value) {
  return Math.fround(Math.fround(value * 255) + 0.5) | 0;
}

/** For each level: what is left of a px, and what of the level's colour is added (see mixed). */
export function blendTables(/** @type {Uint8Array} */ table, /** @type {number} */ opacity) {
  const alpha = Math.round(256 * opacity);
  const redBlue = new Int32Array(256);
  const green = new Int32Array(256);
  for (let v = 0; v < 256; v++) {
    redBlue[v] = Math.imul(table[3 * v] | (table[3 * v + 2] << 16), alpha);
    green[v] = table[3 * v + 1] * alpha;
  }
  return { keep: new Int32Array(256).fill(256 - alpha), redBlue, green };
}

export function multiplyTables() {
  // Half a level is added: Pillow rounds the product.
  const keep = Int32Array.from({ length: 256 }, (_, v) => Math.round((v * 256) / 255));
  const redBlue = new Int32Array(256).fill(0x00800080);
  return { keep, redBlue, green: new Int32Array(256).fill(0x80) };
}

/** The shade of each colour that edges between cells are drawn in. */
export function edgeTable(/** @type {Uint8Array} */ table) {
  const shades = new Uint8Array(table.length);
  for (let v = 0; v < 256; v++) {
    const [r, g, b] = table.subarray(3 * v, 3 * v + 3);
    const light = 0.299 * r + 0.587 * g + 0.114 * b > 128;
    [r, g, b].forEach((c, i) => {
      shades[3 * v + i] = light ? c * 0.72 : c + (255 - c) * 0.28;
    });
  }
  return shades;
}

/** Which px along an axis lie on an edge between cells: uint8, 0 or 1. */
export function edgeLines(
  /** @type {import("./geometry.js").Axis} */ { nearest, first, end },
  /** @type {number} */ length,
  /** @type {number} */ thick,
) {
  const lines = new Uint8Array(length);
  for (let i = first + 1; i < end; i++) {
    if (nearest[i] === nearest[i - 1]) continue;
    for (let t = 0; t < thick; t++) {
      lines[clamp(i - Math.floor(thick / 2) + t, 0, length - 1)] = 1;
    }
  }
  return lines;
}

/** How a px near the outline is drawn, by the blurred area's value there. */
export function outlineTables() {
  const keep = new Int32Array(256);
  const redBlue = new Int32Array(256);
  const green = new Int32Array(256);
  for (let b = 0; b < 256; b++) {
    const away = Math.abs(b / 255 - 0.5);
    const cover = (/** @type {number} */ reach) => clamp((reach - away) / 0.12, 0, 1);
    const dark = 0.6 * cover(0.5);
    const white = Math.round(256 * cover(0.34));
    keep[b] = Math.round((1 - dark) * (256 - white));
    redBlue[b] = Math.imul(RED_BLUE, white);
    green[b] = 255 * white;
  }
  return { keep, redBlue, green };
}

/** What a pixel becomes that the network did not see: pale and grey. */
export function greyed(/** @type {number} */ p) {
  const [r, g, b] = [p & 0xff, (p >>> 8) & 0xff, (p >>> 16) & 0xff];
  const luma = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >>> 16;
  return OPAQUE | Math.imul((luma * 0.4 + 235 * 0.6) | 0, 0x010101);
}

/** A canvas's context, the canvas being made of a size if one is given. */
export function contextOf(
  /** @type {HTMLCanvasElement} */ canvas,
  /** @type {?{width: number, height: number}} */ size = null,
) {
  if (size && canvas.width !== size.width) canvas.width = size.width;
  if (size && canvas.height !== size.height) canvas.height = size.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("the browser gives no canvas to draw on");
  return context;
}

/** Black or white, whichever stands out more on a colour (WCAG's relative luminance). */
export function inkOn(/** @type {number[]} */ colour) {
  const linear = (/** @type {number} */ v) =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = colour.slice(0, 3).map((level) => linear(level / 255));
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return (luminance + 0.05) ** 2 > 1.05 * 0.05 ? "#000" : "#fff";
}
