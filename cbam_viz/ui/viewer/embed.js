// gr.HTML's js_on_load: gives element, props and watch. The script itself is in the page's head.
const root = element.querySelector(".cbam-viewer");
const given = () => [props.value || null, props.second || null];
const [first, second] = given();
// The page has one switch of its language, its own.
const viewer = CbamViewer.mount(root, first, {
  second,
  lang: document.documentElement.lang,
  switchable: false,
});
watch(["value", "second"], () => viewer.setPayload(...given()));
document.addEventListener("cbam-lang", ({ detail }) => viewer.setState({ lang: detail }));
