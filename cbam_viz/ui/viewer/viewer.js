// The viewer: one state, what shows it, and what changes it.

const SCALES = ["absolute", "stretched", "shared"];
const COMPARISONS = ["off", "wipe", "block", "photo"];
const ORDERS = ["sorted", "channel"];
/** The state to begin with; the look comes with the payload, the block is its last one. */
const START = { compare: "off", order: ORDERS[0], wipe: 0.5, pin: null, channel: null };
/** Parts of the state that go into a link, and how each is read from it. */
const LINKED = {
  block: String,
  mode: String,
  colours: String,
  opacity: Number,
  scale: String,
  keep: Number,
  compare: String,
  other: String,
  wipe: Number,
  order: String,
  pin: (text) => text.split(",").map(Number),
  channel: Number,
  lang: String,
};
/** What a change of these parts of the state makes necessary. */
const LOOK = ["subject", "mode", "colours", "opacity", "scale", "keep"];
const MAPS = [...LOOK, "block", "other", "compare"];
const CHANNELS = ["subject", "block", "scale", "order", "channel", "features"];

class Viewer {
  constructor(root, { lang, onState, onFeatures, title, switchable = true }) {
    this.root = root;
    this.title = title;
    this.onState = onState;
    this.onFeatures = onFeatures;
    /** Feature maps of blocks of this explanation, and timers of those that were asked for. */
    this.features = new Map();
    this.awaited = new Map();
    this.switchable = switchable;
    const linked = this.stateOfLink();
    this.home = languageOf(lang);
    this.state = { ...START, ...linked, lang: linked.lang in STRINGS ? linked.lang : this.home };
    this.t = (key, values = {}) =>
      STRINGS[this.state.lang][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
    this.changed = new Set();
    this.turn = 0;
    this.over = new AbortController();
    const { signal } = this.over;
    window.addEventListener("hashchange", () => this.guarded(() => this.restore()), { signal });
    // Charts take their colours from the style sheet: paper is white whatever the page is.
    const redraw = () => this.guarded(() => this.chart?.draw());
    const repaint = (paper) => () => {
      root.classList.toggle("cv-paper", paper);
      redraw();
    };
    window.addEventListener("beforeprint", repaint(true), { signal });
    window.addEventListener("afterprint", repaint(false), { signal });
    this.resized = new ResizeObserver(redraw);
    this.themed = new MutationObserver(redraw);
    this.themed.observe(document.body, { attributeFilter: ["class"] });
  }

  /** Run, and leave the plain photo and a sentence if that fails. */
  guarded(work) {
    try {
      return work();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Nothing but the photo and a sentence, until another explanation is opened. */
  fail(error) {
    console.error(error);
    this.rest();
    this.subject = this.second = this.chart = null;
    this.broken = true;
    this.build();
  }

  /** Nothing goes on by itself, nothing is awaited, and nothing is still to be drawn. */
  rest() {
    this.features.clear();
    this.awaited.forEach(clearTimeout);
    this.awaited.clear();
    if (this.strip) this.strip.stop();
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.thumbFrame);
    this.frame = null;
  }

  /** Show other explanations. What is on screen stays until they are decoded; the last call wins. */
  async open(payload, second) {
    const turn = ++this.turn;
    this.asked = payload;
    try {
      const [subject, beside] = await Promise.all([
        payload && Subject.open(payload),
        payload && second && Subject.open(second),
      ]);
      if (turn !== this.turn) return;
      this.rest();
      // A second photo that was not there before: it is what there is to see now.
      const arrived = beside && !this.second;
      this.subject = subject;
      this.second = beside;
      this.broken = false;
      this.built = false;
      this.set(arrived ? { compare: "photo" } : {}, ["subject"]);
      this.draw();
    } catch (error) {
      if (turn === this.turn) this.fail(error);
    }
  }

  /** Change parts of the state; what it is of no value for stays as it is. */
  set(patch, more = []) {
    const before = this.state;
    this.state = { ...before, ...patch };
    if (!(this.state.lang in STRINGS)) this.state.lang = before.lang;
    if (this.state.lang !== before.lang) this.built = false;
    if (this.subject) this.settle(before);
    const different = Object.keys(this.state).filter((key) => this.state[key] !== before[key]);
    for (const key of [...different, ...more]) this.changed.add(key);
    if (!this.changed.size) return;
    if (different.length && this.subject) {
      this.writeLink();
      if (this.onState) this.onState({ ...this.state });
    }
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  /** `set`, for what the visitor does. */
  change(patch) {
    this.guarded(() => this.set(patch));
  }

  /** Show what the address says, and nothing of what was chosen before. */
  restore() {
    this.state = { ...START, lang: this.state.lang };
    this.set(this.stateOfLink(), Object.keys(LINKED));
  }

  /** Put right what there is no such thing as. */
  settle(before) {
    const { state, subject } = this;
    const defaults = subject.payload.look;
    const oneOf = (key, known, fallback) => {
      state[key] = [state[key], before[key], fallback].find((value) => known.includes(value));
    };
    const within = (key, low, high, fallback) => {
      const value = Number.isFinite(state[key]) ? state[key] : (before[key] ?? fallback);
      state[key] = Math.min(Math.max(value, low), high);
    };
    const names = subject.blocks.map((block) => block.name);
    oneOf("block", names, names[names.length - 1]);
    oneOf("mode", subject.payload.modes, defaults.mode);
    oneOf("colours", Object.keys(subject.tables), defaults.colours);
    oneOf("scale", SCALES, defaults.scale);
    oneOf("order", ORDERS, ORDERS[0]);
    oneOf("compare", this.comparisons, "off");
    const others = this.beside.blocks.map((block) => block.name);
    oneOf("other", others, others[0]);
    // Two photos: the same block of both, where both have it.
    if (this.beside === this.second && others.includes(state.block)) state.other = state.block;
    within("opacity", 0, 1, defaults.opacity);
    within("keep", 0.05, 0.95, defaults.keep);
    within("wipe", 0, 1, START.wipe);
    if (!state.pin?.every((share) => share >= 0 && share <= 1)) state.pin = null;
    if (String(state.pin) === String(before.pin)) state.pin = before.pin;
    const channels = subject.block(state.block).channel.length;
    if (!(state.channel >= 0 && state.channel < channels)) state.channel = null;
  }

  get comparisons() {
    return this.second ? COMPARISONS : COMPARISONS.filter((kind) => kind !== "photo");
  }

  /** The explanation that a second picture is of. */
  get beside() {
    return this.state.compare === "photo" && this.second ? this.second : this.subject;
  }

  /** Draw now what a change made necessary. */
  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.guarded(() => {
      const all = !this.built;
      if (all) this.build();
      if (!this.subject) return;
      const { changed } = this;
      this.changed = new Set();
      const touches = (keys) => all || keys.some((key) => changed.has(key));
      this.showControls();
      if (touches(MAPS)) this.drawMaps();
      if (touches([...MAPS, "wipe"])) this.showWipe();
      if (touches(["subject", "block", "other", "compare"])) {
        const { block, compare, other } = this.state;
        this.strip.mark(block, compare === "block" ? other : null);
      }
      if (touches(["subject", "block", "other", "compare"])) this.showFigures();
      if (touches(CHANNELS)) this.showChannels();
      this.showCells();
      if (touches(LOOK)) this.drawThumbsSoon();
    });
  }

  // What is shown, from top to bottom.

  build() {
    this.resized.disconnect();
    this.pointed = null;
    this.root.lang = this.state.lang;
    this.built = true;
    if (!this.subject) {
      this.root.replaceChildren(this.broken ? this.buildStill() : this.buildEmpty());
      return;
    }
    const { t } = this;
    const events = {
      onPoint: (pane, point) => this.guarded(() => this.pointAt(pane, point)),
      onPin: (pane, point) => this.guarded(() => this.pin(pane, point)),
      onWipe: (wipe) => this.change({ wipe }),
    };
    this.panes = [new Pane(t, events), new Pane(t, events)];
    const altOf = (block) => this.altOf(this.subject, block);
    this.strip = new Strip(t, this.subject, altOf, (block) => this.change({ block }));
    this.bar = new ColourBar(t);
    this.chart = new ChannelChart(t, (channel) => this.change({ channel }));
    this.note = h("p", { class: "cv-note-line" });
    this.readout = h("div", { class: "cv-readout", "aria-live": "polite" });
    const panes = h("div", { class: "cv-panes" }, this.panes.map((pane) => pane.element));
    const below = [this.bar.element, this.note, this.readout];
    this.picture = h("div", { class: "cv-picture" }, panes, below);
    const main = h("div", { class: "cv-main" }, this.picture, this.buildControls());
    const top = [this.buildHead(), ...this.buildWarnings(), this.strip.element];
    this.root.replaceChildren(...top, main, this.buildChannels());
    this.resized.observe(this.chart.element);
  }

  buildEmpty() {
    return h("p", { class: "cv-empty" }, this.t("empty"));
  }

  buildStill() {
    const url = this.asked?.photo?.url;
    const photo = url && h("img", { src: url, alt: "" });
    const sentence = h("figcaption", { role: "alert" }, this.t("broken"));
    return h("figure", { class: "cv-still" }, photo, sentence);
  }

  buildHead() {
    const { predictions, model } = this.subject.payload;
    const list = predictions.map(({ label, probability, ...names }) => {
      const own = names[`label_${this.state.lang}`];
      const bar = h("i", { class: "cv-probability" });
      bar.style.setProperty("--cv-filled", probability);
      const share = `${(100 * probability).toFixed(1)}%`;
      const english = own && own !== label && h("small", { lang: "en" }, label);
      return h("li", {}, h("span", {}, own ?? label, english), h("b", {}, share), bar);
    });
    const title = this.title && h("h1", {}, this.t("title"));
    return h(
      "header",
      { class: "cv-head" },
      h("div", { class: "cv-title" }, title, h("p", {}, model.name)),
      this.buildTools(),
      list.length > 0 &&
        h("ol", { class: "cv-predictions", "aria-label": this.t("predictions") }, list),
    );
  }

  buildTools() {
    const attributes = { type: "button", class: "cv-button" };
    const live = { "aria-live": "polite" };
    this.copy = h("button", attributes, icon("link"), h("span", live, this.t("copyLink")));
    this.copy.addEventListener("click", () => this.copyLink());
    const languages = this.switchable ? Object.keys(STRINGS) : [];
    const others = languages.filter((lang) => lang !== this.state.lang);
    const switches = others.map((lang) => {
      const button = h("button", { ...attributes, lang }, STRINGS[lang].language);
      button.addEventListener("click", () => this.change({ lang }));
      return button;
    });
    return h("div", { class: "cv-tools" }, this.copy, switches);
  }

  buildWarnings() {
    const { model, view } = this.subject.payload;
    const warnings = [];
    if (model.untrained) warnings.push(this.t("untrained", { reason: model.untrained }));
    if (view.squeezed) warnings.push(this.t("squeezed"));
    if (view.size.join() !== view.resized.join()) warnings.push(this.t("cropped"));
    return warnings.map((words) => h("p", { class: "cv-warning" }, words));
  }

  buildControls() {
    const { t } = this;
    const { payload, tables } = this.subject;
    const named = (values) => values.map((value) => [value, t(value)]);
    const percent = (value) => `${Math.round(100 * value)}%`;
    const fine = { min: 0, max: 1, step: 0.05, format: percent };
    const to = (key) => (value) => this.change({ [key]: value });
    this.controls = {
      mode: segmented(t("mode"), named(payload.modes), to("mode")),
      scale: segmented(t("scale"), named(SCALES), to("scale")),
      opacity: slider(t("opacity"), fine, to("opacity")),
      keep: slider(t("keep"), { ...fine, min: 0.05, max: 0.95 }, to("keep")),
      colours: dropdown(t("colours"), to("colours")),
      compare: segmented(t("compare"), named(this.comparisons), to("compare")),
      other: dropdown(t("other"), to("other")),
    };
    this.controls.colours.offer(Object.keys(tables));
    this.figures = h("div", { class: "cv-figures" });
    const order = ["mode", "opacity", "keep", "colours", "scale", "compare", "other"];
    const fields = order.map((key) => this.controls[key].element);
    this.side = h("aside", { class: "cv-side", "aria-label": t("controls") }, fields);
    return this.side;
  }

  buildChannels() {
    const orders = [["sorted", this.t("sorted")], ["channel", this.t("byChannel")]];
    const order = segmented(this.t("order"), orders, (order) => this.change({ order }));
    this.controls.order = order;
    this.channelCount = h("span");
    this.extremes = h("div", { class: "cv-extremes" });
    this.ask = h("button", { type: "button", class: "cv-button" });
    this.ask.addEventListener("click", () => this.guarded(() => this.askForFeatures()));
    this.featureWords = h("p", { class: "cv-small", tabindex: "-1" });
    this.featureBar = new ColourBar(this.t);
    const scale = [this.featureWords, this.featureBar.element];
    this.featureScale = h("div", { class: "cv-feature-scale" }, scale);
    const features = h("div", { class: "cv-features" }, this.ask, this.featureScale);
    const heading = [h("h2", {}, this.t("channels")), this.channelCount, order.element];
    const head = h("div", { class: "cv-section-head" }, heading);
    const parts = [head, this.chart.element, this.extremes, features];
    return h("section", { class: "cv-channels" }, parts);
  }

  // Showing the state.

  showControls() {
    const { state, controls } = this;
    controls.other.offer(this.beside.blocks.map((block) => block.name));
    for (const [key, control] of Object.entries(controls)) control.set(state[key]);
    const coloured = state.mode === "heat" || state.mode === "cells";
    controls.opacity.element.hidden = state.mode === "multiply";
    controls.keep.element.hidden = state.mode !== "contour";
    controls.colours.element.hidden = !coloured;
    const given = this.beside === this.second && state.other === state.block;
    controls.other.element.hidden = this.shown.length < 2 || given;
  }

  /** What a pane, the first or the second, is called. */
  titleOf(block, i) {
    const photo = this.state.compare === "photo" && this.t(i ? "secondPhoto" : "firstPhoto");
    return photo ? `${photo} · ${block.name}` : block.name;
  }

  /** What the panes show: pairs of explanation and block. */
  get shown() {
    const { state, subject } = this;
    const first = [subject, subject.block(state.block)];
    const two = state.compare === "block" || state.compare === "photo";
    return two ? [first, [this.beside, this.beside.block(state.other)]] : [first];
  }

  /** The values that the ends of the scale stand for, over some pairs. */
  rangeOf(pairs, gate = "spatial") {
    if (this.state.scale === "absolute") return [0, 1];
    const all = this.state.scale === "shared";
    const blocks = pairs.flatMap(([subject, block]) => (all ? subject.blocks : [block]));
    return Subject.range(blocks, gate);
  }

  lookFor([low, high]) {
    const { mode, opacity, keep, colours } = this.state;
    return { mode, opacity, keep, low, high, table: this.subject.tables[colours] };
  }

  drawMaps() {
    const { shown, panes } = this;
    const [low, high] = this.rangeOf(shown);
    const look = this.lookFor([low, high]);
    panes[1].element.hidden = shown.length < 2;
    this.root.classList.toggle("cv-two", shown.length > 1);
    const ratios = shown.map(([{ painter }]) => painter.width / painter.height);
    this.root.style.setProperty("--cv-ratios", ratios.reduce((a, b) => a + b));
    const outlined = shown.map(([subject, block], i) =>
      panes[i].draw(subject, block, look, this.titleOf(block, i), this.altOf(subject, block)),
    );
    const figures = shown.map(([, block]) => block.figures.spatial);
    this.bar.set(this.rampOf(look, outlined[0]), low, high, figures);
    setText(this.note, this.noteOf(look, outlined));
  }

  /** The colours of the bar: the table, or grey for the product, or the two sides of an outline. */
  rampOf({ mode, table }, outlined) {
    if (mode === "heat" || mode === "cells") return table;
    const light = (i) => (mode === "multiply" ? i : i < 255 * outlined.level ? 128 : 255);
    return Uint8Array.from({ length: 768 }, (_, i) => light(Math.floor(i / 3)));
  }

  noteOf({ low, high }, outlined) {
    const percent = (share) => `${Math.round(100 * share)}%`;
    const words = outlined.filter(Boolean).map(({ held, area, level }) => {
      const value = (low + level * (high - low)).toFixed(3);
      return this.t("outlined", { held: percent(held), area: percent(area), level: value });
    });
    const { scale } = this.state;
    if (scale !== "absolute") words.push(this.t(`${scale}Note`));
    return words.join(" ");
  }

  showWipe() {
    this.panes[0].wipe(this.state.compare === "wipe" ? this.state.wipe : null);
    if (this.state.compare !== "wipe") this.panes[1].wipe(null);
  }

  drawThumbsSoon() {
    // A frame later: the large picture follows the hand first.
    cancelAnimationFrame(this.thumbFrame);
    this.thumbFrame = requestAnimationFrame(() => {
      const { state, shown, subject } = this;
      const pairs = (block) => (state.scale === "shared" ? shown : [[subject, block]]);
      this.guarded(() => this.strip.draw((block) => this.lookFor(this.rangeOf(pairs(block)))));
    });
  }

  /** The numbers of what is shown: beside one picture, below two. */
  showFigures() {
    const { figures, shown, side, picture, t } = this;
    const home = shown.length > 1 ? picture : side;
    if (figures.parentElement !== home) home.append(figures);
    const columns = shown.map(([subject, block], i) => {
      const { spatial, channel } = block.figures;
      const gates = [["spatialGate", spatial], ["channelGate", channel]];
      const parts = gates.map(([key, f]) => figuresCard(t, t(key), f, subject.isConstant(f)));
      const heading = shown.length > 1 ? this.titleOf(block, i) : t("figures");
      return h("div", { class: "cv-gates" }, h("h2", {}, heading), parts);
    });
    figures.replaceChildren(...columns, h("p", { class: "cv-small" }, t("neutralNote")));
  }

  showChannels() {
    const { state, chart, extremes } = this;
    const block = this.subject.block(state.block);
    const count = this.t("channelCount", { count: block.channel.length });
    setText(this.channelCount, `${block.name} · ${count}`);
    const range = this.rangeOf([[this.subject, block]], "channel");
    chart.set(block, range, state.order, state.channel);
    const focused = [...extremes.querySelectorAll("button")].indexOf(document.activeElement);
    extremes.replaceChildren(
      this.buildExtremes("strongest", chart.strongest(), block.channel),
      this.buildExtremes("weakest", chart.weakest(), block.channel),
    );
    extremes.querySelectorAll("button")[focused]?.focus();
    this.showFeatures(block);
  }

  /** The scale of the feature maps, or the button that asks for them. */
  showFeatures(block) {
    const { ask, extremes, featureScale, t } = this;
    const maps = this.features.get(block.name);
    const busy = this.awaited.has(block.name);
    extremes.classList.toggle("cv-mapped", Boolean(maps));
    extremes.style.setProperty("--cv-cells", block.columns / block.rows);
    setText(ask, t(busy ? "fetching" : "showFeatures"));
    ask.setAttribute("aria-busy", busy);
    featureScale.hidden = !maps;
    const focused = document.activeElement === ask;
    ask.hidden = Boolean(maps) || !this.onFeatures || !this.chart.named;
    if (!maps) return;
    setText(this.featureWords, t("featuresNote", { count: maps.count }));
    const table = this.subject.tables[FEATURE_COLOURS];
    this.featureBar.set(table, maps.low, maps.high, [], 2);
    if (focused) this.featureWords.focus({ preventScroll: true });
  }

  /** Some channels by name; a click marks one on the chart. */
  buildExtremes(key, channels, weights) {
    const items = channels.map((channel) => {
      const pressed = channel === this.state.channel;
      const attributes = { type: "button", class: "cv-chip", "aria-pressed": String(pressed) };
      const words = [h("span", {}, `#${channel}`), h("b", {}, weights[channel].toFixed(3))];
      const button = h("button", attributes, this.buildFeatures(channel), words);
      button.addEventListener("click", () => this.change({ channel: pressed ? null : channel }));
      return h("li", {}, button);
    });
    return h("div", { class: `cv-${key}` }, h("h3", {}, this.t(key)), h("ul", {}, items));
  }

  /** A channel's feature map, if there is one. */
  buildFeatures(channel) {
    const maps = this.features.get(this.state.block);
    const map = maps?.maps.get(channel);
    if (!map) return null;
    const ends = { low: numbered(map.min, 2), high: numbered(map.max, 2) };
    const at = map.levels.indexOf(map.levels.reduce((a, b) => Math.max(a, b)));
    const place = this.placeOf(at, this.subject.block(this.state.block));
    const key = ends.low === ends.high ? "featuresConstant" : "featuresAlt";
    const alt = this.t(key, { channel, place, ...ends });
    const canvas = h("canvas", { role: "img", "aria-label": alt, title: alt });
    maps.paint(canvas, channel, this.subject.tables[FEATURE_COLOURS]);
    return canvas;
  }

  /** The cells under the pointer and under the pin: on the pictures, on the bar, in words. */
  showCells() {
    const { state, panes, shown, pointed } = this;
    const follows = (pane) => pointed && (pane === pointed.pane || state.compare !== "photo");
    const points = panes.map((pane) => (follows(pane) ? pointed.point : null));
    const values = [];
    const lines = { pointer: [], pinned: [] };
    shown.forEach(([subject, block], i) => {
      panes[i].outline(points[i], state.pin);
      for (const [key, point] of Object.entries({ pinned: state.pin, pointer: points[i] })) {
        const cell = point && subject.cellAt(block, point);
        if (!cell) continue;
        values.push(cell.value);
        lines[key].push({ subject, block, cell });
      }
    });
    this.bar.setPointers(values);
    const rows = Object.keys(lines).filter((key) => lines[key].length);
    const hint = h("p", { class: "cv-hint" }, this.t("hint"));
    const read = rows.map((key) => this.readoutLine(key, lines[key]));
    this.readout.replaceChildren(...(rows.length ? read : [hint]));
  }

  readoutLine(key, cells) {
    const parts = cells.map(({ subject, block, cell }) => {
      const [width, height] = subject.view.size;
      const where = `${block.name} · ${this.t("cell", cell)}`;
      const field = block.field && this.t("field", { field: block.field, width, height });
      const value = h("b", {}, cell.value.toFixed(4));
      return h("p", {}, value, h("span", {}, where), field && h("small", {}, field));
    });
    const name = h("span", { class: "cv-read-name" }, this.t(key));
    return h("div", { class: `cv-read cv-read-${key}` }, name, h("div", {}, parts));
  }

  /** What a map shows, in a sentence. */
  altOf(subject, block) {
    const { min, max } = block.figures.spatial;
    const values = { block: block.name, low: min.toFixed(2), high: max.toFixed(2) };
    if (subject.isConstant(block.figures.spatial)) return this.t("altConstant", values);
    return this.t("alt", { ...values, place: this.placeOf(block.spatial.indexOf(max), block) });
  }

  /** In words, in which ninth of a block's map a cell lies. */
  placeOf(at, { rows, columns }) {
    const third = (cell, cells) => Math.min(2, Math.floor((3 * (cell + 0.5)) / cells));
    const row = third(Math.floor(at / columns), rows);
    return this.t(`place${row}${third(at % columns, columns)}`);
  }

  // What the visitor does.

  pointAt(pane, point) {
    this.pointed = point && { pane, point };
    this.showCells();
  }

  /** Pin the cell at a point; let go if it is the one that is pinned. */
  pin(pane, point) {
    const { subject, block } = pane;
    const cell = point && subject.cellAt(block, point);
    const pinned = this.state.pin && subject.cellAt(block, this.state.pin);
    const same = cell && pinned && cell.row === pinned.row && cell.column === pinned.column;
    // A place on the photo, not a cell: it means something in every block.
    this.set({ pin: cell && !same ? point.map((share) => Math.round(share * 1e4) / 1e4) : null });
  }

  askForFeatures() {
    const { block } = this.state;
    if (this.awaited.has(block)) return;
    const again = () => {
      this.awaited.delete(block);
      this.set({}, ["features"]);
    };
    this.awaited.set(block, setTimeout(() => this.guarded(again), PATIENCE));
    this.set({}, ["features"]);
    this.onFeatures(block);
  }

  /** Keep the feature maps of a block of this explanation; what comes too late is of another. */
  setFeatures(answer) {
    const block = this.subject?.block(answer.block);
    if (!block || !FeatureMaps.isOf(block, answer)) return;
    clearTimeout(this.awaited.get(block.name));
    this.awaited.delete(block.name);
    this.features.set(block.name, new FeatureMaps(answer));
    this.set({}, ["features"]);
  }

  // The link.

  /** The parts of the state that are in a link; the language only where it is changed here. */
  get linked() {
    return Object.keys(LINKED).filter((key) => key !== "lang" || this.switchable);
  }

  /** The parts of the state that the address holds. */
  stateOfLink() {
    const hash = new URLSearchParams(location.hash.slice(1));
    const known = this.linked.filter((key) => hash.has(key));
    return Object.fromEntries(known.map((key) => [key, LINKED[key](hash.get(key))]));
  }

  writeLink() {
    // Browsers allow a page few such calls: once things have come to rest.
    clearTimeout(this.linkTimer);
    const write = () => this.subject && history.replaceState(null, "", this.link());
    this.linkTimer = setTimeout(write, 250);
  }

  /** The address of exactly this view. Parts of the hash that are the page's own stay. */
  link() {
    const defaults = { ...START, ...this.subject.payload.look, lang: this.home };
    const hash = new URLSearchParams(location.hash.slice(1));
    for (const key of this.linked) {
      const value = this.state[key];
      const needed = value != null && value !== defaults[key];
      if (needed && (key !== "other" || this.shown.length > 1)) hash.set(key, value);
      else hash.delete(key);
    }
    return `${location.pathname}${location.search}#${hash}`;
  }

  async copyLink() {
    const held = this.subject.payload.photo.linked !== false;
    let said = held ? "copied" : "copiedView";
    history.replaceState(null, "", this.link());
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      said = held ? "inAddress" : "inAddressView";
    }
    const words = this.copy.querySelector("span");
    setText(words, this.t(said));
    clearTimeout(this.saidTimer);
    const back = () => setText(words, this.t("copyLink"));
    this.saidTimer = setTimeout(back, held ? 2000 : 4000);
  }

  destroy() {
    this.turn++;
    this.rest();
    clearTimeout(this.linkTimer);
    this.over.abort();
    this.resized.disconnect();
    this.themed.disconnect();
    this.root.replaceChildren();
  }
}

window.CbamViewer = {
  /**
   * Show an explanation.
   *
   * @param {HTMLElement} element to fill; its class should be "cbam-viewer".
   * @param {?object} payload of Python's `payload`; null to say that there is nothing yet.
   * @param {object} options lang: "en" or "zh", the browser's if it is neither; onState: called
   *   with a copy of the state after every change of it; second: payload of a second photo,
   *   shown beside the first as soon as there is one;
   *   title: whether to show a title, for a page that has no other; switchable: false for a page
   *   that changes the language itself, by setState({lang}), and keeps `lang` in the address;
   *   onFeatures: called with a block's name when the visitor asks for its feature maps, to be
   *   answered by setFeatures; without it they cannot be asked for.
   * @returns {{setPayload, setState, setFeatures, draw, destroy, ready}} setPayload(payload,
   *   second) gives a promise, and of several calls the last one wins; setState(patch) draws at
   *   the browser's next frame, draw() at once; setFeatures(answer) takes what Python's `features`
   *   gives; ready is the promise of the first payload.
   */
  mount(element, payload, options = {}) {
    const viewer = new Viewer(element, options);
    const setPayload = (first, second = null) => viewer.open(first, second);
    return {
      setPayload,
      setState: (patch) => viewer.guarded(() => viewer.set(patch)),
      setFeatures: (answer) => viewer.guarded(() => viewer.setFeatures(answer)),
      draw: () => viewer.draw(),
      destroy: () => viewer.destroy(),
      ready: setPayload(payload, options.second),
    };
  },
};
