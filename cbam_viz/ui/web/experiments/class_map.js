// Which one: a class's map beside the gate of a block.

import { h, setText } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { Choosing } from "./choosing.js";
import { Asking, cellsOf, mapFigure } from "./parts.js";

/** @import { Bench, Answer } from "./bench.js" */

export class ClassMaps {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t } = bench;
    this.choosing = new Choosing(bench, ["block", "target", "method"], () => this.sayCost());
    this.cost = h("p", { class: "cv-small" });
    this.about = h("p", { class: "cv-small" });
    this.asking = new Asking(bench, "classMap", t("showClass"), () => this.choosing.asked,
      (answer) => this.show(answer)); // prettier-ignore
    this.answer = h("div", { class: "ce-answer" });
    this.element = h("section", { class: "ce-class" },
      h("p", { class: "ce-lead" }, t("classLead")),
      this.choosing.element, this.about, this.cost, this.asking.element, this.answer); // prettier-ignore
    this.sayCost();
  }

  sayCost() {
    const { t, costs } = this.bench;
    const { method } = this.choosing;
    const back = method === "grad-cam" || method === "layer-cam";
    setText(this.about, t(`about_${method}`));
    setText(this.cost, t(back ? "costBack" : "cost", { count: costs.methods[method] }));
  }

  show(/** @type {Answer} */ answer) {
    const { bench } = this;
    const { t, subject } = bench;
    const { method, block, logit, map, id } = answer;
    const on = block ?? this.choosing.block;
    const gate = subject.block(on);
    const greatest = Number(map.greatest.toPrecision(3));
    const scale = method === "occlusion" ? "classScaleLogits" : "classScale";
    const notes = [t("ofClass", { label: bench.name(/** @type {any} */ (answer)), logit: numbered(logit, 2) })]; // prettier-ignore
    notes.push(t(method === "eigen-cam" ? "knowsNoClass" : "knowsAClass"));
    if (subject.isConstant(gate.figures.spatial)) notes.push(t("constantGate"));
    if (map.greatest === 0) notes.push(t("nothingSpeaks"));
    this.answer.replaceChildren(
      h(
        "div",
        { class: "ce-pictures" },
        mapFigure(subject, gate, { title: `${t("spatialGate")} ${on}`, note: t("gateScale") }),
        mapFigure(subject, cellsOf(map), {
          title: `${t(`method_${method}`)} ${block ?? ""}`,
          note: t(scale, { greatest }),
        }),
      ),
      h("p", {}, notes.join(" ")),
    );
    this.element.dataset.answered = id;
  }
}
