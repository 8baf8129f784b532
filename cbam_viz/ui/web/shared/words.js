// Words in the page's language. Python gives all of them, in the script before this one: by part
// of the page, by language, by key.

/** @typedef {(key: string, values?: Record<string, unknown>) => string} Translate */
/** @typedef {Record<string, Record<string, Record<string, string>>>} Words */

/** @type {Words} */
const WORDS = /** @type {any} */ (globalThis).CBAM_WORDS;

/** Give the words of a part that came later. */
export function addWords(/** @type {string} */ part, /** @type {Words[string]} */ words) {
  WORDS[part] = words;
}

/** The languages there are; the first is spoken where none of the visitor's is among them. */
export const LANGUAGES = ["en", "zh"];

/** Whether a value names a language. */
export function isLanguage(/** @type {unknown} */ lang) {
  return LANGUAGES.includes(/** @type {string} */ (lang));
}

/** The language to begin with: the one asked for, or the browser's. @returns {string} */
export function languageOf(/** @type {string | null | undefined} */ asked) {
  const wanted = [asked, ...navigator.languages].map((lang) => lang?.slice(0, 2));
  return wanted.find(isLanguage) ?? LANGUAGES[0];
}

/**
 * What gives the words of a key.
 *
 * @param {() => string} language gives the language to speak.
 * @param {string[]} parts of the page whose words to look among, one after the other.
 * @returns {Translate}
 */
export function translator(language, ...parts) {
  return (key, values = {}) => {
    const found = parts.map((part) => WORDS[part][language()][key]);
    const text = found.find((words) => words !== undefined);
    if (text === undefined) throw new Error(`no words for "${key}"`);
    return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  };
}
