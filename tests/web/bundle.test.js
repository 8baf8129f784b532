import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { bundle } from "../../cbam_viz/ui/web/build.js";

test("the committed bundle is what the modules make", async () => {
  for (const [path, text] of await bundle()) {
    assert.ok((await readFile(path, "utf8")) === text, `${path} is not fresh: npm run build`);
  }
});
