// One block on one photo, as the course shows it: the inside of the block, and what goes beyond.

import { decodeFloats, decodeGate, decodeBytes } from "../shared/numbers.js";
import { Block } from "../inside/block.js";

/** @import { Payload } from "../inside/block.js" */

/**
 * What Python sends: see `lesson` in cbam_viz/ui/course.py.
 *
 * @typedef {object} SentLesson
 * @property {Payload} block
 * @property {Array<{channel: number, map: string}>} more
 * @property {string} winners
 * @property {Array<{opening: number, map: string}>} openings
 * @property {Array<{name: string, stride: number, rows: number, columns: number, spatial: string}>} blocks
 * @property {?string} example
 * @property {Array<{label: string, label_zh: string, index: number, probability: number}>} predictions
 * @property {{all: number, gates: number}} weights
 */

export class Lesson extends Block {
  constructor(/** @type {SentLesson} */ sent) {
    super(sent.block);
    const more = sent.more.map(({ channel, map }) => ({ channel, map: decodeFloats(map) }));
    /** Channels whose maps are here, from the least average to the greatest. */
    this.shown = [...this.examples, ...more].sort(
      (a, b) => this.pooled.average[a.channel] - this.pooled.average[b.channel],
    );
    const winners = new DataView(decodeBytes(sent.winners).buffer);
    /** For each cell the channel that gives the maximum of F′. */
    this.winners = Uint16Array.from({ length: winners.byteLength / 2 }, (_, i) =>
      winners.getUint16(2 * i, true),
    );
    this.openings = sent.openings.map(({ opening, map }) => ({ opening, map: decodeFloats(map) }));
    this.blocks = sent.blocks.map((block) => ({ ...block, spatial: decodeGate(block.spatial) }));
    this.example = sent.example;
    this.predictions = sent.predictions;
    this.weights = sent.weights;
  }

  /** The map of a channel, if it is here. */
  mapOf(/** @type {number} */ channel) {
    return this.shown.find((one) => one.channel === channel)?.map;
  }

  /** The geometry of the photo as the network saw it: nothing of it lies outside. */
  get whole() {
    const { size } = this.view;
    return { resized: size, offset: /** @type {[number, number]} */ ([0, 0]), size };
  }
}

/** How alike two maps are: Pearson's correlation, in −1..1; NaN where one is constant. */
export function correlation(/** @type {Float32Array} */ a, /** @type {Float32Array} */ b) {
  const mean = (/** @type {Float32Array} */ v) => v.reduce((x, y) => x + y, 0) / v.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) ** 2;
    bb += (b[i] - mb) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}
