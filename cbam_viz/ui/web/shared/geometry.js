// Where on a photo a cell lies, and which cell lies at a point. The arithmetic is that of
// cbam_viz/explain/view.py. Points are shares of the photo's width and height.

import { clamp } from "./numbers.js";

/** @typedef {[number, number]} Point [x, y] on the photo, in shares of its width and height. */
/** @typedef {[number, number, number, number]} Box [left, top, right, bottom] in px of the resized photo. */
/**
 * @typedef {object} View the geometry between photo and network input, each [x, y].
 * @property {[number, number]} resized size of the resized photo, in px.
 * @property {[number, number]} offset of the input's corner on it.
 * @property {[number, number]} size of the input, in px.
 */
/**
 * @typedef {object} Grid a map's cells.
 * @property {number} rows
 * @property {number} columns
 * @property {number} stride input px from one cell to the next.
 */
/** @typedef {{row: number, column: number}} Cell both from 0. */

/** @returns {?Cell} the nearest cell to a point; null where the network saw nothing. */
export function cellAt(
  /** @type {View} */ view,
  /** @type {Grid} */ grid,
  /** @type {number[]} */ point,
) {
  const { resized, offset, size } = view;
  const input = point.map((share, axis) => share * resized[axis] - offset[axis]);
  if (input.some((x, axis) => !(x >= 0 && x <= size[axis]))) return null;
  // Cell c is centred on input px s*c, that is at s*c + 0.5: the centre of its receptive field.
  const [column, row] = input.map((x, axis) => {
    const last = (axis ? grid.rows : grid.columns) - 1;
    return Math.floor(clamp((x - 0.5) / grid.stride, 0, last) + 0.5);
  });
  return { row, column };
}

/** @returns {Point} the point of the photo at a cell's centre. */
export function centreOf(
  /** @type {View} */ view,
  /** @type {Grid} */ grid,
  /** @type {Cell} */ cell,
) {
  const { resized, offset, size } = view;
  const along = (/** @type {number} */ at, /** @type {number} */ axis) =>
    (Math.min(at * grid.stride + 0.5, size[axis]) + offset[axis]) / resized[axis];
  return [along(cell.column, 0), along(cell.row, 1)];
}

/** @returns {Box} where a cell is the nearest one. */
export function cellBox(
  /** @type {View} */ view,
  /** @type {Grid} */ grid,
  /** @type {Cell} */ cell,
) {
  const edges = (
    /** @type {number} */ at,
    /** @type {number} */ count,
    /** @type {number} */ length,
  ) => [
    at === 0 ? 0 : grid.stride * (at - 0.5) + 0.5,
    at === count - 1 ? length : grid.stride * (at + 0.5) + 0.5,
  ];
  const [left, right] = edges(cell.column, grid.columns, view.size[0]);
  const [top, bottom] = edges(cell.row, grid.rows, view.size[1]);
  return onResized(view, [left, top, right, bottom]);
}

/** @returns {Box} a square of a side in input px about a cell's centre, as far as it lies in the input. */
export function fieldBox(
  /** @type {View} */ view,
  /** @type {Grid} */ grid,
  /** @type {Cell} */ cell,
  /** @type {number} */ side,
) {
  const [width, height] = view.size;
  const [x, y] = [cell.column * grid.stride + 0.5, cell.row * grid.stride + 0.5];
  const half = side / 2;
  return onResized(view, [
    clamp(x - half, 0, width),
    clamp(y - half, 0, height),
    clamp(x + half, 0, width),
    clamp(y + half, 0, height),
  ]);
}

/** @returns {Box} of one in px of the input. */
function onResized(/** @type {View} */ view, /** @type {Box} */ [left, top, right, bottom]) {
  const [x, y] = view.offset;
  return [left + x, top + y, right + x, bottom + y];
}

/**
 * Where along one axis of a map the pixels of a picture lie, in cells.
 *
 * @param {number} cells of the map along the axis.
 * @param {number} stride of the map, in input px.
 * @param {number} samples px of the picture along the axis.
 * @param {{resized: number, offset: number, size: number}} along the view along the axis, in px.
 * @returns {Axis}
 */
export function axisOf(cells, stride, samples, { resized, offset, size }) {
  const low = new Int32Array(samples);
  const share = new Float32Array(samples);
  const nearest = new Int32Array(samples);
  let first = samples;
  let end = 0;
  for (let i = 0; i < samples; i++) {
    const x = (i + 0.5) * (resized / samples) - offset;
    if (x < 0 || x > size) continue;
    first = Math.min(first, i);
    end = i + 1;
    const position = clamp((x - 0.5) / stride, 0, cells - 1);
    low[i] = Math.min(Math.floor(position), Math.max(cells - 2, 0));
    share[i] = position - low[i];
    nearest[i] = Math.floor(position + 0.5);
  }
  return { low, share, nearest, first, end };
}
/**
 * @typedef {object} Axis for each px along one axis
 * @property {Int32Array} low the cell before it.
 * @property {Float32Array} share of the cell after that one.
 * @property {Int32Array} nearest the nearest cell.
 * @property {number} first the model saw the px from this one
 * @property {number} end to before this one.
 */
