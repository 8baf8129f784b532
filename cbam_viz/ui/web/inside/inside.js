// Inside a block: five steps, one picked cell, one picked channel. The products behind both are
// computed here, from the network's own kernel, maps and weights.

import { h, segmented } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { paintCells } from "../shared/pixels.js";
import { languageOf, translator } from "../shared/words.js";
import { Block } from "./block.js";
import { ChannelGate } from "./channel_gate.js";
import { percent, Pictures, setSizes, sign } from "./pictures.js";
import { SpatialGate } from "./spatial_gate.js";
import { buildStep } from "./step.js";

/** @import { Point } from "../shared/geometry.js" */
/** @import { Payload } from "./block.js" */

/** @typedef {{pin?: ?Point, channel?: ?number}} Picked a place on the photo, and a channel. */
/** @typedef {Picked & {lang?: string, second?: ?Payload, onPick?: (picked: Picked) => void}} Options */

export class Inside {
  /**
   * @param {HTMLElement} root
   * @param {Options} options
   */
  constructor(root, { lang, onPick }) {
    this.root = root;
    this.lang = languageOf(lang);
    this.onPick = onPick;
    this.order = "gate";
    /** The step that a narrow screen shows, which has room for one. */
    this.step = 1;
    /** @type {Payload[]} of the photo, and of the second one. */
    this.payloads = [];
    /** Which of the two photos is shown. */
    this.which = 0;
    /** @type {?Block} */
    this.block = null;
    this.t = translator(() => this.lang, "inside", "viewer");
    this.show(null);
  }

  /** Run, and leave a sentence if that fails. */
  guarded(/** @type {() => void} */ work) {
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
   *
   * @param {?Payload} payload
   * @param {Picked} picked
   * @param {?Payload} second of a second photo.
   */
  show(payload, { pin, channel } = {}, second = null) {
    this.guarded(() => {
      this.payloads = payload ? [payload, ...(second ? [second] : [])] : [];
      this.which = Math.min(this.which, Math.max(0, this.payloads.length - 1));
      const shown = this.payloads[this.which];
      this.block = shown ? new Block(shown) : null;
      if (this.block) {
        const { brightest, channels, examples } = this.block;
        this.cell = (pin && this.block.cellAt(pin)) ?? brightest;
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
    const { block, root } = this;
    setSizes(root, block);
    this.pictures = new Pictures(this.t, block, {
      onCell: (row, column) => this.pickCell(row, column),
      onChannel: (channel) => this.pickChannel(channel),
    });
    this.channelGate = new ChannelGate(this.pictures, this.order, (order) => (this.order = order));
    this.spatialGate = new SpatialGate(this.pictures);
    this.steps = [
      this.buildFeatures(),
      this.channelGate.element,
      this.buildRefined(),
      this.spatialGate.element,
      this.buildOutput(),
    ];
    this.pager = h("nav", { class: "ci-pager", "aria-label": this.t("steps") });
    this.root.replaceChildren(this.buildHead(), this.buildWay(), ...this.steps, this.pager);
    this.goTo(this.step);
    this.spatialGate.show(this.cell.row, this.cell.column);
    this.channelGate.show(this.channel);
  }

  /** Show a step where there is room for one only. */
  goTo(/** @type {number} */ step) {
    this.step = step;
    this.steps.forEach((element, i) => element.classList.toggle("ci-here", i + 1 === step));
    const button = (/** @type {string} */ key, /** @type {number} */ to) => {
      const attributes = { type: "button", class: "cv-button", disabled: !this.steps[to - 1] };
      const element = h("button", attributes, this.t(key));
      element.addEventListener("click", () => {
        this.goTo(to);
        this.steps[to - 1].scrollIntoView({ block: "start" });
      });
      return element;
    };
    const place = h("span", { class: "ci-soft" }, `${step} / ${this.steps.length}`);
    this.pager.replaceChildren(button("tourBack", step - 1), place, button("tourNext", step + 1));
  }

  /** The choice of the photo, where there are two, and what the network says of the one shown. */
  buildPhotos() {
    const { predictions } = this.block;
    const own = `label_${this.lang}`;
    const said = predictions.map((p) => `${p[own] ?? p.label} ${percent(p.probability)}`);
    const says =
      said.length > 0 && h("p", { class: "ci-says" }, this.t("says", { classes: said.join(", ") }));
    if (this.payloads.length < 2) return says;
    const photos = [["0", this.t("firstPhoto")], ["1", this.t("secondPhoto")]]; // prettier-ignore
    const choice = segmented(this.t("whichPhoto"), photos, (value) => {
      const [payload, second] = this.payloads;
      this.which = Number(value);
      const { block } = this;
      const pin = block.centreOf(this.cell.row, this.cell.column);
      this.show(payload, { pin, channel: this.channel }, second);
      const selector = `.ci-photos input[value="${value}"]`;
      /** @type {?HTMLElement} */ (this.root.querySelector(selector))?.focus();
    });
    choice.set(String(this.which));
    return h("div", { class: "ci-photos" }, choice.element, says);
  }

  buildHead() {
    const { name, channels, rows, columns, stride, model, view } = this.block;
    return h("header", {},
      this.buildPhotos(),
      h("h2", { class: "ci-title" }, this.t("heading", { block: name })),
      h("p", { class: "ci-soft" }, this.t("facts", { channels, rows, columns, stride })),
      model.untrained && h("p", { class: "cv-warning" }, this.t("untrained", { reason: model.untrained })),
      view.squeezed && h("p", { class: "cv-warning" }, this.t("squeezed"))); // prettier-ignore
  }

  /** All steps in one line; a click leads to the step. */
  buildWay() {
    const { maps, gate } = this.block;
    const scale = this.pictures.signed(maps.features, maps.mean);
    const stop = (step, name, picture) => {
      const button = h(
        "button",
        { type: "button", class: "ci-stop" },
        picture,
        h("span", {}, name),
      );
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      button.addEventListener("click", () => {
        this.goTo(step);
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
    const bars = h(
      "div",
      { class: "ci-small" },
      this.pictures.bars(
        Array.from(gate).sort((a, b) => b - a),
        0,
        1,
        0.5,
      ),
    );
    const adding = this.pictures.signed(maps.refined, maps.shortcut, maps.output);
    const pair = (operation, ...stops) =>
      h("span", { class: "ci-pair" }, sign(operation), ...stops);
    return h("nav", { class: "ci-way", "aria-label": this.t("way") },
      stop(1, this.t("f"), small(maps.features, scale)),
      pair("×", stop(2, this.t("channelGate"), bars)),
      pair("=", stop(3, this.t("fPrime"), small(maps.mean, scale))),
      pair("×", stop(4, this.t("spatialGate"), small(maps.gate, this.pictures.gated))),
      pair("=", stop(5, this.t("fSecond"), small(maps.refined, adding))),
      pair("+", stop(5, this.t("shortcut"), small(maps.shortcut, adding))),
      pair("→", stop(5, this.t("output"), small(maps.output, adding)))); // prettier-ignore
  }

  buildFeatures() {
    const { maps, examples, channels, rows, columns } = this.block;
    const scale = this.pictures.channelled;
    const half = examples.length / 2;
    const group = (words, members) =>
      h("div", { class: "ci-group" }, h("h3", {}, words),
        h("div", { class: "ci-row" }, members.map((example) => this.pictures.example(example, scale)))); // prettier-ignore
    return buildStep(this.t, this.block, 1, "features", { channels, rows, columns },
      h("div", { class: "ci-row ci-columns" },
        this.pictures.photo(),
        this.pictures.map(this.t("meanF"), maps.features, this.pictures.signed(maps.features)),
        h("div", { class: "ci-groups" },
          group(this.t("strongest"), examples.slice(0, half)),
          group(this.t("weakest"), examples.slice(half)),
          h("p", { class: "ci-soft" }, this.t("exampleScale")), this.pictures.colourBar(scale)))); // prettier-ignore
  }

  buildRefined() {
    const { maps, examples, gate } = this.block;
    const scale = this.pictures.channelled;
    const means = this.pictures.signed(maps.features, maps.mean);
    const triple = ({ channel, map }) => {
      const weighted = map.map((v) => v * gate[channel]);
      const after = h("canvas", {
        class: "ci-small",
        role: "img",
        "aria-label": this.pictures.altOf(`F′ #${channel}`, weighted),
      });
      paintCells(after, weighted, this.block.columns, scale);
      const times = h("span", { class: "ci-times" }, `× ${numbered(gate[channel], 2)} =`);
      return h(
        "div",
        { class: "ci-triple" },
        this.pictures.example({ channel, map }, scale, `#${channel}`),
        times,
        after,
      );
    };
    return buildStep(this.t, this.block, 3, "refined", {},
      h("div", { class: "ci-row ci-columns" },
        h("div", { class: "ci-pairwise" },
          this.pictures.map(this.t("meanBefore"), maps.features, means),
          sign("→"),
          this.pictures.map(this.t("meanAfter"), maps.mean, means)),
        h("div", { class: "ci-triples" }, examples.map(triple)))); // prettier-ignore
  }

  buildOutput() {
    const { maps, sizes, reach } = this.block;
    const scale = this.pictures.signed(maps.refined, maps.shortcut, maps.total);
    const most = Math.max(...Object.values(sizes));
    const size = (words, key) => {
      const bar = h("i", { class: `ci-size ci-size-${key}` });
      bar.style.width = `${(100 * sizes[key]) / most}%`;
      return [
        h("dt", {}, words),
        h("dd", {}, h("span", {}, bar), h("b", {}, sizes[key].toPrecision(4))),
      ];
    };
    const bar = h(
      "div",
      { class: "ci-reach", "aria-hidden": "true" },
      h("i", {}, percent(reach)),
      h("i", {}, percent(1 - reach)),
    );
    bar.firstChild.style.width = `${100 * reach}%`;
    return buildStep(this.t, this.block, 5, "output", {},
      h("div", { class: "ci-row" },
        h("div", { class: "ci-pairwise" },
          this.pictures.map(this.t("meanSecond"), maps.refined, scale),
          sign("+"),
          this.pictures.map(this.t("meanShortcut"), maps.shortcut, scale)),
        h("div", { class: "ci-pairwise" },
          sign("="),
          this.pictures.map(this.t("meanSum"), maps.total, scale),
          sign("→"),
          this.pictures.map(this.t("meanOutput"), maps.output, scale))),
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

  pickCell(/** @type {number} */ row, /** @type {number} */ column) {
    if (!this.block || (row === this.cell.row && column === this.cell.column)) return;
    this.cell = { row, column };
    this.guarded(() => this.spatialGate.show(row, column));
    this.onPick?.({ pin: this.block.centreOf(row, column) });
  }

  pickChannel(/** @type {number} */ channel) {
    if (!this.block || channel === this.channel) return;
    this.channel = channel;
    this.guarded(() => this.channelGate.show(channel));
    this.onPick?.({ channel });
  }

  pick(/** @type {Picked} */ { pin, channel }) {
    const cell = pin && this.block?.cellAt(pin);
    if (cell) this.pickCell(cell.row, cell.column);
    if (channel != null) this.pickChannel(channel);
  }
}

/**
 * Show the inside of a block.
 *
 * @param {HTMLElement} element to fill; its classes should be "cbam-viewer cbam-inside".
 * @param {?Payload} payload null to say that there is nothing yet.
 * @param {Options} options lang: "en" or "zh", the browser's if it is neither; pin: a point on the
 *   photo whose cell is picked to begin with; channel: likewise; onPick: called with {pin} or
 *   {channel} when another one is picked.
 * @returns setPayload(payload, {pin, channel}, second) shows another block, on two photos if there
 *   is a second; pick({pin, channel}) picks what
 *   of these is given; pickCell(row, column) and pickChannel(channel) count from 0.
 */
export function mountInside(element, payload, options = {}) {
  const inside = new Inside(element, options);
  inside.show(payload, options, options.second);
  return {
    setPayload: (
      /** @type {?Payload} */ next,
      /** @type {Picked} */ picked,
      /** @type {?Payload} */ second = null,
    ) => inside.show(next, picked, second),
    setLang: (/** @type {string} */ lang) => {
      if (inside.lang === languageOf(lang)) return;
      inside.lang = languageOf(lang);
      inside.guarded(() => inside.build());
    },
    pick: (/** @type {Picked} */ picked) => inside.pick(picked),
    pickCell: (/** @type {number} */ row, /** @type {number} */ column) =>
      inside.pickCell(row, column),
    pickChannel: (/** @type {number} */ channel) => inside.pickChannel(channel),
  };
}
