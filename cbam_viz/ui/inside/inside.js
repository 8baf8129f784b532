// Inside a block: five steps, one picked cell, one picked channel. The products behind both are
// computed here, from the network's own kernel, maps and weights.

/** Hidden units that are named one by one; the others are shown as one sum. */
const NAMED_UNITS = 5;
/** Maps of up to this many rows and columns have their numbers written into the cells. */
const NUMBERED = 16;

/** What is computed, in the paper's terms; `norm` is there only where the network has one. */
const FORMULAS = {
  features: ({ channels, rows, columns }) =>
    `<mi>F</mi><mo>∈</mo><msup><mi>ℝ</mi><mrow><mn>${channels}</mn><mo>×</mo><mn>${rows}</mn>
     <mo>×</mo><mn>${columns}</mn></mrow></msup>`,
  channel: () => {
    const branch = (pool) =>
      `<msub><mi>W</mi><mn>1</mn></msub><mi>ReLU</mi><mo>(</mo><msub><mi>W</mi><mn>0</mn></msub>
       <msub><mi>F</mi><mtext>${pool}</mtext></msub><mo>)</mo>`;
    return `<msub><mi>M</mi><mi>c</mi></msub><mo>=</mo><mi>σ</mi><mo>(</mo>${branch("avg")}
      <mo>+</mo>${branch("max")}<mo>)</mo>`;
  },
  refined: () => `<mi>F′</mi><mo>=</mo><msub><mi>M</mi><mi>c</mi></msub><mo>·</mo><mi>F</mi>`,
  spatial: ({ kernel: { side }, norm }) => {
    const pooled = (pool) => `<msub><mi>F′</mi><mtext>${pool}</mtext></msub>`;
    const convolution = `<msup><mi>f</mi><mrow><mn>${side}</mn><mo>×</mo><mn>${side}</mn></mrow></msup>
      <mo>(</mo><mo>[</mo>${pooled("max")}<mo>;</mo>${pooled("avg")}<mo>]</mo><mo>)</mo>`;
    const inner = norm ? `<mi>norm</mi><mo>(</mo>${convolution}<mo>)</mo>` : convolution;
    return `<msub><mi>M</mi><mi>s</mi></msub><mo>=</mo><mi>σ</mi><mo>(</mo>${inner}<mo>)</mo>`;
  },
  output: () =>
    `<mi>F″</mi><mo>=</mo><msub><mi>M</mi><mi>s</mi></msub><mo>·</mo><mi>F′</mi><mo>,</mo>
     <mspace width="0.8em"></mspace><mi>out</mi><mo>=</mo><mi>ReLU</mi><mo>(</mo><mi>F″</mi>
     <mo>+</mo><mi>S</mi><mo>)</mo>`,
};

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const sumOf = (values) => values.reduce((a, b) => a + b, 0);

/** A factor in so many figures that the product can be checked by hand. */
function factor(value) {
  return value === 0 ? "0" : value.toPrecision(5).replace("-", "−");
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** @returns {Float32Array} of little-endian float32 in base64. */
function decodeFloats(text) {
  const bytes = new DataView(decodeBytes(text).buffer);
  return Float32Array.from({ length: bytes.byteLength / 4 }, (_, i) => bytes.getFloat32(4 * i, true));
}

/** A payload, decoded, and the arithmetic on it. */
class Block {
  constructor(payload) {
    Object.assign(this, payload);
    const all = (texts) => Object.fromEntries(Object.entries(texts).map(([k, v]) => [k, decodeFloats(v)]));
    this.tables = Object.fromEntries(Object.entries(payload.tables).map(([k, v]) => [k, decodeBytes(v)]));
    for (const key of ["maps", "pooled", "hidden", "logits"]) this[key] = all(payload[key]);
    this.examples = payload.examples.map(({ channel, map }) => ({ channel, map: decodeFloats(map) }));
    this.gate = decodeFloats(payload.gate);
    this.sums = this.gate.map((_, c) => this.logits.average[c] + this.logits.maximum[c]);
    this.bias = payload.bias && decodeFloats(payload.bias);
    this.largest = decodeFloats(payload.weights.largest);
    this.shares = new DataView(decodeBytes(payload.weights.shares).buffer);
    const weights = decodeFloats(payload.kernel.weights);
    const { side } = payload.kernel;
    this.kernels = { maximum: weights.slice(0, side * side), mean: weights.slice(side * side) };
    const { mean, gate, shortcut } = this.maps;
    this.maps.refined = mean.map((v, i) => v * gate[i]);
    this.maps.total = this.maps.refined.map((v, i) => v + shortcut[i]);
  }

  /** What one plane of the kernel makes of a cell: a term for each of its weights. */
  terms(plane, row, column) {
    const { side } = this.kernel;
    const map = this.maps[plane];
    return Array.from(this.kernels[plane], (weight, i) => {
      const r = row + Math.floor(i / side) - (side >> 1);
      const c = column + (i % side) - (side >> 1);
      const inside = r >= 0 && r < this.rows && c >= 0 && c < this.columns;
      const value = inside ? map[r * this.columns + c] : 0;
      // In float32, as the network multiplies.
      return { row: r, column: c, weight, value, inside, product: inside ? Math.fround(weight * value) : 0 };
    });
  }

  /** The cell [row, column] at a point on the photo, in shares of its sides. */
  cellAt([x, y]) {
    const [width, height] = this.photo.size;
    const nearest = (at, cells) => Math.min(Math.max(Math.round((at - 0.5) / this.stride), 0), cells - 1);
    return [nearest(y * height, this.rows), nearest(x * width, this.columns)];
  }

  /** A cell's receptive-field centre on the photo, in shares of its sides. */
  centreOf(row, column) {
    const [width, height] = this.photo.size;
    return [(column * this.stride + 0.5) / width, (row * this.stride + 0.5) / height];
  }

  cell(row, column) {
    const [maximum, mean] = ["maximum", "mean"].map((plane) => this.terms(plane, row, column));
    const sums = [maximum, mean].map((terms) => sumOf(terms.map((t) => t.product)));
    const total = sums[0] + sums[1];
    const [scale, shift] = this.norm || [1, 0];
    const logit = total * scale + shift;
    return { maximum, mean, sums, total, logit, gate: sigmoid(logit) };
  }

  /** The hidden units of one branch, and what each adds to a channel's logit. */
  units(branch, channel) {
    const hidden = this.hidden[branch];
    const step = this.largest[channel] / 32767;
    return Array.from(hidden, (activation, unit) => {
      const weight = this.shares.getInt16(2 * (channel * hidden.length + unit), true) * step;
      return { unit, activation, weight, adds: activation * weight };
    });
  }
}

/** Black or white, whichever stands out more on a colour (WCAG's relative luminance). */
function inkOn(colour) {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = colour.slice(0, 3).map((level) => linear(level / 255));
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return (luminance + 0.05) ** 2 > 1.05 * 0.05 ? "#000" : "#fff";
}

class Inside {
  constructor(root, { lang, onPick }) {
    this.root = root;
    this.lang = languageOf(lang);
    this.onPick = onPick;
    this.order = "gate";
    this.draw(null);
  }

  t(key, values = {}) {
    return STRINGS[this.lang][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  /** Run, and leave a sentence if that fails. */
  guarded(work) {
    try {
      work();
    } catch (error) {
      console.error(error);
      this.root.replaceChildren(h("p", { class: "cv-empty", role: "alert" }, this.t("broken")));
    }
  }

  /**
   * Show another block. Cell and channel are those at the pin and of the number given; if there
   * are none, those where the gates are greatest.
   */
  draw(payload, { pin, channel } = {}) {
    this.guarded(() => {
      this.block = payload && new Block(payload);
      if (this.block) {
        const { examples, maps, columns, channels } = this.block;
        const most = maps.gate.indexOf(maps.gate.reduce((a, b) => Math.max(a, b)));
        this.cell = pin ? this.block.cellAt(pin) : [Math.floor(most / columns), most % columns];
        this.channel = channel != null && channel < channels ? channel : examples[0].channel;
      }
      this.build();
    });
  }

  build() {
    this.root.lang = this.lang;
    if (!this.block) {
      this.root.replaceChildren(h("p", { class: "cv-empty" }, this.t("empty")));
      return;
    }
    const { block } = this;
    this.root.style.setProperty("--ci-ratio", block.columns / block.rows);
    this.root.style.setProperty("--ci-columns", block.columns);
    this.root.style.setProperty("--ci-rows", block.rows);
    this.root.style.setProperty("--ci-side", block.kernel.side);
    this.marks = [];
    this.picks = [];
    this.strips = [];
    this.root.replaceChildren(
      this.buildHead(),
      this.buildWay(),
      this.buildFeatures(),
      this.buildChannel(),
      this.buildRefined(),
      this.buildSpatial(),
      this.buildOutput(),
    );
    this.showCell();
    this.showChannel();
  }

  buildHead() {
    const { name, channels, rows, columns, stride, model, squeezed } = this.block;
    return h("header", {},
      h("h2", { class: "ci-title" }, this.t("heading", { block: name })),
      h("p", { class: "ci-soft" }, this.t("facts", { channels, rows, columns, stride })),
      model.untrained && h("p", { class: "cv-warning" }, this.t("untrained", { reason: model.untrained })),
      squeezed && h("p", { class: "cv-warning" }, this.t("squeezed"))); // prettier-ignore
  }

  // Pictures.

  /** Equally far to both sides of 0: white is 0, whatever the values are. */
  signed(...maps) {
    const most = Math.max(...maps.map((map) => map.reduce((a, b) => Math.max(a, Math.abs(b)), 0)));
    return { table: this.block.tables.signed, low: -most, high: most };
  }

  get gated() {
    return { table: this.block.tables.gate, low: 0, high: 1 };
  }

  /** A map with its name and its range; a click picks the cell under it. */
  map(name, values, colours, options = {}) {
    const { columns } = this.block;
    const canvas = h("canvas", { role: "img", "aria-label": this.altOf(name, values) });
    paintCells(canvas, values, columns, colours);
    const mark = this.mark();
    this.marks.push(mark);
    const grid = h("div", { class: `ci-grid ${options.windowed ? "ci-windowed" : ""}` }, canvas, options.numbers && this.numbers(values, colours), mark);
    this.pickable(grid);
    const caption = h("figcaption", {}, h("b", {}, name), this.rangeOf(values));
    return h("figure", { class: "ci-map" }, grid, caption);
  }

  /** The colours with the numbers of both ends and of the middle, which is neutral. */
  colourBar({ table, low, high }) {
    const canvas = h("canvas");
    const steps = Float32Array.from({ length: 256 }, (_, i) => i);
    paintCells(canvas, steps, 256, { table, low: 0, high: 255 });
    const digits = (value) => (Number.isInteger(value) ? String(value) : numbered(value, 2));
    const middle = (low + high) / 2;
    const neutral = middle ? `${middle} ${this.t("neutral")}` : "0";
    return h("div", { class: "ci-scale" }, canvas,
      h("p", {}, [digits(low), neutral, digits(high)].map((words) => h("span", {}, words)))); // prettier-ignore
  }

  rangeOf(values) {
    const { min, max } = figuresOf(values);
    return h("span", {}, this.t("range", { low: numbered(min), high: numbered(max) }));
  }

  altOf(name, values) {
    const { columns } = this.block;
    const { min, max } = figuresOf(values);
    const at = values.indexOf(max);
    const place = { row: Math.floor(at / columns), column: at % columns };
    return this.t("mapAlt", { name, low: numbered(min), high: numbered(max), ...place });
  }

  /** The outlines of the picked cell and of the window that the kernel sees around it. */
  mark() {
    const clip = h("div", { class: "ci-clip" }, h("i", { class: "ci-window" }));
    return h("div", { class: "ci-mark", "aria-hidden": "true" }, clip, h("i", { class: "ci-cell" }));
  }

  /** Numbers in the cells, where there is room for them. */
  numbers(values, colours) {
    if (Math.max(this.block.rows, this.block.columns) > NUMBERED) return null;
    const parts = Array.from(values, (value) => {
      const part = h("span", {}, numbered(value, 2));
      part.style.color = inkOn(colourOf(value, colours));
      return part;
    });
    return h("div", { class: "ci-numbers", "aria-hidden": "true" }, parts);
  }

  pickable(grid) {
    const pick = (event) => {
      const box = grid.getBoundingClientRect();
      const { rows, columns } = this.block;
      const at = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
      const row = at((event.clientY - box.top) / box.height, rows);
      this.pickCell(row, at((event.clientX - box.left) / box.width, columns));
    };
    grid.addEventListener("pointerdown", (event) => event.isPrimary && pick(event));
    grid.addEventListener("pointermove", (event) => event.buttons === 1 && pick(event));
  }

  photo() {
    const { photo } = this.block;
    const image = h("img", { src: photo.url, alt: this.t("photoAlt") });
    this.onPhoto = this.mark();
    const frame = h("div", { class: "ci-grid ci-windowed ci-photo" }, image, this.onPhoto);
    frame.style.setProperty("--ci-ratio", photo.size[0] / photo.size[1]);
    return h("figure", { class: "ci-map" }, frame, h("figcaption", {}, h("b", {}, this.t("photo")), h("span", {}, photo.size.join(" × "))));
  }

  sign(text) {
    return h("span", { class: "ci-sign", "aria-hidden": "true" }, text);
  }

  /** One step: number, title, formula, words, and what there is to see. */
  step(number, formula, values, ...parts) {
    const math = h("div", { class: "ci-formula", tabindex: "0" });
    math.innerHTML = `<math>${FORMULAS[formula](this.block)}</math>`;
    return h("section", { class: "ci-step", id: `ci-step-${number}` },
      h("div", { class: "ci-step-head" },
        h("h2", {}, h("i", { class: "ci-number", "aria-hidden": "true" }, number), this.t(`step${number}`)), math),
      h("p", { class: "ci-words" }, this.t(`step${number}Words`, values)),
      parts); // prettier-ignore
  }

  // From top to bottom.

  /** All steps in one line; a click leads to the step. */
  buildWay() {
    const { maps, gate } = this.block;
    const scale = this.signed(maps.features, maps.mean);
    const stop = (step, name, picture) => {
      const button = h("button", { type: "button", class: "ci-stop" }, picture, h("span", {}, name));
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      button.addEventListener("click", () => {
        const target = this.root.querySelector(`#ci-step-${step}`);
        target.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
      });
      return button;
    };
    const small = (values, colours) => {
      const canvas = h("canvas", { class: "ci-small" });
      paintCells(canvas, values, this.block.columns, colours);
      return canvas;
    };
    const bars = h("div", { class: "ci-small" }, this.bars(Array.from(gate).sort((a, b) => b - a), 0, 1, 0.5));
    const adding = this.signed(maps.refined, maps.shortcut, maps.output);
    const pair = (sign, ...stops) => h("span", { class: "ci-pair" }, this.sign(sign), ...stops);
    return h("nav", { class: "ci-way", "aria-label": this.t("way") },
      stop(1, this.t("f"), small(maps.features, scale)),
      pair("×", stop(2, this.t("channelGate"), bars)),
      pair("=", stop(3, this.t("fPrime"), small(maps.mean, scale))),
      pair("×", stop(4, this.t("spatialGate"), small(maps.gate, this.gated))),
      pair("=", stop(5, this.t("fSecond"), small(maps.refined, adding))),
      pair("+", stop(5, this.t("shortcut"), small(maps.shortcut, adding))),
      pair("→", stop(5, this.t("output"), small(maps.output, adding)))); // prettier-ignore
  }

  buildFeatures() {
    const { maps, examples, channels, rows, columns } = this.block;
    const scale = this.signed(...examples.map((e) => e.map));
    const half = examples.length / 2;
    const group = (words, members) =>
      h("div", { class: "ci-group" }, h("h3", {}, words),
        h("div", { class: "ci-row" }, members.map((example) => this.example(example, scale)))); // prettier-ignore
    return this.step(1, "features", { channels, rows, columns },
      h("div", { class: "ci-row ci-columns" },
        this.photo(),
        this.map(this.t("meanF"), maps.features, this.signed(maps.features)),
        h("div", { class: "ci-groups" },
          group(this.t("strongest"), examples.slice(0, half)),
          group(this.t("weakest"), examples.slice(half)),
          h("p", { class: "ci-soft" }, this.t("exampleScale")), this.colourBar(scale)))); // prettier-ignore
  }

  /** A channel's map as a button that picks the channel. */
  example({ channel, map }, scale, words) {
    const value = { channel, gate: numbered(this.block.gate[channel]) };
    const canvas = h("canvas", { class: "ci-small" });
    paintCells(canvas, map, this.block.columns, scale);
    const button = h("button", { type: "button", class: "ci-stop", "aria-label": this.t("channelValue", value) },
      canvas, h("span", {}, words ?? `#${channel} · ${value.gate}`)); // prettier-ignore
    button.addEventListener("click", () => this.pickChannel(channel));
    this.picks.push({ button, channel });
    return button;
  }

  /** Values as bars from a base line; red above it and blue below. */
  bars(values, low, high, base) {
    const y = (v) => 100 * (1 - (Math.min(Math.max(v, low), high) - low) / (high - low || 1));
    const path = (chosen) =>
      values.map((v, i) => (chosen(v) ? `M${i} ${y(base).toFixed(2)}V${y(v).toFixed(2)}h1V${y(base).toFixed(2)}z` : "")).join("");
    const box = { viewBox: `0 0 ${values.length} 100`, preserveAspectRatio: "none", class: "ci-bars", "aria-hidden": "true" };
    return svg("svg", box,
      svg("path", { class: "ci-above", d: path((v) => v > base) }),
      svg("path", { class: "ci-below", d: path((v) => v < base) }),
      svg("path", { class: "ci-base", d: `M0 ${y(base)}H${values.length}`, "vector-effect": "non-scaling-stroke" })); // prettier-ignore
  }

  /** A vector as bars, in the order of the channels if it is one of channels. */
  strip(name, values, { base = 0, ends, channels = true } = {}) {
    const { min, max } = figuresOf(values);
    const [low, high] = ends ?? [Math.min(min, base), Math.max(max, base)];
    const shown = channels ? this.shown.map((c) => values[c]) : Array.from(values);
    const mark = channels && h("i", { class: "ci-at" });
    const value = channels && h("output");
    const frame = h("div", { class: channels ? "ci-frame ci-pickable" : "ci-frame" }, this.bars(shown, low, high, base), mark);
    if (channels) {
      const pick = (event) => {
        const box = frame.getBoundingClientRect();
        const place = Math.floor(((event.clientX - box.left) / box.width) * shown.length);
        this.pickChannel(this.shown[Math.min(Math.max(place, 0), shown.length - 1)]);
      };
      frame.addEventListener("pointerdown", (event) => event.isPrimary && pick(event));
      frame.addEventListener("pointermove", (event) => event.buttons === 1 && pick(event));
      this.strips.push({ values, mark, value });
    }
    const range = this.t("range", { low: numbered(min, 2), high: numbered(max, 2) });
    return h("div", { class: "ci-strip" },
      h("p", {}, h("b", {}, name), h("span", {}, range), value), frame); // prettier-ignore
  }

  buildChannel() {
    this.channelStep = this.step(2, "channel", {});
    const order = segmented(
      this.t("order"),
      [["gate", this.t("byGate")], ["channel", this.t("byChannel")]],
      (value) => {
        this.order = value;
        this.showStrips();
        this.showChannel();
      },
    ); // prettier-ignore
    order.set(this.order);
    this.branches = h("div", { class: "ci-branches" });
    this.channelDetail = h("div", { class: "ci-detail" });
    this.channelStep.append(order.element, this.branches, this.channelDetail);
    this.showStrips();
    return this.channelStep;
  }

  showStrips() {
    const { block } = this;
    const { gate, sums } = block;
    this.strips = [];
    this.shown = Array.from(gate.keys());
    if (this.order === "gate") this.shown.sort((a, b) => gate[b] - gate[a] || a - b);
    const branch = (name) => {
      const hidden = block.hidden[name];
      const silent = hidden.filter((v) => v === 0).length;
      const logits = [block.logits.average, block.logits.maximum].map(figuresOf);
      const ends = [Math.min(0, ...logits.map((f) => f.min)), Math.max(0, ...logits.map((f) => f.max))];
      return h("div", { class: "ci-branch" },
        this.strip(this.t(name), block.pooled[name]),
        this.sign("↓"),
        this.strip(this.t("hidden", { count: hidden.length, silent }), hidden, { channels: false }),
        this.sign("↓"),
        this.strip(this.t("result"), block.logits[name], { ends })); // prettier-ignore
    };
    this.slider = h("div", { class: "ci-slider", tabindex: "0", role: "slider", "aria-valuemin": 0,
      "aria-valuemax": gate.length - 1, "aria-label": this.t("pickChannel") },
      this.strip(this.t("gate"), gate, { base: 0.5, ends: [0, 1] })); // prettier-ignore
    this.slider.addEventListener("keydown", (event) => this.onChannelKey(event));
    this.branches.replaceChildren(
      branch("average"),
      this.sign("+"),
      branch("maximum"),
      h("div", { class: "ci-merged" }, this.sign("↓"), this.strip(this.t("sum"), sums), this.sign("σ ↓"), this.slider),
    );
  }

  onChannelKey(event) {
    const count = this.shown.length;
    const far = Math.ceil(count / 10);
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: far, PageDown: -far };
    const ends = { Home: 0, End: count - 1 };
    const next = ends[event.key] ?? this.shown.indexOf(this.channel) + (steps[event.key] ?? NaN);
    if (Number.isNaN(next)) return;
    event.preventDefault();
    this.pickChannel(this.shown[Math.min(Math.max(next, 0), count - 1)]);
  }

  buildRefined() {
    const { maps, examples, gate } = this.block;
    const scale = this.signed(...examples.map((e) => e.map));
    const means = this.signed(maps.features, maps.mean);
    const triple = ({ channel, map }) => {
      const weighted = map.map((v) => v * gate[channel]);
      const after = h("canvas", { class: "ci-small", role: "img", "aria-label": this.altOf(`F′ #${channel}`, weighted) });
      paintCells(after, weighted, this.block.columns, scale);
      const times = h("span", { class: "ci-times" }, `× ${numbered(gate[channel], 2)} =`);
      return h("div", { class: "ci-triple" }, this.example({ channel, map }, scale, `#${channel}`), times, after);
    };
    return this.step(3, "refined", {},
      h("div", { class: "ci-row ci-columns" },
        h("div", { class: "ci-pairwise" },
          this.map(this.t("meanBefore"), maps.features, means),
          this.sign("→"),
          this.map(this.t("meanAfter"), maps.mean, means)),
        h("div", { class: "ci-triples" }, examples.map(triple)))); // prettier-ignore
  }

  buildSpatial() {
    const { maps, kernels, kernel, norm } = this.block;
    const scale = this.signed(maps.maximum);
    const kernelScale = this.signed(kernels.maximum, kernels.mean);
    const gate = this.map(this.t("spatialGate"), maps.gate, this.gated, { numbers: true });
    gate.classList.add("ci-large");
    gate.querySelector(".ci-grid").after(this.colourBar(this.gated));
    const { min, max } = figuresOf(maps.gate);
    if (max - min < this.block.nearlyConstant) {
      const note = this.t("constantNote", { span: numbered(max - min) });
      gate.append(h("p", { class: "ci-soft" }, h("b", {}, `${this.t("constant")}. `), note));
    }
    this.gatePicker = gate.querySelector(".ci-grid");
    const attributes = { tabindex: "0", role: "slider", "aria-valuemin": 0, "aria-valuemax": maps.gate.length - 1 };
    setAttributes(this.gatePicker, { ...attributes, "aria-label": this.t("pickCell", { block: this.block.name }) });
    this.gatePicker.addEventListener("keydown", (event) => this.onCellKey(event));
    this.cellDetail = h("div", { class: "ci-detail" });
    const terms = 2 * kernel.side ** 2;
    const summed = (name, values, colours, plane) =>
      h("div", { class: "ci-summed" }, this.map(this.t(name), values, colours, { windowed: true }), this.sign("∗"), this.kernelPicture(plane, kernelScale));
    return this.step(4, "spatial", { side: kernel.side, terms },
      h("div", { class: "ci-row ci-columns ci-middle" },
        h("div", { class: "ci-planes" },
          summed("maxMap", maps.maximum, scale, "maximum"),
          summed("meanMap", maps.mean, this.signed(maps.mean), "mean")),
        this.sign("→"),
        this.map(this.t(norm ? "afterNorm" : "logits"), maps.logits, this.signed(maps.logits)),
        this.sign("σ →"),
        gate),
      this.cellDetail); // prettier-ignore
  }

  /** The learned kernel of a plane, with its numbers. */
  kernelPicture(plane, colours) {
    const name = this.t(plane === "maximum" ? "maxKernel" : "meanKernel");
    const { side } = this.block.kernel;
    const values = this.block.kernels[plane];
    const { min, max } = figuresOf(values);
    const canvas = h("canvas", { role: "img", "aria-label": this.t("kernelAlt", { name, low: numbered(min), high: numbered(max) }) });
    paintCells(canvas, values, side, colours);
    return h("figure", { class: "ci-map ci-kernel" },
      h("div", { class: "ci-grid" }, canvas), h("figcaption", {}, h("b", {}, name), this.rangeOf(values))); // prettier-ignore
  }

  onCellKey(event) {
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const { rows, columns } = this.block;
    const within = (value, count) => Math.min(Math.max(value, 0), count - 1);
    this.pickCell(within(this.cell[0] + step[0], rows), within(this.cell[1] + step[1], columns));
  }

  buildOutput() {
    const { maps, sizes, reach } = this.block;
    const scale = this.signed(maps.refined, maps.shortcut, maps.total);
    const most = Math.max(...Object.values(sizes));
    const size = (words, key) => {
      const bar = h("i", { class: `ci-size ci-size-${key}` });
      bar.style.width = `${(100 * sizes[key]) / most}%`;
      return [h("dt", {}, words), h("dd", {}, h("span", {}, bar), h("b", {}, sizes[key].toPrecision(4)))];
    };
    const bar = h("div", { class: "ci-reach", "aria-hidden": "true" }, h("i", {}, percent(reach)), h("i", {}, percent(1 - reach)));
    bar.firstChild.style.width = `${100 * reach}%`;
    return this.step(5, "output", {},
      h("div", { class: "ci-row" },
        h("div", { class: "ci-pairwise" },
          this.map(this.t("meanSecond"), maps.refined, scale),
          this.sign("+"),
          this.map(this.t("meanShortcut"), maps.shortcut, scale)),
        h("div", { class: "ci-pairwise" },
          this.sign("="),
          this.map(this.t("meanSum"), maps.total, scale),
          this.sign("→"),
          this.map(this.t("meanOutput"), maps.output, scale))),
      h("div", { class: "ci-two" },
        h("div", {}, h("h3", {}, this.t("sizes")),
          h("dl", { class: "ci-sizes" },
            size(this.t("sizeF"), "features"), size(this.t("sizeSecond"), "refined"),
            size(this.t("sizeShortcut"), "shortcut"), size(this.t("sizeOutput"), "output"))),
        h("div", {}, h("h3", {}, this.t("reach")), bar,
          h("p", { class: "ci-legend" }, h("span", {}, this.t("reachTouch")), h("span", {}, this.t("reachPass"))),
          h("p", {}, this.t("reachWords", { share: percent(reach), rest: percent(1 - reach) }))))); // prettier-ignore
  }

  // What was picked.

  pickCell(row, column) {
    if (row === this.cell[0] && column === this.cell[1]) return;
    this.cell = [row, column];
    this.guarded(() => this.showCell());
    this.onPick?.({ pin: this.block.centreOf(row, column) });
  }

  pickChannel(channel) {
    if (channel === this.channel) return;
    this.channel = channel;
    this.guarded(() => this.showChannel());
    this.onPick?.({ channel });
  }

  showCell() {
    const { block, cell: [row, column] } = this; // prettier-ignore
    const { side } = block.kernel;
    const reach = side >> 1;
    for (const mark of this.marks) {
      setAttributes(mark, { style: `--row:${row};--column:${column};--reach:${reach};--side:${side}` });
    }
    // On the photo a cell lies at the centre of its receptive field.
    const [width, height] = block.photo.size;
    const along = (at, length) => (100 * (at * block.stride + 0.5)) / length;
    const step = [(100 * block.stride) / width, (100 * block.stride) / height];
    for (const [name, cells] of [["ci-window", side], ["ci-cell", 1]]) {
      const box = this.onPhoto.querySelector(`.${name}`).style;
      box.left = `${along(column, width) - (cells * step[0]) / 2}%`;
      box.top = `${along(row, height) - (cells * step[1]) / 2}%`;
      box.width = `${cells * step[0]}%`;
      box.height = `${cells * step[1]}%`;
    }
    const place = { row, column };
    const at = row * block.columns + column;
    const value = this.t("cellValue", { ...place, gate: numbered(block.maps.gate[at], 4) });
    setAttributes(this.gatePicker, { "aria-valuenow": at, "aria-valuetext": value });

    const cell = block.cell(row, column);
    const colours = this.signed([...cell.maximum, ...cell.mean].map((t) => t.product));
    const hint = h("p", { class: "ci-hint", "aria-live": "polite" }, this.t("termHint"));
    const plane = (key, name) =>
      h("div", { class: "ci-plane" },
        h("h3", {}, this.t(name)),
        h("div", { class: "ci-patches" },
          this.patch(this.t("window", { side }), cell[key].map((t) => t.value), this.signed(block.maps[key]), cell[key]),
          this.sign("·"),
          this.patch(this.t("kernel"), block.kernels[key], this.signed(block.kernels.maximum, block.kernels.mean)),
          this.sign("=")),
        this.products(this.t(name), cell[key], colours, hint)); // prettier-ignore
    const box = (name, words, number, digits = 4) =>
      h("span", { class: `ci-box ci-${name}` }, h("small", {}, words), h("b", { "data-part": name }, numbered(number, digits)));
    const { norm } = block;
    const gate = box("gate", this.t("gateShort"), cell.gate);
    const colour = colourOf(cell.gate, this.gated);
    gate.style.background = `rgb(${colour.slice(0, 3)})`;
    gate.style.color = inkOn(colour);
    this.cellDetail.replaceChildren(
      h("h3", { class: "ci-detail-title" }, this.t("cellWay", { ...place, terms: 2 * side * side })),
      h("div", { class: "ci-products-two" }, plane("maximum", "productsOfMax"), plane("mean", "productsOfMean")),
      hint,
      h("div", { class: "ci-sum" },
        box("max", this.t("sumMax"), cell.sums[0]), this.sign("+"), box("mean", this.t("sumMean"), cell.sums[1]),
        this.sign("="), box("total", this.t("sumAll"), cell.total),
        norm && [this.sign(`× ${factor(norm[0])} ${norm[1] < 0 ? "−" : "+"} ${factor(Math.abs(norm[1]))} =`),
          box("logit", this.t("afterNorm"), cell.logit)],
        this.sign("σ →"), gate),
    ); // prettier-ignore
  }

  /** A small picture of what lies under the kernel, or of the kernel. */
  patch(name, values, colours, terms) {
    const canvas = h("canvas", { role: "img", "aria-label": name });
    paintCells(canvas, values, this.block.kernel.side, colours);
    const padded = terms?.map((term) => h("i", { class: term.inside ? "" : "ci-outside" }));
    return h("figure", { class: "ci-patch" },
      h("div", {}, canvas, padded && h("div", { class: "ci-padding" }, padded)), h("figcaption", {}, name)); // prettier-ignore
  }

  /** The products of one plane as a table; one tab stop, arrow keys within. */
  products(name, terms, colours, hint) {
    const { side } = this.block.kernel;
    const cells = terms.map((term, i) => {
      const cell = h("td", { class: term.inside ? "" : "ci-outside", tabindex: i === terms.length >> 1 ? "0" : "-1" }, term.inside ? numbered(term.product) : "0");
      if (term.inside) {
        const colour = colourOf(term.product, colours);
        cell.style.background = `rgb(${colour.slice(0, 3)})`;
        cell.style.color = inkOn(colour);
      }
      const place = { row: numbered(term.row, 0), column: numbered(term.column, 0) };
      const numbers = { weight: factor(term.weight), value: factor(term.value), product: numbered(term.product, 4) };
      const say = () => setText(hint, this.t(term.inside ? "term" : "padding", { ...place, ...numbers }));
      cell.addEventListener("pointerenter", say);
      cell.addEventListener("focus", say);
      return cell;
    });
    const rows = Array.from({ length: side }, (_, r) => h("tr", {}, cells.slice(r * side, (r + 1) * side)));
    const table = h("table", { class: "ci-products", "aria-label": name }, h("tbody", {}, rows));
    table.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: side, ArrowUp: -side }[event.key];
      const from = cells.indexOf(event.target);
      if (!step || from < 0) return;
      event.preventDefault();
      const next = cells[from + step];
      if (!next || (Math.abs(step) === 1 && Math.floor((from + step) / side) !== Math.floor(from / side))) return;
      cells[from].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    return table;
  }

  showChannel() {
    const { block, channel } = this;
    const count = block.channels;
    const place = this.shown.indexOf(channel);
    for (const { values, mark, value } of this.strips) {
      mark.style.left = `${(100 * (place + 0.5)) / count}%`;
      setText(value, `#${channel}: ${numbered(values[channel])}`);
    }
    for (const { button, channel: own } of this.picks) button.setAttribute("aria-pressed", own === channel);
    const words = this.t("channelValue", { channel, gate: numbered(block.gate[channel], 4) });
    setAttributes(this.slider, { "aria-valuenow": place, "aria-valuetext": words });

    const bias = block.bias ? block.bias[channel] : 0;
    const branches = ["average", "maximum"].map((name) => this.unitTable(name, channel, bias));
    const logit = sumOf(branches.map((b) => b.total));
    const box = (name, text, number) =>
      h("span", { class: `ci-box ci-${name}` }, h("small", {}, text), h("b", { "data-part": name }, numbered(number, 4)));
    this.channelDetail.replaceChildren(
      h("h3", { class: "ci-detail-title" }, this.t("channelWay", { channel })),
      h("div", { class: "ci-products-two" }, branches.map((b) => b.element)),
      h("div", { class: "ci-sum" },
        box("average", this.t("average"), branches[0].total), this.sign("+"),
        box("maximum", this.t("maximum"), branches[1].total), this.sign("="),
        box("channel-logit", this.t("logit"), logit), this.sign("σ →"),
        box("channel-gate", this.t("gateShort"), sigmoid(logit))),
    ); // prettier-ignore
  }

  /** What the hidden units of one branch add to a channel's logit. @returns {{element, total}} */
  unitTable(branch, channel, bias) {
    const { block } = this;
    const units = block.units(branch, channel);
    const falling = units.filter((u) => u.adds !== 0).sort((a, b) => Math.abs(b.adds) - Math.abs(a.adds));
    const named = falling.slice(0, NAMED_UNITS);
    const rest = falling.slice(NAMED_UNITS);
    const total = sumOf(units.map((u) => u.adds)) + bias;
    const row = (head, how, value, attributes = {}) =>
      h("tr", attributes, h("th", { scope: "row" }, head), h("td", {}, how), h("td", {}, numbered(value, 4)));
    const most = Math.max(...units.map((u) => Math.abs(u.adds)), Math.abs(bias));
    const element = h("div", { class: "ci-plane" },
      h("h3", {}, `${this.t(branch)} · ${this.t("pooledTo", { value: numbered(block.pooled[branch][channel], 4) })}`),
      h("div", { class: "ci-frame ci-units" }, this.bars(units.map((u) => u.adds), -most, most, 0)),
      h("table", { class: "ci-table" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, this.t("unit")),
          h("th", { scope: "col" }, this.t("activationWeight")), h("th", { scope: "col" }, this.t("adds")))),
        h("tbody", {},
          named.map((u) => row(`${u.unit}`, `${factor(u.activation)} × ${factor(u.weight)}`, u.adds)),
          rest.length > 0 && row(this.t("others", { count: rest.length }), "", sumOf(rest.map((u) => u.adds))),
          block.bias && row(this.t("bias"), "", bias),
          row(this.t("result"), "", total, { class: "ci-total" })))); // prettier-ignore
    return { element, total };
  }
}

window.CbamInside = {
  /**
   * Show the inside of a block.
   *
   * @param {HTMLElement} element to fill; its classes should be "cbam-viewer cbam-inside".
   * @param {?object} payload of Python's `payload`; null to say that there is nothing yet.
   * @param {object} options lang: "en" or "zh", the browser's if it is neither; pin: a point on
   *   the photo, in shares of its sides, whose cell is picked to begin with; channel: likewise;
   *   onPick: called with {pin} or {channel} when another one is picked.
   * @returns {{setPayload, setLang, pick, pickCell, pickChannel}} setPayload(payload, {pin,
   *   channel}) shows another block; pick({pin, channel}) picks what of these is given;
   *   pickCell(row, column) and pickChannel(channel) count from 0.
   */
  mount(element, payload, options = {}) {
    const inside = new Inside(element, options);
    inside.draw(payload, options);
    return {
      setPayload: (next, picked) => inside.draw(next, picked),
      setLang: (lang) => {
        inside.lang = languageOf(lang);
        inside.guarded(() => inside.build());
      },
      pick: ({ pin, channel }) => {
        if (inside.block && pin) inside.pickCell(...inside.block.cellAt(pin));
        if (inside.block && channel != null) inside.pickChannel(channel);
      },
      pickCell: (row, column) => inside.block && inside.pickCell(row, column),
      pickChannel: (channel) => inside.block && inside.pickChannel(channel),
    };
  },
};
