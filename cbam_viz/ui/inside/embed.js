// gr.HTML's js_on_load: gives element, props and watch. The script itself is in the page's head.
// The viewer of the same page, if there is one, has the same cell and the same channel picked.
const root = element.querySelector(".cbam-inside");
let view = {};
const inside = CbamInside.mount(root, props.value || null, {
  lang: document.documentElement.lang,
  onPick: (detail) => document.dispatchEvent(new CustomEvent("cbam-look", { detail })),
});
watch("value", () => inside.setPayload(props.value || null, view));
document.addEventListener("cbam-lang", ({ detail }) => inside.setLang(detail));
document.addEventListener("cbam-view", ({ detail }) => {
  view = detail;
  if (props.value?.name === view.block) inside.pick(view);
});
