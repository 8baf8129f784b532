// Does a map depend on what was learnt: the network's weights drawn anew, stage by stage.

import { h } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { Choosing } from "./choosing.js";
import { Asking, cellsOf, mapFigure, table } from "./parts.js";

/** @import { Bench, Answer } from "./bench.js" */

/** From here on two maps count as much the same, whichever way round. */
const MUCH = 0.5;

export class Randomised {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t, costs } = bench;
    this.choosing = new Choosing(bench, ["block", "target"]);
    this.asking = new Asking(bench, "randomised", t("drawAnew"), () => this.choosing.asked,
      (answer) => this.show(answer)); // prettier-ignore
    this.answer = h("div", { class: "ce-answer" });
    this.element = h("section", { class: "ce-anew" },
      h("p", { class: "ce-lead" }, t("randomLead")),
      h("p", { class: "cv-small" }, t("randomCost", { count: costs.randomised })),
      this.choosing.element, this.asking.element, this.answer); // prettier-ignore
  }

  show(/** @type {Answer} */ answer) {
    const { bench } = this;
    const { t, subject } = bench;
    const { block, stages, maps, correlations } = answer;
    const rho = (value) => (value === null ? t("noOrder") : `ρ = ${numbered(value, 2)}`);
    const of = (kind) => correlations[kind].find(({ name }) => name === block).values;
    const label = bench.name(/** @type {any} */ (answer));
    const titles = {
      gates: `${t("spatialGate")} ${block}`,
      grad_cams: `${t("method_grad-cam")} ${block}, ${label}`,
    };
    const rows = Object.entries(titles).flatMap(([kind, title]) => {
      const notes = [t("asLearnt"), ...of(kind).map(rho)];
      return [
        h("h3", {}, title),
        h(
          "div",
          { class: "ce-strip", tabindex: "0" },
          maps[kind].map((map, i) =>
            mapFigure(subject, cellsOf(map), {
              title: i ? t(`stage_${stages[i - 1]}`) : "",
              note: notes[i],
              small: true,
              stretched: true,
            }),
          ),
        ),
      ];
    });
    const last = of("gates").at(-1);
    const survives = last !== null && Math.abs(last) >= MUCH;
    const verdict = t(survives ? "survives" : "survivesNot", { block, rho: rho(last) });
    this.answer.replaceChildren(
      h("p", { class: "ce-said" }, verdict),
      ...rows,
      h("p", { class: "cv-small" }, t("rankNote")),
      h("details", {},
        h("summary", {}, t("allBlocks")),
        Object.keys(titles).map((kind) =>
          table({
            head: [t(kind === "gates" ? "spatialGate" : "method_grad-cam"),
              ...stages.map((stage) => t(`stage_${stage}`))],
            rows: correlations[kind].map(({ name, values }) =>
              [name, ...values.map((v) => (v === null ? t("noOrder") : numbered(v, 2)))]),
          }))),
    ); // prettier-ignore
    this.element.dataset.answered = answer.id;
  }
}
