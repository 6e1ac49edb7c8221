// Puts the page together: session, navigation, and one page at a time.

import { fetchSession, readJson, signOut, whenSessionEnds } from "./core/api.js";
import { button, element } from "./core/dom.js";
import { Live } from "./core/live.js";
import { clearNotice, clearPageNotices, notify, notifyError } from "./core/notices.js";
import { cameraPage } from "./pages/camera.js";
import { searchPage } from "./pages/search.js";
import { signInPage } from "./pages/sign_in.js";
import { statusPage } from "./pages/status.js";
import { uploadPage } from "./pages/upload.js";
import { wallPage } from "./pages/wall.js";

const PAGES = { "": wallPage, camera: cameraPage, search: searchPage, upload: uploadPage, status: statusPage };
const RETRY_MS = 2000;

const main = document.getElementById("main");
const navigation = document.getElementById("navigation");
const who = document.getElementById("who");
const live = new Live();
let session = null;
let leaving = new AbortController();
let lacksAnalyzers = false; // what the page shows was made while analytics was away

/** Return the route of the address: `#/name/part/part?query`. */
function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...parts] = path.split("/").map(decoded);
  return { name, parts, query: new URLSearchParams(query) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // not written by this page: taken as it stands
  }
}

function open() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  clearPageNotices();
  lacksAnalyzers = false;
  main.replaceChildren();
  for (const name of Object.keys(main.dataset)) delete main.dataset[name];
  const here = route();
  showNavigation(here.name);
  const page = PAGES[here.name];
  if (!page) {
    main.append(element("p", { class: "empty" }, `There is no page “${here.name}”.`));
    return;
  }
  const context = { route: here, live, session, analyzers: () => analyzers(signal), signal };
  Promise.resolve(page(main, context)).catch((error) => signal.aborted || notifyError("page", error));
}

async function analyzers(signal) {
  if (!session.can.analyze) return [];
  try {
    return (await readJson("/api/analyzers", {}, signal)).analyzers;
  } catch (error) {
    if (signal.aborted) throw error; // a page that was left is not put together any more
    notifyError("analyzers", error); // pictures can be looked at all the same
    lacksAnalyzers = true;
    return [];
  }
}

function showNavigation(current) {
  const section = current === "camera" ? "" : current; // one camera belongs to the wall
  const pages = [["", "Cameras"], ["search", "Search", session.can.search], ["upload", "Upload", session.can.upload], ["status", "Status"]];
  navigation.replaceChildren(
    ...pages
      .filter(([, , allowed = true]) => allowed)
      .map(([name, label]) => element("a", { href: `#/${name}`, "aria-current": name === section ? "page" : null }, label)),
  );
  document.title = `${pages.find(([name]) => name === current)?.[1] ?? route().parts[0] ?? "Cameras"} · UG-ICM`;
}

function begin(made) {
  session = made;
  clearPageNotices();
  who.replaceChildren(
    ...(session.sign_in === "token"
      ? [element("span", { class: "quiet" }, `${session.name ?? ""} (${session.role})`), " ", button("Sign out", leave)]
      : []),
  );
  live.open();
  open();
}

async function leave() {
  try {
    await signOut();
    askForToken();
  } catch (error) {
    notifyError("page", error);
  }
}

function askForToken(reason) {
  live.close();
  leaving.abort();
  session = null;
  clearPageNotices();
  navigation.replaceChildren();
  who.replaceChildren();
  main.replaceChildren();
  document.title = "Sign in · UG-ICM";
  signInPage(main, { reason, onSession: (made) => (main.replaceChildren(), begin(made)) });
}

/** Find out whether there is a session, however long the console takes to answer. */
async function start(reason) {
  try {
    const found = await fetchSession();
    clearNotice("session");
    if (found.signed_in) begin(found);
    else askForToken(reason);
  } catch (error) {
    if (error.status === undefined) throw error;
    notify("session", error.message);
    setTimeout(start, RETRY_MS, reason);
  }
}

whenSessionEnds((error) => {
  if (session?.sign_in === "token") askForToken(error.message);
  else if (session) restart(error.message);
});
live.addEventListener("service", ({ detail }) => {
  if (detail.name === "analytics" && detail.recovered && lacksAnalyzers) open();
});
live.addEventListener("ended", ({ detail }) => restart(detail.message));
// A console that was restarted has forgotten its sessions: the browser only sees that the events fail.
live.addEventListener("lost", async () => {
  try {
    const found = await fetchSession();
    if (!found.signed_in && session) askForToken("The session ended. Sign in again.");
  } catch (error) {
    if (error.status === undefined) throw error; // else: the notice says already that nobody answers
  }
});

function restart(reason) {
  live.close();
  leaving.abort();
  session = null;
  start(reason);
}

addEventListener("hashchange", () => session && open());
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which page this is
  main.focus();
});
start();
