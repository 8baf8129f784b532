// Which gate matters: each set to its mean alone, as one chart of the whole network.

import { h, setText } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { Run } from "./parts.js";
import { signed } from "./predictions.js";

/** @import { Bench, Answer } from "./bench.js" */

export class Effects {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t, subject } = bench;
    const total = 2 * subject.blocks.length;
    this.run = new Run(
      bench,
      "effects",
      () => ({}),
      (answer) => this.show(answer),
    );
    this.chart = h("div", { class: "ce-effects", tabindex: "0" });
    this.element = h("section", { class: "ce-which" },
      h("p", { class: "ce-lead" }, t("effectsLead")),
      h("p", { class: "cv-small" }, t("effectsCost", { total, passes: Math.round(total / 2) })),
      this.run.element, this.chart); // prettier-ignore
  }

  show(/** @type {Answer} */ answer) {
    const { bench } = this;
    const { effects, done, total } = answer;
    this.draw(effects);
    if (done < total) return;
    const greatest = effects.reduce((a, b) => (Math.abs(b.change) > Math.abs(a.change) ? b : a));
    setText(
      this.run.said,
      bench.t("effectsSaid", {
        name: greatest.name,
        change: signed(greatest.change),
        label: bench.name(/** @type {any} */ (answer)),
        logit: numbered(answer.logit, 2),
      }),
    );
    this.element.dataset.answered = answer.id;
  }

  draw(/** @type {Array<{name: string, mean: number, change: number}>} */ effects) {
    const { t, subject } = this.bench;
    const most = Math.max(...effects.map(({ change }) => Math.abs(change)), 1e-9);
    const of = new Map(effects.map((effect) => [effect.name, effect]));
    const cell = (name, kind) => {
      const effect = of.get(`${name}.${kind}`);
      if (!effect) return h("td", {});
      const bar = h("span", { class: effect.change < 0 ? "ce-falls" : "ce-rises" });
      bar.style.setProperty("--ce-share", String(Math.abs(effect.change) / most));
      const title = t("effectTitle", { mean: numbered(effect.mean, 3) });
      return h(
        "td",
        { title },
        h("i", { class: "ce-axis" }, bar),
        h("b", {}, signed(effect.change)),
      );
    };
    this.chart.replaceChildren(
      h("table", {},
        h("caption", {}, t("effectsCaption")),
        h("thead", {}, h("tr", {},
          ["block", "channelGate", "spatialGate"].map((key) => h("th", { scope: "col" }, t(key))))),
        h("tbody", {}, subject.names.map((name) =>
          h("tr", {}, h("th", { scope: "row" }, name), cell(name, "channel"), cell(name, "spatial")))))); // prettier-ignore
  }

  leave() {
    this.run.leave();
  }
}
