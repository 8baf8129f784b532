// The feature maps of the channels that are named, as Python's `features` sends them.

import { decodeBytes } from "../shared/numbers.js";
import { paintCells } from "../shared/pixels.js";

/** @import { SentFeatures } from "./payload.js" */
/** @import { Block } from "./subject.js" */

/** Not the colours that attention has to begin with: these are not taken for attention. */
export const FEATURE_COLOURS = "viridis";
/** After so many ms without an answer, it can be asked for again. */
export const PATIENCE = 30000;
/** Two ways of computing one gate differ by less than this; the gates of two photos hardly do. */
const SAME_GATE = 1e-3;

/** The maps of one block, by channel, on one scale. */
export class FeatureMaps {
  constructor(/** @type {SentFeatures} */ { low, high, columns, channels }) {
    this.low = low;
    this.high = high;
    this.columns = columns;
    this.count = channels.length;
    this.maps = new Map();
    for (const { channel, min, max, levels } of channels) {
      this.maps.set(channel, { min, max, levels: decodeBytes(levels) });
    }
  }

  /** Whether an answer is about a block as it is here, and not on the photo that was here before. */
  static isOf(/** @type {Block} */ block, /** @type {SentFeatures} */ { rows, columns, channels }) {
    const same = ({ channel, gate }) => Math.abs(gate - block.channel[channel]) < SAME_GATE;
    return rows === block.rows && columns === block.columns && channels.every(same);
  }

  /** Draw a channel's map, one px a cell. */
  paint(canvas, channel, table) {
    paintCells(canvas, this.maps.get(channel).levels, this.columns, { table, low: 0, high: 255 });
  }
}
