// Elements and controls, and words for them.

const SVG = "http://www.w3.org/2000/svg";

/** Icons, as paths in a box of 16 by 16. */
const ICONS = {
  play: "M4.5 2.8v10.4L13 8z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  link:
    "M6.6 9.4a2.6 2.6 0 0 0 3.7 0l2.3-2.3a2.6 2.6 0 0 0-3.7-3.7l-.9.9" +
    "M9.4 6.6a2.6 2.6 0 0 0-3.7 0L3.4 8.9a2.6 2.6 0 0 0 3.7 3.7l.9-.9",
};

/** An element with attributes and children; what is null or false is left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
}

export function icon(name) {
  const box = { class: `cv-icon cv-icon-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" };
  return svg("svg", box, svg("path", { d: ICONS[name] }));
}

/** Set an element's text, if it is another one: readers of live regions hear every change. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let controls = 0;

/** A choice of one of a few. @returns {{element, set}} */
export function segmented(label, choices, onChange) {
  const name = `cv-choice-${++controls}`;
  const inputs = new Map();
  const parts = choices.map(([value, words]) => {
    const input = h("input", { type: "radio", name, value });
    input.addEventListener("change", () => onChange(value));
    inputs.set(value, input);
    return h("label", {}, input, h("span", {}, words));
  });
  const element = h(
    "fieldset",
    { class: "cv-field cv-segmented" },
    h("legend", {}, label),
    h("div", { class: "cv-segments" }, parts),
  );
  const set = (value) => inputs.forEach((input, key) => (input.checked = key === value));
  return { element, set };
}

/** A slider with its value beside its name. @returns {{element, input, set}} */
export function slider(label, { min, max, step, format }, onInput) {
  const id = `cv-slider-${++controls}`;
  const input = h("input", { type: "range", id, min, max, step });
  const output = h("output", { for: id });
  input.addEventListener("input", () => {
    set(Number(input.value));
    onInput(Number(input.value));
  });
  const set = (value) => {
    input.value = value;
    input.style.setProperty("--cv-filled", (value - min) / (max - min || 1));
    input.setAttribute("aria-valuetext", format(value));
    setText(output, format(value));
  };
  const head = h("div", { class: "cv-field-head" }, h("label", { for: id }, label), output);
  return { element: h("div", { class: "cv-field" }, head, input), input, set };
}

/** A choice of one of many. @returns {{element, set, offer}} */
export function dropdown(label, onChange) {
  const id = `cv-select-${++controls}`;
  const select = h("select", { id });
  select.addEventListener("change", () => onChange(select.value));
  const head = h("div", { class: "cv-field-head" }, h("label", { for: id }, label));
  const element = h("div", { class: "cv-field" }, head, select);
  const offer = (values) => {
    if (values.join() === Array.from(select.options, (option) => option.value).join()) return;
    select.replaceChildren(...values.map((value) => h("option", { value }, value)));
  };
  return { element, offer, set: (value) => (select.value = value) };
}
