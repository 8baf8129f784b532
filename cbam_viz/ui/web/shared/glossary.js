// Words of the field, explained where they stand: under the pointer, on focus, by a tap.

import { h } from "./dom.js";

/** @import { Translate } from "./words.js" */

/** @type {?HTMLElement} the one explanation that is open. */
let tip = null;

function close() {
  tip?.remove();
  tip = null;
  for (const open of document.querySelectorAll(".cv-term[aria-describedby]")) {
    open.removeAttribute("aria-describedby");
  }
}

function open(/** @type {HTMLElement} */ word, /** @type {string} */ words) {
  close();
  tip = h("div", { class: "cv-tip", role: "tooltip", id: "cv-tip" }, words);
  // Beside the word, in the same root: that has the colours. Fixed, so that nothing cuts it off.
  (word.closest(".cbam-viewer") ?? document.body).append(tip);
  word.setAttribute("aria-describedby", "cv-tip");
  const at = word.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left), document.documentElement.clientWidth - width - 8);
  const above = at.bottom + height + 14 > innerHeight;
  const top = above ? at.top - height - 6 : at.bottom + 6;
  // A fixed element may lie in a container that is its own frame of reference.
  const origin = tip.getBoundingClientRect();
  tip.style.left = `${left - origin.left}px`;
  tip.style.top = `${top - origin.top}px`;
}

/** A word with its explanation. */
function term(/** @type {Translate} */ t, /** @type {string} */ key, /** @type {string} */ words) {
  const word = h("button", { type: "button", class: "cv-term" }, words);
  const show = () => open(word, t(`term_${key}`));
  word.addEventListener("pointerenter", show);
  word.addEventListener("focus", show);
  word.addEventListener("click", show);
  word.addEventListener("pointerleave", () => document.activeElement !== word && close());
  word.addEventListener("blur", close);
  word.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  return word;
}

/**
 * The words of a key, with what stands in it as [key|word] explained.
 *
 * @param {Translate} t
 * @param {string} key
 * @param {Record<string, unknown>} [values]
 * @returns {Array<string | HTMLElement>}
 */
export function explained(t, key, values) {
  const parts = t(key, values).split(/\[(\w+)\|([^\]]+)\]/);
  /** @type {Array<string | HTMLElement>} */
  const nodes = [parts[0]];
  for (let i = 1; i < parts.length; i += 3)
    nodes.push(term(t, parts[i], parts[i + 1]), parts[i + 2]);
  return nodes;
}
