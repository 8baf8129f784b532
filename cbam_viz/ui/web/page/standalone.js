// The offline file: the viewer, and below it the inside of the block in view.

import { h } from "../shared/dom.js";
import { mountInside } from "../inside/inside.js";
import { mountViewer } from "../viewer/viewer.js";

/** @import { Payload as Block } from "../inside/block.js" */
/** @import { Payload, SentFeatures } from "../viewer/payload.js" */
/** @import { State } from "../viewer/state.js" */

/**
 * @typedef {object} Contents
 * @property {Payload} payload
 * @property {Partial<State>} state the view that it was made from.
 * @property {Block[]} insides of blocks.
 * @property {string} [seen] the address of the photo as the network saw it, which all of them share.
 * @property {SentFeatures[]} features of the blocks.
 */

/**
 * Open what an offline file holds.
 *
 * @param {HTMLElement} root
 * @param {Contents} contents
 */
export function openStandalone(root, { payload, state, insides, seen, features }) {
  for (const { photo } of insides) photo.url = seen;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.body.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", follow);
  follow();

  const below = h("section", { class: "cbam-viewer cbam-inside" });
  /** @type {?string} */
  let shown = null;
  /** @type {ReturnType<typeof mountInside> | null} */
  let inside = null;
  const viewer = mountViewer(root, payload, {
    title: true,
    lang: state.lang,
    state,
    onState: (now) => showInside(now),
    onFeatures: features.length
      ? (block) => {
          const found = features.find((maps) => maps.block === block);
          if (found) viewer.setFeatures(found);
        }
      : undefined,
  });

  function showInside(/** @type {State} */ now) {
    if (!inside) return;
    inside.setLang(now.lang);
    if (now.block === shown) return inside.pick(now);
    shown = now.block;
    inside.setPayload(insides.find((block) => block.name === shown) ?? null, now);
  }

  if (insides.length) {
    root.after(below);
    viewer.ready.then(() => {
      inside = mountInside(below, null, { onPick: viewer.setState });
      const now = viewer.state();
      if (now) showInside(now);
    });
  }
  return viewer;
}
