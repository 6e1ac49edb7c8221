// Draws what analyzers found over a picture, and lists it for those who cannot see it.

import { element } from "../core/dom.js";

const MASK_OPACITY = 0.38;
const NUM_CLASSES = 3;

/** What of the findings is drawn; `minimumScore` from 0 to 1. */
export const SHOWN = { detections: true, masks: true, classes: true, minimumScore: 0.5 };

/** Return the colour of a label: the same on every picture. */
function colourOf(label) {
  let hash = 0;
  for (const character of label) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  const hue = (hash * 137) % 360;
  return `hsl(${hue} 85% 55%)`;
}

/** Findings of one picture, ready to be drawn at any scale. */
export class Findings {
  #analysis;
  #shown;
  #masks = null;

  constructor(analysis, shown) {
    this.#analysis = analysis;
    this.#shown = shown;
  }

  /** Failures of analyzers, one line each. */
  get failures() {
    return this.#analysis.results.filter(({ failure }) => failure).map(({ analyzer, failure }) => `${analyzer}: ${failure}`);
  }

  /**
   * Draw over a picture whose pixels are `scale` wide and whose corner is at (x, y), in pixels of the context.
   * `size` is the width of a line.
   */
  draw(context, { x, y, scale, size }) {
    if (this.#shown.masks) {
      context.globalAlpha = MASK_OPACITY;
      context.imageSmoothingEnabled = false;
      const { width, height } = this.#analysis;
      this.#masks ??= this.#drawMasks();
      context.drawImage(this.#masks, x, y, width * scale, height * scale);
      context.globalAlpha = 1;
    }
    context.font = `600 ${size * 6}px system-ui, sans-serif`;
    context.textBaseline = "top";
    const tags = new Tags(context, size);
    if (this.#shown.detections) {
      for (const { label, score, box } of this.#detections()) {
        const [left, top, right, bottom] = box.map((edge) => edge * scale);
        context.lineWidth = size;
        context.strokeStyle = colourOf(label);
        context.strokeRect(x + left, y + top, right - left, bottom - top);
        tags.add(`${label} ${score.toFixed(2)}`, colourOf(label), x + left, y + top);
      }
    }
    if (this.#shown.classes) {
      // At the lower edge: boxes have their labels at their upper one.
      const bottom = y + this.#analysis.height * scale - size * 4;
      this.#classifications().forEach(({ label, score }, index) => {
        const line = bottom - (index + 1) * size * 10;
        tags.add(`${label} ${score.toFixed(2)}`, colourOf(label), x + size * 4, line);
      });
    }
  }

  /** Return the findings as a list. */
  list() {
    const items = [
      ...this.#detections().map(({ label, score }) => [label, score.toFixed(2)]),
      ...this.#classifications().map(({ label, score }) => [label, `${score.toFixed(2)} of the picture`]),
      ...this.#segments().map(({ label, mask }) => [label, `${(this.#share(mask) * 100).toFixed(1)} % of the area`]),
    ];
    if (!items.length) return element("p", { class: "quiet" }, "Nothing found.");
    return element(
      "ul",
      { class: "findings" },
      items.map(([label, text]) => {
        const dot = element("span", { class: "dot", "aria-hidden": "true" });
        dot.style.background = colourOf(label);
        return element("li", {}, dot, element("b", {}, label), " ", text);
      }),
    );
  }

  #detections() {
    return this.#all("detections").filter(({ score }) => score >= this.#shown.minimumScore);
  }

  #classifications() {
    return this.#analysis.results.flatMap(({ classifications }) => (classifications ?? []).slice(0, NUM_CLASSES));
  }

  #segments() {
    return this.#all("segments");
  }

  #all(kind) {
    return this.#analysis.results.flatMap((result) => result[kind] ?? []);
  }

  #share({ runs }) {
    const inside = runs.reduce((sum, run, index) => sum + (index % 2 ? run : 0), 0);
    return inside / (this.#analysis.width * this.#analysis.height);
  }

  #drawMasks() {
    const { width, height } = this.#analysis;
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    for (const { label, mask } of [...this.#segments(), ...this.#detections()]) {
      if (!mask) continue;
      context.fillStyle = colourOf(label);
      for (const [first, length] of inside(mask.runs)) fillColumns(context, first, length, height);
    }
    return canvas;
  }
}

/** Yield the runs inside a mask: index of the first pixel, down the columns, and length. */
function* inside(runs) {
  let at = 0;
  for (const [index, run] of runs.entries()) {
    if (index % 2 && run) yield [at, run];
    at += run;
  }
}

function fillColumns(context, first, length, height) {
  for (let at = first, end = first + length; at < end; ) {
    const row = at % height;
    const rows = Math.min(height - row, end - at);
    context.fillRect((at - row) / height, row, 1, rows);
    at += rows;
  }
}

/** Writes words on a ground of their own, where no others stand yet. */
class Tags {
  #context;
  #size;
  #taken = [];

  constructor(context, size) {
    this.#context = context;
    this.#size = size;
  }

  /** Write `text` at (x, y), or below what is there. */
  add(text, colour, x, y) {
    const context = this.#context;
    const size = this.#size;
    const width = context.measureText(text).width + size * 4;
    const height = size * 9;
    const covers = (other) => x < other.x + other.width && other.x < x + width && y < other.y + height && other.y < y + height;
    for (let other; (other = this.#taken.find(covers)); ) y = other.y + height;
    this.#taken.push({ x, y, width });
    context.fillStyle = "rgb(10 12 16 / 0.8)";
    context.fillRect(x, y, width, height);
    context.fillStyle = colour;
    context.fillText(text, x + size * 2, y + size * 1.6);
  }
}
