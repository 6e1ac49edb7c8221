// The wall: every camera's newest picture, as it comes.

import { framePath } from "../core/api.js";
import { choice, element } from "../core/dom.js";
import { bytes, moment, span } from "../core/format.js";
import { StoredFrames } from "../core/frames.js";
import { Thumbnail } from "../parts/thumbnail.js";
import { gapsIn } from "../parts/timeline.js";

const SEED = 12; // stored frames that tell a camera's rate before its next frame comes
const MINIMUM_SECONDS = 1; // between two pictures of one camera

/** Fill `root`. */
export function wallPage(root, { live, signal }) {
  const grid = element("ul", { class: "wall" });
  const empty = element("p", { class: "empty" });
  const cards = new Map();
  let view = 0;

  const views = choice("View", [["0", "Human"], ["1", "Machine"]], "0", (chosen) => {
    view = Number(chosen);
    for (const card of cards.values()) card.show(view);
  });
  root.append(element("div", { class: "row head" }, element("h1", {}, "Cameras"), views), empty, grid);

  const list = () => {
    const names = [...live.cameras.keys()].sort();
    for (const [name, card] of cards) {
      if (live.cameras.has(name)) continue;
      card.root.remove();
      cards.delete(name);
    }
    for (const name of names) {
      if (cards.has(name)) continue;
      const card = new Card(live.cameras.get(name), signal);
      cards.set(name, card);
      card.seed().then(() => card.show(view));
    }
    grid.append(...names.map((name) => cards.get(name).root));
    empty.textContent = live.services.get("decoder") === "down" ? "" : "No camera has stored a frame yet.";
    empty.hidden = names.length > 0 || live.services.size === 0;
  };
  const on = (event, act) => live.addEventListener(event, ({ detail }) => act(detail), { signal });
  on("cameras", () => {
    list();
    for (const card of cards.values()) card.show(view);
  });
  on("frame", (state) => cards.get(state.camera.name)?.show(view));
  on("service", ({ recovered }) => {
    list();
    if (recovered) for (const card of cards.values()) card.show(view);
  });
  list();
  const clock = setInterval(() => cards.forEach((card) => card.tell()), 1000);
  signal.addEventListener("abort", () => clearInterval(clock));
}

class Card {
  #state;
  #signal;

  constructor(state, signal) {
    this.#state = state;
    this.#signal = signal;
    const { name } = state.camera;
    this.problem = element("p", { class: "failure", hidden: true });
    this.thumbnail = new Thumbnail({
      label: `Newest frame of ${name}`,
      signal,
      minimumSeconds: MINIMUM_SECONDS,
      onError: (error) => this.#explain(error),
    });
    this.figures = Object.fromEntries(
      ["Rate", "Delay", "Stream", "Bits per pixel", "Gaps", "Taken"].map((term) => [term, element("dd", {}, "–")]),
    );
    this.root = element(
      "li",
      { class: "card", "data-camera": name },
      element(
        "a",
        { href: `#/camera/${encodeURIComponent(name)}` },
        this.thumbnail.canvas,
        element("h2", {}, name),
      ),
      this.problem,
      element("dl", {}, Object.entries(this.figures).map(([term, value]) => element("div", {}, element("dt", {}, term), value))),
    );
  }

  /** Read the last stored frames, so that a rate is known at once. */
  async seed() {
    if (this.#state.frame) return;
    try {
      const frames = await new StoredFrames(this.#state.camera.name, this.#signal).newest(SEED);
      for (const { count } of gapsIn(frames)) this.#state.numMissing += count;
      for (const frame of frames) this.#state.add(frame);
    } catch (error) {
      if (error.name !== "AbortError") this.#explain(error);
    }
  }

  /** Show the newest frame for a view. */
  show(view) {
    this.tell();
    this.thumbnail.show(framePath(this.#state.camera.newest), view);
  }

  /** Write the figures. */
  tell() {
    const { frame, framesPerSecond: rate, delay, numMissing } = this.#state;
    if (!frame) return;
    this.figures.Stream.textContent = bytes(frame.num_bytes);
    this.figures["Bits per pixel"].textContent = frame.bits_per_pixel.toFixed(3);
    this.figures.Rate.textContent = rate === null ? "–" : `${rate.toFixed(rate < 10 ? 1 : 0)} fps`;
    this.figures.Delay.textContent = span(delay);
    this.figures.Gaps.textContent = numMissing ? `${numMissing} missing` : "none";
    this.figures.Gaps.classList.toggle("bad", numMissing > 0n);
    this.figures.Taken.textContent = `${span(Math.max(Date.now() / 1000 - frame.capture_time, 0))} ago`;
    this.figures.Taken.title = moment(frame.capture_time);
  }

  #explain(error) {
    if (error?.name === "AbortError") return;
    this.problem.hidden = !error;
    this.problem.textContent = error?.message ?? "";
  }
}
