import assert from "node:assert/strict";
import { test } from "node:test";
import { Block } from "../../cbam_viz/ui/web/inside/block.js";

const base64 = (array) => Buffer.from(array.buffer).toString("base64");
const floats = (values) => base64(Float32Array.from(values));
const ROWS = 2;
const COLUMNS = 3;

/** A block of two channels and one hidden unit, with a 3 x 3 kernel. */
function makeBlock(options = {}) {
  const map = (first) => floats(Array.from({ length: ROWS * COLUMNS }, (_, i) => first + i));
  const maps = ["features", "maximum", "mean", "logits", "gate", "shortcut", "output"];
  return new Block({
    name: "layer4.1",
    stride: 32,
    rows: ROWS,
    columns: COLUMNS,
    channels: 2,
    photo: { url: "", size: [96, 64] },
    view: { resized: [128, 96], offset: [16, 16], size: [96, 64], squeezed: false },
    model: { name: "made-up", untrained: null },
    tables: { signed: "", gate: "" },
    maps: /** @type {any} */ (Object.fromEntries(maps.map((name, i) => [name, map(i)]))),
    examples: [{ channel: 0, map: map(0) }],
    kernel: { side: 3, weights: floats(Array.from({ length: 18 }, (_, i) => i)) },
    norm: [2, -1],
    pooled: { average: floats([1, 2]), maximum: floats([3, 4]) },
    hidden: { average: floats([0.5]), maximum: floats([2]) },
    logits: { average: floats([1, 2]), maximum: floats([3, 4]) },
    gate: floats([0.9, 0.1]),
    weights: { largest: floats([0.5, 0.25]), shares: base64(Int16Array.from([32767, -32767])) },
    bias: null,
    sizes: {},
    reach: 0.5,
    nearlyConstant: 0.05,
    most: 1,
    predictions: [],
    ...options,
  });
}

test("a corner's products: zero outside the map, weight times value inside", () => {
  const { maximum, mean, sums, total, logit, gate } = makeBlock().cell(0, 0);
  assert.deepEqual(
    maximum.map((t) => t.product),
    [0, 0, 0, 0, 4 * 1, 5 * 2, 0, 7 * 4, 8 * 5],
  );
  assert.deepEqual(
    mean.map((t) => t.product),
    [0, 0, 0, 0, 13 * 2, 14 * 3, 0, 16 * 5, 17 * 6],
  );
  assert.deepEqual(maximum.map((t) => t.inside).filter(Boolean).length, 4);
  assert.deepEqual(sums, [82, 250]);
  assert.equal(total, 332);
  assert.equal(logit, 2 * 332 - 1);
  assert.equal(gate, 1 / (1 + Math.exp(-logit)));
});

test("without a norm the logit is the sum", () => {
  const { total, logit } = makeBlock({ norm: null }).cell(1, 2);
  assert.equal(logit, total);
});

test("a hidden unit adds its activation times its weight", () => {
  const [unit] = makeBlock().units("maximum", 1);
  assert.deepEqual(unit, { unit: 0, activation: 2, weight: -0.25, adds: -0.5 });
});

test("a pin is a place on the photo here too, whatever was cut off", () => {
  const block = makeBlock();
  assert.deepEqual(block.brightest, { row: 1, column: 2 });
  const point = block.centreOf(1, 2);
  assert.deepEqual(point, [(2 * 32 + 0.5 + 16) / 128, (32 + 0.5 + 16) / 96]);
  assert.deepEqual(block.cellAt(point), { row: 1, column: 2 });
  assert.equal(block.cellAt([0.05, 0.5]), null);
});
