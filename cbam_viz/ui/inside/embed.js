// gr.HTML's js_on_load: gives element, props and watch. The script itself is in the page's head.
const root = element.querySelector(".cbam-inside");
const inside = CbamInside.mount(root, props.value || null, { lang: props.lang });
watch("value", () => inside.setPayload(props.value || null));
watch("lang", () => inside.setLang(props.lang));
