// Chooses a view: a number from 0 (human) to 1 (machine).

import { button, element } from "../core/dom.js";
import { viewName } from "../core/format.js";

/** A slider with its two ends marked; `act` is called with each new view. */
export class ViewSlider {
  constructor(label, view, act) {
    this.input = element("input", { type: "range", min: 0, max: 1, step: 0.01, "aria-label": label });
    this.output = element("output", {});
    const take = (chosen) => {
      this.set(chosen);
      act(this.view);
    };
    this.input.addEventListener("input", () => take(this.input.valueAsNumber));
    this.root = element(
      "div",
      { class: "view-slider" },
      element("span", { class: "view-label" }, label, " ", this.output),
      button("Human", () => take(0), { "aria-label": `${label}: human` }),
      this.input,
      button("Machine", () => take(1), { "aria-label": `${label}: machine` }),
    );
    this.set(view);
  }

  /** The view that is chosen. */
  get view() {
    return this.input.valueAsNumber;
  }

  /** Show a view without calling anyone. */
  set(view) {
    this.input.valueAsNumber = view;
    this.input.setAttribute("aria-valuetext", `${this.view.toFixed(2)}, ${viewName(this.view)}`);
    this.output.textContent = this.view.toFixed(2);
  }
}
