// What of the page goes on in the browser: its language, its link, and what its parts tell one
// another.

import { hear, latest, tell } from "../shared/events.js";
import { keep, kept } from "../shared/storage.js";
import { isLanguage, LANGUAGES, translator } from "../shared/words.js";
import { paramsOf, writeHash } from "../viewer/link.js";
import { isNamed, NAMING } from "./naming.js";
import { acceptAll, boxed, takePhotos } from "./photos.js";
import { openReports } from "./report.js";

/** Languages as Gradio calls them. @type {Record<string, string>} */
const LOCALES = { en: "en", zh: "zh-CN" };
const KEPT = "cbam-viz-language";
/** The keys of the address that the server follows; the viewer has its own. */
const LINKED = [...NAMING, "tab"];
/** After so many ms something is shown, whatever became of the link. */
const PATIENCE = 10000;
/** One column, the result below what is given. */
const NARROW = "(max-width: 700px)";

const hash = () => paramsOf(location.hash);
/** The part of the address that the server follows. */
const linked = () => LINKED.map((key) => hash().get(key)).join();
const known = (/** @type {?string | undefined} */ tag) => {
  const lang = tag?.slice(0, 2);
  return isLanguage(lang) ? lang : undefined;
};

/** Write parts of the link; what is null is taken out. */
function note(/** @type {Record<string, ?string>} */ parts) {
  const now = hash();
  for (const [key, value] of Object.entries(parts)) {
    if (value == null) now.delete(key);
    else now.set(key, value);
  }
  if (now.toString() !== hash().toString()) writeHash(`#${now}`);
}

/** Gradio's own module: it offers its languages in its settings, but to no script. */
async function translate(/** @type {string} */ lang) {
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const core = loaded.find((name) => /\/assets\/core-[^/]*\.js$/.test(name));
  if (core) (await import(core)).changeLocale(LOCALES[lang]);
}

/** Start the page's own script, as the page is opened. */
export function startPage() {
  const browsers = navigator.languages.map(known).find(Boolean) ?? LANGUAGES[0];
  // As the page was opened: its tabs, coming up one after the other, write the link too.
  const asked = hash();
  let language = known(asked.get("lang")) ?? known(kept(KEPT)) ?? browsers;
  const t = translator(() => language, "page");
  /** @type {Record<string, any>} */
  let view = {};

  /** Name the examples, whose buttons have none. */
  function nameExamples() {
    const images = document.querySelectorAll(":is(#cv-examples, #cv-second-examples) button img");
    for (const image of /** @type {NodeListOf<HTMLImageElement>} */ (images)) {
      const file = image.src.split("/").pop()?.split(".")[0];
      const button = image.closest("button");
      if (button) button.ariaLabel = t(`example_${file}`);
    }
  }

  function say() {
    document.documentElement.lang = LOCALES[language];
    document.title = t("title");
    nameExamples();
    tell("lang", language);
  }

  /** Go on in the other language, and remember it. @returns {string} which. */
  function turn() {
    language = LANGUAGES.find((lang) => lang !== language) ?? language;
    say();
    translate(language);
    note({ lang: language === browsers ? null : language });
    keep(KEPT, language);
    return language;
  }

  say();
  // Gradio draws them when it gets to it, and again.
  new MutationObserver(() => {
    if (document.querySelector(".gallery-item:not([aria-label]) img")) nameExamples();
    acceptAll();
  }).observe(document.documentElement, { childList: true, subtree: true });
  hear("view", (state) => (view = state));
  takePhotos();

  /** The result alone and larger, or the whole page again. */
  function present(/** @type {boolean} */ on) {
    document.documentElement.classList.toggle("cv-presenting", on);
    document.querySelector("#cv-present")?.setAttribute("aria-pressed", String(on));
  }
  document.addEventListener("keydown", (event) => event.key === "Escape" && present(false));

  // Paper is white.
  let dark = false;
  window.addEventListener("beforeprint", () => {
    dark = document.body.classList.contains("dark");
    document.body.classList.remove("dark");
  });
  window.addEventListener("afterprint", () => document.body.classList.toggle("dark", dark));

  // Until what a link names is there, the example that the page comes with is not shown.
  const following = document.documentElement.classList;
  following.toggle(
    "cv-following",
    NAMING.some((key) => asked.has(key)),
  );
  const reveal = () => following.remove("cv-following");
  const isAsked = (/** @type {Record<string, ?string>} */ parts) => isNamed(asked, parts);
  hear("shown", (parts) => isAsked(parts) && reveal());
  setTimeout(() => {
    reveal();
    tell("late", true);
  }, PATIENCE);
  tell("expect", following.contains("cv-following"));
  // Heard of before the viewer does.
  window.addEventListener("hashchange", () => {
    const other = !isNamed(hash(), latest("shown") ?? {});
    if (other) view = {};
    tell("expect", other);
  });

  // An address that was changed by hand, or "back" and "forward": followed whole. The viewer
  // follows its own part.
  let followed = linked();
  let submit = () => {};
  /** Number of the link that was last given to the server to follow. */
  let number = 0;
  /** And of the one that has come. */
  let reached = 0;
  window.addEventListener("hashchange", () => {
    if (linked() === followed) return;
    followed = linked();
    number += 1;
    submit();
  });
  const named = (/** @type {URLSearchParams} */ link) => ({
    ...Object.fromEntries(LINKED.map((key) => [key, link.get(key)])),
    language,
    number,
  });

  return {
    note(/** @type {Record<string, ?string>} */ parts) {
      if (followed !== linked()) return; // changed just now: "hashchange" tells of it
      note(parts);
      followed = linked();
    },
    /** What a link names has come. */
    followed(/** @type {Record<string, any>} */ { number: of, ...parts }) {
      if (of !== number) return; // another was opened meanwhile, and is still to come
      reached = of;
      this.looked(parts);
      // As much of it as the server could follow; or the viewer, which tells, is on no open tab.
      if (!isAsked(parts) || !document.querySelector("#cv-viewer")) reveal();
    },
    /** What a link names does not come: nobody there, or too many. What is shown is what counts. */
    unfollowed(/** @type {Record<string, any>} */ parts) {
      this.followed({ ...parts, number });
    },
    /** What the visitor gave is there, or a fault was said in its place. */
    arrived(/** @type {Record<string, any>} */ { number: _, ...parts }, fault = "") {
      this.looked(parts);
      if (fault || !matchMedia(NARROW).matches) return;
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      document.querySelector("#cv-shown")?.scrollIntoView({ behavior: calm ? "auto" : "smooth" });
    },
    boxed,
    openReports,
    looked(/** @type {Record<string, ?string>} */ parts) {
      if (reached !== number) return; // the address is that of something else
      this.note(parts);
      tell("looked", parts);
    },
    turn,
    present,
    /** The page's head: a switch of the language, and one for presenting. */
    head(/** @type {HTMLElement} */ element, /** @type {(event: string) => void} */ trigger) {
      submit = () => trigger("submit");
      window.addEventListener("hashchange", () => {
        const lang = known(hash().get("lang")) ?? language;
        if (lang !== language) trigger("select");
      });
      element.addEventListener("click", ({ target }) => {
        const button = /** @type {Element} */ (target).closest("button");
        if (button?.lang) trigger("select");
        else if (button) present(button.getAttribute("aria-pressed") !== "true");
      });
    },
    /** Once Gradio is there. @returns {object} what the server must know to follow the link. */
    begin() {
      document.title = t("title"); // Gradio has set its own by now
      if (language !== known(navigator.language)) translate(language);
      return number ? this.asked() : named(asked);
    },
    /** What the server must know to follow the present link; one that names no tab means the first. */
    asked: () => ({ ...named(hash()), tab: hash().get("tab") ?? "blocks" }),
    /** The block in view; before there is one, the link's; else none. @returns {string} */
    block: () => view.block ?? hash().get("block") ?? "",
    /** The viewer's state. */
    view: () => view,
    /** Have the viewer show a block. */
    show: (/** @type {string} */ block) => tell("look", { block }),
  };
}
