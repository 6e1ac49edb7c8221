// Moves through the stored frames of one camera: scrub, step, play, or follow what is live.

import { button, element, field } from "../core/dom.js";
import { moment, span } from "../core/format.js";

const SPANS = [["", "Everything"], ["86400", "Last day"], ["3600", "Last hour"], ["600", "Last 10 minutes"]];
const STEPS = 1000;

/** `acts` has seek(time), step(direction), play() and live(). */
export class Timeline {
  #oldest = 0;
  #newest = 0;
  #frames = [];
  #time = 0;

  constructor(acts, signal) {
    this.strip = element("canvas", { class: "strip", role: "img", "aria-label": "Stored frames and gaps over time" });
    this.range = element("input", { type: "range", "aria-label": "Time of the frame", on: { input: () => acts.seek(this.range.valueAsNumber) } });
    this.playing = button("Play", acts.play, { "aria-pressed": "false" });
    this.live = button("Live", acts.live, { class: "live", "aria-pressed": "false" });
    const spans = element("select", { on: { change: () => this.#layOut() } }, SPANS.map(([value, label]) => element("option", { value }, label)));
    this.spans = spans;
    this.ends = [element("span"), element("span")];
    this.gaps = element("span", { class: "quiet" });
    this.root = element(
      "section",
      { class: "timeline", "aria-label": "Time line" },
      element(
        "div",
        { class: "row" },
        element(
          "div",
          { class: "choice", role: "group", "aria-label": "Frames" },
          button("‹ Previous", () => acts.step(-1)),
          this.playing,
          button("Next ›", () => acts.step(1)),
          this.live,
        ),
        field("Shown", spans),
        this.gaps,
      ),
      this.strip,
      this.range,
      element("div", { class: "ends quiet" }, this.ends),
    );
    const observer = new ResizeObserver(() => this.#draw());
    observer.observe(this.strip);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** Set the times of the oldest and the newest stored frame. */
  setRange(oldest, newest) {
    if (oldest === this.#oldest && newest === this.#newest) return;
    [this.#oldest, this.#newest] = [oldest, newest];
    this.#layOut();
  }

  /** Set the frames that are marked, oldest first. */
  setFrames(frames) {
    this.#frames = frames;
    const holes = gapsIn(frames);
    const missing = holes.reduce((sum, { count }) => sum + count, 0n);
    this.gaps.textContent = missing ? `${missing} missing in ${holes.length} ${holes.length === 1 ? "gap" : "gaps"}` : "";
    this.#draw();
  }

  /** Mark the frame that is shown. */
  setCurrent(frame) {
    this.#time = frame.capture_time;
    this.range.valueAsNumber = frame.capture_time;
    this.range.setAttribute("aria-valuetext", moment(frame.capture_time));
  }

  /** Show whether it plays, and whether it follows. */
  setState({ playing, live }) {
    this.playing.textContent = playing ? "Pause" : "Play";
    this.playing.setAttribute("aria-pressed", String(playing));
    this.live.setAttribute("aria-pressed", String(live));
  }

  #bounds() {
    const length = Number(this.spans.value);
    return [length ? Math.max(this.#oldest, this.#newest - length) : this.#oldest, this.#newest];
  }

  #layOut() {
    const [first, last] = this.#bounds();
    Object.assign(this.range, { min: first, max: last, step: Math.max(last - first, 0.001) / STEPS });
    this.range.valueAsNumber = this.#time;
    this.ends[0].textContent = moment(first);
    this.ends[1].textContent = `${moment(last)} (${span(last - first)})`;
    this.#draw();
  }

  #draw() {
    const [first, last] = this.#bounds();
    const { clientWidth, clientHeight } = this.strip;
    const ratio = devicePixelRatio;
    Object.assign(this.strip, { width: clientWidth * ratio, height: clientHeight * ratio });
    const context = this.strip.getContext("2d");
    const style = getComputedStyle(this.strip);
    const at = (time) => ((time - first) / Math.max(last - first, 0.001)) * (this.strip.width - 2 * ratio);
    context.fillStyle = style.getPropertyValue("--gap");
    for (const { start, end } of gapsIn(this.#frames)) {
      context.fillRect(at(start), 0, Math.max(at(end) - at(start), 3 * ratio), this.strip.height);
    }
    context.fillStyle = style.getPropertyValue("--accent");
    for (const { capture_time: time } of this.#frames) {
      context.fillRect(at(time), this.strip.height * 0.25, 2 * ratio, this.strip.height * 0.5);
    }
  }
}

/** Return the holes in the sequences of `frames`, oldest first: between which times, and how many are missing. */
export function gapsIn(frames) {
  const gaps = [];
  for (const [index, { key, capture_time: end }] of frames.entries()) {
    const before = frames[index - 1];
    if (!before || before.key.epoch !== key.epoch) continue;
    const count = BigInt(key.sequence) - BigInt(before.key.sequence) - 1n;
    if (count > 0n) gaps.push({ start: before.capture_time, end, count });
  }
  return gaps;
}
