// What of the address names an explanation: its photos and its model.

/** The keys of what takes time to come. */
export const NAMING = ["photo", "second", "model"];

/** @typedef {Record<string, ?string | undefined>} Named what an explanation is of, by these keys. */

/** Whether an address names nothing else than an explanation is of. */
export function isNamed(/** @type {URLSearchParams} */ link, /** @type {Named} */ named) {
  return NAMING.every((key) => !link.has(key) || link.get(key) === (named[key] ?? null));
}

/** An address that names what an explanation is of. */
export function linkOf(/** @type {Named} */ named) {
  const parts = NAMING.flatMap((key) => (named[key] == null ? [] : [[key, named[key] ?? ""]]));
  return new URLSearchParams(parts);
}
