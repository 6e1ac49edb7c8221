// Status: how each service is, what waits in it, what it stores, and what it refuses.

import { readJson } from "../core/api.js";
import { element } from "../core/dom.js";
import { bytes, moment, span } from "../core/format.js";
import { clearNotice, notifyError } from "../core/notices.js";

const PERIOD_MS = 3000;

/** Fill `root`, and keep it fresh while it is shown. */
export async function statusPage(root, { signal }) {
  const asOf = element("p", { class: "quiet" });
  const services = element("div", { class: "services" });
  root.append(element("div", { class: "row head" }, element("h1", {}, "Status"), asOf), services);
  while (!signal.aborted) {
    try {
      const status = await readJson("/api/status", {}, signal);
      asOf.textContent = `as of ${moment(status.now)}`;
      services.replaceChildren(...status.services.map(panel));
      clearNotice("status");
    } catch (error) {
      notifyError("status", error);
    }
    await new Promise((resume) => {
      const timer = setTimeout(resume, PERIOD_MS);
      signal.addEventListener("abort", () => (clearTimeout(timer), resume()), { once: true });
    });
  }
}

function panel({ name, state, problems, models, figures }) {
  const groups = new Map();
  for (const figure of figures) groups.set(figure.group, [...(groups.get(figure.group) ?? []), figure]);
  return element(
    "section",
    { class: "panel", "data-service": name },
    element("h2", {}, name, " ", element("span", { class: `badge ${state.replace(" ", "-")}` }, state)),
    problems.map((line) => element("p", { class: "failure" }, line)),
    [...groups].map(([group, rows]) =>
      element(
        "table",
        {},
        element("caption", {}, group),
        element("tbody", {}, rows.map((row) => element("tr", {}, element("th", { scope: "row" }, row.label), element("td", {}, written(row))))),
      ),
    ),
    models.length
      ? element(
          "table",
          {},
          element("caption", {}, "models"),
          element("tbody", {}, models.map((model) =>
            element(
              "tr",
              {},
              element("th", { scope: "row" }, model.name),
              element("td", { title: `SHA-256 ${model.sha256}` }, element("code", {}, model.latents_id)),
            ),
          )),
        )
      : null,
  );
}

function written({ value, unit }) {
  if (unit === "bytes") return bytes(value);
  if (unit === "seconds") return span(value);
  return Number.isInteger(value) ? value.toLocaleString() : value.toFixed(3);
}
