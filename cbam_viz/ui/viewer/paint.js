// Maps to pixels. The arithmetic is that of cbam_viz/explain/view.py and
// cbam_viz/render/overlay.py: what is drawn here and what is exported there agree to two grey
// levels. So sums and products of values are rounded to 32-bit floats, as numpy rounds them: half a
// level less would be another colour. Pixels are 32-bit words, red in the lowest byte.

const { fround } = Math;

const OPAQUE = 0xff000000;
const RED_BLUE = 0x00ff00ff;

/** Cells get visible edges from this many px on; smaller ones would be all edge. */
const EDGES_FROM = 12;

/** @returns {Uint8Array} of a base64 string. */
function decodeBytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** @returns {Float32Array} the gate, in 0..1, of little-endian uint16 in base64. */
function decodeGate(text) {
  const bytes = new DataView(decodeBytes(text).buffer);
  const gate = new Float32Array(bytes.byteLength / 2);
  for (let i = 0; i < gate.length; i++) gate[i] = bytes.getUint16(2 * i, true) / 65535;
  return gate;
}

/** What a gate's values are like. @returns {{min, mean, max, deviation}} */
function figuresOf(gate) {
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

/**
 * Where along one axis of a map the pixels of a picture lie, in cells.
 *
 * @param {number} cells of the map along the axis.
 * @param {number} stride of the map, in input px.
 * @param {number} samples px of the picture along the axis.
 * @param {{resized, offset, size}} view the geometry along the axis, in input px.
 * @returns {{low, share, nearest, first, end}} for each px the cell before it, the share of the
 *   cell after that one, and the nearest cell; the model saw the px from first to before end.
 */
function axisOf(cells, stride, samples, { resized, offset, size }) {
  const low = new Int32Array(samples);
  const share = new Float32Array(samples);
  const nearest = new Int32Array(samples);
  let first = samples;
  let end = 0;
  for (let i = 0; i < samples; i++) {
    const x = (i + 0.5) * (resized / samples) - offset;
    if (x < 0 || x > size) continue;
    first = Math.min(first, i);
    end = i + 1;
    // Cell c is centred on input px s*c, that is at s*c + 0.5: the centre of its receptive field.
    const position = Math.min(Math.max((x - 0.5) / stride, 0), cells - 1);
    low[i] = Math.min(Math.floor(position), Math.max(cells - 2, 0));
    share[i] = position - low[i];
    nearest[i] = Math.floor(position + 0.5);
  }
  return { low, share, nearest, first, end };
}

/** A map on the scale from low to high; one that is constant on its own scale becomes 0.5. */
function scaled(gate, low, high) {
  const span = fround(high - low);
  return gate.map((v) => (span > 0 ? fround(v - low) / span : 0.5));
}

/** Draws maps over one photo, at one size. Keeps its buffers from one drawing to the next. */
class Painter {
  /**
   * @param {ImageData} photo at the size to draw at.
   * @param {object} view geometry, as in the payload.
   */
  constructor(photo, view) {
    this.width = photo.width;
    this.height = photo.height;
    this.view = view;
    this.photo = new Uint32Array(photo.data.buffer);
    this.image = new ImageData(photo.width, photo.height);
    this.out = new Uint32Array(this.image.data.buffer);
    this.axes = new Map();
    this.buffers = new Map();
  }

  /**
   * Draw a map into `image`.
   *
   * @param {object} block whose spatial gate to draw.
   * @param {object} look mode; table (uint8 256x3); opacity; low and high, the values that the
   *   ends of the scale stand for; keep.
   * @returns {?{level, held, area}} for contour: the least value inside the outline, on the
   *   look's scale, the share of attention it holds and the share of the area it takes.
   */
  paint(block, look) {
    const cells = scaled(block.spatial, look.low, look.high);
    const x = this.axis(block.columns, block.stride, 0);
    const y = this.axis(block.rows, block.stride, 1);
    let outlined = null;
    if (look.mode === "contour") outlined = this.drawContour(cells, x, y, block.columns, look);
    else if (look.mode === "cells") this.drawCells(cells, x, y, block, look);
    else this.drawSmooth(cells, x, y, block.columns, look);
    this.drawUnseen(x, y);
    return outlined;
  }

  axis(cells, stride, axis) {
    const key = `${axis} ${cells} ${stride}`;
    if (!this.axes.has(key)) {
      const { resized, offset, size } = this.view;
      const along = { resized: resized[axis], offset: offset[axis], size: size[axis] };
      this.axes.set(key, axisOf(cells, stride, axis ? this.height : this.width, along));
    }
    return this.axes.get(key);
  }

  /** A buffer of one entry a px, made once. */
  buffer(name, type) {
    if (!this.buffers.has(name)) this.buffers.set(name, new type(this.width * this.height));
    return this.buffers.get(name);
  }

  /** Heat and multiply. Each level 0..255 acts on a px as p * keep + add. */
  drawSmooth(cells, x, y, columns, look) {
    const { keep, redBlue, green } =
      look.mode === "heat" ? blendTables(look.table, look.opacity) : multiplyTables();
    const { photo, out, width } = this;
    const { low, share } = x;
    const row = new Float32Array(columns);
    const step = new Float32Array(columns);
    for (let j = y.first; j < y.end; j++) {
      interpolateRow(cells, y.low[j], y.share[j], columns, row, step);
      for (let i = x.first, at = j * width + i; i < x.end; i++, at++) {
        const c = low[i];
        const level = levelOf(fround(row[c] + fround(step[c] * share[i])));
        out[at] = mixed(photo[at], keep[level], redBlue[level], green[level]);
      }
    }
  }

  drawCells(cells, x, y, block, look) {
    const { photo, out, width } = this;
    const plain = blendTables(look.table, look.opacity);
    const edge = blendTables(edgeTable(look.table), look.opacity);
    const [wide, tall] = this.view.resized;
    const cell = block.stride * Math.min(width / wide, this.height / tall);
    const thick = cell < EDGES_FROM ? 0 : Math.max(1, Math.round(cell / 64));
    const onEdgeX = edgeLines(x, width, thick);
    const onEdgeY = edgeLines(y, this.height, thick);
    for (let j = y.first; j < y.end; j++) {
      const start = y.nearest[j] * block.columns;
      for (let i = x.first, at = j * width + i; i < x.end; i++, at++) {
        const level = levelOf(cells[start + x.nearest[i]]);
        const { keep, redBlue, green } = onEdgeX[i] | onEdgeY[j] ? edge : plain;
        out[at] = mixed(photo[at], keep[level], redBlue[level], green[level]);
      }
    }
  }

  drawContour(cells, x, y, columns, look) {
    const values = this.interpolated(cells, x, y, columns);
    const { level, held, area } = smallestArea(values, x, y, this.width, look.keep, cells);
    const inside = this.buffer("inside", Uint8Array).fill(0);
    for (let j = y.first; j < y.end; j++) {
      for (let i = x.first, at = j * this.width + i; i < x.end; i++, at++) {
        inside[at] = values[at] >= level ? 255 : 0;
      }
    }
    const radius = Math.max(1.6, Math.min(this.width, this.height) / 170);
    const blurred = this.blurred(inside, radius);
    this.drawOutline(inside, blurred, look.opacity);
    return { level, held, area };
  }

  /** The map's value at each px that the model saw. */
  interpolated(cells, x, y, columns) {
    const values = this.buffer("values", Float32Array);
    const { low, share } = x;
    const row = new Float32Array(columns);
    const step = new Float32Array(columns);
    for (let j = y.first; j < y.end; j++) {
      interpolateRow(cells, y.low[j], y.share[j], columns, row, step);
      for (let i = x.first, at = j * this.width + i; i < x.end; i++, at++) {
        values[at] = row[low[i]] + fround(step[low[i]] * share[i]);
      }
    }
    return values;
  }

  /** Pillow's BoxBlur, with its fixed-point weights and its rounding after either direction. */
  blurred(source, radius) {
    const { width, height } = this;
    const across = this.buffer("across", Uint8Array);
    const down = this.buffer("down", Uint8Array);
    const reach = Math.floor(radius);
    const weight = Math.floor(2 ** 24 / (2 * radius + 1));
    const farWeight = Math.floor((2 ** 24 - (2 * reach + 1) * weight) / 2);
    const half = 2 ** 23;

    const padded = new Uint8Array(width + 2 * reach + 2);
    for (let j = 0; j < height; j++) {
      const line = source.subarray(j * width, (j + 1) * width);
      padded.fill(line[0], 0, reach + 1);
      padded.set(line, reach + 1);
      padded.fill(line[width - 1], reach + 1 + width);
      let sum = 0;
      for (let i = 0; i < 2 * reach + 1; i++) sum += padded[i];
      for (let i = 0, at = j * width; i < width; i++, at++) {
        const next = padded[i + 2 * reach + 1];
        sum += next - padded[i];
        const far = padded[i] + padded[i + 2 * reach + 2];
        across[at] = (Math.imul(sum, weight) + Math.imul(far, farWeight) + half) >>> 24;
      }
    }

    const line = (j) => Math.min(Math.max(j, 0), height - 1) * width;
    const sums = new Int32Array(width);
    for (let j = -reach - 1; j < reach; j++) {
      for (let i = 0, at = line(j); i < width; i++, at++) sums[i] += across[at];
    }
    for (let j = 0; j < height; j++) {
      const before = line(j - reach - 1);
      const last = line(j + reach);
      const after = line(j + reach + 1);
      for (let i = 0, at = j * width; i < width; i++, at++) {
        const sum = (sums[i] += across[last + i] - across[before + i]);
        const far = across[before + i] + across[after + i];
        down[at] = (Math.imul(sum, weight) + Math.imul(far, farWeight) + half) >>> 24;
      }
    }
    return down;
  }

  /** The photo, dimmed outside; a white line in a dark rim where the blurred area is near 0.5. */
  drawOutline(inside, blurred, opacity) {
    const { photo, out } = this;
    const dim = Math.round(256 * (1 - opacity));
    const { keep, redBlue, green } = outlineTables();
    for (let at = 0; at < out.length; at++) {
      const p = inside[at] ? photo[at] : mixed(photo[at], dim, 0, 0);
      const b = blurred[at];
      out[at] = b === 0 || b === 255 ? p : mixed(p, keep[b], redBlue[b], green[b]);
    }
  }

  /** Grey for what lies outside the evaluation crop. */
  drawUnseen(x, y) {
    const { width, height } = this;
    if (x.first === 0 && y.first === 0 && x.end === width && y.end === height) return;
    for (let j = 0, at = 0; j < height; j++) {
      const row = j >= y.first && j < y.end;
      for (let i = 0; i < width; i++, at++) {
        if (row && i >= x.first && i < x.end) continue;
        const p = this.photo[at];
        const [r, g, b] = [p & 0xff, (p >>> 8) & 0xff, (p >>> 16) & 0xff];
        const luma = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >>> 16;
        this.out[at] = OPAQUE | Math.imul((luma * 0.4 + 235 * 0.6) | 0, 0x010101);
      }
    }
  }
}

/** A px times keep, plus a colour that is given as red with blue and as green; all times 256. */
function mixed(p, keep, redBlue, green) {
  return (
    OPAQUE |
    (((Math.imul(p & RED_BLUE, keep) + redBlue) >>> 8) & RED_BLUE) |
    ((Math.imul((p >>> 8) & 0xff, keep) + green) & 0xff00)
  );
}

/** Which of 256 levels a value from 0 to 1 is. */
function levelOf(value) {
  return fround(fround(value * 255) + 0.5) | 0;
}

/** One row of a map between two rows of cells, and the differences of neighbours in it. */
function interpolateRow(cells, low, share, columns, row, step) {
  const above = low * columns;
  const below = Math.min(above + columns, cells.length - columns);
  for (let c = 0; c < columns; c++) {
    const a = cells[above + c];
    row[c] = a + fround(fround(cells[below + c] - a) * share);
  }
  for (let c = 0; c < columns - 1; c++) step[c] = row[c + 1] - row[c];
}

/** For each level: what is left of a px, and what of the level's colour is added (see mixed). */
function blendTables(table, opacity) {
  const alpha = Math.round(256 * opacity);
  const redBlue = new Int32Array(256);
  const green = new Int32Array(256);
  for (let v = 0; v < 256; v++) {
    redBlue[v] = Math.imul(table[3 * v] | (table[3 * v + 2] << 16), alpha);
    green[v] = table[3 * v + 1] * alpha;
  }
  return { keep: new Int32Array(256).fill(256 - alpha), redBlue, green };
}

function multiplyTables() {
  // Half a level is added: Pillow rounds the product.
  const keep = Int32Array.from({ length: 256 }, (_, v) => Math.round((v * 256) / 255));
  const redBlue = new Int32Array(256).fill(0x00800080);
  return { keep, redBlue, green: new Int32Array(256).fill(0x80) };
}

/** The shade of each colour that edges between cells are drawn in. */
function edgeTable(table) {
  const shades = new Uint8Array(table.length);
  for (let v = 0; v < 256; v++) {
    const [r, g, b] = table.subarray(3 * v, 3 * v + 3);
    const light = 0.299 * r + 0.587 * g + 0.114 * b > 128;
    [r, g, b].forEach((c, i) => {
      shades[3 * v + i] = light ? c * 0.72 : c + (255 - c) * 0.28;
    });
  }
  return shades;
}

/** Which px along an axis lie on an edge between cells: uint8, 0 or 1. */
function edgeLines({ nearest, first, end }, length, thick) {
  const lines = new Uint8Array(length);
  for (let i = first + 1; i < end; i++) {
    if (nearest[i] === nearest[i - 1]) continue;
    for (let t = 0; t < thick; t++) {
      lines[Math.min(Math.max(i - Math.floor(thick / 2) + t, 0), length - 1)] = 1;
    }
  }
  return lines;
}

/** How a px near the outline is drawn, by the blurred area's value there. */
function outlineTables() {
  const keep = new Int32Array(256);
  const redBlue = new Int32Array(256);
  const green = new Int32Array(256);
  for (let b = 0; b < 256; b++) {
    const away = Math.abs(b / 255 - 0.5);
    const cover = (reach) => Math.min(Math.max((reach - away) / 0.12, 0), 1);
    const dark = 0.6 * cover(0.5);
    const white = Math.round(256 * cover(0.34));
    keep[b] = Math.round((1 - dark) * (256 - white));
    redBlue[b] = Math.imul(RED_BLUE, white);
    green[b] = 255 * white;
  }
  return { keep, redBlue, green };
}

/**
 * The least value inside the smallest area that holds a share of all attention.
 *
 * A histogram finds the bin in which that value lies; only that bin is sorted.
 */
function smallestArea(values, x, y, width, share, cells) {
  const BINS = 8192;
  const { min, max } = figuresOf(cells);
  if (min === max) return { level: min, held: 1, area: 1 };
  const factor = (BINS - 1) / (max - min);
  const counts = new Int32Array(BINS);
  const sums = new Float64Array(BINS);
  for (let j = y.first; j < y.end; j++) {
    for (let at = j * width + x.first, end = j * width + x.end; at < end; at++) {
      const bin = ((values[at] - min) * factor) | 0;
      counts[bin]++;
      sums[bin] += values[at];
    }
  }
  const total = sums.reduce((a, b) => a + b, 0);
  let held = 0;
  let taken = 0;
  let bin = BINS - 1;
  while (bin > 0 && held + sums[bin] < share * total) {
    held += sums[bin];
    taken += counts[bin--];
  }
  const inBin = new Float32Array(counts[bin]);
  let n = 0;
  for (let j = y.first; j < y.end && n < inBin.length; j++) {
    for (let at = j * width + x.first, end = j * width + x.end; at < end; at++) {
      if ((((values[at] - min) * factor) | 0) === bin) inBin[n++] = values[at];
    }
  }
  inBin.sort();
  let level = inBin[inBin.length - 1];
  // Equal values are in or out together.
  for (let i = inBin.length - 1; i >= 0; i--) {
    if (held >= share * total && inBin[i] < level) break;
    level = inBin[i];
    held += level;
    taken++;
  }
  const area = taken / ((x.end - x.first) * (y.end - y.first));
  return { level, held: held / total, area };
}

/** A map as pixels, one a cell; `high` and `low` are the ends of the colour table. */
function paintCells(canvas, values, columns, { table, low, high }) {
  canvas.width = columns;
  canvas.height = values.length / columns;
  const image = new ImageData(canvas.width, canvas.height);
  values.forEach((value, i) => image.data.set(colourOf(value, { table, low, high }), 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function colourOf(value, { table, low, high }) {
  const share = high > low ? (value - low) / (high - low) : 0.5;
  const level = Math.min(Math.max(Math.floor(share * 255 + 0.5), 0), 255);
  return [table[3 * level], table[3 * level + 1], table[3 * level + 2], 255];
}
