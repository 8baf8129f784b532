import assert from "node:assert/strict";
import { test } from "node:test";
import { clamped, corners, thinned } from "../../cbam_viz/ui/web/experiments/drawing.js";

test("a box has the same corners from whichever it is drawn", () => {
  const box = [
    [0.1, 0.2],
    [0.7, 0.2],
    [0.7, 0.9],
    [0.1, 0.9],
  ];
  assert.deepEqual(corners([0.1, 0.2], [0.7, 0.9]), box);
  assert.deepEqual(corners([0.7, 0.2], [0.1, 0.9]), box);
  assert.deepEqual(corners([0.7, 0.9], [0.1, 0.2]), box);
});

test("what is drawn beyond the photo ends at its edge", () => {
  assert.deepEqual(clamped([-0.2, 1.7]), [0, 1]);
  assert.deepEqual(clamped([0.3, 0.4]), [0.3, 0.4]);
});

test("a long line keeps its ends' shape with fewer points", () => {
  /** @type {[number, number][]} */
  const line = Array.from({ length: 2500 }, (_, i) => [i / 2500, 0]);
  const fewer = thinned(line);
  assert.equal(fewer.length, 625);
  assert.deepEqual(fewer[1], line[4]);
  assert.equal(thinned(line.slice(0, 1000)).length, 1000);
});
