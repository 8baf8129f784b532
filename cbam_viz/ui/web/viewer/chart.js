// The channel weights as bars.

import { h, setText } from "../shared/dom.js";
import { scaleStep } from "../shared/keys.js";

/** How many of the strongest, and of the weakest, channels are named; Python says the same. */
const NAMED = 6;

/** In px: room for the axis, for the mean's label, heights of one row of bars and of several. */
const CHART = { left: 46, right: 58, top: 10, bottom: 10, single: 168, several: 56, gap: 18 };
/** Bars are given this many px, and as many rows as that takes, up to a number of rows. */
const BAR_PITCH = 2.2;
const MOST_ROWS = 6;

/** Channels from the strongest weight to the weakest. */
function fallingChannels(weights) {
  return Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a] || a - b);
}

/** All weights of a channel gate, upwards or downwards from the neutral 0.5. */
export class ChannelChart {
  /**
   * @param {Function} t gives the words of a key.
   * @param {Function} onPick called with a channel that was clicked or moved to.
   */
  constructor(t, onPick) {
    this.t = t;
    this.onPick = onPick;
    this.canvas = h("canvas");
    this.tag = h("div", { class: "cv-tag", hidden: true });
    const attributes = { class: "cv-chart", tabindex: "0", role: "slider" };
    this.element = h("div", attributes, this.canvas, this.tag);
    this.element.addEventListener("pointermove", (e) => this.hover(this.channelAt(e)));
    this.element.addEventListener("pointerleave", () => this.hover(null));
    this.element.addEventListener("click", (e) => this.pick(this.channelAt(e)));
    this.element.addEventListener("keydown", (e) => this.onKey(e));
    this.hovered = null;
  }

  /**
   * @param {import("./subject.js").Block} block whose channel gate to show.
   * @param {number[]} range the values at the chart's foot and top; 0.5, where bars begin, is
   *   always in it.
   * @param {string} order "channel" or "sorted".
   * @param {?number} picked channel to mark.
   */
  set(block, range, order, picked) {
    this.low = Math.min(range[0], 0.5);
    this.high = Math.max(range[1], 0.5);
    this.weights = block.channel;
    this.figures = block.figures.channel;
    this.falling = fallingChannels(this.weights);
    this.shown = order === "sorted" ? this.falling : Array.from(this.weights.keys());
    this.order = order;
    this.places = new Int32Array(this.shown.length);
    this.shown.forEach((channel, place) => (this.places[channel] = place));
    this.picked = picked;
    this.hovered = null;
    const { element } = this;
    element.setAttribute("aria-label", this.t("chart", { block: block.name }));
    element.setAttribute("aria-valuemin", 0);
    element.setAttribute("aria-valuemax", this.shown.length - 1);
    const place = picked == null ? 0 : this.places[picked];
    element.setAttribute("aria-valuenow", place);
    element.setAttribute("aria-valuetext", this.describe(this.shown[place]));
    this.draw();
  }

  describe(channel) {
    const { t, weights } = this;
    const rank = this.falling.indexOf(channel) + 1;
    const words = [t("channel", { channel }), weights[channel].toFixed(4)];
    return [...words, t("rank", { rank, count: weights.length })].join(" · ");
  }

  pick(channel) {
    if (channel != null) this.onPick(channel);
  }

  hover(channel) {
    if (channel === this.hovered) return;
    this.hovered = channel;
    this.draw();
  }

  onKey(event) {
    const place = this.picked == null ? -1 : this.places[this.picked];
    const next = scaleStep(event.key, place, this.shown.length);
    if (next == null) return;
    event.preventDefault();
    this.pick(this.shown[next]);
  }

  /** Where everything lies, in CSS px. A place is a channel's in the order that is shown. */
  get layout() {
    const { shown, low, high } = this;
    const width = Math.max(this.element.clientWidth, 200);
    const plot = width - CHART.left - CHART.right;
    const wanted = this.order === "sorted" ? 1 : Math.ceil((shown.length * BAR_PITCH) / plot);
    const rows = Math.min(wanted, MOST_ROWS);
    const perRow = Math.ceil(shown.length / rows);
    const pitch = plot / perRow;
    const tall = rows === 1 ? CHART.single : CHART.several;
    const height = CHART.top + CHART.bottom + rows * tall + (rows - 1) * CHART.gap;
    const top = (row) => CHART.top + row * (tall + CHART.gap);
    return {
      width,
      height,
      plot,
      rows,
      perRow,
      pitch,
      tall,
      x: (place) => CHART.left + (place % perRow) * pitch,
      y: (row, value) => top(row) + ((high - value) / (high - low || 1)) * tall,
      row: (place) => Math.floor(place / perRow),
      length: (row) => Math.min(perRow, shown.length - row * perRow) * pitch,
    };
  }

  channelAt(event) {
    const { plot, rows, perRow, pitch, tall } = this.layout;
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left - CHART.left;
    const y = event.clientY - box.top - CHART.top + CHART.gap / 2;
    const row = Math.floor(y / (tall + CHART.gap));
    if (x < 0 || x >= plot || row < 0 || row >= rows) return null;
    const channel = this.shown[row * perRow + Math.floor(x / pitch)];
    return channel === undefined ? null : channel;
  }

  draw() {
    if (!this.shown) return;
    const layout = this.layout;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(layout.width * ratio);
    this.canvas.height = Math.round(layout.height * ratio);
    this.canvas.style.height = `${layout.height}px`;
    const style = getComputedStyle(this.element);
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = `11px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    const colour = (name) => style.getPropertyValue(`--cv-${name}`).trim();
    for (let row = 0; row < layout.rows; row++) this.drawGrid(pen, layout, colour, row);
    this.drawBars(pen, layout, colour, ratio);
    for (let row = 0; row < layout.rows; row++) {
      drawLine(pen, layout, row, 0.5, colour("soft"));
      drawLine(pen, layout, row, this.figures.mean, colour("ink"), [4, 3]);
    }
    this.drawNumbers(pen, layout, colour);
    const dots = [
      ...this.strongest().map((channel) => [channel, "strong", 3.2]),
      ...this.weakest().map((channel) => [channel, "weak", 3.2]),
      [this.picked, "accent", 5],
      [this.hovered, "ink", 5],
    ];
    pen.setLineDash([]);
    pen.strokeStyle = colour("surface");
    for (const [channel, name, radius] of dots) {
      if (channel != null) this.drawDot(pen, layout, channel, colour(name), radius);
    }
    this.placeTag(layout);
  }

  /** The scale, if one row has room for it; else the first channel of each row. */
  drawGrid(pen, layout, colour, row) {
    const whole = this.low === 0 && this.high === 1;
    const format = (value) => (whole ? String(value) : value.toFixed(3));
    const at = CHART.left - 8;
    pen.textAlign = "right";
    for (const tick of [this.low, ...(whole && layout.rows === 1 ? [0.25, 0.75] : []), this.high]) {
      drawLine(pen, layout, row, tick, colour("line"));
      const y = layout.y(row, tick);
      pen.fillStyle = colour("soft");
      const crowded = Math.abs(y - layout.y(row, 0.5)) < 14;
      if (layout.rows === 1 && !crowded) pen.fillText(format(tick), at, y);
    }
    pen.fillStyle = colour("ink");
    const middle = layout.rows === 1 ? format(0.5) : `#${row * layout.perRow}`;
    pen.fillText(middle, at, layout.y(row, 0.5));
  }

  drawBars(pen, layout, colour, ratio) {
    const { pitch } = layout;
    // Without gaps, bars start and end on whole px of the screen: no seams between them.
    const gap = pitch > 3 ? Math.min(3, pitch * 0.28) : 0;
    const snapped = (x) => Math.round(x * ratio) / ratio;
    const [strong, weak] = [colour("strong"), colour("weak")];
    this.shown.forEach((channel, place) => {
      const value = this.weights[channel];
      const row = layout.row(place);
      const left = snapped(layout.x(place) + gap / 2);
      const right = snapped(layout.x(place) + pitch - gap / 2);
      const middle = layout.y(row, 0.5);
      pen.fillStyle = value > 0.5 ? strong : weak;
      pen.fillRect(left, middle, Math.max(right - left, 1 / ratio), layout.y(row, value) - middle);
    });
  }

  /** On the right: the mean beside its line, or where rows are low, the ends of the scale. */
  drawNumbers(pen, layout, colour) {
    const at = layout.width - CHART.right + 8;
    const { mean } = this.figures;
    pen.textAlign = "left";
    if (layout.rows > 1) {
      pen.fillStyle = colour("soft");
      for (const end of [this.low, this.high]) pen.fillText(end.toFixed(3), at, layout.y(0, end));
    } else {
      pen.fillStyle = colour("ink");
      pen.fillText(this.t("mean"), at, layout.y(0, mean) - 7);
      pen.fillText(mean.toFixed(3), at, layout.y(0, mean) + 7);
    }
  }

  drawDot(pen, layout, channel, fill, radius) {
    const place = this.places[channel];
    const x = layout.x(place) + layout.pitch / 2;
    pen.beginPath();
    pen.arc(x, layout.y(layout.row(place), this.weights[channel]), radius, 0, 2 * Math.PI);
    pen.fillStyle = fill;
    pen.fill();
    pen.stroke();
  }

  /** The words beside the channel under the pointer, or else beside the one that is picked. */
  placeTag(layout) {
    const { tag, weights } = this;
    const channel = this.hovered == null ? this.picked : this.hovered;
    tag.hidden = channel == null;
    if (channel == null) return;
    setText(tag, this.describe(channel));
    const place = this.places[channel];
    const left = layout.x(place) - tag.offsetWidth / 2;
    const top = layout.y(layout.row(place), Math.max(weights[channel], 0.5)) - 34;
    tag.style.left = `${Math.min(Math.max(left, 0), layout.width - tag.offsetWidth)}px`;
    tag.style.top = `${top}px`;
  }

  /** The named ones: at most six each, none in both, none of a gate that is constant. */
  strongest() {
    return this.falling.slice(0, this.named);
  }

  weakest() {
    return this.falling.slice(this.falling.length - this.named).reverse();
  }

  get named() {
    const { min, max } = this.figures;
    return min === max ? 0 : Math.min(NAMED, Math.floor(this.weights.length / 2));
  }
}

/** A line across one row of the chart. */
function drawLine(pen, layout, row, value, stroke, dash = []) {
  const y = Math.round(layout.y(row, value)) + 0.5;
  pen.strokeStyle = stroke;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(CHART.left, y);
  pen.lineTo(CHART.left + layout.length(row), y);
  pen.stroke();
}
