// gr.HTML's js_on_load: gives element, props, trigger and watch. The script itself is in the page's head.
const root = element.querySelector(".cbam-viewer");

if (!window.CbamViewer) {
  // A browser that does not run the script: the photo and a sentence, whatever photo comes.
  const still = () => {
    root.innerHTML = '<figure class="cv-still"><img alt=""><figcaption></figcaption></figure>';
    root.querySelector("img").src = props.value ? props.value.photo.url : "";
    root.querySelector("figcaption").textContent = props.broken;
    root.hidden = !props.value;
  };
  watch("value", still);
  return still();
}

const given = () => [props.value || null, props.second || null];
const [first, second] = given();
// The page has one switch of its language, its own. It hears of every change of what is in view as
// `cbam-view`, and changes that, or other parts of the state, by `cbam-look`.
const viewer = CbamViewer.mount(root, first, {
  second,
  lang: document.documentElement.lang,
  switchable: false,
  onState: ({ block, pin, channel }) => {
    const detail = { block, pin, channel };
    document.dispatchEvent(new CustomEvent("cbam-view", { detail }));
  },
  onFeatures: (block) => trigger("select", { block }),
});
watch(["value", "second"], () => viewer.setPayload(...given()));
watch("features", () => props.features && viewer.setFeatures(props.features));
document.addEventListener("cbam-lang", ({ detail }) => viewer.setState({ lang: detail }));
document.addEventListener("cbam-look", ({ detail }) => viewer.setState(detail));
