// One camera: its stored frames along a time line, and the views of each.

import { framePath, readJson, withQuery } from "../core/api.js";
import { element } from "../core/dom.js";
import { bitsPerPixel, bytes, moment } from "../core/format.js";
import { StoredFrames } from "../core/frames.js";
import { Latest } from "../core/latest.js";
import { isNewer } from "../core/live.js";
import { clearNotice, notifyError } from "../core/notices.js";
import { Comparison } from "../parts/comparison.js";
import { Timeline } from "../parts/timeline.js";

const MARKED = 1000; // frames that the time line marks
const MARK_MS = 3000; // between two readings of them
const LONGEST_PAUSE_MS = 1000; // while playing over a gap

/** Fill `root`; the route's path is camera, epoch and sequence, or the camera alone to follow it live. */
export async function cameraPage(root, { route, live, session, analyzers, signal }) {
  const [camera, epoch, sequence] = route.parts;
  const stored = new StoredFrames(camera, signal);
  const facts = element("p", { class: "facts quiet" });
  const state = { frame: null, live: !epoch, playing: false };

  const comparison = new Comparison({
    signal,
    canAnalyze: session.can.analyze,
    analyzers: await analyzers(),
    views: [Number(route.query.get("view") ?? 0), 1],
    onView: () => remember(),
  });
  const timeline = new Timeline({ seek: (time) => (stop(), seek.wish(time)), step, play, live: follow }, signal);
  root.append(
    element("div", { class: "row head" }, element("h1", {}, camera), facts),
    comparison.root,
    timeline.root,
    element("p", { class: "quiet keys" }, "Keys: space plays, ← and → step, H human, M machine, L live."),
    comparison.details,
  );

  const seek = new Latest((time) => attempt(async () => showOr(await stored.at(time))), signal);

  const attempt = async (work) => {
    try {
      await work();
      clearNotice("frame");
    } catch (error) {
      notifyError("frame", error);
    }
  };

  const remember = () => {
    const { key } = state.frame ?? {};
    if (!key) return;
    const path = ["camera", key.camera, ...(state.live ? [] : [key.epoch, key.sequence])].map(encodeURIComponent);
    history.replaceState(null, "", `#/${withQuery(path.join("/"), { view: comparison.views[0] || null })}`);
  };

  const show = (frame) => {
    state.frame = frame;
    const { key } = frame;
    facts.textContent = [
      moment(frame.capture_time),
      `frame ${key.sequence} of epoch ${key.epoch}`,
      `${frame.width}×${frame.height}`,
      bytes(frame.num_bytes),
      bitsPerPixel(frame.bits_per_pixel),
      `quality step ${frame.quality_step}`,
      ...(frame.decodable ? [] : ["no loaded model decodes it"]),
    ].join(" · ");
    root.dataset.sequence = key.sequence;
    timeline.setCurrent(frame);
    remember();
    return comparison.show({ path: framePath(key), name: `${camera}, frame ${key.sequence}` });
  };
  const showOr = (frame) => frame && show(frame);
  // What was asked for earlier may come later than what was told meanwhile.
  const showNewer = (frame) => frame && (!state.frame || isNewer(frame.key, state.frame.key)) && show(frame);
  const newest = new Latest(
    () =>
      attempt(async () => {
        const [frame] = await stored.newest(1);
        if (!state.live) return;
        showNewer(frame);
        mark.wish();
      }),
    signal,
  );

  const mark = new Latest(async () => {
    try {
      await markFrames();
    } catch (error) {
      notifyError("time line", error);
    }
    await new Promise((resume) => setTimeout(resume, MARK_MS)); // frames may come many times a second
  }, signal);
  const markFrames = async () => {
    const frames = await stored.newest(MARKED);
    if (!frames.length) return;
    timeline.setFrames(frames);
    const known = live.cameras.get(camera)?.camera;
    timeline.setRange(known?.oldest_time ?? frames[0].capture_time, known?.newest_time ?? frames.at(-1).capture_time);
    if (state.frame) timeline.setCurrent(state.frame);
  };

  function tell() {
    timeline.setState(state);
    remember();
  }
  function stop() {
    state.playing = state.live = false;
    tell();
  }
  function follow() {
    state.playing = false;
    state.live = true;
    tell();
    return newest.wish();
  }
  async function step(direction) {
    stop();
    if (!state.frame) return;
    await attempt(async () => showOr(await (direction > 0 ? stored.next(state.frame) : stored.previous(state.frame))));
  }
  async function play() {
    const begin = !state.playing;
    stop();
    if (!begin || !state.frame) return;
    state.playing = true;
    tell();
    await attempt(async () => {
      while (state.playing && !signal.aborted) {
        const next = await stored.next(state.frame);
        if (!next || !state.playing) break;
        const pause = Math.min(Math.max(next.capture_time - state.frame.capture_time, 0) * 1000, LONGEST_PAUSE_MS);
        await Promise.all([show(next), new Promise((resume) => setTimeout(resume, pause))]);
      }
    });
    if (state.playing) stop();
  }

  live.addEventListener(
    "frame",
    ({ detail }) => {
      if (detail.camera.name !== camera) return;
      timeline.setRange(detail.camera.oldest_time, detail.camera.newest_time);
      mark.wish();
      if (state.live) showNewer(detail.frame);
    },
    { signal },
  );
  // What was stored before it was listened for is in the list of cameras only.
  live.addEventListener("cameras", () => state.live && live.cameras.has(camera) && newest.wish(), { signal });
  live.addEventListener(
    "service",
    ({ detail }) => {
      if (!detail.recovered) return;
      if (state.frame) comparison.refresh();
      else begin();
    },
    { signal },
  );
  const keys = {
    " ": play,
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    h: () => comparison.setView(0),
    m: () => comparison.setView(1),
    l: follow,
  };
  document.addEventListener(
    "keydown",
    (event) => {
      const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      const typing = event.target.closest?.("input, select, textarea, button, a, summary, [role=slider]");
      if (!act || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    },
    { signal },
  );

  async function begin() {
    await attempt(async () => {
      if (epoch) show(await readJson(framePath({ camera, epoch, sequence: sequence ?? "0" }), {}, signal));
      else {
        const [frame] = await stored.newest(1);
        if (frame) showNewer(frame);
        else if (!state.frame) facts.textContent = "This camera has no stored frames.";
      }
    });
    if (state.frame) mark.wish();
  }
  tell();
  await begin();
}
