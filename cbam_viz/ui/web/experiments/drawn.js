// How much: an object that is drawn on the photo, and how well every block finds it.

import { h, setText } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { oneAtATime } from "./bench.js";
import { Drawing } from "./drawing.js";
import { percent, table } from "./parts.js";

/** @import { Bench } from "./bench.js" */

export class Drawn {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t } = bench;
    const run = oneAtATime((outline) => this.tried(outline));
    this.said = h("p", { class: "ce-said", role: "status" });
    this.answer = h("div", { class: "ce-answer" });
    this.element = h("section", { class: "ce-drawn" },
      h("p", { class: "ce-lead" }, t("drawnLead")),
      h("div", { class: "ce-half" }, new Drawing(bench, ["box", "line"], run).element,
        h("div", {}, this.said, this.answer))); // prettier-ignore
  }

  async tried(/** @type {import("./drawing.js").Point[]} */ outline) {
    const { bench } = this;
    const { t } = bench;
    const answer = await bench.ask("drawn", { outline });
    if (answer.fault) {
      setText(this.said, bench.faultOf(answer));
      return;
    }
    const { area, blocks, mean, centre, card } = answer;
    setText(this.said, t("areaOfDrawn", { area: percent(area) }));
    const best = blocks.reduce((a, b) => (b.auc > a.auc ? b : a));
    const named = [
      ...blocks,
      { name: t("meanOfBlocks"), ...mean },
      { name: t("centrePrior"), ...centre },
    ];
    this.answer.replaceChildren(
      table({
        head: ["block", "pixelAuc", "pointing", "inside", "perArea"].map((key) => t(key)),
        rows: named.map(({ name, auc, pointing, mass, constant }) => [
          constant ? `${name} (${t("constant")})` : name,
          numbered(auc, 3),
          numbered(pointing, 2),
          percent(mass),
          numbered(mass / area, 2),
        ]),
        first: (i) => named[i] === best,
      }),
      h("p", { class: "cv-small" }, t("drawnNote")),
      card
        ? h("details", {},
            h("summary", {}, t("card")),
            h("img", { class: "ce-card", alt: t("cardNote"), src: card }),
            h("p", { class: "cv-small" }, t("cardNote")))
        : "",
    ); // prettier-ignore
    this.element.dataset.answered = answer.id;
  }
}
