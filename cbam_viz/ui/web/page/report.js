// A survey's report, opened by the browser alone: the file goes to no server, and in its frame its
// script reaches nothing of the page.

/** More than any report has, in bytes. */
const MOST = 200e6;
/** What every report says of itself, as `report.html` of the survey has it. */
const MARK = '<meta name="generator" content="CBAM Viz survey" />';

/** Make the tab of `pieces.REPORT` open the file that is chosen. */
export function openReports(/** @type {HTMLElement} */ element) {
  const input = /** @type {HTMLInputElement} */ (element.querySelector("input"));
  const fault = /** @type {HTMLElement} */ (element.querySelector("[role=alert]"));
  const frame = /** @type {HTMLIFrameElement} */ (element.querySelector("iframe"));
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    if (!file) return;
    const text = file.size > MOST ? "" : await file.text();
    const sound = text.slice(0, 2000).includes(MARK);
    fault.hidden = sound;
    frame.hidden = !sound;
    frame.srcdoc = sound ? text : "";
    frame.title = file.name;
  });
}
