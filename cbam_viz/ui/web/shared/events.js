// What the parts of one page tell one another, as events of the document.

/**
 * `view`: what is in view has changed; `look`: change it; `lang`: the page's language has changed;
 * `looked`: the server has looked at another photo, or with another model; `shown`: the viewer shows
 * explanations, of which photos and which model; `expect`: whether the address names others, which
 * are still to come; `late`: those that it named to begin with have had time enough to come.
 *
 * @typedef {"view" | "look" | "lang" | "looked" | "shown" | "expect" | "late"} Name
 */

/** @type {Map<Name, any>} */
const told = new Map();

/** What was told last, for who was not there to hear it. */
export function latest(/** @type {Name} */ name) {
  return told.get(name);
}

export function tell(/** @type {Name} */ name, /** @type {unknown} */ detail) {
  told.set(name, detail);
  document.dispatchEvent(new CustomEvent(`cbam-${name}`, { detail }));
}

export function hear(/** @type {Name} */ name, /** @type {(detail: any) => void} */ listener) {
  document.addEventListener(`cbam-${name}`, (event) =>
    listener(/** @type {CustomEvent} */ (event).detail),
  );
}
