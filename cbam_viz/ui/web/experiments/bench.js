// What every experiment works with: the photo in view, words, and the way to the server.

import { awaiting } from "../shared/waiting.js";
import { Subject } from "../viewer/subject.js";

/** @import { Translate } from "../shared/words.js" */
/** @typedef {Record<string, any> & {id: string, fault?: string}} Answer */

/** Milliseconds after which an answer is given up. */
const PATIENCE = 180_000;

let asked = 0;

export class Bench {
  /**
   * @param {{props: Record<string, any>, trigger: (event: string, data?: object) => void,
   *   watch: (name: string, changed: () => void) => void}} gradio
   * @param {Translate} t
   * @param {() => string} lang
   */
  constructor({ props, trigger, watch }, t, lang) {
    this.props = props;
    this.trigger = trigger;
    this.watch = watch;
    this.t = t;
    this.lang = lang;
    /** @type {Map<string, (answer: Answer) => void>} */
    this.waiting = new Map();
    /** @type {Set<string>} */
    this.watched = new Set();
    /** What says which photo and model is asked about. */
    this.key = "";
    /** @type {?Subject} */
    this.subject = null;
    /** Whether there is a second photo. */
    this.second = false;
    /** How many passes through the network each measurement takes. */
    this.costs = /** @type {any} */ ({});
  }

  /**
   * Ask the server for one answer.
   *
   * @param {string} need
   * @param {object} data
   * @returns {Promise<Answer>} with `fault` if there is none.
   */
  ask(need, data = {}) {
    return new Promise((resolve) => this.send("select", need, data, resolve));
  }

  /**
   * Ask for an answer that grows.
   *
   * @param {string} need
   * @param {object} data
   * @param {(answer: Answer) => void} onStep
   */
  steps(need, data, onStep) {
    this.send("steps", need, data, onStep, true);
  }

  /** Have the server end what grows. */
  stop() {
    this.trigger("stop");
  }

  send(event, need, data, hear, grows = false) {
    const id = `${need}-${++asked}`;
    if (!this.watched.has(need)) {
      this.watched.add(need);
      this.watch(need, () => {
        const answer = this.props[need];
        this.waiting.get(answer?.id)?.(answer);
      });
    }
    const none = { id, fault: this.t("noAnswer") };
    const there = awaiting(PATIENCE, () => this.waiting.get(id)?.(none));
    this.waiting.set(id, (answer) => {
      there();
      if (!grows || answer.fault) this.waiting.delete(id);
      hear(answer);
    });
    this.trigger(event, { id, need, key: this.key, ...data });
  }

  /** Look at what is on screen. @returns {Promise<boolean>} whether it is another photo or model. */
  async look() {
    const answer = await this.ask("subject");
    if (answer.fault) throw new Error(answer.fault);
    const { key, payload, second, costs } = answer;
    const other = key !== this.key || second !== this.second;
    this.second = second;
    this.costs = costs;
    if (key !== this.key) this.subject = await Subject.open(payload);
    this.key = key;
    return other;
  }

  /** What is said of an answer that is none. */
  faultOf(/** @type {Answer} */ { kind, like, ...facts }) {
    const names = like?.join(this.lang() === "zh" ? "、" : ", ");
    return this.t(kind ? `fault_${kind}` : "fault", { ...facts, like: names });
  }

  /** A class's name in the page's language. */
  name(/** @type {{label: string, labelZh: string}} */ { label, labelZh }) {
    return this.lang() === "zh" ? labelZh : label;
  }
}

/**
 * Runs one at a time; of what is asked for meanwhile the last is run next. So whoever drags a slider
 * waits for one answer, not for all of those before.
 *
 * @template T
 * @param {(given: T) => Promise<void>} work
 */
export function oneAtATime(work) {
  let busy = false;
  /** @type {?[T]} */
  let next = null;
  return async function run(/** @type {T} */ given) {
    next = [given];
    if (busy) return;
    busy = true;
    try {
      while (next) {
        const [now] = next;
        next = null;
        await work(now);
      }
    } finally {
      busy = false;
    }
  };
}
