// Attention put together otherwise: what each variant makes of the photo, as a table.

import { h } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { percent, Run, table } from "./parts.js";
import { signed } from "./predictions.js";

/** @import { Bench, Answer } from "./bench.js" */

export class Variants {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t } = bench;
    this.run = new Run(
      bench,
      "ablation",
      () => ({}),
      (answer) => this.show(answer),
    );
    this.answer = h("div", {});
    this.element = h("section", { class: "ce-variants" },
      h("p", { class: "ce-lead" }, t("variantsLead")),
      h("p", { class: "cv-warning" }, t("variantsWarning")),
      this.run.element, this.answer); // prettier-ignore
  }

  show(/** @type {Answer} */ { id, rows, done, total }) {
    const { bench } = this;
    const { t } = bench;
    const [before] = rows[0].classes;
    const highest = (classes) =>
      classes.reduce((a, b) => (b.probability[1] > a.probability[1] ? b : a));
    const row = (name, first, one, at) => [
      name,
      percent(one.probability[at]),
      numbered(one.logit[at], 2),
      signed(one.logit[at] - one.logit[0]),
      `${bench.name(first)} ${percent(first.probability[at])}`,
    ];
    this.answer.replaceChildren(
      table({
        caption: t("variantsCaption", { label: bench.name(before) }),
        head: [t("variant"), t("probability"), t("logit"), t("change"), t("saysNow")],
        rows: [
          row(t("variant_as"), before, before, 0),
          ...rows.map(({ name, classes }) =>
            row(t(`variant_${name}`), highest(classes), classes[0], 1),
          ),
        ],
        first: (i) => i === 0,
      }),
    );
    if (done === total) this.element.dataset.answered = id;
  }

  leave() {
    this.run.leave();
  }
}
