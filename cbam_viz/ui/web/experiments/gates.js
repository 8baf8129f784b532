// What if a gate were another one: gates set by hand, before and after side by side.

import { dropdown, h, segmented, setText, slider } from "../shared/dom.js";
import { decodeGate, numbered } from "../shared/numbers.js";
import { contextOf } from "../shared/pixels.js";
import { oneAtATime } from "./bench.js";
import { LOOK } from "./parts.js";
import { GatePicture } from "./picture.js";
import { predictions } from "./predictions.js";

/** @import { Bench } from "./bench.js" */
/** @import { Block } from "../viewer/subject.js" */

/** @typedef {string | number | number[][]} Setting as the server takes it; "second" is a photo's. */

const WORDS = ["open", "shut", "half", "mean", "shuffled", "inverted"];

export class Gates {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { subject, t } = bench;
    this.block = subject.payload.openAt;
    this.kind = /** @type {"spatial" | "channel"} */ ("spatial");
    /** @type {Map<string, Setting>} what was set, by the gate's name. */
    this.set = new Map();
    /** What the network used, by block; as it was until it is known. @type {Map<string, Block>} */
    this.after = new Map(subject.blocks.map((block) => [block.name, block]));
    /** Blocks whose spatial gate is not what it was. @type {Set<string>} */
    this.moved = new Set();
    this.run = oneAtATime((gates) => this.tried(gates));
    this.element = h("section", { class: "ce-gates" });
    this.said = h("p", { class: "ce-said", role: "status" });
    this.answer = h("div", { class: "ce-answer" });
    this.chosen = h("ul", { class: "ce-chosen", "aria-label": t("chosen") });
    this.strip = h("div", { class: "ce-strip", role: "group", "aria-label": t("stripName") });
    this.pictures = h("div", { class: "ce-pictures" });
    this.element.append(
      h("p", { class: "ce-lead" }, t("gatesLead")),
      h("div", { class: "ce-desk" }, this.buildControls(), this.pictures),
      this.said,
      this.answer,
      h("h3", {}, t("strip")),
      h("p", { class: "cv-small" }, t("stripWords")),
      this.strip,
    );
    this.buildStrip();
    this.choose({});
    this.tried({});
  }

  get name() {
    return `${this.block}.${this.kind}`;
  }

  buildControls() {
    const { subject, t, second } = this.bench;
    this.blocks = dropdown(t("block"), (block) => this.choose({ block }));
    this.blocks.offer(subject.names);
    this.kinds = segmented(
      t("gate"),
      [
        ["spatial", t("spatialGate")],
        ["channel", t("channelGate")],
      ],
      (kind) => this.choose({ kind }),
    );
    const choices = ["as", ...WORDS, "scaled", "painted", ...(second ? ["second"] : [])];
    this.settings = segmented(
      t("setting"),
      choices.map((key) => [key, t(`set_${key}`)]),
      (key) => this.settle(key),
    );
    this.scale = slider(
      t("scale"),
      { min: 0, max: 2, step: 0.05, format: (v) => `× ${numbered(v, 2)}` },
      (factor) => {
        this.scale.set(factor);
        this.put(factor);
      },
    );
    this.brush = slider(
      t("brush"),
      { min: 0, max: 1, step: 0.05, format: (v) => numbered(v, 2) },
      (value) => {
        this.brush.set(value);
        if (this.picture) this.picture.value = value;
      },
    );
    this.brush.set(0);
    this.width = slider(
      t("brushWidth"),
      { min: 0.02, max: 0.3, step: 0.01, format: (v) => `${Math.round(100 * v)} %` },
      (value) => {
        this.width.set(value);
        if (this.picture) this.picture.reach = value / 2;
      },
    );
    this.width.set(0.12);
    this.how = h("p", { class: "cv-small" });
    const clear = h("button", { type: "button", class: "cv-button" }, t("asTheyWere"));
    clear.addEventListener("click", () => {
      this.set.clear();
      this.choose({});
      this.run({});
    });
    return h("div", { class: "ce-controls" },
      this.blocks.element, this.kinds.element, this.settings.element, this.how,
      this.scale.element, this.brush.element, this.width.element,
      h("h3", {}, t("chosen")), this.chosen, clear); // prettier-ignore
  }

  /** Turn to a gate. */
  choose(/** @type {{block?: string, kind?: string}} */ patch) {
    Object.assign(this, patch);
    const { t } = this.bench;
    this.blocks.set(this.block);
    this.kinds.set(this.kind);
    const setting = this.set.get(this.name);
    const kind =
      setting === undefined ? "as"
      : typeof setting === "number" ? "scaled"
      : typeof setting === "string" ? setting
      : "painted"; // prettier-ignore
    this.settings.set(kind);
    setText(this.how, t(`how_${kind}`));
    this.scale.element.hidden = kind !== "scaled";
    this.brush.element.hidden = this.width.element.hidden = kind !== "painted";
    if (typeof setting === "number") this.scale.set(setting);
    const painted = this.settings.element.querySelector("input[value=painted]");
    /** @type {HTMLInputElement} */ (painted).disabled = this.kind === "channel";
    this.showChosen();
    this.showPictures(kind === "painted");
    for (const stop of this.strip.children)
      stop.setAttribute(
        "aria-pressed",
        String(/** @type {any} */ (stop).dataset.block === this.block),
      );
  }

  /** Set the gate that is turned to. */
  settle(/** @type {string} */ key) {
    if (key === "as") {
      this.set.delete(this.name);
      this.choose({});
      this.run(Object.fromEntries(this.set));
    } else if (key === "scaled") this.put(0.5);
    else if (key === "painted") {
      const { rows, columns, spatial } = this.bench.subject.block(this.block);
      this.put(inRows(spatial, rows, columns));
    } else this.put(key);
  }

  put(/** @type {Setting} */ setting) {
    const same = typeof this.set.get(this.name) === typeof setting && typeof setting !== "string";
    this.set.set(this.name, setting);
    if (!same) this.choose({});
    this.run(Object.fromEntries(this.set));
  }

  showChosen() {
    const { t } = this.bench;
    const said = (setting) =>
      typeof setting === "number" ? `× ${numbered(setting, 2)}`
      : t(`set_${typeof setting === "string" ? setting : "painted"}`); // prettier-ignore
    this.chosen.replaceChildren(
      ...[...this.set].map(([name, setting]) => {
        const away = h("button", { type: "button", "aria-label": t("takeBack", { name }) }, "×");
        away.addEventListener("click", () => {
          this.set.delete(name);
          this.choose({});
          this.run(Object.fromEntries(this.set));
        });
        return h("li", {}, h("span", {}, `${name}: ${said(setting)}`), away);
      }),
    );
    if (!this.set.size) this.chosen.append(h("li", { class: "cv-small" }, t("noneChosen")));
  }

  /** The chosen gate, as it was and as the network used it. */
  showPictures(painting) {
    const { subject, t } = this.bench;
    const before = subject.block(this.block);
    const after = this.after.get(this.block) ?? before;
    const make = (title, block, onPaint) =>
      new GatePicture(this.bench, title, this.kind, block, before, onPaint);
    const first = make(t("before"), before, null);
    this.picture = make(
      t("after"),
      painting ? { ...after, spatial: flat(this.set.get(this.name)) } : after,
      painting &&
        ((cells) => {
          const { rows, columns } = before;
          this.put(inRows(cells, rows, columns));
        }),
    );
    this.picture.value = Number(this.brush.input.value);
    this.picture.reach = Number(this.width.input.value) / 2;
    this.pictures.replaceChildren(first.element, this.picture.element);
  }

  buildStrip() {
    const { subject, t } = this.bench;
    this.thumbs = new Map();
    this.strip.replaceChildren(
      ...subject.blocks.map((block) => {
        const [before, after] = [h("canvas"), h("canvas")];
        const change = h("small", {}, t("moved", { change: numbered(0, 3) }));
        this.draw(before, block);
        this.draw(after, block);
        this.thumbs.set(block.name, { after, change });
        const stop = h(
          "button",
          { type: "button", class: "ce-stop", "data-block": block.name },
          h("b", {}, block.name),
          before,
          after,
          change,
        );
        stop.addEventListener("click", () => this.choose({ block: block.name }));
        return stop;
      }),
    );
  }

  draw(canvas, block) {
    const { subject } = this.bench;
    const painter = subject.thumbPainter;
    painter.paint(block, { ...LOOK, table: subject.tables.magma });
    contextOf(canvas, painter).putImageData(painter.image, 0, 0);
  }

  /** Ask what the network makes of it, and show that. */
  async tried(/** @type {Record<string, Setting>} */ gates) {
    const { bench } = this;
    const answer = await bench.ask("gates", { gates });
    if (answer.fault) {
      setText(this.said, bench.faultOf(answer));
      return;
    }
    setText(this.said, "");
    // The prediction first: that is what whoever let go waits for.
    this.answer.replaceChildren(predictions(bench, answer.classes));
    this.element.dataset.predicted = answer.id;
    await new Promise((painted) => setTimeout(painted));
    for (const { name, spatial, channel, changes } of answer.blocks) {
      const moved = changes.spatial || this.moved.has(name);
      const before = bench.subject.block(name);
      const block = { ...before, spatial: decodeGate(spatial), channel: decodeGate(channel) };
      this.after.set(name, block);
      if (!moved) continue; // as it was drawn
      if (changes.spatial) this.moved.add(name);
      else this.moved.delete(name);
      const { after, change } = this.thumbs.get(name);
      this.draw(after, block);
      setText(change, bench.t("moved", { change: numbered(changes.spatial, 3) }));
    }
    this.picture.show(this.after.get(this.block));
    this.element.dataset.answered = answer.id;
  }
}

function inRows(/** @type {Float32Array} */ cells, rows, columns) {
  return Array.from({ length: rows }, (_, r) =>
    Array.from(cells.subarray(r * columns, (r + 1) * columns), (v) => Math.round(v * 1e4) / 1e4),
  );
}

function flat(/** @type {any} */ rows) {
  return Float32Array.from(rows.flat());
}
