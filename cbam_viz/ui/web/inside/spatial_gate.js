// The spatial gate: from the maximum and the mean over the channels through one convolution.

import { h, setAttributes, setText } from "../shared/dom.js";
import { gridMove } from "../shared/keys.js";
import { clamp, figuresOf, numbered } from "../shared/numbers.js";
import { colourOf, inkOn, paintCells } from "../shared/pixels.js";
import { factor, sign } from "./pictures.js";
import { WindowPlayer } from "./player.js";
import { buildStep } from "./step.js";

/** @import { Plane, Term } from "./block.js" */
/** @import { Pictures } from "./pictures.js" */

export class SpatialGate {
  /** @param {Pictures} pictures of the block. */
  constructor(pictures) {
    this.pictures = pictures;
    this.t = pictures.t;
    this.block = pictures.block;
    this.row = this.column = 0;
    this.detail = h("div", { class: "ci-detail" });
    this.player = new WindowPlayer(this.t, {
      onNext: () => this.pickNext(),
      onProduct: (product) => this.markProduct(product),
    });
    /** Where the window goes: the maps that are summed up. @type {Map<Plane, HTMLElement>} */
    this.windowed = new Map();
    this.element = this.build();
    // Wherever in this step a cell was clicked, its products are to be seen.
    this.element.addEventListener("pointerup", ({ target }) => {
      if (/** @type {Element} */ (target).closest(".ci-grid:not(.ci-kernel *)")) this.reveal();
    });
  }

  build() {
    const { pictures } = this;
    const { maps, kernels, side, norm } = this.block;
    const scale = pictures.signed(maps.maximum);
    const kernelScale = pictures.signed(kernels.maximum, kernels.mean);
    const gate = pictures.map(this.t("spatialGate"), maps.gate, pictures.gated, { numbers: true });
    gate.classList.add("ci-large");
    gate.querySelector(".ci-grid").after(pictures.colourBar(pictures.gated));
    const { min, max } = figuresOf(maps.gate);
    if (max - min < this.block.nearlyConstant) {
      const note = this.t("constantNote", { span: numbered(max - min) });
      gate.append(h("p", { class: "ci-soft" }, h("b", {}, `${this.t("constant")}. `), note));
    }
    this.picker = gate.querySelector(".ci-grid");
    const attributes = {
      tabindex: "0",
      role: "slider",
      "aria-valuemin": 0,
      "aria-valuemax": maps.gate.length - 1,
    };
    setAttributes(this.picker, {
      ...attributes,
      "aria-label": this.t("pickCell", { block: this.block.name }),
    });
    this.picker.addEventListener("keydown", (event) => this.onKey(event));
    const terms = 2 * side ** 2;
    const summed = (name, values, colours, plane) => {
      const map = pictures.map(this.t(name), values, colours, { windowed: true });
      const term = h("i", { class: "ci-term", hidden: true });
      map.querySelector(".ci-clip").append(term);
      this.windowed.set(plane, term);
      return h(
        "div",
        { class: "ci-summed" },
        map,
        sign("∗"),
        this.kernelPicture(plane, kernelScale),
      );
    };
    const logits = pictures.signed(maps.logits);
    return buildStep(this.t, this.block, 4, "spatial", { side, terms },
      h("div", { class: "ci-row ci-columns ci-middle" },
        h("div", { class: "ci-planes" },
          summed("maxMap", maps.maximum, scale, "maximum"),
          summed("meanMap", maps.mean, pictures.signed(maps.mean), "mean")),
        // An arrow goes with what it leads to, wherever the line breaks.
        h("div", { class: "ci-led" }, sign("→"),
          pictures.map(this.t(norm ? "afterNorm" : "logits"), maps.logits, logits))),
      h("div", { class: "ci-beside" },
        h("div", { class: "ci-led" }, sign("σ →"), gate),
        h("div", {}, this.player.element, this.detail))); // prettier-ignore
  }

  /** Bring the products into view, by no more than it takes. */
  reveal() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.detail.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "nearest" });
  }

  /** Go on to the next cell, row by row, and from the last to the first. */
  pickNext() {
    const { rows, columns } = this.block;
    const next = (this.row * columns + this.column + 1) % (rows * columns);
    this.pictures.onCell(Math.floor(next / columns), next % columns);
  }

  /** Mark on its map what is multiplied just now. */
  markProduct(/** @type {?import("./player.js").Product} */ product) {
    for (const [plane, mark] of this.windowed) {
      mark.hidden = plane !== product?.plane;
      if (!mark.hidden) mark.style = `--row:${product.term.row};--column:${product.term.column}`;
    }
    if (product) product.say();
  }

  /** The learned kernel of a plane, with its numbers. */
  kernelPicture(plane, colours) {
    const name = this.t(plane === "maximum" ? "maxKernel" : "meanKernel");
    const { side } = this.block;
    const values = this.block.kernels[plane];
    const { min, max } = figuresOf(values);
    const canvas = h("canvas", {
      role: "img",
      "aria-label": this.t("kernelAlt", { name, low: numbered(min), high: numbered(max) }),
    });
    paintCells(canvas, values, side, colours);
    return h("figure", { class: "ci-map ci-kernel" },
      h("div", { class: "ci-grid" }, canvas), h("figcaption", {}, h("b", {}, name), this.pictures.rangeOf(values))); // prettier-ignore
  }

  onKey(event) {
    const move = gridMove(event.key);
    if (!move) return;
    event.preventDefault();
    const { rows, columns } = this.block;
    const row = clamp(this.row + move[0], 0, rows - 1);
    this.pictures.onCell(row, clamp(this.column + move[1], 0, columns - 1));
  }

  /** Follow one cell. */
  show(/** @type {number} */ row, /** @type {number} */ column) {
    this.row = row;
    this.column = column;
    const { block, pictures } = this;
    const { side } = block;
    pictures.markCell(row, column);
    const place = { row, column };
    const at = row * block.columns + column;
    const value = this.t("cellValue", { ...place, gate: numbered(block.maps.gate[at], 4) });
    setAttributes(this.picker, { "aria-valuenow": at, "aria-valuetext": value });

    const cell = block.cell(row, column);
    const colours = pictures.signed([...cell.maximum, ...cell.mean].map((t) => t.product));
    const hint = h("p", { class: "ci-hint" }, this.t("termHint"));
    /** @type {import("./player.js").Product[]} */
    const products = [];
    const plane = (key, name) =>
      h("div", { class: "ci-plane" },
        h("h3", {}, this.t(name)),
        h("div", { class: "ci-patches" },
          this.patch(this.t("window", { side }), cell[key].map((t) => t.value), pictures.signed(block.maps[key]), cell[key]),
          sign("·"),
          this.patch(this.t("kernel"), block.kernels[key], pictures.signed(block.kernels.maximum, block.kernels.mean)),
          sign("=")),
        this.products(this.t(name), cell[key], colours, hint, (term, cell, say) => products.push({ plane: key, term, cell, say }))); // prettier-ignore
    const box = (name, words, number, digits = 4) =>
      h(
        "span",
        { class: `ci-box ci-${name}` },
        h("small", {}, words),
        h("b", { "data-part": name }, numbered(number, digits)),
      );
    const { norm } = block;
    const gate = box("gate", this.t("gateShort"), cell.gate);
    const colour = colourOf(cell.gate, pictures.gated);
    gate.style.background = `rgb(${colour.slice(0, 3)})`;
    gate.style.color = inkOn(colour);
    this.detail.replaceChildren(
      h("h3", { class: "ci-detail-title" }, this.t("cellWay", { ...place, terms: 2 * side * side })),
      h("div", { class: "ci-products-two" }, plane("maximum", "productsOfMax"), plane("mean", "productsOfMean")),
      hint,
      h("div", { class: "ci-sum" },
        box("max", this.t("sumMax"), cell.sums[0]), sign("+"), box("mean", this.t("sumMean"), cell.sums[1]),
        sign("="), box("total", this.t("sumAll"), cell.total),
        norm && [sign(`× ${factor(norm[0])} ${norm[1] < 0 ? "−" : "+"} ${factor(Math.abs(norm[1]))} =`),
          box("logit", this.t("afterNorm"), cell.logit)],
        sign("σ →"), gate),
    ); // prettier-ignore
    this.player.set(products);
  }

  /** A small picture of what lies under the kernel, or of the kernel. */
  patch(name, values, colours, terms) {
    const canvas = h("canvas", { role: "img", "aria-label": name });
    paintCells(canvas, values, this.block.side, colours);
    const padded = terms?.map((term) => h("i", { class: term.inside ? "" : "ci-outside" }));
    return h("figure", { class: "ci-patch" },
      h("div", {}, canvas, padded && h("div", { class: "ci-padding" }, padded)), h("figcaption", {}, name)); // prettier-ignore
  }

  /** The products of one plane as a table; one tab stop, arrow keys within. */
  products(name, terms, colours, hint, onCell) {
    const { side } = this.block;
    const cells = terms.map((term, i) => {
      const cell = h(
        "td",
        { class: term.inside ? "" : "ci-outside", tabindex: i === terms.length >> 1 ? "0" : "-1" },
        term.inside ? numbered(term.product) : "0",
      );
      if (term.inside) {
        const colour = colourOf(term.product, colours);
        cell.style.background = `rgb(${colour.slice(0, 3)})`;
        cell.style.color = inkOn(colour);
      }
      const place = { row: numbered(term.row, 0), column: numbered(term.column, 0) };
      const numbers = {
        weight: factor(term.weight),
        value: factor(term.value),
        product: numbered(term.product, 4),
      };
      const say = () =>
        setText(hint, this.t(term.inside ? "term" : "padding", { ...place, ...numbers }));
      onCell(term, cell, say);
      cell.addEventListener("pointerenter", say);
      cell.addEventListener("focus", say);
      return cell;
    });
    const rows = Array.from({ length: side }, (_, r) =>
      h("tr", {}, cells.slice(r * side, (r + 1) * side)),
    );
    const table = h("table", { class: "ci-products", "aria-label": name }, h("tbody", {}, rows));
    table.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: side, ArrowUp: -side }[event.key];
      const from = cells.indexOf(event.target);
      if (!step || from < 0) return;
      event.preventDefault();
      const next = cells[from + step];
      if (
        !next ||
        (Math.abs(step) === 1 && Math.floor((from + step) / side) !== Math.floor(from / side))
      )
        return;
      cells[from].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    return table;
  }
}
