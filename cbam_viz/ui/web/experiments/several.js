// The same over all example photos, so that one photo is not taken for all.

import { h } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { Choosing } from "./choosing.js";
import { keyOf } from "./deletion.js";
import { Run, table } from "./parts.js";

/** @import { Bench, Answer } from "./bench.js" */

const mean = (/** @type {[number, number]} */ [value, error]) =>
  `${numbered(value, 3)} ± ${numbered(error, 3)}`;

export class Several {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t, costs } = bench;
    this.choosing = new Choosing(bench, ["block", "method"]);
    this.run = new Run(bench, "several", () => this.choosing.asked, (answer) => this.show(answer)); // prettier-ignore
    this.answer = h("div", { class: "ce-answer" });
    this.element = h("section", { class: "ce-several" },
      h("p", { class: "ce-lead" }, t("severalLead", { photos: costs.photos })),
      h("p", { class: "cv-small" }, t("cost", { count: costs.several })),
      this.choosing.element, this.run.element, this.answer); // prettier-ignore
  }

  show(/** @type {Answer} */ { id, orders, block, stages, survival, strength, total }) {
    if (!orders) return;
    const { t } = this.bench;
    const kinds = [["gates", "spatialGate"], ["grad_cams", "method_grad-cam"]]; // prettier-ignore
    this.answer.replaceChildren(
      table({
        caption: t("overPhotos", { count: total }),
        head: ["order", "deletionArea", "insertionArea", "beatsRandom"].map((key) => t(key)),
        rows: orders.map(({ name, deletion, insertion, better }) => [
          t(`order_${keyOf(name)}`),
          mean(deletion),
          mean(insertion),
          name === "random" ? "" : `${better} / ${total}`,
        ]),
      }),
      table({
        caption: t("survivalCaption", { block }),
        head: ["", ...stages.map((stage) => t(`stage_${stage}`))],
        rows: kinds.flatMap(([kind, key]) => [
          [`${t(key)} ρ`, ...survival[kind].map(mean)],
          [`${t(key)} |ρ|`, ...strength[kind].map(mean)],
        ]),
      }),
      h("p", { class: "cv-small" }, t("severalNote")),
    );
    this.element.dataset.answered = id;
  }

  leave() {
    this.run.leave();
  }
}
