// The visitor's camera: one frame is asked about at a time, and drawn with its map when it is back.

import { h, setText } from "../shared/dom.js";
import { numbered } from "../shared/numbers.js";
import { Painter } from "../shared/paint.js";
import { contextOf } from "../shared/pixels.js";
import { Choosing } from "./choosing.js";
import { cellsOf, LOOK, percent } from "./parts.js";

/** @import { Bench, Answer } from "./bench.js" */

/** Px of a frame's longer side. */
const SIDE = 320;
/** Milliseconds over which the rate is taken. */
const WINDOW = 3000;

/** What is wrong with the camera: the key of its words. */
function faultOf(/** @type {unknown} */ error) {
  const { name } = /** @type {DOMException} */ (error);
  const known = ["NotAllowedError", "NotFoundError", "NotReadableError", "SecurityError"];
  return `camera${known.includes(name) ? name : "Error"}`;
}

export class Camera {
  constructor(/** @type {Bench} */ bench) {
    this.bench = bench;
    const { t } = bench;
    this.choosing = new Choosing(bench, ["block"]);
    this.button = h("button", { type: "button", class: "cv-button cv-primary" });
    this.button.addEventListener("click", () => (this.stream ? this.leave() : this.start()));
    this.said = h("p", { class: "ce-said", role: "status" });
    this.canvas = h("canvas", { role: "img", hidden: true });
    this.predictions = h("ol", { class: "ce-likely" });
    this.rate = h("p", { class: "cv-small" });
    this.video = h("video", { playsinline: true });
    this.video.muted = true;
    this.element = h("section", { class: "ce-camera" },
      h("p", { class: "ce-lead" }, t("cameraLead")),
      this.choosing.element,
      h("div", { class: "ce-run" }, this.button),
      this.said,
      h("div", { class: "ce-half" }, h("figure", { class: "ce-picture" }, this.canvas), this.predictions),
      this.rate); // prettier-ignore
    this.offer();
  }

  offer() {
    setText(this.button, this.bench.t(this.stream ? "cameraStop" : "cameraStart"));
  }

  async start() {
    this.button.disabled = true;
    try {
      if (!navigator.mediaDevices) throw new DOMException("no secure page", "SecurityError");
      const stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "environment" },
      });
      this.video.srcObject = stream;
      await this.video.play();
      this.stream = stream;
      setText(this.said, "");
      if (!this.element.isConnected) this.leave(); // gone while the browser asked
    } catch (error) {
      setText(this.said, this.bench.t(faultOf(error)));
    } // prettier-ignore
    this.button.disabled = false;
    this.offer();
    this.look();
  }

  /** One frame after the other, for as long as the camera is on. */
  async look() {
    const { bench, video } = this;
    const { videoWidth, videoHeight } = video;
    const shrink = Math.min(1, SIDE / Math.max(videoWidth, videoHeight));
    const [width, height] = [videoWidth, videoHeight].map((side) => Math.round(side * shrink));
    const c = contextOf(document.createElement("canvas"), { width, height });
    const made = () => video.getVideoPlaybackQuality().totalVideoFrames;
    const before = made();
    let looked = 0;
    /** @type {number[]} */
    const times = [];
    while (this.stream) {
      c.drawImage(video, 0, 0, width, height);
      const photo = c.getImageData(0, 0, width, height);
      const frame = c.canvas.toDataURL("image/jpeg", 0.85);
      const answer = await bench.ask("frame", { frame, block: this.choosing.block });
      if (!this.stream) return;
      if (answer.fault) {
        this.leave();
        setText(this.said, bench.faultOf(answer));
        return;
      }
      this.show(answer, photo);
      times.push(performance.now());
      while (times[0] < times[times.length - 1] - WINDOW) times.shift();
      looked++;
      if (times.length < 2) continue;
      const rate = (1000 * (times.length - 1)) / (times[times.length - 1] - times[0]);
      const all = Math.max(looked, made() - before);
      const seconds = Math.round(1000 * answer.seconds);
      const figures = { rate: numbered(rate, 1), dropped: all - looked, made: all, seconds };
      setText(this.rate, bench.t("cameraRate", figures));
      this.element.dataset.rate = rate.toFixed(2);
      this.element.dataset.answered = answer.id;
    }
  }

  show(/** @type {Answer} */ { view, map, predictions }, /** @type {ImageData} */ photo) {
    const { bench } = this;
    const painter = new Painter(photo, view);
    painter.paint(cellsOf(map), { ...LOOK, table: bench.subject.tables.magma, high: 1 / map.greatest }); // prettier-ignore
    contextOf(this.canvas, painter).putImageData(painter.image, 0, 0);
    this.canvas.hidden = false;
    const words = predictions.map((one) => `${bench.name(one)} ${percent(one.probability)}`);
    this.canvas.setAttribute("aria-label", `${this.choosing.block}: ${words[0]}`);
    this.predictions.replaceChildren(...words.map((text) => h("li", {}, text)));
  }

  leave() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
    this.offer();
  }
}
