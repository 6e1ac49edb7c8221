// Follows what the services report, and keeps the newest of each camera.

import { clearNotice, notify } from "./notices.js";

const HISTORY = 12; // frames that the rate is taken over

/** Newest frame, rate, delay and gaps of one camera. */
export class CameraState {
  constructor(camera) {
    this.camera = camera;
    this.frame = null;
    this.numMissing = 0n;
    this.history = [];
  }

  /** Take a newer frame in; an older one changes nothing. */
  add(frame) {
    if (this.frame && !isNewer(frame.key, this.frame.key)) return;
    if (this.frame && this.frame.key.epoch !== frame.key.epoch) this.history = [];
    this.frame = frame;
    this.camera = { ...this.camera, newest: frame.key, newest_time: Math.max(this.camera.newest_time, frame.capture_time) };
    this.history.push({ sequence: BigInt(frame.key.sequence), time: frame.capture_time });
    if (this.history.length > HISTORY) this.history.shift();
  }

  /** Frames per second by capture time; null where too few are known. */
  get framesPerSecond() {
    const [first, last] = [this.history.at(0), this.history.at(-1)];
    if (!first || last.time <= first.time) return null;
    return Number(last.sequence - first.sequence) / (last.time - first.time);
  }

  /** From taken to stored, in seconds; null before the first frame. */
  get delay() {
    return this.frame ? this.frame.store_time - this.frame.capture_time : null;
  }
}

/** Emits `cameras`, `frame` (detail: CameraState), `service` (detail: name and state) and `ended` (detail: its line). */
export class Live extends EventTarget {
  #source = null;
  cameras = new Map();
  services = new Map();

  /** Begin to follow; the browser reconnects by itself. */
  open() {
    this.#source = new EventSource("/api/events");
    this.#source.onopen = () => clearNotice("service console");
    this.#source.onerror = () => {
      notify("service console", "The console does not answer; what you see may be old. Trying again.");
      this.#emit("lost");
    };
    this.#listen("cameras", ({ cameras }) => {
      const known = this.cameras;
      this.cameras = new Map(
        cameras.map((camera) => {
          const state = known.get(camera.name) ?? new CameraState(camera);
          state.camera = camera;
          return [camera.name, state];
        }),
      );
      this.#emit("cameras");
    });
    this.#listen("frame", (frame) => {
      let state = this.cameras.get(frame.key.camera);
      if (!state) {
        state = new CameraState({
          name: frame.key.camera,
          newest: frame.key,
          oldest_time: frame.capture_time,
          newest_time: frame.capture_time,
        });
        this.cameras.set(frame.key.camera, state);
        this.#emit("cameras");
      }
      state.add(frame);
      this.#emit("frame", state);
    });
    this.#listen("gap", (gap) => {
      const state = this.cameras.get(gap.camera);
      if (!state) return;
      state.numMissing += BigInt(gap.last_sequence) - BigInt(gap.first_sequence) + 1n;
      this.#emit("frame", state);
    });
    this.#listen("service", ({ name, state, message }) => {
      const before = this.services.get(name);
      this.services.set(name, state);
      if (state === "down") notify(`service ${name}`, message || `The ${name} cannot be reached.`);
      else clearNotice(`service ${name}`);
      this.#emit("service", { name, state, recovered: before === "down" && state === "up" });
    });
    this.#listen("ended", (end) => {
      this.close();
      this.#emit("ended", end);
    });
  }

  /** Stop following. */
  close() {
    this.#source?.close();
    this.#source = null;
    this.cameras = new Map();
    for (const name of ["console", ...this.services.keys()]) clearNotice(`service ${name}`);
    this.services = new Map();
  }

  #listen(event, take) {
    this.#source.addEventListener(event, ({ data }) => take(JSON.parse(data)));
  }

  #emit(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}

/** Say whether a key is newer than another of the same camera. */
export function isNewer(key, than) {
  if (key.epoch !== than.epoch) return BigInt(key.epoch) > BigInt(than.epoch);
  return BigInt(key.sequence) > BigInt(than.sequence);
}
