// The viewer and the inside of a block as components of a Gradio page: what gr.HTML's js_on_load
// hands over becomes theirs.

import { hear, latest, tell } from "../shared/events.js";
import { keep, kept } from "../shared/storage.js";
import { mountInside } from "../inside/inside.js";
import { paramsOf } from "../viewer/link.js";
import { mountViewer } from "../viewer/viewer.js";
import { isNamed, linkOf } from "./naming.js";

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
  const names = () => {
    const [first, second] = given();
    return { photo: first?.photo.name, second: second?.photo.name, model: first?.model.name };
  };
  // What came last; it is told of after other parts of the page may know of it.
  let came = names();
  // An address that names something else does not begin with what the page comes with.
  const others = () => !isNamed(paramsOf(location.hash), came);
  let waits = latest("expect") && !latest("late") && others();
  const [first, second] = waits ? [null, null] : given();
  const viewer = mountViewer(
    /** @type {HTMLElement} */ (element.querySelector(".cbam-viewer")),
    first,
    {
      second,
      lang: document.documentElement.lang,
      switchable: false,
      onTourEnd: toured() ? undefined : () => keep(TOURED, "1"),
      awaiting: others,
      onState: (state) => tell("view", state),
      onFeatures: (block) => trigger("select", { block }),
    },
  );
  /** @type {Promise<unknown>} */
  let drawn = viewer.ready;
  const show = () => {
    const shown = came;
    drawn.then(() => tell("shown", shown));
  };
  const open = () => {
    drawn = viewer.setPayload(...given());
    show();
  };
  if (waits) viewer.expect(true);
  else show();
  // What the page comes with can be told of late, too.
  watch(["value", "second"], () => {
    came = names();
    if (waits && others()) return;
    waits = false;
    open();
  });
  const expected = () => {
    if (waits) open();
    else drawn.then(() => viewer.expect(others()));
    waits = false;
  };
  hear("late", () => waits && open());
  hear("expect", (on) => (on ? viewer.expect(true) : expected()));
  // What the address names is there already, or is not to be had: else it is on its way.
  hear("looked", (parts) => isNamed(linkOf(parts), came) && expected());
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
    second: props.second || null,
    onPick: (picked) => tell("look", picked),
  });
  watch(["value", "second"], () =>
    inside.setPayload(props.value || null, view, props.second || null),
  );
  hear("lang", inside.setLang);
  hear("view", (state) => {
    view = state;
    if (props.value?.name === state.block) inside.pick(state);
  });
}
