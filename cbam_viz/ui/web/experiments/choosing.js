// Which block, which class, which method: what the measurements are asked about.

import { dropdown, h, segmented, setText } from "../shared/dom.js";

/** @import { Bench } from "./bench.js" */

/** The names of all classes, by the photo and model they were asked for. */
const known = new WeakMap();

export class Choosing {
  /**
   * @param {Bench} bench
   * @param {Array<"block" | "target" | "method">} parts
   * @param {() => void} [onMethod] called when another method is chosen.
   */
  constructor(bench, parts, onMethod = () => {}) {
    const { t, subject } = bench;
    this.block = subject.payload.openAt;
    this.method = "grad-cam";
    const fields = {
      block: () => {
        const field = dropdown(t("block"), (block) => (this.block = block));
        field.offer(subject.names);
        field.set(this.block);
        return field.element;
      },
      target: () => this.targetField(bench),
      method: () => {
        const field = segmented(
          t("method"),
          Object.keys(bench.costs.methods).map((method) => [method, t(`method_${method}`)]),
          (method) => {
            this.method = method;
            onMethod();
          },
        );
        field.set(this.method);
        return field.element;
      },
    };
    this.element = h(
      "div",
      { class: "ce-choosing" },
      parts.map((part) => fields[part]()),
    );
  }

  targetField(/** @type {Bench} */ bench) {
    const { t, subject } = bench;
    const id = `ce-classes-${bench.key}`;
    const list = h("datalist", { id });
    this.target = h("input", {
      type: "text",
      list: id,
      autocomplete: "off",
      placeholder: bench.name(predicted(subject)),
    });
    this.target.addEventListener("focus", async () => {
      if (list.children.length) return;
      if (!known.has(subject)) known.set(subject, bench.ask("classes"));
      const names = await known.get(subject);
      list.replaceChildren(
        ...(names[bench.lang()] ?? names.en ?? []).map((value) => h("option", { value })),
      );
    });
    const label = h("label", {}, h("span", {}, t("ofWhichClass")), this.target, list);
    const hint = h("small", {});
    setText(hint, t("ofWhichClassHint"));
    return h("div", { class: "cv-field ce-target" }, label, hint);
  }

  /** As the server takes it. */
  get asked() {
    const text = this.target?.value.trim() ?? "";
    const target = !text ? null : /^\d+$/.test(text) ? Number(text) : text;
    return { block: this.block, method: this.method, target };
  }
}

/** The predicted class. */
function predicted(/** @type {import("../viewer/subject.js").Subject} */ { payload }) {
  const [{ label, label_zh }] = payload.predictions;
  return { label, labelZh: label_zh ?? label };
}
