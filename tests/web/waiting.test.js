import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { awaiting } from "../../cbam_viz/ui/web/shared/waiting.js";

/** Wait for a minute, of a server that answers each look so; how many seconds went by, or none. */
async function waited(answers, { answeredAfter = Infinity } = {}) {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  mock.method(AbortSignal, "timeout", () => undefined);
  const looks = [];
  mock.method(globalThis, "fetch", async (url) => {
    looks.push(url);
    const answer = answers[Math.min(looks.length, answers.length) - 1];
    if (typeof answer !== "number") throw answer;
    return { status: answer };
  });
  let late = null;
  let second = 0;
  const there = awaiting(60_000, () => {
    assert.equal(late, null);
    late = second;
  });
  for (second = 1; second <= 90; second += 1) {
    if (second === answeredAfter) there();
    mock.timers.tick(1000);
    await new Promise((done) => setImmediate(done));
  }
  mock.timers.reset();
  mock.restoreAll();
  return { late, looks: looks.length };
}

const GONE = new TypeError("Failed to fetch");
const SLOW = new DOMException("signal timed out", "TimeoutError");

test("a server that goes on working is waited for to the end", async () => {
  assert.deepEqual(await waited([200]), { late: 60, looks: 11 });
  assert.equal((await waited([503])).late, 60); // it says that it has no room: it is there
  assert.equal((await waited([SLOW])).late, 60);
});

test("one that is gone is given up after two looks", async () => {
  assert.deepEqual(await waited([GONE]), { late: 10, looks: 2 });
  assert.equal((await waited([502])).late, 10); // says the proxy before it
  assert.equal((await waited([200, GONE, 200, GONE, GONE])).late, 25);
});

test("an answer ends the waiting and the looks", async () => {
  assert.deepEqual(await waited([200], { answeredAfter: 8 }), { late: null, looks: 1 });
  assert.deepEqual(await waited([GONE], { answeredAfter: 9 }), { late: null, looks: 1 });
});
