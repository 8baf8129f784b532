// What the browser remembers from one visit to the next.

/** @returns {?string} */
export function kept(/** @type {string} */ key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // no storage is given to pages in some frames
  }
}

export function keep(/** @type {string} */ key, /** @type {string} */ value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // then it holds for this visit
  }
}
