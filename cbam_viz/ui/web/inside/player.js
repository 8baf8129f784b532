// The window that goes over the map: product by product, then on to the next cell.

import { h, icon, setText } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { sumOf } from "./block.js";

/** @import { Translate } from "../shared/words.js" */
/** @import { Plane, Term } from "./block.js" */

/** How long a product is looked at, in ms. */
const PACE = 150;
const CALM_PACE = 700;

/**
 * @typedef {object} Product
 * @property {Plane} plane
 * @property {Term} term
 * @property {HTMLElement} cell where it is written.
 * @property {() => void} say says what it is made of.
 */

export class WindowPlayer {
  /**
   * @param {Translate} t
   * @param {object} events
   * @param {() => void} events.onNext called when all products of a cell were shown, for the next.
   * @param {(product: ?Product) => void} events.onProduct called with the one that is looked at;
   *   null if it is none of them.
   */
  constructor(t, { onNext, onProduct }) {
    this.t = t;
    this.onNext = onNext;
    this.onProduct = onProduct;
    /** @type {Product[]} */
    this.products = [];
    /** @type {?number} the product that is looked at. */
    this.at = null;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.timer = undefined;
    const button = (/** @type {string} */ name, /** @type {() => void} */ onClick) => {
      const element = h("button", { type: "button", class: `cv-button ${name}` });
      element.addEventListener("click", onClick);
      return element;
    };
    this.play = button("cv-play", () => (this.timer ? this.stop() : this.start()));
    this.play.append(icon("play"), icon("pause"));
    this.one = button("ci-one", () => {
      this.stop();
      this.step();
    });
    this.one.append(t("oneProduct"));
    this.said = h("output", { class: "ci-soft", "aria-live": "off" });
    this.element = h("div", { class: "ci-player" }, this.play, this.one, this.said);
    this.showPlaying();
  }

  /** Another cell's products, none of which is looked at yet. */
  set(/** @type {Product[]} */ products) {
    this.products = products;
    this.look(null);
  }

  start() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.timer = setInterval(() => this.step(), calm ? CALM_PACE : PACE);
    this.showPlaying();
    this.step();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = undefined;
    this.showPlaying();
  }

  /** Look at the next product; after the last one, at the next cell's first. */
  step() {
    if (!this.element.offsetParent) return this.stop(); // its tab was left
    const next = this.at == null ? 0 : this.at + 1;
    if (next < this.products.length) return this.look(next);
    this.onNext();
    this.look(0);
  }

  look(/** @type {?number} */ at) {
    this.at = at;
    this.products.forEach(({ cell }, i) => {
      cell.classList.toggle("ci-now", i === at);
      cell.classList.toggle("ci-later", at != null && i > at);
    });
    this.onProduct(at == null ? null : this.products[at]);
    const count = this.products.length;
    if (at == null) return setText(this.said, "");
    const sum = sumOf(this.products.slice(0, at + 1).map(({ term }) => term.product));
    setText(this.said, this.t("playing", { at: at + 1, count, sum: numbered(sum, 4) }));
  }

  showPlaying() {
    const playing = this.timer !== undefined;
    this.play.classList.toggle("cv-playing", playing);
    this.play.setAttribute("aria-label", this.t(playing ? "pauseWindow" : "playWindow"));
  }
}
