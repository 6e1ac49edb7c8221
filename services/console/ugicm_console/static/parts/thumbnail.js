// Shows a small picture of a frame while it can be seen, a few at a time.

import { request, withQuery } from "../core/api.js";
import { element } from "../core/dom.js";
import { Latest } from "../core/latest.js";

const AT_ONCE = 2; // decoding is the decoder's dearest work, and others look at cameras too

/** Lets a few run at once; the others wait in their order. */
class Gate {
  #free = AT_ONCE;
  #waiting = [];

  async through(work) {
    if (this.#free) this.#free -= 1;
    else await new Promise((enter) => this.#waiting.push(enter));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}

const gate = new Gate();

/** A picture that is loaded once it is on the screen; `onError` gets what failed, or null when it is well again. */
export class Thumbnail {
  #wanted = null;
  #visible = false;
  #findings = null;

  constructor({ label, signal, minimumSeconds = 0, onError = () => {} }) {
    this.canvas = element("canvas", { class: "thumbnail", role: "img", "aria-label": label, width: 3, height: 2 });
    const loader = new Latest(async (address, stop) => {
      const begun = performance.now();
      try {
        const bitmap = await gate.through(async () => {
          if (stop.aborted) return null;
          return createImageBitmap(await (await request(address, { signal: stop })).blob());
        });
        if (bitmap) this.#draw(bitmap, address);
        onError(null);
      } catch (error) {
        onError(error);
      }
      const rest = minimumSeconds * 1000 - (performance.now() - begun);
      if (rest > 0 && !stop.aborted) await new Promise((resume) => setTimeout(resume, rest));
    }, signal);
    this.#load = () => {
      if (this.#wanted && this.#visible && !document.hidden) loader.wish(this.#wanted);
    };
    const observer = new IntersectionObserver(([entry]) => {
      this.#visible = entry.isIntersecting;
      this.#load();
    });
    observer.observe(this.canvas);
    signal.addEventListener("abort", () => observer.disconnect());
    document.addEventListener("visibilitychange", this.#load, { signal });
  }

  #load;

  /** Show the picture of a frame for a view, and findings over it. */
  show(path, view, findings = null) {
    this.#findings = findings;
    this.#wanted = withQuery(`${path}/picture`, { view, format: "jpeg", quality: 80 });
    this.#load();
  }

  /** Show a picture that is a file of its own. */
  showStill(address) {
    this.#wanted = address;
    this.#load();
  }

  #draw(bitmap, address) {
    Object.assign(this.canvas, { width: bitmap.width, height: bitmap.height });
    const context = this.canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    this.#findings?.draw(context, { x: 0, y: 0, scale: 1, size: Math.max(2, bitmap.width / 160) });
    this.canvas.dataset.address = address;
    bitmap.close();
  }
}
