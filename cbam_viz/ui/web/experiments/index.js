// What the page fetches when the experiments are first in view.

export { mountExperiments as mount } from "./experiments.js";
