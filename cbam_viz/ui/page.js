// What of the page goes on in the browser: its language, its link, and what its parts tell one
// another. `words` is in scope: the title and the examples' names, by language.

window.CbamPage = (() => {
  const LOCALES = { en: "en", zh: "zh-CN" };
  const KEPT = "cbam-viz-language";
  /** The keys of the address that the server follows; the viewer has its own. */
  const LINKED = ["photo", "model", "tab"];

  const hash = () => new URLSearchParams(location.hash.slice(1));
  const known = (tag) => Object.keys(LOCALES).find((lang) => lang === (tag ?? "").slice(0, 2));
  const browsers = navigator.languages.map(known).find(Boolean) ?? "en";
  let view = {};

  /** Write parts of the link; what is null is taken out. */
  function note(parts) {
    const now = hash();
    for (const [key, value] of Object.entries(parts)) {
      if (value == null) now.delete(key);
      else now.set(key, value);
    }
    if (now.toString() !== hash().toString()) {
      history.replaceState(null, "", `${location.pathname}${location.search}#${now}`);
    }
  }

  function read() {
    try {
      return known(localStorage.getItem(KEPT));
    } catch {
      return undefined; // no storage is given to pages in some frames
    }
  }

  /** Gradio's own module: it offers its languages in its settings, but to no script. */
  async function translate(lang) {
    const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
    const core = loaded.find((name) => /\/assets\/core-[^/]*\.js$/.test(name));
    if (core) (await import(core)).changeLocale(LOCALES[lang]);
  }

  /** Name the examples, whose buttons have none. */
  function nameExamples(lang) {
    for (const image of document.querySelectorAll("#cv-examples button img")) {
      const file = image.src.split("/").pop().split(".")[0];
      image.closest("button").ariaLabel = words[lang][`example_${file}`];
    }
  }

  function say(lang) {
    document.documentElement.lang = LOCALES[lang];
    document.title = words[lang].title;
    nameExamples(lang);
    document.dispatchEvent(new CustomEvent("cbam-lang", { detail: lang }));
  }

  /** Go on in the other language, and remember it. @returns {string} which. */
  function turn() {
    language = Object.keys(LOCALES).find((lang) => lang !== language);
    say(language);
    translate(language);
    note({ lang: language === browsers ? null : language });
    try {
      localStorage.setItem(KEPT, language);
    } catch {
      // then it holds for this visit
    }
    return language;
  }

  // As the page was opened: its tabs, coming up one after the other, write the link too.
  const asked = hash();
  let language = known(asked.get("lang")) ?? read() ?? browsers;
  say(language);
  // Gradio draws them when it gets to it, and again.
  new MutationObserver(() => {
    if (document.querySelector("#cv-examples button:not([aria-label]) img")) nameExamples(language);
  }).observe(document.documentElement, { childList: true, subtree: true });
  document.addEventListener("cbam-view", ({ detail }) => (view = detail));

  return {
    note,
    turn,
    /** Once Gradio is there. @returns {object} what the server must know to follow the link. */
    begin() {
      document.title = words[language].title; // Gradio has set its own by now
      if (language !== known(navigator.language)) translate(language);
      return { ...Object.fromEntries(LINKED.map((key) => [key, asked.get(key)])), language };
    },
    /** The block in view; before there is one, the link's; else none. */
    block: () => view.block ?? hash().get("block") ?? "",
    /** Have the viewer show a block. */
    show: (block) => document.dispatchEvent(new CustomEvent("cbam-look", { detail: { block } })),
  };
})();
