// gr.HTML's js_on_load: gives element, props and watch. The script itself is in the page's head.
const root = element.querySelector(".cbam-viewer");
const given = () => [props.value || null, props.second || null];
const [first, second] = given();
const viewer = CbamViewer.mount(root, first, { second });
watch(["value", "second"], () => viewer.setPayload(...given()));
