// Upload: code a picture of one's own, and compare what came of it.

import { readJson, request, sendFile } from "../core/api.js";
import { button, choice, element, field } from "../core/dom.js";
import { bitsPerPixel, bytes, span } from "../core/format.js";
import { clearNotice, notify, notifyError } from "../core/notices.js";
import { Comparison } from "../parts/comparison.js";
import { Thumbnail } from "../parts/thumbnail.js";

/** Fill `root`. */
export async function uploadPage(root, { session, analyzers, signal }) {
  root.append(element("h1", {}, "Your own picture"));
  if (!session.can.upload) {
    root.append(element("p", { class: "empty" }, "There is no encoder here, or your role may not encode."));
    return;
  }
  const { max_upload_bytes: largest } = session.limits;
  const file = element("input", { type: "file", accept: "image/png,image/jpeg,image/webp", required: true });
  const quality = element("input", { type: "range", min: 0, max: 100, step: 1 });
  const level = element("output", {}, "50");
  quality.addEventListener("input", () => (level.textContent = quality.value));
  const budget = element("input", { type: "number", min: 1, step: 1, value: 20000, disabled: true });
  const qualityField = field("Quality", element("span", { class: "with-output" }, quality, level));
  const budgetField = field("Bytes at most", budget, { hidden: true });
  let target = "quality";
  const targets = choice("Code by", [["quality", "Quality"], ["max_bytes", "Byte budget"]], target, (chosen) => {
    target = chosen;
    qualityField.hidden = target !== "quality";
    budgetField.hidden = target === "quality";
    budget.disabled = target === "quality";
  });
  const send = element("button", { class: "main" }, "Encode");
  const progress = element("progress", { hidden: true, "aria-label": "Encoding" });
  const form = element(
    "form",
    { class: "upload" },
    field(`Picture (PNG, JPEG or WebP, up to ${bytes(largest)})`, file),
    targets,
    qualityField,
    budgetField,
    send,
    progress,
  );
  const earlier = element("ul", { class: "chips", "aria-label": "Earlier uploads" });
  const outcome = element("section", { "aria-label": "Outcome" });
  root.append(form, earlier, outcome);
  const known = analyzers();

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [picture] = file.files;
    if (picture.size > largest) {
      notify("upload", `The file has ${bytes(picture.size)}; the most is ${bytes(largest)}.`);
      return;
    }
    send.disabled = true;
    progress.hidden = false;
    clearNotice("upload");
    try {
      const value = target === "quality" ? quality.value : budget.value;
      await show(await sendFile("/api/uploads", { [target]: value }, picture, signal));
      await list();
    } catch (error) {
      notifyError("upload", error);
    } finally {
      send.disabled = false;
      progress.hidden = true;
    }
  });

  let shown = new AbortController();
  signal.addEventListener("abort", () => shown.abort());

  async function show(upload) {
    const found = await known;
    shown.abort();
    shown = new AbortController();
    const stop = shown.signal;
    const path = `/api/uploads/${upload.id}`;
    const { stream, jpeg } = upload;
    const comparison = new Comparison({
      signal: stop,
      canAnalyze: session.can.analyze,
      analyzers: found,
      stills: { original: "Original", jpeg: "JPEG" },
    });
    const kind = jpeg.fits ? "the best that fits" : "the smallest there is, and still larger";
    const rows = [
      ["Original", bytes(upload.original_bytes), "as it was sent", `${path}/original`],
      ["Human view", bytes(stream.num_bytes), `${bitsPerPixel(stream.bits_per_pixel)}, quality step ${stream.quality_step}`, 0],
      ["Machine view", bytes(stream.num_bytes), "the same stream", 1],
      ["JPEG", bytes(jpeg.num_bytes), `quality ${jpeg.quality}, ${kind}`, `${path}/jpeg`],
    ];
    outcome.replaceChildren(
      element(
        "p",
        { class: "facts quiet" },
        `${upload.width}×${upload.height} · model ${upload.model} · encoded in ${span(upload.seconds.encode)}`,
      ),
      element("ul", { class: "wall four" }, rows.map(([name, size, text, source]) => {
        const thumbnail = new Thumbnail({ label: name, signal: stop, onError: (error) => error && notifyError("picture", error) });
        if (typeof source === "number") thumbnail.show(path, source);
        else thumbnail.showStill(source);
        return element(
          "li",
          { class: "card" },
          thumbnail.canvas,
          element("h2", {}, name),
          element("p", {}, element("b", {}, size), " ", element("span", { class: "quiet" }, text)),
        );
      })),
      comparison.root,
      comparison.details,
    );
    comparison.setMode("wipe");
    comparison.show({ path, name: "Upload" });
  }

  async function list() {
    try {
      const { uploads } = await readJson("/api/uploads", {}, signal);
      earlier.replaceChildren(
        ...uploads.map((upload) =>
          element(
            "li",
            {},
            button(`${upload.width}×${upload.height}, ${bytes(upload.stream.num_bytes)}`, () => show(upload)),
            button("×", () => forget(upload), { "aria-label": "Forget this upload" }),
          ),
        ),
      );
    } catch (error) {
      notifyError("upload", error);
    }
  }

  async function forget({ id }) {
    try {
      await request(`/api/uploads/${id}`, { method: "DELETE", signal });
    } catch (error) {
      notifyError("upload", error);
    }
    await list();
  }

  await list();
}
