// Photos that come by other ways than their box: dropped or pasted anywhere on the page.

/** The boxes that take files; what comes anywhere else is for the first. */
const PHOTO = "#cv-photo";
const OTHERS = ["#cv-second", "#cv-weights"];

/** What the server reads, where a system's "image/*" leaves out files that it has no type for. */
const ACCEPTED = "image/*,.heic,.heif,.hif,.avif,.jp2,.j2k,.jpx,.j2c,.tif,.tiff";

/** The box that something which happens at an element is for. */
function boxOf(/** @type {?EventTarget} */ target) {
  const element = target instanceof Element ? target : document.body;
  return OTHERS.find((box) => element.closest(box)) ?? PHOTO;
}

/** Hand a file to a box, as if it had been chosen there. */
async function give(/** @type {string} */ box, /** @type {File} */ file) {
  const input = () =>
    /** @type {?HTMLInputElement} */ (document.querySelector(`${box} input[type=file]`));
  if (!input()) {
    // Its camera or its clipboard is open: files are another of its sources, the first.
    const source = /** @type {?HTMLElement} */ (
      document.querySelector(`${box} .source-selection button`)
    );
    source?.click();
    await new Promise((done) => setTimeout(done, 100));
  }
  const to = input();
  if (!to) return;
  const files = new DataTransfer();
  files.items.add(file);
  to.files = files.files;
  to.dispatchEvent(new Event("change", { bubbles: true }));
}

/** Take photos from anywhere, from now on. */
export function takePhotos() {
  const root = document.documentElement;
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  const over = (/** @type {boolean} */ on) => root.classList.toggle("cv-dropping", on);
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // or the browser would open the file in the page's place
    over(boxOf(event.target) === PHOTO);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) over(false);
  });
  // Before Gradio's own, which knows nothing of the rest of the page.
  document.addEventListener(
    "drop",
    (event) => {
      over(false);
      const box = boxOf(event.target);
      const file = event.dataTransfer?.files[0];
      if (!file || box === "#cv-weights") return;
      event.preventDefault();
      event.stopPropagation();
      give(box, file);
    },
    { capture: true },
  );
  // Gradio refuses files that are no "image/*"; systems know no type for some that are.
  document.addEventListener(
    "change",
    ({ target }) => {
      const input = /** @type {HTMLInputElement} */ (target);
      if (!input.matches("#cv-photo input[type=file], #cv-second input[type=file]")) return;
      const typed = new DataTransfer();
      for (const file of input.files ?? []) {
        const type = file.type.startsWith("image/") ? file.type : "image/x-unknown";
        typed.items.add(new File([file], file.name, { type }));
      }
      input.files = typed.files;
    },
    { capture: true },
  );
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return; // words, for a field
    event.preventDefault();
    give(boxOf(document.activeElement), file);
  });
}

/** Have the boxes' file choosers offer all that is read; Gradio draws them again and again. */
export function acceptAll() {
  for (const box of [PHOTO, "#cv-second"]) {
    const input = document.querySelector(`${box} input[type=file]`);
    if (input && input.getAttribute("accept") !== ACCEPTED) input.setAttribute("accept", ACCEPTED);
  }
}

/** @typedef {{path: string} | null} Sent a file, as Gradio has it. */

/**
 * What a photo's box shows: the decoded picture of the file that is in it, if there is one.
 *
 * @param {Sent} decoded
 * @param {Sent} photo
 */
export function boxed(decoded, photo) {
  const stem = (/** @type {Sent} */ sent) =>
    sent?.path
      .split("/")
      .pop()
      ?.replace(/\.[^.]*$/, "");
  return decoded && stem(decoded) === stem(photo) ? decoded : photo;
}
