// The channel weights as bars, and the colour bar.

/** How many of the strongest, and of the weakest, channels are named. */
const NAMED = 6;

/** In px: room for the axis, for the mean's label, heights of one row of bars and of several. */
const CHART = { left: 38, right: 58, top: 10, bottom: 10, single: 168, several: 56, gap: 18 };
/** Bars are given this many px, and as many rows as that takes, up to a number of rows. */
const BAR_PITCH = 2.2;
const MOST_ROWS = 6;

/** Channels from the strongest weight to the weakest. */
function fallingChannels(weights) {
  return Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a] || a - b);
}

/** All weights of a channel gate, upwards or downwards from the neutral 0.5. */
class ChannelChart {
  /**
   * @param {Function} t gives the words of a key.
   * @param {Function} onPick called with a channel that was clicked or moved to.
   */
  constructor(t, onPick) {
    this.t = t;
    this.onPick = onPick;
    this.canvas = h("canvas");
    this.tag = h("div", { class: "cv-tag", hidden: true });
    this.element = h("div", { class: "cv-chart", tabindex: "0", role: "slider" }, this.canvas, this.tag);
    this.element.addEventListener("pointermove", (e) => this.hover(this.channelAt(e)));
    this.element.addEventListener("pointerleave", () => this.hover(null));
    this.element.addEventListener("click", (e) => this.pick(this.channelAt(e)));
    this.element.addEventListener("keydown", (e) => this.onKey(e));
    this.hovered = null;
  }

  /** @param {object} block whose channel gate to show. @param {string} order "channel" or "sorted" */
  set(block, order, picked) {
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
    const count = this.shown.length;
    const place = this.picked == null ? -1 : this.places[this.picked];
    const far = Math.ceil(count / 10);
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: far, PageDown: -far };
    const ends = { Home: 0, End: count - 1 };
    const next = ends[event.key] ?? place + (steps[event.key] ?? NaN);
    if (Number.isNaN(next)) return;
    event.preventDefault();
    this.pick(this.shown[Math.min(Math.max(next, 0), count - 1)]);
  }

  /** Where everything lies, in CSS px. */
  get layout() {
    const width = Math.max(this.element.clientWidth, 200);
    const plot = width - CHART.left - CHART.right;
    const count = this.shown.length;
    const wanted = this.order === "sorted" ? 1 : Math.ceil((count * BAR_PITCH) / plot);
    const rows = Math.min(wanted, MOST_ROWS);
    const perRow = Math.ceil(count / rows);
    const tall = rows === 1 ? CHART.single : CHART.several;
    const height = CHART.top + CHART.bottom + rows * tall + (rows - 1) * CHART.gap;
    return { width, plot, rows, perRow, pitch: plot / perRow, tall, height };
  }

  channelAt(event) {
    const { plot, rows, perRow, pitch, tall } = this.layout;
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left - CHART.left;
    const y = event.clientY - box.top - CHART.top + CHART.gap / 2;
    const row = Math.floor(y / (tall + CHART.gap));
    if (x < 0 || x >= plot || row < 0 || row >= rows) return null;
    return this.shown[row * perRow + Math.floor(x / pitch)] ?? null;
  }

  draw() {
    if (!this.shown) return;
    const layout = this.layout;
    const { width, rows, perRow, pitch, tall, height } = layout;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.height = `${height}px`;
    const style = getComputedStyle(this.element);
    const colour = (name) => style.getPropertyValue(`--cv-${name}`).trim();
    const c = this.canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = `11px ${style.fontFamily}`;
    c.textBaseline = "middle";

    const top = (row) => CHART.top + row * (tall + CHART.gap);
    const yOf = (row, value) => top(row) + (1 - value) * tall;
    const xOf = (place) => CHART.left + (place % perRow) * pitch;
    const rowOf = (place) => Math.floor(place / perRow);
    const line = (row, value, stroke, dash = []) => {
      const y = Math.round(yOf(row, value)) + 0.5;
      const last = Math.min(perRow, this.shown.length - row * perRow);
      c.strokeStyle = stroke;
      c.setLineDash(dash);
      c.beginPath();
      c.moveTo(CHART.left, y);
      c.lineTo(CHART.left + last * pitch, y);
      c.stroke();
    };

    for (let row = 0; row < rows; row++) {
      const ticks = rows === 1 ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.5, 1];
      c.textAlign = "right";
      for (const tick of ticks) {
        line(row, tick, colour("line"));
        c.fillStyle = colour(tick === 0.5 ? "ink" : "soft");
        if (rows === 1) c.fillText(String(tick), CHART.left - 8, yOf(row, tick));
      }
      c.fillStyle = colour("soft");
      if (rows > 1) c.fillText(`#${row * perRow}`, CHART.left - 8, yOf(row, 0.5));
    }
    // Without gaps, bars start and end on whole px of the screen: no seams between them.
    const gap = pitch > 3 ? Math.min(3, pitch * 0.28) : 0;
    const snapped = (x) => Math.round(x * ratio) / ratio;
    const strong = colour("strong");
    const weak = colour("weak");
    this.shown.forEach((channel, place) => {
      const value = this.weights[channel];
      const row = rowOf(place);
      const [left, right] = [xOf(place) + gap / 2, xOf(place) + pitch - gap / 2].map(snapped);
      const middle = yOf(row, 0.5);
      c.fillStyle = value > 0.5 ? strong : weak;
      c.fillRect(left, middle, Math.max(right - left, 1 / ratio), yOf(row, value) - middle);
    });
    for (let row = 0; row < rows; row++) {
      line(row, 0.5, colour("soft"));
      line(row, this.figures.mean, colour("ink"), [4, 3]);
    }
    c.textAlign = "left";
    c.fillStyle = colour("ink");
    const meanAt = yOf(0, this.figures.mean);
    c.fillText(this.t("mean"), width - CHART.right + 8, meanAt - 7);
    c.fillText(this.figures.mean.toFixed(3), width - CHART.right + 8, meanAt + 7);

    const dot = (channel, radius, fill) => {
      const place = this.places[channel];
      c.beginPath();
      c.arc(xOf(place) + pitch / 2, yOf(rowOf(place), this.weights[channel]), radius, 0, 2 * Math.PI);
      c.fillStyle = fill;
      c.fill();
      c.setLineDash([]);
      c.strokeStyle = colour("surface");
      c.stroke();
    };
    for (const channel of this.strongest()) dot(channel, 3.2, strong);
    for (const channel of this.weakest()) dot(channel, 3.2, weak);
    if (this.picked != null) dot(this.picked, 5, colour("accent"));
    if (this.hovered != null) dot(this.hovered, 4.5, colour("ink"));
    const tagged = this.hovered ?? this.picked;
    this.tag.hidden = tagged == null;
    if (tagged != null) {
      const place = this.places[tagged];
      setText(this.tag, this.describe(tagged));
      const room = width - this.tag.offsetWidth;
      this.tag.style.left = `${Math.min(Math.max(xOf(place) - this.tag.offsetWidth / 2, 0), room)}px`;
      this.tag.style.top = `${yOf(rowOf(place), Math.max(this.weights[tagged], 0.5)) - 34}px`;
    }
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

/** The scale's colours with its numbers, and where on it the block in view lies. */
class ColourBar {
  constructor(t) {
    this.t = t;
    this.canvas = h("canvas", { width: 256, height: 1 });
    this.marks = h("div", { class: "cv-bar-marks", "aria-hidden": "true" });
    this.ticks = h("div", { class: "cv-bar-ticks" });
    const strip = h("div", { class: "cv-bar-strip" }, this.canvas, this.marks);
    this.element = h("div", { class: "cv-bar", role: "img" }, strip, this.ticks);
  }

  /**
   * @param {Uint8Array} ramp 256x3, the colours from low to high.
   * @param {object[]} figures of the maps on show.
   */
  set(ramp, low, high, figures) {
    const image = new ImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      image.data.set([ramp[3 * i], ramp[3 * i + 1], ramp[3 * i + 2], 255], 4 * i);
    }
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    this.low = low;
    this.high = high;
    const whole = low === 0 && high === 1;
    const format = (v) => (whole ? String(v) : v.toFixed(3));
    const values = whole ? [0, 0.25, 0.5, 0.75, 1] : [low, (low + high) / 2, high];
    this.ticks.replaceChildren(
      ...values.map((value, i) => {
        const neutral = whole && value === 0.5 ? ` ${this.t("neutral")}` : "";
        const tick = h("span", {}, format(value) + neutral);
        tick.style.left = `${(100 * i) / (values.length - 1)}%`;
        return tick;
      }),
    );
    this.element.setAttribute("aria-label", this.t("scaleBar", { low: format(low), high: format(high) }));
    this.ranges = figures.map(({ min, mean, max }) => [min, mean, max]);
    this.setPointers([]);
  }

  /** Where on the bar a value lies, in %. */
  at(value) {
    return this.high > this.low ? (100 * (value - this.low)) / (this.high - this.low) : 50;
  }

  /** Point at values: those of the cells under the pointer. */
  setPointers(values) {
    const marks = this.ranges.map(([min, mean, max]) => {
      const range = h("i", { class: "cv-bar-range" }, h("i", { class: "cv-bar-mean" }));
      range.style.left = `${this.at(min)}%`;
      range.style.width = `${this.at(max) - this.at(min)}%`;
      range.firstChild.style.left = `${max > min ? (100 * (mean - min)) / (max - min) : 50}%`;
      return range;
    });
    const pointers = values.map((value) => {
      const pointer = h("i", { class: "cv-bar-pointer" });
      pointer.style.left = `${this.at(value)}%`;
      return pointer;
    });
    this.marks.replaceChildren(...marks, ...pointers);
  }
}
