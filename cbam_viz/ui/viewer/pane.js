// One explanation in the browser, and the large picture of one of its blocks.

/** The pictures that are drawn are no larger than this, in px; the payload's photo is not either. */
const DRAWN_SIDE = 1024;
const THUMB_SIDE = 176;

/** A payload, decoded: photo, blocks, geometry. */
class Subject {
  /** @param {object} payload as Python made it. @param {HTMLImageElement} photo decoded. */
  constructor(payload, photo) {
    this.payload = payload;
    this.view = payload.view;
    this.blocks = payload.blocks.map((block) => {
      const spatial = decodeGate(block.spatial);
      const channel = decodeGate(block.channel);
      const figures = { spatial: figuresOf(spatial), channel: figuresOf(channel) };
      return { ...block, spatial, channel, figures };
    });
    this.tables = Object.fromEntries(
      Object.entries(payload.tables).map(([name, table]) => [name, decodeBytes(table)]),
    );
    const side = Math.max(photo.naturalWidth, photo.naturalHeight);
    // Whole multiples keep a small photo's pixels what they are.
    this.painter = this.painterOf(photo, Math.max(1, Math.floor(DRAWN_SIDE / side)));
    this.thumbPainter = this.painterOf(photo, THUMB_SIDE / side);
  }

  /** @returns {Promise<Subject>} once the photo is decoded. */
  static async open(payload) {
    const photo = new Image();
    photo.src = payload.photo.url;
    await photo.decode();
    return new Subject(payload, photo);
  }

  painterOf(photo, factor) {
    const width = Math.max(1, Math.round(photo.naturalWidth * factor));
    const height = Math.max(1, Math.round(photo.naturalHeight * factor));
    const c = h("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
    c.imageSmoothingQuality = "high";
    c.drawImage(photo, 0, 0, width, height);
    return new Painter(c.getImageData(0, 0, width, height), this.view);
  }

  block(name) {
    return this.blocks.find((block) => block.name === name);
  }

  /** Whether a gate's values span so little that there is nothing to see. */
  isConstant({ min, max }) {
    return max - min < this.payload.nearlyConstant;
  }

  /** Least and greatest value of one kind of gate of some blocks. */
  static range(blocks, gate) {
    const figures = blocks.map((block) => block.figures[gate]);
    return [Math.min(...figures.map((f) => f.min)), Math.max(...figures.map((f) => f.max))];
  }

  /**
   * The cell of a block at a point of the photo.
   *
   * @param {number[]} point [x, y], shares of the photo's width and height.
   * @returns {?{row, column, value}} null where the network saw nothing.
   */
  cellAt(block, point) {
    const { resized, offset, size } = this.view;
    const input = point.map((share, axis) => share * resized[axis] - offset[axis]);
    if (input.some((x, axis) => !(x >= 0 && x <= size[axis]))) return null;
    const [column, row] = input.map((x, axis) => {
      const last = (axis ? block.rows : block.columns) - 1;
      return Math.floor(Math.min(Math.max((x - 0.5) / block.stride, 0), last) + 0.5);
    });
    return { row, column, value: block.spatial[row * block.columns + column] };
  }

  /** The point of the photo at a cell's centre. */
  centreOf(block, row, column) {
    const { resized, offset, size } = this.view;
    return [column, row].map(
      (cell, axis) =>
        (Math.min(cell * block.stride + 0.5, size[axis]) + offset[axis]) / resized[axis],
    );
  }

  /** Where a cell is the nearest one: [left, top, right, bottom] in px of the resized photo. */
  cellBox(block, { row, column }) {
    const [width, height] = this.view.size;
    const edges = (cell, count, length) => [
      cell === 0 ? 0 : block.stride * (cell - 0.5) + 0.5,
      cell === count - 1 ? length : block.stride * (cell + 0.5) + 0.5,
    ];
    const [left, right] = edges(column, block.columns, width);
    const [top, bottom] = edges(row, block.rows, height);
    return this.onResized([left, top, right, bottom]);
  }

  /** What a cell's features see, as far as it lies in the input: as `cellBox`. */
  fieldBox(block, { row, column }) {
    const [width, height] = this.view.size;
    const [x, y] = [column * block.stride + 0.5, row * block.stride + 0.5];
    const half = block.field / 2;
    const box = [x - half, y - half, x + half, y + half];
    const most = [width, height, width, height];
    return this.onResized(box.map((v, i) => Math.min(Math.max(v, 0), most[i])));
  }

  onResized(box) {
    return box.map((v, i) => v + this.view.offset[i % 2]);
  }
}

/** The large picture of one block, with what is under the pointer outlined on it. */
class Pane {
  /**
   * @param {Function} t gives the words of a key.
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
    const share = (at, start, length) => Math.min(Math.max((at - start) / length, 0), 1);
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  }

  /** The keyboard's pointer moves from cell to cell. */
  onKey(event) {
    const { subject, block, events } = this;
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    const here = this.point ?? this.pinned ?? [0.5, 0.5];
    if (move) {
      const cell = subject.cellAt(block, here) ?? subject.cellAt(block, [0.5, 0.5]);
      // The first key shows the cell, the next ones move.
      const [down, right] = this.point ? move : [0, 0];
      const row = Math.min(Math.max(cell.row + down, 0), block.rows - 1);
      const column = Math.min(Math.max(cell.column + right, 0), block.columns - 1);
      events.onPoint(this, subject.centreOf(block, row, column));
    } else if (event.key === "Enter" || event.key === " ") events.onPin(this, here);
    else if (event.key === "Escape") events.onPin(this, null);
    else return;
    event.preventDefault();
  }

  /**
   * Draw a block.
   *
   * @returns {?object} what `Painter.paint` does.
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
      h("span", {}, this.t("stageFacts", { columns, rows, stride })),
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
      const field = block.field && subject.fieldBox(block, cell);
      if (field) shapes.push(...rimmed(field, `cv-field-box cv-${kind}`));
      shapes.push(...rimmed(subject.cellBox(block, cell), `cv-cell-box cv-${kind}`));
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
    const [left, top, right, bottom] = subject.cellBox(block, cell);
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

/** A canvas's context, the canvas being made as large as the painter's pictures. */
function contextOf(canvas, { width, height }) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return canvas.getContext("2d", { willReadFrequently: true });
}

/** A box as a line in a rim, which shows on any photo. */
function rimmed([left, top, right, bottom], name) {
  const box = { x: left, y: top, width: right - left, height: bottom - top };
  return ["cv-rim", "cv-line"].map((part) => svg("rect", { ...box, class: `${name} ${part}` }));
}
