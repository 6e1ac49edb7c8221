// Finds stored frames of one camera by time and by neighbourhood.

import { readJson } from "./api.js";
import { isNewer } from "./live.js";

const PAGE = 100;
const SLACK_SECONDS = 0.001; // times travel as floating point: a frame is found again within it

/** The stored frames of `camera`, read in pages as they are needed. */
export class StoredFrames {
  #path;
  #signal;
  #window = []; // consecutive frames, oldest first

  constructor(camera, signal) {
    this.#path = `/api/cameras/${encodeURIComponent(camera)}/frames`;
    this.#signal = signal;
  }

  /** Return the newest `count` frames, oldest first. */
  async newest(count) {
    const frames = await this.#read({ newest_first: true, page_size: count });
    return frames.reverse();
  }

  /** Return the first frame taken at or after `time`, else the newest; null where none is stored. */
  async at(time) {
    const [found] = await this.#read({ start: time, page_size: 1 });
    return found ?? (await this.newest(1))[0] ?? null;
  }

  /** Return the frame behind `frame`, or null at the end. */
  next(frame) {
    const query = { start: frame.capture_time - SLACK_SECONDS, page_size: PAGE };
    return this.#neighbour(frame, 1, async () => (this.#window = await this.#read(query)));
  }

  /** Return the frame before `frame`, or null at the beginning. */
  previous(frame) {
    const query = { end: frame.capture_time + SLACK_SECONDS, newest_first: true, page_size: PAGE };
    return this.#neighbour(frame, -1, async () => (this.#window = (await this.#read(query)).reverse()));
  }

  async #neighbour(frame, direction, read) {
    const index = this.#indexOf(frame);
    const known = index < 0 ? null : this.#window[index + direction];
    if (known) return known;
    await read();
    const found = this.#indexOf(frame);
    if (found >= 0) return this.#window[found + direction] ?? null;
    // Retention removed it meanwhile: what lies nearest in that direction.
    if (direction > 0) return this.#window.find(({ key }) => isNewer(key, frame.key)) ?? null;
    return this.#window.findLast(({ key }) => isNewer(frame.key, key)) ?? null;
  }

  #indexOf({ key: { epoch, sequence } }) {
    return this.#window.findIndex(({ key }) => key.epoch === epoch && key.sequence === sequence);
  }

  async #read(query) {
    return (await readJson(this.#path, query, this.#signal)).frames;
  }
}
