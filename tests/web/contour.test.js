import assert from "node:assert/strict";
import { test } from "node:test";
import { smallestArea } from "../../cbam_viz/ui/web/shared/contour.js";
import { figuresOf, numbered } from "../../cbam_viz/ui/web/shared/numbers.js";

/** @returns {any} */
const whole = (length) => ({ first: 0, end: length });

test("the smallest area that holds half of it: the greatest values, ties together", () => {
  const values = Float32Array.from([0.1, 0.4, 0.1, 0.4]);
  const found = smallestArea(values, whole(2), whole(2), 2, 0.5, values);
  assert.equal(found.area, 0.5);
  assert.ok(Math.abs(found.held - 0.8) < 1e-6);
  assert.equal(found.level, Math.fround(0.4));
});

test("of a map that is the same everywhere, all of it", () => {
  const values = new Float32Array(4).fill(0.5);
  assert.deepEqual(smallestArea(values, whole(2), whole(2), 2, 0.5, values), {
    level: 0.5,
    held: 1,
    area: 1,
  });
});

test("figures, and numbers with a true minus sign", () => {
  assert.deepEqual(figuresOf([1, 3]), { min: 1, mean: 2, max: 3, deviation: 1 });
  assert.equal(numbered(-0.0004), "0.000");
  assert.equal(numbered(-1.5, 1), "−1.5");
});
