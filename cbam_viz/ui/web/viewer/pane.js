// The large picture of one block.

import { cellBox, centreOf, fieldBox } from "../shared/geometry.js";
import { h, svg } from "../shared/dom.js";
import { explained } from "../shared/glossary.js";
import { gridMove } from "../shared/keys.js";
import { clamp } from "../shared/numbers.js";
import { contextOf } from "../shared/pixels.js";

/** The large picture of one block, with what is under the pointer outlined on it. */
export class Pane {
  /**
   * @param {import("../shared/words.js").Translate} t
   * @param {{onPoint, onPin, onWipe}} events points are shares of the photo's width and height.
   */
  constructor(t, events) {
    this.t = t;
    this.events = events;
    this.map = h("canvas", { class: "cv-map" });
    this.plain = h("canvas", { class: "cv-plain" });
    const outlines = { class: "cv-outlines", preserveAspectRatio: "none", "aria-hidden": "true" };
    this.outlines = svg("svg", outlines);
    this.tag = h("div", { class: "cv-tag", hidden: true });
    const surface = { class: "cv-surface", tabindex: "0", role: "application" };
    this.surface = h("div", surface, this.map, this.plain, this.outlines);
    const handle = { class: "cv-wipe", role: "slider", tabindex: "0", "aria-label": t("before") };
    this.handle = h("div", { ...handle, "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
    this.frame = h("div", { class: "cv-frame" }, this.surface, this.handle, this.tag);
    this.caption = h("figcaption");
    this.element = h("figure", { class: "cv-pane" }, this.caption, this.frame);
    this.listen();
  }

  listen() {
    const { surface, handle, events } = this;
    surface.addEventListener("pointermove", (e) => events.onPoint(this, this.pointAt(e)));
    surface.addEventListener("pointerdown", (e) => events.onPoint(this, this.pointAt(e)));
    surface.addEventListener("pointerleave", () => events.onPoint(this, null));
    surface.addEventListener("click", (e) => events.onPin(this, this.pointAt(e)));
    surface.addEventListener("keydown", (e) => this.onKey(e));
    surface.addEventListener("blur", () => events.onPoint(this, null));
    handle.addEventListener("pointerdown", (e) => handle.setPointerCapture(e.pointerId));
    handle.addEventListener("pointermove", (e) => {
      if (handle.hasPointerCapture(e.pointerId)) events.onWipe(this.pointAt(e)[0]);
    });
    handle.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[e.key];
      if (step === undefined) return;
      e.preventDefault();
      events.onWipe(this.wiped + step);
    });
  }

  pointAt(event) {
    const box = this.frame.getBoundingClientRect();
    const share = (at, start, length) => clamp((at - start) / length, 0, 1);
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  }

  /** The keyboard's pointer moves from cell to cell. */
  onKey(event) {
    const { subject, block, events } = this;
    const move = gridMove(event.key);
    const here = this.point ?? this.pinned ?? [0.5, 0.5];
    if (move) {
      const cell = subject.cellAt(block, here) ?? subject.cellAt(block, [0.5, 0.5]);
      // The first key shows the cell, the next ones move.
      const [down, right] = this.point ? move : [0, 0];
      const row = clamp(cell.row + down, 0, block.rows - 1);
      const column = clamp(cell.column + right, 0, block.columns - 1);
      events.onPoint(this, centreOf(subject.view, block, { row, column }));
    } else if (event.key === "Enter" || event.key === " ") events.onPin(this, here);
    else if (event.key === "Escape") events.onPin(this, null);
    else return;
    event.preventDefault();
  }

  /**
   * Draw a block.
   *
   * @returns {?import("../shared/contour.js").Outlined} what `Painter.paint` does.
   */
  draw(subject, block, look, title, alt) {
    this.subject = subject;
    this.block = block;
    const { painter } = subject;
    const outlined = painter.paint(block, look);
    contextOf(this.map, painter).putImageData(painter.image, 0, 0);
    this.frame.style.setProperty("--cv-ratio", painter.width / painter.height);
    this.outlines.setAttribute("viewBox", `0 0 ${subject.view.resized.join(" ")}`);
    const { columns, rows, stride } = block;
    this.caption.replaceChildren(
      h("strong", {}, title),
      h("span", {}, explained(this.t, "stageFacts", { stage: block.stage, columns, rows, stride })),
    );
    this.surface.setAttribute("aria-label", `${alt}. ${this.t("map", { block: block.name })}`);
    return outlined;
  }

  /** The plain photo over the left part of the map; none if share is null. */
  wipe(share) {
    this.wiped = share;
    this.plain.hidden = this.handle.hidden = share == null;
    if (share == null) return;
    const { painter } = this.subject;
    const c = contextOf(this.plain, painter);
    if (this.plainOf !== painter) {
      const photo = new Uint8ClampedArray(painter.photo.buffer);
      c.putImageData(new ImageData(photo, painter.width), 0, 0);
      this.plainOf = painter;
    }
    this.frame.style.setProperty("--cv-wipe", `${100 * share}%`);
    this.handle.setAttribute("aria-valuenow", Math.round(100 * share));
  }

  /** Outline the cells at two points; either may be null. */
  outline(point, pinned) {
    this.point = point;
    this.pinned = pinned;
    const { subject, block } = this;
    const shapes = [];
    for (const [kind, at] of Object.entries({ pinned, pointed: point })) {
      const cell = at && subject.cellAt(block, at);
      if (!cell) continue;
      const field = block.field && fieldBox(subject.view, block, cell, block.field);
      if (field) shapes.push(...rimmed(field, `cv-field-box cv-${kind}`));
      shapes.push(...rimmed(cellBox(subject.view, block, cell), `cv-cell-box cv-${kind}`));
    }
    this.outlines.replaceChildren(...shapes);
    const shown = point ?? pinned;
    this.placeTag(shown && subject.cellAt(block, shown));
  }

  /** A cell's numbers beside it; none for no cell. */
  placeTag(cell) {
    const { subject, block } = this;
    this.tag.hidden = !cell;
    if (!cell) return;
    this.tag.replaceChildren(h("b", {}, cell.value.toFixed(4)), ` ${this.t("cell", cell)}`);
    const [left, top, right, bottom] = cellBox(subject.view, block, cell);
    const [width, height] = subject.view.resized;
    // Beside the cell, on the side where there is room.
    const onLeft = (left + right) / 2 > width / 2;
    const x = (onLeft ? left : right) / width;
    const y = (top + bottom) / 2 / height;
    this.tag.style.left = `${100 * x}%`;
    this.tag.style.top = `${100 * y}%`;
    this.tag.dataset.side = onLeft ? "left" : "right";
  }
}

/** A box as a line in a rim, which shows on any photo. */
function rimmed([left, top, right, bottom], name) {
  const box = { x: left, y: top, width: right - left, height: bottom - top };
  return ["cv-rim", "cv-line"].map((part) => svg("rect", { ...box, class: `${name} ${part}` }));
}
