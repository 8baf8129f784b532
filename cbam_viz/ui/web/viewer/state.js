// The viewer's state: what it can be, and how it is put right.

import { clamp } from "../shared/numbers.js";

/** @import { Point } from "../shared/geometry.js" */

/** @typedef {{mode: string, colours: string, opacity: number, scale: string, keep: number}} LookDefaults */
/**
 * @typedef {object} State
 * @property {string} lang
 * @property {string} block the one in view.
 * @property {string} mode
 * @property {string} colours
 * @property {number} opacity 0 to 1.
 * @property {string} scale
 * @property {number} keep for contour: the share of attention inside the outline.
 * @property {string} compare what is beside it.
 * @property {string} other the second block.
 * @property {number} wipe where before ends and after begins: a share of the photo's width.
 * @property {string} order of the channels.
 * @property {?Point} pin a place on the photo, not a cell: it means something in every block.
 * @property {?number} channel
 */
/**
 * @typedef {object} Choices what there is to choose from.
 * @property {string[]} blocks
 * @property {string} openAt the block to begin with.
 * @property {string[]} modes
 * @property {string[]} colours
 * @property {LookDefaults} look
 * @property {boolean} second whether there is a second photo.
 * @property {(state: State) => string[]} others names of the blocks that can be the second one.
 * @property {(block: string) => string} telling the block that is worth comparing with one.
 * @property {(block: string) => number} channels how many a block has.
 */

export const SCALES = ["absolute", "stretched", "shared"];
export const COMPARISONS = ["off", "wipe", "block", "photo"];
export const ORDERS = ["sorted", "channel"];

/** The state to begin with; the look and the block come with the payload. */
export const START = { compare: "off", order: ORDERS[0], wipe: 0.5, pin: null, channel: null };

/** @returns {string[]} what can be beside the picture. */
export function comparisons(/** @type {boolean} */ second) {
  return second ? COMPARISONS : COMPARISONS.filter((kind) => kind !== "photo");
}

/**
 * A state of which every part is something that there is: as asked, else as before, else the
 * default.
 *
 * @param {Partial<State>} asked
 * @param {Partial<State>} before
 * @param {Choices} choices
 * @returns {State}
 */
export function settled(asked, before, choices) {
  const state = /** @type {State & Record<string, any>} */ ({ ...asked });
  const was = /** @type {Record<string, any>} */ (before);
  const oneOf = (
    /** @type {string} */ key,
    /** @type {string[]} */ known,
    /** @type {string} */ fallback,
  ) => {
    state[key] = [state[key], was[key], fallback].find((value) => known.includes(value));
  };
  const within = (
    /** @type {string} */ key,
    /** @type {number} */ low,
    /** @type {number} */ high,
    /** @type {number} */ fallback,
  ) => {
    const value = Number.isFinite(state[key]) ? state[key] : (was[key] ?? fallback);
    state[key] = clamp(value, low, high);
  };
  const { blocks, look } = choices;
  oneOf("block", blocks, choices.openAt);
  oneOf("mode", choices.modes, look.mode);
  oneOf("colours", choices.colours, look.colours);
  oneOf("scale", SCALES, look.scale);
  oneOf("order", ORDERS, ORDERS[0]);
  oneOf("compare", comparisons(choices.second), "off");
  const others = choices.others(state);
  // Beside a block that nobody chose there is one that is worth comparing with.
  const begun = state.compare === "block" && was.compare !== "block";
  if (begun && state.other === was.other) state.other = choices.telling(state.block);
  oneOf("other", others, choices.telling(state.block));
  // Two photos: the same block of both, where both have it.
  if (state.compare === "photo" && others.includes(state.block)) state.other = state.block;
  within("opacity", 0, 1, look.opacity);
  within("keep", 0.05, 0.95, look.keep);
  within("wipe", 0, 1, START.wipe);
  if (!state.pin?.every((share) => share >= 0 && share <= 1)) state.pin = null;
  // An equal pin is the same one: nobody need hear of it.
  if (String(state.pin) === String(was.pin)) state.pin = was.pin ?? null;
  const channel = state.channel ?? -1;
  if (!(channel >= 0 && channel < choices.channels(state.block))) state.channel = null;
  return state;
}
