import assert from "node:assert/strict";
import { test } from "node:test";
import {
  hashOfState,
  isAnotherView,
  LINKED,
  stateOfHash,
} from "../../cbam_viz/ui/web/viewer/link.js";
import { settled, START } from "../../cbam_viz/ui/web/viewer/state.js";

const LOOK = { mode: "heat", colours: "magma", opacity: 0.55, scale: "absolute", keep: 0.5 };
const CHOICES = {
  blocks: ["layer1.0", "layer3.1", "layer4.0", "layer4.1"],
  openAt: "layer4.0",
  modes: ["heat", "multiply", "contour", "cells"],
  colours: ["magma", "viridis"],
  look: LOOK,
  second: false,
  others: () => CHOICES.blocks,
  telling: (block) => (block === "layer3.1" ? "layer4.1" : "layer3.1"),
  channels: () => 64,
};

/** @returns {any} */
const settle = (asked, before = {}, choices = CHOICES) =>
  settled({ ...START, ...asked }, before, choices);

test("nothing asked for: the block to open at, and the defaults", () => {
  assert.deepEqual(settle({ lang: "en" }), {
    ...START,
    ...LOOK,
    lang: "en",
    block: "layer4.0",
    other: "layer3.1",
  });
});

test("compare opens against a block that is worth it, unless one was asked for", () => {
  const before = settle({ block: "layer3.1", other: "layer3.1" });
  const opened = settled({ ...before, compare: "block" }, before, CHOICES);
  assert.equal(opened.other, "layer4.1");
  // What is chosen then stays, and what a link names.
  const chosen = settled({ ...opened, other: "layer1.0" }, opened, CHOICES);
  assert.equal(settled({ ...chosen, block: "layer4.1" }, chosen, CHOICES).other, "layer1.0");
  assert.equal(
    settled({ ...before, compare: "block", other: "layer1.0" }, before, CHOICES).other,
    "layer1.0",
  );
});

test("what there is no such thing as stays as it was", () => {
  const before = settle({ block: "layer3.1", mode: "cells", opacity: 0.2 });
  const asked = {
    ...before,
    block: "layer9.9",
    mode: "__proto__",
    opacity: NaN,
    keep: 7,
    wipe: -1,
  };
  assert.deepEqual(settled(asked, before, CHOICES), { ...before, keep: 0.95, wipe: 0 });
});

test("a pin is a place on the photo, a channel one of the block's", () => {
  assert.equal(settle({ pin: [0.5, 1.5] }).pin, null);
  assert.equal(settle({ pin: [NaN, 0.5] }).pin, null);
  const before = settle({ pin: [0.25, 0.5] });
  assert.equal(settled({ ...before, pin: [0.25, 0.5] }, before, CHOICES).pin, before.pin);
  assert.equal(settle({ channel: 64 }).channel, null);
  assert.equal(settle({ channel: 63 }).channel, 63);
});

test("two photos show the same block, and without a second one there are none to compare", () => {
  assert.equal(settle({ compare: "photo" }).compare, "off");
  const two = settle(
    { compare: "photo", block: "layer3.1", other: "layer1.0" },
    {},
    { ...CHOICES, second: true },
  );
  assert.deepEqual([two.compare, two.other], ["photo", "layer3.1"]);
});

test("a state comes back from the link that it wrote", () => {
  const state = settle({
    lang: "zh",
    block: "layer3.1",
    mode: "contour",
    opacity: 0.3,
    pin: [0.25, 0.5],
    channel: 7,
    compare: "block",
    other: "layer4.1",
  });
  const hash = hashOfState("#photo=cat&tab=inside", state, { ...LOOK, lang: "en" }, LINKED);
  assert.match(hash, /photo=cat&tab=inside/);
  assert.deepEqual(settle(stateOfHash(hash, LINKED)), state);
});

test("a link holds what differs from the defaults, and loses what no longer does", () => {
  const state = settle({ lang: "en", block: "layer4.0" });
  const hash = hashOfState(
    "#mode=cells&other=layer1.0&theirs=1",
    state,
    { ...LOOK, lang: "en" },
    LINKED,
  );
  assert.equal(hash, "#theirs=1&block=layer4.0");
});

test("another block, mode, photo or tab is another view; a pin or an opacity is the same one", () => {
  const before = "#photo=cat&block=layer4.1";
  for (const hash of [
    "#photo=dog&block=layer4.1",
    "#photo=cat&block=layer4.0",
    "#photo=cat&block=layer4.1&mode=cells",
    "#photo=cat&block=layer4.1&tab=inside",
  ]) {
    assert.ok(isAnotherView(before, hash), hash);
  }
  assert.ok(!isAnotherView(before, `${before}&pin=0.5,0.5&opacity=0.3`));
  assert.ok(!isAnotherView("", before), "the first one");
});
