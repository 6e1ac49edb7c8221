// Shows one picture, or two of the same size: one over the other with a movable edge, or beside each other.

import { button, element } from "../core/dom.js";

const ZOOMS = [1, 2, 4, 8, 16]; // screen pixels for each of the picture's, besides "fit"
const WIPE_STEP = 0.02;

/** One picture with its findings. */
class Pane {
  constructor(label) {
    this.picture = element("canvas", { class: "picture", role: "img", "aria-label": label, width: 0, height: 0 });
    this.findings = element("canvas", { class: "drawn", "aria-hidden": "true" });
    this.caption = element("figcaption", {});
    this.area = element("div", { class: "area" }, this.picture, this.findings);
    this.root = element("figure", { class: "pane" }, this.area, this.caption);
    this.drawn = null;
  }
}

/** Two panes that zoom and move together. */
export class Stage {
  #mode = "single";
  #zoom = 0; // 0 fits the picture into the pane; else an entry of ZOOMS
  #centre = { x: 0.5, y: 0.5 };
  #wipe = 0.5;
  #onZoom;

  /** `onZoom` is called whenever the number of screen pixels for each of the picture's changes. */
  constructor({ signal, onZoom = () => {} }) {
    this.#onZoom = onZoom;
    this.panes = [new Pane("First picture"), new Pane("Second picture")];
    this.edge = element("div", {
      class: "edge",
      role: "slider",
      tabindex: 0,
      "aria-label": "Edge between the two pictures",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    });
    this.root = element(
      "div",
      { class: "stage", tabindex: 0, role: "group", "aria-label": "Picture. Plus and minus zoom, 0 fits, arrows move." },
      this.panes.map(({ root }) => root),
      this.edge,
    );
    this.percent = element("output", { class: "quiet", "aria-live": "polite" });
    this.controls = element(
      "div",
      { class: "choice", role: "group", "aria-label": "Zoom" },
      button("Fit", () => this.zoomTo(0)),
      button("1:1", () => this.zoomTo(1)),
      button("−", () => this.zoomBy(-1), { "aria-label": "Zoom out" }),
      button("+", () => this.zoomBy(1), { "aria-label": "Zoom in" }),
      this.percent,
    );
    this.#listen();
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(this.root);
    signal.addEventListener("abort", () => observer.disconnect());
    this.setMode("single");
  }

  /** Screen pixels for each of the picture's. */
  get scale() {
    return this.#layout().scale * devicePixelRatio;
  }

  /** Show `single`, `wipe` or `side`. */
  setMode(mode) {
    this.#mode = mode;
    this.root.dataset.mode = mode;
    this.panes[1].root.hidden = mode === "single";
    this.edge.hidden = mode !== "wipe";
    this.#setWipe(this.#wipe);
    this.draw();
  }

  /** Put a bitmap into a pane. */
  show(index, bitmap, label) {
    const { picture } = this.panes[index];
    const resized = picture.width !== bitmap.width || picture.height !== bitmap.height;
    if (resized) Object.assign(picture, { width: bitmap.width, height: bitmap.height });
    picture.getContext("2d").drawImage(bitmap, 0, 0);
    picture.setAttribute("aria-label", label);
    if (resized) this.draw();
  }

  /** Draw findings over a pane; null removes them. */
  setFindings(index, findings) {
    this.panes[index].drawn = findings;
    this.#drawFindings(this.panes[index], this.#layout());
  }

  /** Set the zoom: 0 fits. */
  zoomTo(zoom) {
    this.#zoom = zoom;
    if (!zoom) this.#centre = { x: 0.5, y: 0.5 };
    this.draw();
  }

  /** Go to the next larger or smaller zoom. */
  zoomBy(direction) {
    const scale = this.scale;
    if (direction > 0) this.zoomTo(ZOOMS.find((zoom) => zoom > scale + 0.01) ?? ZOOMS.at(-1));
    else this.zoomTo(ZOOMS.findLast((zoom) => zoom < scale - 0.01) ?? 0);
  }

  /** Draw everything anew. */
  draw() {
    const { width, height } = this.panes[0].picture;
    if (!width) return;
    this.root.style.setProperty("--ratio", `${width} / ${height}`);
    const layout = this.#layout();
    for (const pane of this.panes) {
      pane.picture.style.transform = `translate(${layout.x}px, ${layout.y}px) scale(${layout.scale})`;
      pane.picture.classList.toggle("pixels", layout.scale * devicePixelRatio >= 1);
      this.#drawFindings(pane, layout);
    }
    this.root.dataset.zoomed = String(this.#zoom !== 0);
    this.percent.textContent = `${Math.round(layout.scale * devicePixelRatio * 100)} %`;
    this.#onZoom(layout.scale * devicePixelRatio);
  }

  #layout() {
    const { clientWidth, clientHeight } = this.panes[0].area;
    const { width, height } = this.panes[0].picture;
    if (!width || !clientWidth) return { x: 0, y: 0, scale: 1 };
    const fit = Math.min(clientWidth / width, clientHeight / height);
    const scale = this.#zoom ? this.#zoom / devicePixelRatio : fit;
    // The centre stays where no empty edge shows, as far as the picture is larger than the pane.
    for (const [axis, room, size] of [["x", clientWidth, width], ["y", clientHeight, height]]) {
      const half = Math.min(room / (2 * size * scale), 0.5);
      this.#centre[axis] = Math.min(Math.max(this.#centre[axis], half), 1 - half);
    }
    return {
      x: clientWidth / 2 - this.#centre.x * width * scale,
      y: clientHeight / 2 - this.#centre.y * height * scale,
      scale,
    };
  }

  #drawFindings({ area, findings, drawn }, { x, y, scale }) {
    const ratio = devicePixelRatio;
    findings.width = Math.round(area.clientWidth * ratio);
    findings.height = Math.round(area.clientHeight * ratio);
    if (!drawn) return;
    drawn.draw(findings.getContext("2d"), { x: x * ratio, y: y * ratio, scale: scale * ratio, size: 2 * ratio });
  }

  #setWipe(share) {
    this.#wipe = Math.min(Math.max(share, 0), 1);
    const percent = `${(this.#wipe * 100).toFixed(1)}%`;
    this.edge.style.left = percent;
    this.edge.setAttribute("aria-valuenow", String(Math.round(this.#wipe * 100)));
    this.panes[1].area.style.clipPath = this.#mode === "wipe" ? `inset(0 0 0 ${percent})` : "";
  }

  #move(x, y) {
    const { width, height } = this.panes[0].picture;
    const { scale } = this.#layout();
    this.#centre.x -= x / (width * scale);
    this.#centre.y -= y / (height * scale);
    this.draw();
  }

  #listen() {
    const drag = (target, move) => {
      target.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        event.stopPropagation();
        target.setPointerCapture(event.pointerId);
      });
      target.addEventListener("pointermove", (event) => {
        if (target.hasPointerCapture(event.pointerId)) move(event);
      });
    };
    drag(this.edge, ({ clientX }) => {
      const { left, width } = this.panes[0].area.getBoundingClientRect();
      this.#setWipe((clientX - left) / width);
    });
    drag(this.root, ({ movementX, movementY }) => {
      if (this.#zoom) this.#move(movementX, movementY);
    });
    this.edge.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -WIPE_STEP, ArrowDown: -WIPE_STEP, ArrowRight: WIPE_STEP, ArrowUp: WIPE_STEP }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.#setWipe(this.#wipe + step);
    });
    this.root.addEventListener("dblclick", () => this.zoomTo(this.#zoom ? 0 : 1));
    this.root.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return; // without the key, and without two fingers, the page scrolls
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
    this.root.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
      if (event.key === "+" || event.key === "=") this.zoomBy(1);
      else if (event.key === "-") this.zoomBy(-1);
      else if (event.key === "0") this.zoomTo(0);
      else if (event.key in moves && this.#zoom) this.#move(...moves[event.key]);
      else return;
      event.preventDefault();
      event.stopPropagation(); // arrows step through frames elsewhere
    });
  }
}
