// Does the prediction rest on what a map shows: the photo taken away, and given back, in its order.

import { h, svg } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { Choosing } from "./choosing.js";
import { Run, table } from "./parts.js";

/** @import { Bench, Answer } from "./bench.js" */

const [WIDE, TALL, LEFT, LOW, TOP, RIGHT] = [300, 170, 34, 24, 8, 20];

/** What an order is called, and its line in the style sheet. */
export const keyOf = (/** @type {string} */ name) => name.replace(" ", "-");

/** Lines over the share of the photo, 0 to 1 both ways. */
function chart(/** @type {Array<{name: string, values: number[]}>} */ lines, label) {
  const x = (/** @type {number} */ share) => LEFT + share * (WIDE - LEFT - RIGHT);
  const y = (/** @type {number} */ share) => TOP + (1 - share) * (TALL - TOP - LOW);
  const parts = [0, 0.5, 1].flatMap((at) => [
    svg("path", { class: "ce-grid", d: `M${x(0)},${y(at)} H${x(1)}` }),
    svg("text", { x: LEFT - 5, y: y(at) + 4, "text-anchor": "end" }, String(at)),
    svg("text", { x: x(at), y: TALL - 6, "text-anchor": "middle" }, `${100 * at} %`),
  ]);
  for (const { name, values } of [...lines].reverse()) {
    const points = values.map((v, i) => `${x(i / (values.length - 1)).toFixed(1)},${y(v).toFixed(1)}`); // prettier-ignore
    parts.push(svg("polyline", { class: `ce-line ce-${keyOf(name)}`, points: points.join(" ") }));
  }
  const box = { viewBox: `0 0 ${WIDE} ${TALL}`, class: "ce-curves", role: "img", "aria-label": label }; // prettier-ignore
  return svg("svg", box, ...parts);
}

export class Deletion {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t, costs } = bench;
    this.choosing = new Choosing(bench, ["block", "target", "method"]);
    this.run = new Run(bench, "deletion", () => this.choosing.asked, (answer) => this.show(answer)); // prettier-ignore
    this.answer = h("div", { class: "ce-answer" });
    this.element = h("section", { class: "ce-deletion" },
      h("p", { class: "ce-lead" }, t("deletionLead")),
      h("p", { class: "cv-small" }, t("cost", { count: costs.deletion })),
      this.choosing.element, this.run.element, this.answer); // prettier-ignore
  }

  show(/** @type {Answer} */ answer) {
    const { bench } = this;
    const { t } = bench;
    const { orders, block, method, id } = answer;
    if (!orders) return;
    const more = { gate: block, "class map": t(`method_${method}`) };
    const charts = ["deletion", "insertion"].map((kind) =>
      h("figure", { class: "ce-picture" },
        h("figcaption", {}, h("strong", {}, t(kind)), h("small", {}, t(`${kind}Note`))),
        chart(orders.map((order) => ({ name: order.name, values: order[kind] })), t(kind))),
    ); // prettier-ignore
    this.answer.replaceChildren(
      h("p", {}, t("ofProbability", { label: bench.name(/** @type {any} */ (answer)) })),
      h("div", { class: "ce-pictures" }, charts),
      table({
        head: ["order", "deletionArea", "insertionArea"].map((key) => t(key)),
        rows: orders.map(({ name, deletionArea, insertionArea }) => [
          h("span", {},
            h("i", { class: `ce-key ce-${keyOf(name)}` }),
            `${t(`order_${keyOf(name)}`)} ${more[name] ?? ""}`),
          numbered(deletionArea, 3),
          numbered(insertionArea, 3),
        ]),
      }),
      h("p", { class: "cv-small" }, t("curvesNote")),
    ); // prettier-ignore
    this.element.dataset.answered = id;
  }

  leave() {
    this.run.leave();
  }
}
