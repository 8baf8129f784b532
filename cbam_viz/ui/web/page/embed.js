// The viewer and the inside of a block as components of a Gradio page: what gr.HTML's js_on_load
// hands over becomes theirs.

import { hear, latest, tell } from "../shared/events.js";
import { keep, kept } from "../shared/storage.js";
import { mountInside } from "../inside/inside.js";
import { mountViewer } from "../viewer/viewer.js";

const TOURED = "cbam-viz-toured";

/** Whether the visitor has been here before, or comes by a link that shows something of its own. */
const toured = () => kept(TOURED) != null || location.hash.length > 1;

/**
 * @typedef {object} Gradio
 * @property {HTMLElement} element
 * @property {Record<string, any>} props
 * @property {(event: string, data?: object) => void} trigger
 * @property {(names: string | string[], changed: () => void) => void} watch
 */

/**
 * It tells of every change of what is in view, and changes that, or other parts of its state, when
 * told so. The page has one switch of its language, its own.
 */
export function embedViewer(/** @type {Gradio} */ { element, props, trigger, watch }) {
  /** @returns {[any, any]} */
  const given = () => [props.value || null, props.second || null];
  const [first, second] = given();
  const viewer = mountViewer(
    /** @type {HTMLElement} */ (element.querySelector(".cbam-viewer")),
    first,
    {
      second,
      lang: document.documentElement.lang,
      switchable: false,
      onTourEnd: toured() ? undefined : () => keep(TOURED, "1"),
      onState: (state) => tell("view", state),
      onFeatures: (block) => trigger("select", { block }),
    },
  );
  watch(["value", "second"], () => viewer.setPayload(...given()));
  watch("features", () => props.features && viewer.setFeatures(props.features));
  hear("lang", (lang) => viewer.setState({ lang }));
  hear("look", (patch) => viewer.setState(patch));
}

/** The viewer of the same page, if there is one, has the same cell and the same channel picked. */
export function embedInside(/** @type {Gradio} */ { element, props, watch }) {
  const root = /** @type {HTMLElement} */ (element.querySelector(".cbam-inside"));
  /** @type {import("../inside/inside.js").Picked & {block?: string}} */
  let view = latest("view") ?? {};
  const inside = mountInside(root, props.value || null, {
    ...view,
    lang: document.documentElement.lang,
    onPick: (picked) => tell("look", picked),
  });
  watch("value", () => inside.setPayload(props.value || null, view));
  hear("lang", inside.setLang);
  hear("view", (state) => {
    view = state;
    if (props.value?.name === state.block) inside.pick(state);
  });
}
