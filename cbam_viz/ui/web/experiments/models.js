// Two models on one photo.

import { dropdown, h } from "../shared/dom.js";
import { Subject } from "../viewer/subject.js";
import { Asking, mapFigure, percent, table } from "./parts.js";

/** @import { Bench, Answer } from "./bench.js" */

export class Models {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t, subject, props } = bench;
    const id = "ce-models";
    const [other] = props.models.filter((name) => name !== subject.payload.model.name);
    this.name = h("input", { type: "text", list: id, value: other ?? "", autocomplete: "off" });
    const list = h("datalist", { id }, props.models.map((value) => h("option", { value }))); // prettier-ignore
    this.asking = new Asking(bench, "rival", t("compare"), () => ({ model: this.name.value.trim() }),
      (answer) => this.show(answer)); // prettier-ignore
    this.answer = h("div", { class: "ce-answer" });
    this.element = h("section", { class: "ce-models" },
      h("p", { class: "ce-lead" }, t("modelsLead")),
      h("div", { class: "ce-choosing" },
        h("div", { class: "cv-field ce-target" },
          h("label", {}, h("span", {}, t("otherModel")), this.name, list),
          h("small", {}, t("otherModelHint")))),
      this.asking.element, this.answer); // prettier-ignore
  }

  async show(/** @type {Answer} */ { id, payload }) {
    const { bench } = this;
    const { t } = bench;
    const subjects = [bench.subject, await Subject.open(payload)];
    const columns = subjects.map((subject) => {
      const picture = h("div", {});
      const blocks = dropdown(t("block"), (name) => turn(name));
      const turn = (name) => {
        blocks.set(name);
        const block = subject.block(name);
        const constant = subject.isConstant(block.figures.spatial);
        picture.replaceChildren(
          mapFigure(subject, block, { title: name, note: constant ? t("constantGate") : "" }),
        );
      };
      blocks.offer(subject.names);
      turn(subject.payload.openAt);
      const { name, untrained } = subject.payload.model;
      return h("div", { class: "ce-column" },
        h("h3", {}, name),
        untrained && h("p", { class: "cv-warning" }, t("untrained", { reason: untrained })),
        table({
          head: [t("classOf"), t("probability")],
          rows: subject.payload.predictions.slice(0, 5).map(({ label, label_zh, probability }) =>
            [bench.name({ label, labelZh: label_zh ?? label }), percent(probability)]),
        }),
        blocks.element, picture); // prettier-ignore
    });
    this.answer.replaceChildren(h("div", { class: "ce-pictures" }, columns));
    this.element.dataset.answered = id;
  }
}
