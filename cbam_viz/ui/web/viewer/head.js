// What is above the blocks: which model, what it says, what must be known, the link.

import { h, icon, setText } from "../shared/dom.js";
import { LANGUAGES, translator } from "../shared/words.js";

/** @import { Translate } from "../shared/words.js" */
/** @import { Payload } from "./payload.js" */

/** The model's name, its predictions, and the tools at the right. */
export function buildHead(
  /** @type {Translate} */ t,
  /** @type {string} */ lang,
  /** @type {Payload} */ { predictions, model },
  /** @type {HTMLElement[]} */ tools,
  titled = false,
) {
  const list = predictions.map(({ label, probability, ...names }) => {
    const own = names[`label_${lang}`];
    const bar = h("i", { class: "cv-probability" });
    bar.style.setProperty("--cv-filled", String(probability));
    const share = `${(100 * probability).toFixed(1)}%`;
    const english = own && own !== label && h("small", { lang: "en" }, label);
    return h("li", {}, h("span", {}, own ?? label, english), h("b", {}, share), bar);
  });
  const title = titled && h("h1", {}, t("title"));
  return h(
    "header",
    { class: "cv-head" },
    h("div", { class: "cv-title" }, title, h("p", {}, model.name)),
    tools.length > 0 && h("div", { class: "cv-tools" }, tools),
    list.length > 0 && h("ol", { class: "cv-predictions", "aria-label": t("predictions") }, list),
  );
}

/** What must be known before one believes a picture. */
export function buildWarnings(/** @type {Translate} */ t, /** @type {Payload} */ { model, view }) {
  const warnings = [];
  if (model.untrained) warnings.push(t("untrained", { reason: model.untrained }));
  if (view.squeezed) warnings.push(t("squeezed"));
  if (view.size.join() !== view.resized.join()) warnings.push(t("cropped"));
  return warnings.map((words) => h("p", { class: "cv-warning" }, words));
}

/** A button for each other language. */
export function buildLanguages(
  /** @type {string} */ spoken,
  /** @type {(lang: string) => void} */ onChoose,
) {
  return LANGUAGES.filter((lang) => lang !== spoken).map((lang) => {
    const name = translator(() => lang, "viewer")("language");
    const button = h("button", { type: "button", class: "cv-button", lang }, name);
    button.addEventListener("click", () => onChoose(lang));
    return button;
  });
}

/**
 * The button that copies the link of exactly this view; where the clipboard is refused, as in many
 * frames, a field to copy it from.
 */
export class CopyButton {
  /**
   * @param {Translate} t
   * @param {() => {held: boolean}} note writes the link into the address; tells whether it holds
   *   the photo.
   */
  constructor(t, note) {
    this.t = t;
    this.note = note;
    this.words = h("span", { "aria-live": "polite" }, t("copyLink"));
    const button = h("button", { type: "button", class: "cv-button" }, icon("link"), this.words);
    button.addEventListener("click", () => this.copy());
    const attributes = { type: "text", readOnly: true, hidden: true, "aria-label": t("link") };
    this.field = /** @type {HTMLInputElement} */ (h("input", attributes));
    this.field.addEventListener("blur", () => (this.field.hidden = true));
    this.element = h("div", { class: "cv-copy" }, button, this.field);
  }

  async copy() {
    const { held } = this.note();
    let said = held ? "copied" : "copiedView";
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      said = held ? "inField" : "inFieldView";
      this.field.value = location.href;
      this.field.hidden = false;
      this.field.select();
    }
    setText(this.words, this.t(said));
    clearTimeout(this.timer);
    const back = () => setText(this.words, this.t("copyLink"));
    this.timer = setTimeout(back, held ? 2000 : 4000);
  }
}
