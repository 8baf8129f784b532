// A block and a photo in numbers: what Python sends, decoded, and the arithmetic on it.

import { cellAt, centreOf } from "../shared/geometry.js";
import { decodeBytes, decodeFloats } from "../shared/numbers.js";

/** @import { Point, View } from "../shared/geometry.js" */

/**
 * What Python sends: see `payload` in cbam_viz/ui/inside.py. Arrays are little-endian float32 in
 * base64 if nothing else is said.
 *
 * @typedef {object} Payload
 * @property {string} name torchvision's path of the block.
 * @property {number} stride
 * @property {number} rows
 * @property {number} columns
 * @property {number} channels
 * @property {{url: string, size: [number, number]}} photo what the network saw of it.
 * @property {View & {squeezed: boolean}} view
 * @property {{name: string, untrained: ?string}} model
 * @property {Array<{label: string, label_zh?: string, probability: number}>} predictions
 * @property {Record<"signed" | "gate", string>} tables colour tables: uint8 [256, 3].
 * @property {Record<"features" | "maximum" | "mean" | "logits" | "gate" | "shortcut" | "output", string>} maps
 * @property {Array<{channel: number, map: string}>} examples
 * @property {number} most the greatest magnitude of the channels' maps that are shown.
 * @property {{side: number, weights: string}} kernel
 * @property {?[number, number]} norm scale and shift.
 * @property {Record<Branch, string>} pooled
 * @property {Record<Branch, string>} hidden
 * @property {Record<Branch, string>} logits
 * @property {string} gate
 * @property {{largest: string, shares: string}} weights of the perceptron's second layer: `shares`
 *   is int16 [channels, hidden units], of 32767 times their share of the channel's largest.
 * @property {?string} bias
 * @property {Record<string, number>} sizes
 * @property {number} reach
 * @property {number} nearlyConstant
 */
/** @typedef {"average" | "maximum"} Branch of the channel gate's perceptron. */
/** @typedef {"maximum" | "mean"} Plane of the spatial gate's convolution. */
/**
 * @typedef {object} Term one weight of the kernel at one cell.
 * @property {number} row of the map, outside it too.
 * @property {number} column likewise.
 * @property {number} weight
 * @property {number} value 0 outside the map.
 * @property {boolean} inside
 * @property {number} product
 */

export const sigmoid = (/** @type {number} */ x) => 1 / (1 + Math.exp(-x));

export const sumOf = (/** @type {Iterable<number>} */ values) => {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
};

/** @template {string} K @returns {Record<K, Float32Array>} */
function decodedFloats(/** @type {Record<K, string>} */ texts) {
  const entries = /** @type {[K, string][]} */ (Object.entries(texts));
  return /** @type {Record<K, Float32Array>} */ (
    Object.fromEntries(entries.map(([key, text]) => [key, decodeFloats(text)]))
  );
}

export class Block {
  constructor(/** @type {Payload} */ payload) {
    this.name = payload.name;
    this.stride = payload.stride;
    this.rows = payload.rows;
    this.columns = payload.columns;
    this.channels = payload.channels;
    this.photo = payload.photo;
    this.view = payload.view;
    this.model = payload.model;
    this.predictions = /** @type {Array<Record<string, any>>} */ (payload.predictions);
    this.norm = payload.norm;
    this.sizes = payload.sizes;
    this.reach = payload.reach;
    this.most = payload.most;
    this.nearlyConstant = payload.nearlyConstant;
    this.tables = {
      signed: decodeBytes(payload.tables.signed),
      gate: decodeBytes(payload.tables.gate),
    };
    const maps = decodedFloats(payload.maps);
    const refined = maps.mean.map((v, i) => v * maps.gate[i]);
    const total = refined.map((v, i) => v + maps.shortcut[i]);
    this.maps = { ...maps, refined, total };
    this.examples = payload.examples.map(({ channel, map }) => ({
      channel,
      map: decodeFloats(map),
    }));
    this.pooled = decodedFloats(payload.pooled);
    this.hidden = decodedFloats(payload.hidden);
    this.logits = decodedFloats(payload.logits);
    this.sums = this.logits.average.map((v, c) => v + this.logits.maximum[c]);
    this.gate = decodeFloats(payload.gate);
    this.bias = payload.bias == null ? null : decodeFloats(payload.bias);
    this.largest = decodeFloats(payload.weights.largest);
    this.shares = new DataView(decodeBytes(payload.weights.shares).buffer);
    this.side = payload.kernel.side;
    const weights = decodeFloats(payload.kernel.weights);
    const plane = this.side ** 2;
    this.kernels = { maximum: weights.slice(0, plane), mean: weights.slice(plane) };
  }

  /** What one plane of the kernel makes of a cell: a term for each of its weights. @returns {Term[]} */
  terms(/** @type {Plane} */ plane, /** @type {number} */ row, /** @type {number} */ column) {
    const { side, rows, columns } = this;
    const map = this.maps[plane];
    return Array.from(this.kernels[plane], (weight, i) => {
      const r = row + Math.floor(i / side) - (side >> 1);
      const c = column + (i % side) - (side >> 1);
      const inside = r >= 0 && r < rows && c >= 0 && c < columns;
      const value = inside ? map[r * columns + c] : 0;
      // In float32, as the network multiplies.
      const product = inside ? Math.fround(weight * value) : 0;
      return { row: r, column: c, weight, value, inside, product };
    });
  }

  /** The way of a cell from both planes to the gate. */
  cell(/** @type {number} */ row, /** @type {number} */ column) {
    const maximum = this.terms("maximum", row, column);
    const mean = this.terms("mean", row, column);
    const sums = [maximum, mean].map((terms) => sumOf(terms.map((t) => t.product)));
    const total = sums[0] + sums[1];
    const [scale, shift] = this.norm ?? [1, 0];
    const logit = total * scale + shift;
    return { maximum, mean, sums, total, logit, gate: sigmoid(logit) };
  }

  /** The hidden units of one branch, and what each adds to a channel's logit. */
  units(/** @type {Branch} */ branch, /** @type {number} */ channel) {
    const hidden = this.hidden[branch];
    const step = this.largest[channel] / 32767;
    return Array.from(hidden, (activation, unit) => {
      const weight = this.shares.getInt16(2 * (channel * hidden.length + unit), true) * step;
      return { unit, activation, weight, adds: activation * weight };
    });
  }

  /** The cell with the greatest gate. */
  get brightest() {
    const { gate } = this.maps;
    const most = gate.indexOf(gate.reduce((a, b) => Math.max(a, b)));
    return { row: Math.floor(most / this.columns), column: most % this.columns };
  }

  /** The cell at a point on the photo; null where the network saw nothing. */
  cellAt(/** @type {Point} */ point) {
    return cellAt(this.view, this, point);
  }

  /** A cell's centre on the photo, as a point. */
  centreOf(/** @type {number} */ row, /** @type {number} */ column) {
    return centreOf(this.view, this, { row, column });
  }
}
