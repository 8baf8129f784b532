// For teachers: a plan of 45 minutes, what to look at, exercises with answers, the hand-out.

import { h } from "../shared/dom.js";
import { paramsOf } from "../viewer/link.js";
import { EXERCISES, figuresFor, LINKS, MODEL } from "./exercises.js";
import { printHandout } from "./handout.js";

/** @import { Step } from "./course.js" */

/** The plan: from which minute to which, and the parts that are gone through. */
const PLAN = /** @type {const} */ ([
  ["begin", 0, 4, []],
  ["channels", 4, 14, ["map", "mlp", "gate"]],
  ["places", 14, 23, ["planes", "window", "spatial"]],
  ["meaning", 23, 32, ["block", "photo", "cam"]],
  ["bugs", 32, 38, ["bug1", "bug2", "bug3", "bug4", "bug5", "bug6"]],
  ["quiz", 38, 42, ["quiz"]],
  ["end", 42, 45, ["paper"]],
]);

/** An address that differs from the present one in some of its parts. */
function addressed(/** @type {Record<string, string>} */ parts) {
  const params = paramsOf(location.hash);
  for (const [key, value] of Object.entries(parts)) params.set(key, value);
  return `#${params}`;
}

/** @type {Step} */
export const teacher = {
  key: "teacher",
  mark: "✎",
  plain: true,
  symbols: [],
  build(desk) {
    const { t, lesson, nameOf, say } = desk;
    const button = (/** @type {string} */ words, /** @type {() => void} */ onClick) => {
      const element = h("button", { type: "button", class: "cv-button cv-primary" }, t(words));
      element.addEventListener("click", onClick);
      return element;
    };
    const project = () => /** @type {any} */ (globalThis).CbamPage.present(true);
    const print = () => printHandout(desk).catch(() => say("missing"));
    const rows = PLAN.map(([key, from, to, parts]) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, `${from}–${to}`),
        h("td", {}, t(`plan_${key}`)),
        h(
          "td",
          {},
          parts.map((part) => h("a", { href: addressed({ step: part }) }, nameOf(part))),
        ),
      ),
    );
    const heads = ["plan_minutes", "plan_what", "plan_parts"].map((key) =>
      h("th", { scope: "col" }, t(key)),
    );
    const links = LINKS.map(({ key, photo, block }) => {
      const hash = new URLSearchParams({ photo, model: MODEL, block });
      // In a tab of its own: a fresh page follows the whole link, and the lesson keeps its photo.
      const link = h("a", { href: `#${hash}`, target: "_blank" }, t(`link_${key}`));
      return h("li", {}, link, " ", t(`link_${key}_ask`));
    });
    const figures = figuresFor(lesson);
    const exercises = EXERCISES.map((key) =>
      h(
        "li",
        {},
        h("p", {}, t(`exercise_${key}`, figures)),
        h("details", {}, h("summary", {}, t("answer")), h("p", {}, t(`exercise_${key}_answer`, figures))), // prettier-ignore
      ),
    );
    return h(
      "div",
      { class: "cc-column cc-teacher" },
      h("div", { class: "cc-tools" }, button("handout", print), button("projector", project)),
      h("p", { class: "cc-note" }, t("projector_note")),
      h("h3", {}, t("plan")),
      h("div", { class: "cc-wide-table" }, h("table", { class: "cc-table" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows))), // prettier-ignore
      h("h3", {}, t("links")),
      h("ul", {}, links),
      h("h3", {}, t("exercises")),
      h("ol", { class: "cc-exercises" }, exercises),
    );
  },
};
