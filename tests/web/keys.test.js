import assert from "node:assert/strict";
import { test } from "node:test";
import { gridMove, listStep, scaleStep } from "../../cbam_viz/ui/web/shared/keys.js";

test("in a list, up goes back and the ends hold", () => {
  assert.equal(listStep("ArrowUp", 3, 8), 2);
  assert.equal(listStep("ArrowDown", 7, 8), 7);
  assert.equal(listStep("End", 0, 8), 7);
  assert.equal(listStep("Home", 5, 8), 0);
  assert.equal(listStep("a", 5, 8), null);
  assert.equal(listStep("PageUp", 5, 8), null);
});

test("on a scale, up goes on and a page is a tenth", () => {
  assert.equal(scaleStep("ArrowUp", 3, 512), 4);
  assert.equal(scaleStep("PageUp", 3, 512), 55);
  assert.equal(scaleStep("PageDown", 3, 512), 0);
  assert.equal(scaleStep("ArrowRight", -1, 512), 0);
});

test("in a grid, arrows move by rows and columns", () => {
  assert.deepEqual(gridMove("ArrowUp"), [-1, 0]);
  assert.deepEqual(gridMove("ArrowRight"), [0, 1]);
  assert.equal(gridMove("Enter"), null);
});
