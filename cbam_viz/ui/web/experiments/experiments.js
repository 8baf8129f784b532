// The experiments: which of them is in view, and what they are about.

import { h, segmented } from "../shared/dom.js";
import { hear } from "../shared/events.js";
import { addWords, languageOf, translator } from "../shared/words.js";
import { Bench } from "./bench.js";
import { Camera } from "./camera.js";
import { ClassMaps } from "./class_map.js";
import { Deletion } from "./deletion.js";
import { Drawn } from "./drawn.js";
import { Effects } from "./effects.js";
import { Gates } from "./gates.js";
import { Models } from "./models.js";
import { ChangedPhoto } from "./photo.js";
import { Randomised } from "./randomised.js";
import { Several } from "./several.js";
import { Variants } from "./variants.js";
import words from "./strings.json" with { type: "json" };

/**
 * One experiment. It is built anew for another photo, model or language.
 *
 * @typedef {object} Part
 * @property {HTMLElement} element
 * @property {() => void} [leave] called when it is taken away.
 */
/**
 * What there is to try: by the question that is asked, by the key of its name.
 *
 * @type {Record<string, Record<string, new (bench: Bench) => Part>>}
 */
const PARTS = {
  whatIf: { gates: Gates, photo: ChangedPhoto, effects: Effects, variants: Variants },
  whichOne: { classMap: ClassMaps, models: Models },
  howMuch: { drawn: Drawn, randomised: Randomised, deletion: Deletion, several: Several },
  live: { camera: Camera },
};
const ALL = Object.assign({}, ...Object.values(PARTS));

class Experiments {
  constructor(/** @type {any} */ gradio) {
    this.root = gradio.root;
    this.lang = languageOf(document.documentElement.lang);
    this.t = translator(() => this.lang, "experiments", "viewer");
    this.bench = new Bench(gradio, this.t, () => this.lang);
    this.part = "gates";
    /** @type {?Part} */
    this.shown = null;
  }

  /** Look at what is on screen, and show it if it is another photo or model. */
  async look() {
    try {
      if (await this.bench.look()) this.show();
    } catch (error) {
      console.error(error);
      const again = h("button", { type: "button", class: "cv-button" }, this.t("again"));
      again.addEventListener("click", () => this.look());
      this.bench.key = ""; // whatever there is to see is shown then
      this.root.replaceChildren(h("p", { role: "alert" }, this.t("lost")), again);
    }
  }

  show() {
    this.root.lang = this.lang;
    const questions = Object.entries(PARTS).map(([question, parts]) => {
      const choices = Object.keys(parts).map((key) => [key, this.t(`part_${key}`)]);
      return segmented(this.t(question), choices, (key) => this.turn(key));
    });
    this.questions = questions;
    this.place = h("div", {});
    const { untrained } = this.bench.subject.payload.model;
    this.root.replaceChildren(
      h("div", { class: "ce-parts" }, questions.map(({ element }) => element)),
      ...(untrained ? [h("p", { class: "cv-warning" }, this.t("untrained", { reason: untrained }))] : []),
      this.place,
    ); // prettier-ignore
    this.turn(this.part);
  }

  /** Turn to an experiment. */
  turn(/** @type {string} */ part) {
    this.shown?.leave?.();
    this.part = part;
    for (const { set } of this.questions) set(part);
    this.shown = new ALL[part](this.bench);
    this.place.replaceChildren(this.shown.element);
  }

  setLang(/** @type {string} */ lang) {
    if (this.lang === languageOf(lang)) return;
    this.lang = languageOf(lang);
    if (this.bench.subject) this.show();
  }
}

/** The style sheet beside this script. */
function style() {
  const address = new URL(import.meta.url);
  address.pathname = address.pathname.replace(/\.js$/, ".css");
  const link = h("link", { rel: "stylesheet", href: address.href });
  const loaded = new Promise((resolve) => {
    for (const end of ["load", "error"]) link.addEventListener(end, resolve);
  });
  document.head.append(link);
  return loaded;
}

/** Fill the tab; what is given is gr.HTML's. */
export async function mountExperiments(gradio) {
  addWords("experiments", words);
  const experiments = new Experiments(gradio);
  hear("lang", (lang) => experiments.setLang(lang));
  let stale = false;
  hear("looked", () => {
    // In a tab that is not open it can wait, and cost the server nothing.
    stale = true;
    if (gradio.root.offsetParent) look();
  });
  function look() {
    stale = false;
    return experiments.look();
  }
  new IntersectionObserver(([entry]) => entry.isIntersecting && stale && look()).observe(
    gradio.root,
  );
  await style();
  await look();
}
