import assert from "node:assert/strict";
import { test } from "node:test";
import {
  axisOf,
  cellAt,
  cellBox,
  centreOf,
  fieldBox,
} from "../../cbam_viz/ui/web/shared/geometry.js";

/** The whole photo, and a crop of it. */
/** @type {import("../../cbam_viz/ui/web/shared/geometry.js").View[]} */
const VIEWS = [
  { resized: [300, 224], offset: [0, 0], size: [300, 224] },
  { resized: [341, 256], offset: [58, 16], size: [224, 224] },
];
const GRID = { rows: 14, columns: 14, stride: 16 };

for (const view of VIEWS) {
  test(`the point at a cell's centre is in the cell: ${view.resized}`, () => {
    for (let row = 0; row < GRID.rows; row++) {
      for (let column = 0; column < GRID.columns; column++) {
        const point = centreOf(view, GRID, { row, column });
        assert.deepEqual(cellAt(view, GRID, point), { row, column });
      }
    }
  });
}

test("a crop has no cells where the network saw nothing", () => {
  assert.equal(cellAt(VIEWS[1], GRID, [0.1, 0.5]), null);
  assert.equal(cellAt(VIEWS[1], GRID, [0.5, 0.99]), null);
  assert.equal(cellAt(VIEWS[1], GRID, [NaN, 0.5]), null);
});

test("boxes are about input px 16 c, cut at the input's edge", () => {
  assert.deepEqual(cellBox(VIEWS[0], GRID, { row: 6, column: 9 }), [136.5, 88.5, 152.5, 104.5]);
  assert.deepEqual(fieldBox(VIEWS[0], GRID, { row: 0, column: 9 }, 61), [114, 0, 175, 31]);
  assert.deepEqual(cellBox(VIEWS[1], GRID, { row: 0, column: 0 }), [58, 16, 66.5, 24.5]);
});

test("along an axis, px lie between the cells about them", () => {
  const { low, share, nearest, first, end } = axisOf(4, 16, 64, {
    resized: 64,
    offset: 0,
    size: 64,
  });
  assert.deepEqual([first, end], [0, 64]);
  assert.deepEqual([low[0], share[0], nearest[0]], [0, 0, 0]);
  assert.deepEqual([low[24], share[24], nearest[24]], [1, 0.5, 2]);
  assert.deepEqual([low[63], share[63], nearest[63]], [2, 1, 3]);
});
