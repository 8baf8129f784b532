// How long an answer of the server is waited for.

/** Milliseconds between two looks at whether the server is still there. */
const EVERY = 5_000;
/** So many in a row without it, and it is gone. */
const MISSES = 2;
/** What is answered in its place by a proxy that does not reach it. */
const UNREACHED = [502, 504];

/** Whether the server can be reached; one that is only slow to say so can. */
async function isReached() {
  try {
    const { status } = await fetch("health", { signal: AbortSignal.timeout(EVERY) });
    return !UNREACHED.includes(status);
  } catch (error) {
    return error instanceof DOMException; // its time was up
  }
}

/**
 * Wait for an answer.
 *
 * @param {number} patience in ms.
 * @param {() => void} onLate called once if it is not to be expected any more: its time is up, or the
 *   server is gone.
 * @returns {() => void} to be called when it is there: ends the waiting.
 */
export function awaiting(patience, onLate) {
  let misses = 0;
  let over = false;
  const end = () => {
    over = true;
    clearTimeout(late);
    clearInterval(looks);
  };
  const giveUp = () => {
    if (over) return;
    end();
    onLate();
  };
  const late = setTimeout(giveUp, patience);
  const looks = setInterval(async () => {
    misses = (await isReached()) ? 0 : misses + 1;
    if (misses === MISSES) giveUp();
  }, EVERY);
  return end;
}
