// The section of the channels: all weights, the strongest and the weakest by name, their features.

import { h, segmented, setText } from "../shared/dom.js";
import { explained } from "../shared/glossary.js";
import { numbered } from "../shared/numbers.js";
import { ChannelChart } from "./chart.js";
import { ColourBar } from "./colour_bar.js";
import { placeOf } from "./places.js";
import { ORDERS } from "./state.js";

/** @import { Translate } from "../shared/words.js" */
/** @import { FeatureMaps } from "./features.js" */
/** @import { State } from "./state.js" */
/** @import { Block, Subject } from "./subject.js" */

export class ChannelSection {
  /**
   * @param {Translate} t
   * @param {Subject} subject
   * @param {object} events
   * @param {(patch: Partial<State>) => void} events.onChange called with what the visitor chose.
   * @param {null | (() => void)} [events.onAsk] asks for the feature maps of the block in view; null if
   *   there is nobody to ask.
   */
  constructor(t, subject, { onChange, onAsk }) {
    this.t = t;
    this.subject = subject;
    this.onChange = onChange;
    this.onAsk = onAsk;
    this.chart = new ChannelChart(t, (channel) => onChange({ channel }));
    const words = { sorted: t("sorted"), channel: t("byChannel") };
    const orders = ORDERS.map((order) => [order, words[order]]);
    this.order = segmented(t("order"), orders, (order) => onChange({ order }));
    this.count = h("span");
    this.extremes = h("div", { class: "cv-extremes" });
    this.ask = h("button", { type: "button", class: "cv-button" });
    this.ask.addEventListener("click", () => onAsk?.());
    this.words = h("p", { class: "cv-small", tabindex: "-1" });
    this.bar = new ColourBar(t);
    this.scale = h("div", { class: "cv-feature-scale" }, this.words, this.bar.element);
    const features = h("div", { class: "cv-features" }, this.ask, this.scale);
    const heading = [h("h2", {}, t("channels")), this.count, this.order.element];
    const head = h("div", { class: "cv-section-head" }, heading);
    const note = h("p", { class: "cv-small" }, explained(t, "gateOrActivation"));
    const parts = [head, this.chart.element, this.extremes, note, features];
    this.element = h("section", { class: "cv-channels" }, parts);
  }

  /**
   * @param {State} state
   * @param {Block} block
   * @param {number[]} range the values at the chart's foot and top.
   * @param {?FeatureMaps} maps of the block, if they are there.
   * @param {boolean} busy whether they are on their way.
   */
  show(state, block, range, maps, busy) {
    const { chart, extremes } = this;
    const count = explained(this.t, "channelCount", { count: block.channel.length });
    this.count.replaceChildren(`${block.name} · `, ...count);
    this.order.set(state.order);
    chart.set(block, range, state.order, state.channel);
    const focused = [...extremes.querySelectorAll("button")].indexOf(document.activeElement);
    extremes.replaceChildren(
      this.buildExtremes("strongest", chart.strongest(), state, block, maps),
      this.buildExtremes("weakest", chart.weakest(), state, block, maps),
    );
    extremes.querySelectorAll("button")[focused]?.focus();
    this.showScale(block, maps, busy);
  }

  /** Some channels by name; a click marks one on the chart. */
  buildExtremes(key, channels, state, block, maps) {
    const items = channels.map((channel) => {
      const pressed = channel === state.channel;
      const attributes = { type: "button", class: "cv-chip", "aria-pressed": String(pressed) };
      const words = [h("span", {}, `#${channel}`), h("b", {}, block.channel[channel].toFixed(3))];
      const map = maps?.maps.get(channel);
      const high = map && numbered(map.max, 2);
      if (map) words.push(h("small", {}, this.t("activation", { high })));
      const button = h("button", attributes, maps && this.buildMap(channel, block, maps), words);
      button.addEventListener("click", () => this.onChange({ channel: pressed ? null : channel }));
      return h("li", {}, button);
    });
    return h("div", { class: `cv-${key}` }, h("h3", {}, this.t(key)), h("ul", {}, items));
  }

  /** A channel's feature map, if there is one. */
  buildMap(channel, block, maps) {
    const map = maps.maps.get(channel);
    if (!map) return null;
    const ends = { low: numbered(map.min, 2), high: numbered(map.max, 2) };
    const at = map.levels.indexOf(map.levels.reduce((a, b) => Math.max(a, b)));
    const place = placeOf(this.t, at, block);
    const key = ends.low === ends.high ? "featuresConstant" : "featuresAlt";
    const alt = this.t(key, { channel, place, ...ends });
    const canvas = h("canvas", { role: "img", "aria-label": alt, title: alt });
    maps.paint(canvas, map.levels);
    return canvas;
  }

  /** The scale of the feature maps, or the button that asks for them. */
  showScale(block, maps, busy) {
    const { ask, extremes, t } = this;
    extremes.classList.toggle("cv-mapped", Boolean(maps));
    extremes.style.setProperty("--cv-cells", String(block.columns / block.rows));
    setText(ask, t(busy ? "fetching" : "showFeatures"));
    ask.setAttribute("aria-busy", busy);
    this.scale.hidden = !maps;
    const focused = document.activeElement === ask;
    ask.hidden = Boolean(maps) || !this.onAsk || !this.chart.named;
    if (!maps) return;
    setText(this.words, t("featuresNote", { count: maps.count }));
    this.bar.set(maps.table, -maps.most, maps.most, [], { digits: 2 });
    if (focused) this.words.focus({ preventScroll: true });
  }
}
