// Does only the newest of many wishes: one is under way, one waits, all between are passed over.

/** Calls `work(wish, signal)`, which handles its own errors, for the newest wish. */
export class Latest {
  #work;
  #waiting = null;
  #abort = null;
  #idle = Promise.resolve();

  constructor(work, signal) {
    this.#work = work;
    signal.addEventListener("abort", () => this.drop());
  }

  /** Return a promise of nothing being under way any more. */
  wish(value) {
    this.#waiting = { value };
    if (!this.#abort) this.#idle = this.#run();
    return this.#idle;
  }

  /** Forget what waits, and stop what is under way. */
  drop() {
    this.#waiting = null;
    this.#abort?.abort();
  }

  async #run() {
    try {
      while (this.#waiting) {
        const { value } = this.#waiting;
        this.#waiting = null;
        this.#abort = new AbortController();
        await this.#work(value, this.#abort.signal);
      }
    } finally {
      this.#abort = null;
    }
  }
}
