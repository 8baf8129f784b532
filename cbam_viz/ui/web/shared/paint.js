// A map drawn over a photo. The arithmetic is that of cbam_viz/render/overlay.py: what is drawn here
// and what is exported there agree to two grey levels. So sums and products of values are rounded to
// 32-bit floats, as numpy rounds them: half a level less would be another colour.

import { boxBlur, smallestArea } from "./contour.js";
import { axisOf } from "./geometry.js";
import {
  blendTables,
  edgeLines,
  edgeTable,
  greyed,
  levelOf,
  mixed,
  multiplyTables,
  outlineTables,
} from "./pixels.js";

/** @import { Axis, Grid, View } from "./geometry.js" */
/** @import { Outlined } from "./contour.js" */
/** @typedef {Grid & {spatial: Float32Array}} SpatialMap a block's spatial gate, row by row. */
/**
 * @typedef {object} Look how a map is drawn.
 * @property {string} mode "heat", "multiply", "contour" or "cells".
 * @property {Uint8Array} table of 256 colours, red, green, blue.
 * @property {number} opacity 0 to 1.
 * @property {number} low the value that the scale's low end stands for.
 * @property {number} high the value that the scale's high end stands for.
 * @property {number} keep for contour: the share of attention inside the outline.
 * @property {number} [least] for contour: a map that spans less is nearly constant: no outline.
 */

const { fround } = Math;

/** Cells get visible edges from this many px on; smaller ones would be all edge. */
const EDGES_FROM = 12;

/** A map on the scale from low to high; one that is constant on its own scale becomes 0.5. */
function scaled(
  /** @type {Float32Array} */ gate,
  /** @type {number} */ low,
  /** @type {number} */ high,
) {
  const span = fround(high - low);
  return gate.map((v) => (span > 0 ? fround(v - low) / span : 0.5));
}

function spanOf(/** @type {Float32Array} */ values) {
  return values.reduce((a, b) => Math.max(a, b)) - values.reduce((a, b) => Math.min(a, b));
}

/** Draws maps over one photo, at one size. Keeps its buffers from one drawing to the next. */
export class Painter {
  /**
   * @param {ImageData} photo at the size to draw at.
   * @param {View} view
   */
  constructor(photo, view) {
    this.width = photo.width;
    this.height = photo.height;
    this.view = view;
    this.photo = new Uint32Array(photo.data.buffer);
    this.image = new ImageData(photo.width, photo.height);
    this.out = new Uint32Array(this.image.data.buffer);
    /** @type {Map<string, Axis>} */
    this.axes = new Map();
    /** @type {Map<string, any>} */
    this.buffers = new Map();
  }

  /**
   * Draw a map into `image`.
   *
   * @param {SpatialMap} block whose spatial gate to draw.
   * @param {Look} look
   * @returns {?Outlined} for contour; its level is on the look's scale.
   */
  paint(block, look) {
    const cells = scaled(block.spatial, look.low, look.high);
    const x = this.axis(block.columns, block.stride, 0);
    const y = this.axis(block.rows, block.stride, 1);
    let outlined = null;
    if (look.mode === "contour" && spanOf(block.spatial) < (look.least ?? 0)) {
      this.out.set(this.photo);
    } else if (look.mode === "contour")
      outlined = this.drawContour(cells, x, y, block.columns, look);
    else if (look.mode === "cells") this.drawCells(cells, x, y, block, look);
    else this.drawSmooth(cells, x, y, block.columns, look);
    this.drawUnseen(x, y);
    return outlined;
  }

  axis(cells, stride, axis) {
    const key = `${axis} ${cells} ${stride}`;
    if (!this.axes.has(key)) {
      const { resized, offset, size } = this.view;
      const along = { resized: resized[axis], offset: offset[axis], size: size[axis] };
      this.axes.set(key, axisOf(cells, stride, axis ? this.height : this.width, along));
    }
    return this.axes.get(key);
  }

  /** A buffer of one entry a px, made once. */
  buffer(name, type) {
    if (!this.buffers.has(name)) this.buffers.set(name, new type(this.width * this.height));
    return this.buffers.get(name);
  }

  /** Heat and multiply. Each level 0..255 acts on a px as p * keep + add. */
  drawSmooth(cells, x, y, columns, look) {
    const { keep, redBlue, green } =
      look.mode === "heat" ? blendTables(look.table, look.opacity) : multiplyTables();
    const { photo, out, width } = this;
    const { low, share } = x;
    const row = new Float32Array(columns);
    const step = new Float32Array(columns);
    for (let j = y.first; j < y.end; j++) {
      interpolateRow(cells, y.low[j], y.share[j], columns, row, step);
      for (let i = x.first, at = j * width + i; i < x.end; i++, at++) {
        const c = low[i];
        const level = levelOf(fround(row[c] + fround(step[c] * share[i])));
        out[at] = mixed(photo[at], keep[level], redBlue[level], green[level]);
      }
    }
  }

  drawCells(cells, x, y, block, look) {
    const { photo, out, width } = this;
    const plain = blendTables(look.table, look.opacity);
    const edge = blendTables(edgeTable(look.table), look.opacity);
    const [wide, tall] = this.view.resized;
    const cell = block.stride * Math.min(width / wide, this.height / tall);
    const thick = cell < EDGES_FROM ? 0 : Math.max(1, Math.round(cell / 64));
    const onEdgeX = edgeLines(x, width, thick);
    const onEdgeY = edgeLines(y, this.height, thick);
    for (let j = y.first; j < y.end; j++) {
      const start = y.nearest[j] * block.columns;
      for (let i = x.first, at = j * width + i; i < x.end; i++, at++) {
        const level = levelOf(cells[start + x.nearest[i]]);
        const { keep, redBlue, green } = onEdgeX[i] | onEdgeY[j] ? edge : plain;
        out[at] = mixed(photo[at], keep[level], redBlue[level], green[level]);
      }
    }
  }

  drawContour(cells, x, y, columns, look) {
    const values = this.interpolated(cells, x, y, columns);
    const { level, held, area } = smallestArea(values, x, y, this.width, look.keep, cells);
    const inside = this.buffer("inside", Uint8Array).fill(0);
    for (let j = y.first; j < y.end; j++) {
      for (let i = x.first, at = j * this.width + i; i < x.end; i++, at++) {
        inside[at] = values[at] >= level ? 255 : 0;
      }
    }
    const radius = Math.max(1.6, Math.min(this.width, this.height) / 170);
    const across = this.buffer("across", Uint8Array);
    const blurred = this.buffer("blurred", Uint8Array);
    boxBlur(inside, this.width, this.height, radius, across, blurred);
    this.drawOutline(inside, blurred, look.opacity);
    return { level, held, area };
  }

  /** The map's value at each px that the model saw. */
  interpolated(cells, x, y, columns) {
    const values = this.buffer("values", Float32Array);
    const { low, share } = x;
    const row = new Float32Array(columns);
    const step = new Float32Array(columns);
    for (let j = y.first; j < y.end; j++) {
      interpolateRow(cells, y.low[j], y.share[j], columns, row, step);
      for (let i = x.first, at = j * this.width + i; i < x.end; i++, at++) {
        values[at] = row[low[i]] + fround(step[low[i]] * share[i]);
      }
    }
    return values;
  }

  /** The photo, dimmed outside; a white line in a dark rim where the blurred area is near 0.5. */
  drawOutline(inside, blurred, opacity) {
    const { photo, out } = this;
    const dim = Math.round(256 * (1 - opacity));
    const { keep, redBlue, green } = outlineTables();
    for (let at = 0; at < out.length; at++) {
      const p = inside[at] ? photo[at] : mixed(photo[at], dim, 0, 0);
      const b = blurred[at];
      out[at] = b === 0 || b === 255 ? p : mixed(p, keep[b], redBlue[b], green[b]);
    }
  }

  /** Grey for what lies outside the evaluation crop. */
  drawUnseen(x, y) {
    const { width, height } = this;
    if (x.first === 0 && y.first === 0 && x.end === width && y.end === height) return;
    for (let j = 0, at = 0; j < height; j++) {
      const row = j >= y.first && j < y.end;
      for (let i = 0; i < width; i++, at++) {
        if (row && i >= x.first && i < x.end) continue;
        this.out[at] = greyed(this.photo[at]);
      }
    }
  }
}

/** One row of a map between two rows of cells, and the differences of neighbours in it. */
function interpolateRow(cells, low, share, columns, row, step) {
  const above = low * columns;
  const below = Math.min(above + columns, cells.length - columns);
  for (let c = 0; c < columns; c++) {
    const a = cells[above + c];
    row[c] = a + fround(fround(cells[below + c] - a) * share);
  }
  for (let c = 0; c < columns - 1; c++) step[c] = row[c + 1] - row[c];
}
