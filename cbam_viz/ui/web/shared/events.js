// What the parts of one page tell one another, as events of the document.

/** `view`: what is in view has changed; `look`: change it; `lang`: the page's language has changed. */
/** @typedef {"view" | "look" | "lang"} Name */

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
