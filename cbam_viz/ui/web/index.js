// What the page, the notebook and the offline file call: one bundle, as `CbamViz`.

export { mountInside } from "./inside/inside.js";
export { embedInside, embedViewer } from "./page/embed.js";
export { startPage } from "./page/page.js";
export { openStandalone } from "./page/standalone.js";
export { mountViewer } from "./viewer/viewer.js";
