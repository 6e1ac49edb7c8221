// Shows views of one stream, alone or two against each other, with what analyzers find in each.

import { download, readJson, request, withQuery } from "../core/api.js";
import { button, checkbox, choice, element, field } from "../core/dom.js";
import { span, viewName } from "../core/format.js";
import { Latest } from "../core/latest.js";
import { clearNotice, notifyError } from "../core/notices.js";
import { Findings, SHOWN } from "./findings.js";
import { Stage } from "./stage.js";
import { ViewSlider } from "./view_slider.js";

const SETTLE_MS = 300; // a view that stays this long is worth an analysis, and its exact pixels
const RETRY_MS = 2000; // a service that is back may not have reached the one behind it
const EXACT = { format: "png" };
const QUICK = { format: "jpeg", quality: 92 }; // written, sent and read in a third of the time
const NAMES = ["View", "Second view"];

/**
 * `root` has the pictures and the choice of views, `details` the findings and the downloads. A subject is what is looked at: `{path, name, stills}`, where `path` has /picture, /stream and /analysis below it, and
 * `stills` are further pictures of it, `{original: label, jpeg: label}` or none.
 */
export class Comparison {
  #signal;
  #subject = null;
  #mode = "single";
  #exact = false; // whether single pixels can be told apart, so that they must be the decoder's own
  #pictures;
  #analyses;
  #settling = [0, 0];
  #retrying = [0, 0];
  #chosen; // what each pane shows: "view", or the name of a still
  #shown = { ...SHOWN };
  #found = [null, null];
  #analyzers = [];
  #labels = "";
  #onView;

  constructor({ signal, canAnalyze, analyzers = [], stills = {}, views = [0, 1], onView = () => {} }) {
    this.#signal = signal;
    this.#onView = onView;
    this.#chosen = ["view", "view"];
    this.stage = new Stage({ signal, onZoom: (scale) => this.#sharpen(scale) });
    this.sliders = NAMES.map((name, index) => new ViewSlider(name, views[index], () => this.#changed(index)));
    this.#pictures = NAMES.map((_, index) => new Latest((wish, stop) => this.#load(index, wish, stop), signal));
    this.#analyses = NAMES.map((_, index) => new Latest((wish, stop) => this.#analyze(index, wish, stop), signal));
    this.lists = NAMES.map((name) => element("section", { "aria-label": `Findings, ${name.toLowerCase()}` }));
    this.modes = choice(
      "Comparison",
      [["single", "One"], ["wipe", "Wipe"], ["side", "Side by side"]],
      this.#mode,
      (mode) => this.setMode(mode),
    );
    const choosers = this.sliders.map((slider, index) => this.#chooser(slider, index, stills));
    this.root = element(
      "section",
      { class: "comparison", "aria-label": "Picture" },
      element("div", { class: "row" }, this.modes, this.stage.controls),
      this.stage.root,
      choosers,
    );
    this.details = element(
      "section",
      { class: "comparison", "aria-label": "Findings and files" },
      canAnalyze ? element("div", { class: "lists" }, this.lists) : null,
      canAnalyze ? this.#switches(analyzers) : null,
      element("div", { class: "row" }, this.#downloads()),
    );
    this.second = choosers[1];
    if (!canAnalyze) this.#analyzers = null;
    signal.addEventListener("abort", () => [...this.#settling, ...this.#retrying].forEach(clearTimeout));
    this.setMode(this.#mode);
  }

  /** The views of both panes. */
  get views() {
    return this.sliders.map(({ view }) => view);
  }

  /** Show a view in the first pane. */
  setView(view) {
    this.sliders[0].set(view);
    this.#changed(0);
  }

  /** Show another subject; return a promise of its pictures being there. */
  show(subject) {
    if (this.#subject?.path !== subject.path) for (const index of this.#panes()) this.#setFindings(index, null);
    this.#subject = subject;
    return this.refresh();
  }

  /** Ask for all pictures anew. */
  refresh() {
    if (!this.#subject) return Promise.resolve();
    return Promise.all(this.#panes().map((index) => this.#wish(index)));
  }

  /** Show `single`, `wipe` or `side`. */
  setMode(mode) {
    this.#mode = mode;
    this.modes.press(mode);
    this.second.hidden = mode === "single";
    this.lists[1].hidden = mode === "single";
    this.stage.setMode(mode);
    if (mode !== "single" && this.#subject) this.#wish(1);
  }

  #panes() {
    return this.#mode === "single" ? [0] : [0, 1];
  }

  #changed(index) {
    this.#onView(this.views);
    this.#setFindings(index, null);
    if (this.#subject) this.#wish(index, QUICK); // more changes may come
  }

  #wish(index, file = this.#file) {
    this.#settle(index, file);
    return this.#order(index, file);
  }

  get #file() {
    return this.#exact ? EXACT : QUICK;
  }

  #order(index, file) {
    const { path, name } = this.#subject;
    const still = this.#chosen[index];
    const view = this.sliders[index].view;
    const what = still === "view" ? viewName(view) : still;
    const address =
      still === "view"
        ? withQuery(`${path}/picture`, { view, ...file })
        : `${path}/${still}`;
    return this.#pictures[index].wish({ address, label: `${name}, ${what}`, what });
  }

  async #load(index, { address, label, what }, signal) {
    const begun = performance.now();
    try {
      const response = await request(address, { signal });
      const bitmap = await createImageBitmap(await response.blob());
      if (signal.aborted) return;
      this.stage.show(index, bitmap, label);
      bitmap.close();
      const { caption, picture } = this.stage.panes[index];
      picture.dataset.address = address;
      picture.dataset.latents = response.headers.get("Ugicm-Latents") ?? "";
      const times = timesOf(response.headers).map((line) => `${line} · `);
      caption.replaceChildren(
        `${what} · `,
        element("span", { class: "wide-only" }, times.join("")),
        `shown in ${span((performance.now() - begun) / 1000)}`,
      );
      clearNotice("picture");
    } catch (error) {
      notifyError("picture", error);
    }
  }

  #sharpen(scale) {
    const exact = scale >= 1;
    if (exact === this.#exact) return;
    this.#exact = exact;
    if (exact) this.refresh();
  }

  // What is worth its time only where the view stays

  #settle(index, file = this.#file) {
    clearTimeout(this.#settling[index]);
    clearTimeout(this.#retrying[index]);
    const wish = { subject: this.#subject, view: this.#chosen[index] === "view" ? this.sliders[index].view : "original" };
    this.#settling[index] = setTimeout(() => {
      if (file !== this.#file && this.#chosen[index] === "view") this.#order(index, this.#file);
      if (this.#analyzers?.length && this.#chosen[index] !== "jpeg") this.#analyses[index].wish(wish);
    }, SETTLE_MS);
  }

  async #analyze(index, wish, signal) {
    const { subject, view } = wish;
    const label = this.#labels.split(",").map((each) => each.trim()).filter(Boolean);
    const analyzer = this.#analyzers.filter(({ needs_labels: needed }) => !needed || label.length).map(({ name }) => name);
    if (!analyzer.length) return;
    const isWanted = () => {
      const current = this.#chosen[index] === "view" ? this.sliders[index].view : this.#chosen[index];
      return !signal.aborted && this.#panes().includes(index) && subject === this.#subject && view === current;
    };
    try {
      const analysis = await readJson(`${subject.path}/analysis`, { view, analyzer, label }, signal);
      if (!isWanted()) return;
      clearTimeout(this.#retrying[index]);
      this.#setFindings(index, new Findings(analysis, this.#shown));
      clearNotice("analysis");
    } catch (error) {
      notifyError("analysis", error);
      if (error.status === 503 && isWanted()) {
        clearTimeout(this.#retrying[index]);
        const pause = Math.max(RETRY_MS, 1000 * (error.retryAfterSeconds ?? 0));
        this.#retrying[index] = setTimeout(() => this.#analyses[index].wish(wish), pause);
      }
    }
  }

  #setFindings(index, findings) {
    this.#found[index] = findings;
    this.stage.setFindings(index, findings);
    this.#list(index);
  }

  #list(index) {
    const findings = this.#found[index];
    const lines = findings?.failures.map((line) => element("p", { class: "failure" }, line)) ?? [];
    const heading = this.#chosen[index] === "view" ? viewName(this.sliders[index].view) : this.#chosen[index];
    this.lists[index].replaceChildren(
      ...(findings ? [element("h3", {}, `Found in the ${heading}`), findings.list(), ...lines] : []),
    );
  }

  // Controls

  #chooser(slider, index, stills) {
    const names = Object.entries(stills);
    if (!names.length) return slider.root;
    const select = element("select", {}, [["view", "A view of the stream"], ...names].map(([value, label]) => element("option", { value }, label)));
    select.addEventListener("change", () => {
      this.#chosen[index] = select.value;
      slider.root.hidden = select.value !== "view";
      this.#changed(index);
    });
    return element("div", { class: "chooser" }, field(index ? "Right" : "Left", select), slider.root);
  }

  #switches(analyzers) {
    const redraw = () => {
      this.stage.draw();
      this.#panes().forEach((index) => this.#list(index));
    };
    const layer = (name, label) =>
      checkbox(label, this.#shown[name], (checked) => {
        this.#shown[name] = checked;
        redraw();
      });
    const free = analyzers.filter(({ needs_labels: needed }) => !needed);
    this.#analyzers = free;
    const labels = element("input", { type: "text", placeholder: "cat, dog, car", autocomplete: "off" });
    labels.addEventListener("change", () => {
      this.#labels = labels.value;
      this.#panes().forEach((index) => this.#subject && this.#settle(index));
    });
    const labelsField = field("Labels to tell apart", labels);
    labelsField.hidden = true;
    const chosen = new Set(free);
    const boxes = analyzers.map((analyzer) =>
      checkbox(`${analyzer.name} (${analyzer.task})`, chosen.has(analyzer), (checked) => {
        if (checked) chosen.add(analyzer);
        else chosen.delete(analyzer);
        this.#analyzers = [...chosen];
        labelsField.hidden = !this.#analyzers.some(({ needs_labels: needed }) => needed);
        for (const index of this.#panes()) {
          this.#setFindings(index, null);
          if (this.#subject) this.#settle(index);
        }
      }),
    );
    const score = element("input", { type: "range", min: 0, max: 1, step: 0.05, "aria-label": "Least score of detections" });
    score.valueAsNumber = this.#shown.minimumScore;
    const least = element("output", {}, score.valueAsNumber.toFixed(2));
    score.addEventListener("input", () => {
      this.#shown.minimumScore = score.valueAsNumber;
      least.textContent = score.valueAsNumber.toFixed(2);
      redraw();
    });
    return element(
      "fieldset",
      { class: "switches" },
      element("legend", {}, "Drawn over the picture"),
      layer("detections", "Detections"),
      layer("masks", "Masks"),
      layer("classes", "Classes"),
      field("Least score", element("span", { class: "with-output" }, score, least)),
      element("details", {}, element("summary", {}, "Analyzers"), boxes, labelsField),
    );
  }

  #downloads() {
    const save = async (path) => {
      try {
        await download(path());
        clearNotice("download");
      } catch (error) {
        notifyError("download", error);
      }
    };
    const picture = (index) => {
      const still = this.#chosen[index];
      if (still !== "view") return `${this.#subject.path}/${still}`;
      const view = this.sliders[index].view;
      return withQuery(`${this.#subject.path}/picture`, { view, format: "png", download: true });
    };
    return [
      button("Download stream", () => save(() => `${this.#subject.path}/stream`)),
      button("Download picture", () => save(() => picture(0))),
    ];
  }
}

/** Return what the decoder says of its work. */
function timesOf(headers) {
  const times = Object.fromEntries(
    [...(headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms) / 1000]),
  );
  const lines = [];
  if (headers.get("Ugicm-Latents") === "cached") lines.push("latents at hand");
  else if (times.latents !== undefined) lines.push(`latents ${span(times.latents)}`);
  if (times.synthesis === 0) lines.push("pixels at hand");
  else if (times.synthesis !== undefined) lines.push(`synthesis ${span(times.synthesis)}`);
  return lines;
}
