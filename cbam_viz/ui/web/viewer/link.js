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

/** What makes another view of it, to which "back" leads. */
const VIEWS = ["photo", "second", "model", "tab", "block", "mode", "compare", "other"];

/** Whether a hash is another view than the one before; a first one is not. */
export function isAnotherView(/** @type {string} */ before, /** @type {string} */ after) {
  const [was, is] = [paramsOf(before), paramsOf(after)];
  // A part that comes for the first time was the default; the look's is not written.
  const usual = (/** @type {string} */ key) => ["second", "tab", "mode", "compare"].includes(key);
  const known = (/** @type {string} */ key) => was.has(key) || (usual(key) && was.has("block"));
  return VIEWS.some((key) => known(key) && was.get(key) !== is.get(key));
}

/** The address as all know it: a change of it is told of later, while other work may come first. */
let heard = globalThis.location?.hash;
globalThis.addEventListener?.("hashchange", () => (heard = location.hash));

/**
 * Write the address: as a new entry of the history, if it is another view. One that somebody has
 * changed meanwhile, and that was not heard of yet, stays.
 */
export function writeHash(/** @type {string} */ hash) {
  if (hash === location.hash || location.hash !== heard) return;
  const address = `${location.pathname}${location.search}${hash}`;
  if (isAnotherView(location.hash, hash)) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  heard = location.hash;
  // In a frame, a Space for one, the outer page has the address that one sees.
  if (window.parent !== window) {
    window.parent.postMessage({ queryString: location.search.slice(1), hash }, "*");
  }
}
