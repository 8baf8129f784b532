// The channel gate: from pooled features through the shared perceptron to a gate for each channel.

import { h, segmented, setAttributes, setText } from "../shared/dom.js";
import { scaleStep } from "../shared/keys.js";
import { clamp, figuresOf, numbered } from "../shared/numbers.js";
import { sigmoid, sumOf } from "./block.js";
import { factor, sign } from "./pictures.js";
import { buildStep } from "./step.js";

/** @import { Branch } from "./block.js" */
/** @import { Pictures } from "./pictures.js" */

/** Hidden units that are named one by one; the others are shown as one sum. */
const NAMED_UNITS = 5;

export class ChannelGate {
  /**
   * @param {Pictures} pictures of the block.
   * @param {string} order of the bars, "gate" or "channel".
   * @param {(order: string) => void} onOrder called when another one is chosen.
   */
  constructor(pictures, order, onOrder) {
    this.pictures = pictures;
    this.t = pictures.t;
    this.block = pictures.block;
    this.order = order;
    this.channel = 0;
    const choices = [
      ["gate", this.t("byGate")],
      ["channel", this.t("byChannel")],
    ];
    const orders = segmented(this.t("order"), choices, (chosen) => {
      this.order = chosen;
      onOrder(chosen);
      this.build();
      this.show(this.channel);
    });
    orders.set(order);
    this.branches = h("div", { class: "ci-branches" });
    this.detail = h("div", { class: "ci-detail" });
    const parts = [orders.element, this.branches, this.detail];
    this.element = buildStep(this.t, this.block, 2, "channel", {}, ...parts);
    this.build();
  }

  /** A vector as bars, in the order of the channels if it is one of channels. */
  strip(name, values, { base = 0, ends = null, channels = true } = {}) {
    const { min, max } = figuresOf(values);
    const [low, high] = ends ?? [Math.min(min, base), Math.max(max, base)];
    const shown = channels ? this.shown.map((c) => values[c]) : Array.from(values);
    const mark = channels && h("i", { class: "ci-at" });
    const value = channels && h("output");
    const frame = h(
      "div",
      { class: channels ? "ci-frame ci-pickable" : "ci-frame" },
      this.pictures.bars(shown, low, high, base),
      mark,
    );
    if (channels) {
      const pick = (event) => {
        const box = frame.getBoundingClientRect();
        const place = Math.floor(((event.clientX - box.left) / box.width) * shown.length);
        this.pictures.onChannel(this.shown[clamp(place, 0, shown.length - 1)]);
      };
      frame.addEventListener("pointerdown", (event) => event.isPrimary && pick(event));
      frame.addEventListener("pointermove", (event) => event.buttons === 1 && pick(event));
      this.strips.push({ values, mark, value });
    }
    const range = this.t("range", { low: numbered(min, 2), high: numbered(max, 2) });
    return h("div", { class: "ci-strip" },
      h("p", {}, h("b", {}, name), h("span", {}, range), value), frame); // prettier-ignore
  }

  build() {
    const { block } = this;
    const { gate, sums } = block;
    this.strips = [];
    this.shown = Array.from(gate.keys());
    if (this.order === "gate") this.shown.sort((a, b) => gate[b] - gate[a] || a - b);
    const branch = (name) => {
      const hidden = block.hidden[name];
      const silent = hidden.filter((v) => v === 0).length;
      const logits = [block.logits.average, block.logits.maximum].map(figuresOf);
      const ends = [
        Math.min(0, ...logits.map((f) => f.min)),
        Math.max(0, ...logits.map((f) => f.max)),
      ];
      return h("div", { class: "ci-branch" },
        this.strip(this.t(name), block.pooled[name]),
        sign("↓"),
        this.strip(this.t("hidden", { count: hidden.length, silent }), hidden, { channels: false }),
        sign("↓"),
        this.strip(this.t("result"), block.logits[name], { ends })); // prettier-ignore
    };
    this.slider = h("div", { class: "ci-slider", tabindex: "0", role: "slider", "aria-valuemin": 0,
      "aria-valuemax": gate.length - 1, "aria-label": this.t("pickChannel") },
      this.strip(this.t("gate"), gate, { base: 0.5, ends: [0, 1] })); // prettier-ignore
    this.slider.addEventListener("keydown", (event) => this.onKey(event));
    this.branches.replaceChildren(
      branch("average"),
      sign("+"),
      branch("maximum"),
      h(
        "div",
        { class: "ci-merged" },
        sign("↓"),
        this.strip(this.t("sum"), sums),
        sign("σ ↓"),
        this.slider,
      ),
    );
  }

  onKey(event) {
    const next = scaleStep(event.key, this.shown.indexOf(this.channel), this.shown.length);
    if (next == null) return;
    event.preventDefault();
    this.pictures.onChannel(this.shown[next]);
  }

  /** Follow one channel. */
  show(/** @type {number} */ channel) {
    this.channel = channel;
    const { block } = this;
    const count = block.channels;
    const place = this.shown.indexOf(channel);
    for (const { values, mark, value } of this.strips) {
      mark.style.left = `${(100 * (place + 0.5)) / count}%`;
      setText(value, `#${channel}: ${numbered(values[channel])}`);
    }
    this.pictures.markChannel(channel);
    const words = this.t("channelValue", { channel, gate: numbered(block.gate[channel], 4) });
    setAttributes(this.slider, { "aria-valuenow": place, "aria-valuetext": words });

    const bias = block.bias ? block.bias[channel] : 0;
    const branches = ["average", "maximum"].map((name) => this.unitTable(name, channel, bias));
    const logit = sumOf(branches.map((b) => b.total));
    const box = (name, text, number) =>
      h(
        "span",
        { class: `ci-box ci-${name}` },
        h("small", {}, text),
        h("b", { "data-part": name }, numbered(number, 4)),
      );
    this.detail.replaceChildren(
      h("h3", { class: "ci-detail-title" }, this.t("channelWay", { channel })),
      h("div", { class: "ci-products-two" }, branches.map((b) => b.element)),
      h("div", { class: "ci-sum" },
        box("average", this.t("average"), branches[0].total), sign("+"),
        box("maximum", this.t("maximum"), branches[1].total), sign("="),
        box("channel-logit", this.t("logit"), logit), sign("σ →"),
        box("channel-gate", this.t("gateShort"), sigmoid(logit))),
    ); // prettier-ignore
  }

  /** What the hidden units of one branch add to a channel's logit. @returns {{element, total}} */
  unitTable(branch, channel, bias) {
    const { block } = this;
    const units = block.units(branch, channel);
    const falling = units
      .filter((u) => u.adds !== 0)
      .sort((a, b) => Math.abs(b.adds) - Math.abs(a.adds));
    const named = falling.slice(0, NAMED_UNITS);
    const rest = falling.slice(NAMED_UNITS);
    const total = sumOf(units.map((u) => u.adds)) + bias;
    const row = (head, how, value, attributes = {}) =>
      h(
        "tr",
        attributes,
        h("th", { scope: "row" }, head),
        h("td", {}, how),
        h("td", {}, numbered(value, 4)),
      );
    const most = Math.max(...units.map((u) => Math.abs(u.adds)), Math.abs(bias));
    const element = h("div", { class: "ci-plane" },
      h("h3", {}, `${this.t(branch)} · ${this.t("pooledTo", { value: numbered(block.pooled[branch][channel], 4) })}`),
      h("div", { class: "ci-frame ci-units" }, this.pictures.bars(units.map((u) => u.adds), -most, most, 0)),
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
