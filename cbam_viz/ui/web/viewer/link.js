// The viewer's state in the part of the address after "#".

import { START } from "./state.js";

/** @import { LookDefaults, State } from "./state.js" */

/** The parts of the state that a link holds, and how each is read from it. */
/** @type {Record<string, (text: string) => unknown>} */
const READ = {
  block: String,
  mode: String,
  colours: String,
  opacity: Number,
  scale: String,
  keep: Number,
  compare: String,
  other: String,
  wipe: Number,
  order: String,
  pin: (text) => text.split(",").map(Number),
  channel: Number,
  lang: String,
};

/** Their names. */
export const LINKED = Object.keys(READ);

/** @returns {URLSearchParams} what a hash holds. */
export function paramsOf(/** @type {string} */ hash) {
  return new URLSearchParams(hash.replace(/^#/, ""));
}

/**
 * The parts of the state that a hash holds, as they are in it.
 *
 * @param {string} hash
 * @param {string[]} keys to read.
 * @returns {Partial<State>}
 */
export function stateOfHash(hash, keys) {
  const params = paramsOf(hash);
  const known = keys.filter((key) => params.has(key));
  return Object.fromEntries(known.map((key) => [key, READ[key](params.get(key) ?? "")]));
}

/**
 * The hash with a state in it: what differs from the defaults. Keys of others stay.
 *
 * @param {string} hash
 * @param {State} state
 * @param {LookDefaults & {lang: string}} defaults
 * @param {string[]} keys to write.
 * @returns {string}
 */
export function hashOfState(hash, state, defaults, keys) {
  const params = paramsOf(hash);
  const usual = /** @type {Record<string, unknown>} */ ({ ...START, ...defaults });
  const two = state.compare === "block" || state.compare === "photo";
  for (const key of keys) {
    const value = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (state))[key];
    const needed = value != null && value !== usual[key] && (key !== "other" || two);
    if (needed) params.set(key, String(value));
    else params.delete(key);
  }
  return `#${params}`;
}
