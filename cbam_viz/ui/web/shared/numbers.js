// The arrays of a payload, as Python packs them, and figures and numbers of them.

/** @returns {Uint8Array} of a base64 string. */
export function decodeBytes(/** @type {string} */ text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** @returns {Float32Array} the gate, in 0..1, of little-endian uint16 in base64. */
export function decodeGate(/** @type {string} */ text) {
  const bytes = new DataView(decodeBytes(text).buffer);
  const gate = new Float32Array(bytes.byteLength / 2);
  for (let i = 0; i < gate.length; i++) gate[i] = bytes.getUint16(2 * i, true) / 65535;
  return gate;
}

/** @returns {Float32Array} of little-endian float32 in base64. */
export function decodeFloats(/** @type {string} */ text) {
  const bytes = new DataView(decodeBytes(text).buffer);
  return Float32Array.from({ length: bytes.byteLength / 4 }, (_, i) =>
    bytes.getFloat32(4 * i, true),
  );
}

/** @typedef {{min: number, mean: number, max: number, deviation: number}} Figures */

/** What a gate's values are like. @returns {Figures} */
export function figuresOf(/** @type {ArrayLike<number> & Iterable<number>} */ gate) {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  for (const v of gate) {
    if (v < min) min = v;
    if (v > max) max = v;
    sum += v;
  }
  const mean = sum / gate.length;
  let squares = 0;
  for (const v of gate) squares += (v - mean) ** 2;
  return { min, mean, max, deviation: Math.sqrt(squares / gate.length) };
}

/** A number with a true minus sign, and none before a rounded 0. */
export function numbered(/** @type {number} */ value, digits = 3) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** A value, or the end of a range that is nearest to it. */
export function clamp(
  /** @type {number} */ value,
  /** @type {number} */ low,
  /** @type {number} */ high,
) {
  return Math.min(Math.max(value, low), high);
}
