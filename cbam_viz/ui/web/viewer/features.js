// The feature maps of the channels that are named, as Python's `features` sends them.

import { decodeBytes } from "../shared/numbers.js";
import { paintCells } from "../shared/pixels.js";
import { awaiting } from "../shared/waiting.js";

/** @import { SentFeatures } from "./payload.js" */
/** @import { Block } from "./subject.js" */

/** After so many ms without an answer, it can be asked for again. */
const PATIENCE = 30000;
/** Two ways of computing one gate differ by less than this; the gates of two photos hardly do. */
const SAME_GATE = 1e-3;

/** The maps of one block, by channel, on one scale. */
export class FeatureMaps {
  constructor(/** @type {SentFeatures} */ { low, high, most, table, columns, channels }) {
    this.most = most;
    this.table = decodeBytes(table);
    // The ends of the colours, as levels: equally far to both sides of the level of 0.
    const level = (/** @type {number} */ value) => (255 * (value - low)) / (high - low || 1);
    this.colours = { table: this.table, low: level(-most), high: level(most) };
    this.columns = columns;
    this.count = channels.length;
    /** @type {Map<number, {min: number, max: number, levels: Uint8Array}>} */
    this.maps = new Map();
    for (const { channel, min, max, levels } of channels) {
      this.maps.set(channel, { min, max, levels: decodeBytes(levels) });
    }
  }

  /** Whether an answer is about a block as it is here, and not on the photo that was here before. */
  static isOf(/** @type {Block} */ block, /** @type {SentFeatures} */ { rows, columns, channels }) {
    const same = channels.every(
      ({ channel, gate }) => Math.abs(gate - block.channel[channel]) < SAME_GATE,
    );
    return same && rows === block.rows && columns === block.columns;
  }

  /** Draw a channel's map, one px a cell. */
  paint(/** @type {HTMLCanvasElement} */ canvas, /** @type {Uint8Array} */ levels) {
    paintCells(canvas, levels, this.columns, this.colours);
  }
}

/** The feature maps of one explanation's blocks: those that came, and those that were asked for. */
export class FeatureStore {
  constructor() {
    /** @type {Map<string, FeatureMaps>} */
    this.kept = new Map();
    /** @type {Map<string, () => void>} what ends the waiting for each. */
    this.awaited = new Map();
  }

  /** @returns {?FeatureMaps} of a block, if they are there. */
  of(/** @type {string} */ block) {
    return this.kept.get(block) ?? null;
  }

  isAwaited(/** @type {string} */ block) {
    return this.awaited.has(block);
  }

  /** A block's are on their way; `onLate` is called if they do not come. */
  await(/** @type {string} */ block, /** @type {() => void} */ onLate) {
    const late = () => {
      this.awaited.delete(block);
      onLate();
    };
    this.awaited.set(block, awaiting(PATIENCE, late));
  }

  keep(/** @type {string} */ block, /** @type {FeatureMaps} */ maps) {
    this.awaited.get(block)?.();
    this.awaited.delete(block);
    this.kept.set(block, maps);
  }

  clear() {
    this.kept.clear();
    this.awaited.forEach((there) => there());
    this.awaited.clear();
  }
}
