// The hand-out: two pages to print, of the photo and the block on screen, in the page's language.

import { h } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { paintCells } from "../shared/pixels.js";
import { EXERCISES, figuresFor, LINKS } from "./exercises.js";
import { OnPhoto } from "./figures.js";
import { formula } from "./formula.js";
import { movingWindow, spatialGate } from "./steps/cells.js";
import { channelGate } from "./steps/channels.js";

/** @import { Desk } from "./course.js" */

/** The steps that have a question on the first page. */
const ASKED = ["map", "mlp", "gate", "planes", "window", "spatial", "block", "photo", "cam", "paper"]; // prettier-ignore
/** The bug on the second page: told on one line. */
const BUG = "average-twice";

/** Have the browser print it; it is there for as long as that takes. */
export async function printHandout(/** @type {Desk} */ desk) {
  document.querySelector(".cc-handout")?.remove();
  const { code } = await desk.ask("slip", { name: BUG });
  const sheet = h("div", { class: "cc-handout", lang: document.documentElement.lang });
  sheet.append(await firstPage(desk), secondPage(desk, code));
  document.body.append(sheet);
  await Promise.all(Array.from(sheet.querySelectorAll("img"), (image) => image.decode()));
  document.documentElement.classList.add("cc-printing");
  const end = () => {
    document.documentElement.classList.remove("cc-printing");
    sheet.remove();
  };
  window.addEventListener("afterprint", end, { once: true });
  window.print();
}

/** Four pictures, the formulas, a question for each step. */
async function firstPage(/** @type {Desk} */ { t, lesson, nameOf }) {
  const { maps, pooled, columns } = lesson;
  const { channel, map } = lesson.shown.reduce((a, b) =>
    pooled.maximum[b.channel] > pooled.maximum[a.channel] ? b : a,
  );
  const most = Math.max(...map.map(Math.abs));
  const cells = h("canvas");
  paintCells(cells, map, columns, { table: lesson.tables.signed, low: -most, high: most });
  const gate = maps.gate.reduce((a, b) => Math.max(a, b));
  const least = maps.gate.reduce((a, b) => Math.min(a, b));
  const over = async (/** @type {string} */ mode) => {
    const picture = new OnPhoto(lesson, "");
    await picture.show({ ...lesson, spatial: maps.gate }, { mode, table: lesson.tables.gate }, "");
    return picture.canvas;
  };
  const range = { low: numbered(least), high: numbered(gate) };
  /** @type {Array<[string, string]>} */
  const pictures = [
    [lesson.photo.url, t("photo")],
    [cells.toDataURL(), t("map_of", { channel })],
    [(await over("heat")).toDataURL(), t("handout_range", range)],
    [(await over("multiply")).toDataURL(), t("photo_name")],
  ];
  const blank = { blank: "\u2009________\u2009" };
  return h(
    "section",
    {},
    h("h1", {}, t("handout_title")),
    h("p", { class: "cc-who" }, t("handout_who")),
    h("p", {}, t("handout_where", { block: lesson.name, model: lesson.model.name })),
    h("div", { class: "cc-pictures" }, pictures.map(([src, words]) => h("figure", {}, h("img", { src, alt: "" }), h("figcaption", {}, words)))), // prettier-ignore
    ...[channelGate, movingWindow, spatialGate].map((step) => formula(step.formula ?? "")),
    h("ol", {}, ASKED.map((key) => h("li", {}, h("b", {}, nameOf(key)), ": ", t(`handout_${key}`, blank), h("i", {})))), // prettier-ignore
  );
}

/** Exercises, a bug, and what to look at; the answers are on the teacher's page. */
function secondPage(/** @type {Desk} */ { t, lesson }, /** @type {string[]} */ code) {
  const figures = figuresFor(lesson);
  const columns = ["handout_picture", "handout_says", "handout_greatest", "handout_fits"];
  return h(
    "section",
    {},
    h("h2", {}, t("exercises_only")),
    h(
      "ol",
      {},
      EXERCISES.map((key) => h("li", {}, t(`exercise_${key}`, figures), h("i", {}))),
    ),
    h("h2", {}, t("handout_bug")),
    h("pre", {}, h("code", {}, code.join("\n"))),
    h("h2", {}, t("handout_look")),
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((key) => h("th", { scope: "col" }, t(key))),
        ),
      ),
      h("tbody", {}, LINKS.map(({ key, block }) => h("tr", {}, h("th", { scope: "row" }, `${t(`link_${key}`)} (${block})`), [1, 2, 3].map(() => h("td", {}))))), // prettier-ignore
    ),
  );
}
