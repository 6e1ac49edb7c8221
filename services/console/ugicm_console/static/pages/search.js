// Search: what analyzers found in stored frames, and the way to each of them.

import { framePath, readJson, withQuery } from "../core/api.js";
import { button, element, field } from "../core/dom.js";
import { moment, viewName } from "../core/format.js";
import { clearNotice, notifyError } from "../core/notices.js";
import { Findings, SHOWN } from "../parts/findings.js";
import { Thumbnail } from "../parts/thumbnail.js";

const PAGE = 24;

/** Fill `root`; the route's query is the search. */
export async function searchPage(root, { route, live, session, analyzers, signal }) {
  root.append(element("h1", {}, "Search"));
  if (!session.can.search) {
    root.append(element("p", { class: "empty" }, "There is no analytics service here, or your role may not ask it."));
    return;
  }
  const labels = element("datalist", { id: "labels" });
  const cameras = element("datalist", { id: "cameras" });
  const input = (name, attributes) => element("input", { name, autocomplete: "off", value: route.query.get(name), ...attributes });
  const view = element(
    "select",
    { name: "view" },
    [["", "Any"], ["0", "Human"], ["1", "Machine"]].map(([value, label]) => element("option", { value }, label)),
  );
  view.value = route.query.get("view") ?? "";
  const form = element(
    "form",
    { class: "search", role: "search" },
    field("Label", input("label", { list: "labels" })),
    field("Camera", input("camera", { list: "cameras" })),
    field("From", input("start", { type: "datetime-local", step: 1 })),
    field("Until", input("end", { type: "datetime-local", step: 1 })),
    field("Least score", input("minimum_score", { type: "number", min: 0, max: 1, step: 0.05 })),
    field("View", view),
    element("button", { class: "main" }, "Search"),
  );
  const told = element("p", { class: "quiet", role: "status" });
  const results = element("ul", { class: "wall results" });
  const more = button("More", () => load(), { hidden: true });
  root.append(form, labels, cameras, told, results, more);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const query = Object.fromEntries(new FormData(form));
    history.replaceState(null, "", `#/${withQuery("search", query)}`);
    begin();
  });

  const name = () => {
    cameras.replaceChildren(...[...live.cameras.keys()].sort().map((value) => element("option", { value })));
  };
  live.addEventListener("cameras", name, { signal });
  name();

  let pageToken = "";
  let query = {};
  let asked = new AbortController();
  signal.addEventListener("abort", () => asked.abort());

  function begin() {
    asked.abort();
    asked = new AbortController();
    const values = Object.fromEntries(new FormData(form));
    const time = (text) => (text ? new Date(text).getTime() / 1000 : null);
    query = { ...values, start: time(values.start), end: time(values.end), newest_first: true, page_size: PAGE };
    pageToken = "";
    results.replaceChildren();
    return load();
  }

  async function load() {
    const { signal: stop } = asked;
    told.textContent = "Searching…";
    more.hidden = true;
    try {
      const page = await readJson("/api/results", { ...query, page_token: pageToken }, stop);
      pageToken = page.next_page_token;
      results.append(...page.results.map((analysis) => card(analysis, asked.signal)));
      more.hidden = !pageToken;
      const count = results.childElementCount;
      told.textContent = count ? `${count} ${count === 1 ? "picture" : "pictures"}${pageToken ? " so far" : ""}` : "Nothing was found.";
      clearNotice("search");
    } catch (error) {
      if (error.name !== "AbortError") told.textContent = "";
      notifyError("search", error);
    }
  }

  live.addEventListener("service", ({ detail }) => detail.recovered && begin(), { signal });
  begin();
  labels.replaceChildren(
    ...[...new Set((await analyzers()).flatMap((each) => each.labels))].map((value) => element("option", { value })),
  );
}

function card(analysis, signal) {
  const { key, view } = analysis;
  const findings = new Findings(analysis, { ...SHOWN, minimumScore: 0 });
  const problem = element("p", { class: "failure", hidden: true });
  const thumbnail = new Thumbnail({
    label: `${key.camera}, frame ${key.sequence}`,
    signal,
    onError: (error) => {
      if (error?.name === "AbortError") return;
      problem.hidden = !error;
      problem.textContent = error?.message ?? "";
    },
  });
  thumbnail.show(framePath(key), view ?? 0, findings);
  const path = ["camera", key.camera, key.epoch, key.sequence].map(encodeURIComponent).join("/");
  return element(
    "li",
    { class: "card" },
    element(
      "a",
      { href: `#/${withQuery(path, { view: view || null })}` },
      thumbnail.canvas,
      element("h2", {}, key.camera),
    ),
    problem,
    element("p", { class: "quiet" }, `${moment(analysis.capture_time)} · frame ${key.sequence} · ${viewName(view ?? 0)}`),
    findings.list(),
  );
}
