// One explanation in the browser: photo, blocks, geometry.

import { cellAt } from "../shared/geometry.js";
import { decodeBytes, decodeGate, figuresOf } from "../shared/numbers.js";
import { Painter } from "../shared/paint.js";
import { contextOf } from "../shared/pixels.js";

/** @import { Cell } from "../shared/geometry.js" */
/** @import { Figures } from "../shared/numbers.js" */
/** @import { Payload, SentBlock } from "./payload.js" */

/** The pictures that are drawn are no larger than this, in px; the payload's photo is not either. */
const DRAWN_SIDE = 1024;
const THUMB_SIDE = 176;

/** @typedef {"spatial" | "channel"} Gate */
/**
 * @typedef {Omit<SentBlock, Gate> & Record<Gate, Float32Array> & {figures: Record<Gate, Figures>}} Block
 */

/** A payload, decoded. */
export class Subject {
  /**
   * @param {Payload} payload
   * @param {HTMLImageElement} photo decoded.
   */
  constructor(payload, photo) {
    this.payload = payload;
    this.view = payload.view;
    /** @type {Block[]} */
    this.blocks = payload.blocks.map((block) => {
      const spatial = decodeGate(block.spatial);
      const channel = decodeGate(block.channel);
      const figures = { spatial: figuresOf(spatial), channel: figuresOf(channel) };
      return { ...block, spatial, channel, figures };
    });
    this.tables = Object.fromEntries(
      Object.entries(payload.tables).map(([name, table]) => [name, decodeBytes(table)]),
    );
    const side = Math.max(photo.naturalWidth, photo.naturalHeight);
    // Whole multiples keep a small photo's pixels what they are.
    this.painter = this.painterOf(photo, Math.max(1, Math.floor(DRAWN_SIDE / side)));
    this.thumbPainter = this.painterOf(photo, THUMB_SIDE / side);
  }

  /** @returns {Promise<Subject>} once the photo is decoded. */
  static async open(/** @type {Payload} */ payload) {
    const photo = new Image();
    photo.src = payload.photo.url;
    await photo.decode();
    return new Subject(payload, photo);
  }

  painterOf(/** @type {HTMLImageElement} */ photo, /** @type {number} */ factor) {
    const width = Math.max(1, Math.round(photo.naturalWidth * factor));
    const height = Math.max(1, Math.round(photo.naturalHeight * factor));
    const c = contextOf(document.createElement("canvas"), { width, height });
    c.imageSmoothingQuality = "high";
    c.drawImage(photo, 0, 0, width, height);
    return new Painter(c.getImageData(0, 0, width, height), this.view);
  }

  get names() {
    return this.blocks.map((block) => block.name);
  }

  /** @returns {Block} that has a name, which must be one of those there are. */
  block(/** @type {string} */ name) {
    return /** @type {Block} */ (this.blocks.find((block) => block.name === name));
  }

  /** Whether a gate's values span so little that there is nothing to see. */
  isConstant(/** @type {Figures} */ { min, max }) {
    return max - min < this.payload.nearlyConstant;
  }

  /** The block of another stage whose spatial gate tells places apart the most. @returns {string} */
  widestBeside(/** @type {string} */ name) {
    const { stage } = this.block(name);
    const span = (/** @type {Block} */ { figures: { spatial } }) => spatial.max - spatial.min;
    const others = this.blocks.filter((block) => block.stage !== stage);
    const [widest] = others.sort((a, b) => span(b) - span(a));
    return (widest ?? this.blocks[0]).name;
  }

  /** Least and greatest value of one kind of gate of some blocks. */
  static range(/** @type {Block[]} */ blocks, /** @type {Gate} */ gate) {
    const figures = blocks.map((block) => block.figures[gate]);
    return [Math.min(...figures.map((f) => f.min)), Math.max(...figures.map((f) => f.max))];
  }

  /**
   * The cell of a block at a point of the photo, and the spatial gate's value there.
   *
   * @returns {?(Cell & {value: number})} null where the network saw nothing.
   */
  cellAt(/** @type {Block} */ block, /** @type {number[]} */ point) {
    const cell = cellAt(this.view, block, point);
    return cell && { ...cell, value: block.spatial[cell.row * block.columns + cell.column] };
  }
}
