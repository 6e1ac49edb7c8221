// Speaks to the console's HTTP API: one request, one answer or one ApiError.

/** What went wrong, in one line for people. Status 0: the console itself did not answer. */
export class ApiError extends Error {
  constructor(status, code, message, retryAfterSeconds = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

let csrf = "";
let onSessionEnd = () => {};

/** Call `listener` with an ApiError whenever the console no longer knows this session. */
export function whenSessionEnds(listener) {
  onSessionEnd = listener;
}

/** Return the session; without security this call makes one. */
export const fetchSession = async () => keepCsrf(await readJson("/api/session"));

/** Sign in with a token. */
export async function signIn(token) {
  const body = JSON.stringify({ token });
  return keepCsrf(await (await request("/api/session", { method: "POST", body, type: "application/json" })).json());
}

/** End the session. */
export const signOut = () => request("/api/session", { method: "DELETE" });

/** Return the JSON at `path`; an array in `query` repeats its name, null and "" leave theirs out. */
export async function readJson(path, query = {}, signal) {
  return (await request(withQuery(path, query), { signal })).json();
}

/** Send a file as it is, and return the JSON answer. */
export async function sendFile(path, query, file, signal) {
  const type = file.type || "application/octet-stream";
  return (await request(withQuery(path, query), { method: "POST", body: file, type, signal })).json();
}

/** Hand the file at `path` to the reader, under the name that the console gives it. */
export async function download(path) {
  const response = await request(path);
  const named = /filename="?([^";]+)/.exec(response.headers.get("Content-Disposition") ?? "");
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = named?.[1] ?? "download";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser copies it meanwhile
}

/** Return the answer to one request, or raise an ApiError. */
export async function request(path, { method = "GET", body, type, signal } = {}, retried = false) {
  const headers = {};
  if (type) headers["Content-Type"] = type;
  if (method !== "GET" && csrf) headers["X-CSRF-Token"] = csrf;
  let response;
  try {
    response = await fetch(path, { method, body, headers, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The console does not answer. Is it running?");
  }
  if (response.ok) return response;
  const error = await errorOf(response);
  if (error.code === "csrf" && !retried) {
    await fetchSession(); // the console was restarted, and its session is a new one
    return request(path, { method, body, type, signal }, true);
  }
  if (error.code === "session_expired") onSessionEnd(error);
  throw error;
}

/** Return `path` with a query. */
export function withQuery(path, query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) {
      if (each !== null && each !== undefined && each !== "") parameters.append(name, String(each));
    }
  }
  return parameters.size ? `${path}?${parameters}` : path;
}

/** Return the path of a frame. */
export const framePath = ({ camera, epoch, sequence }) =>
  `/api/frames/${[camera, epoch, sequence].map(encodeURIComponent).join("/")}`;

function keepCsrf(session) {
  csrf = session.csrf ?? "";
  return session;
}

async function errorOf(response) {
  try {
    const { error } = await response.json();
    return new ApiError(response.status, error.code, error.message, error.retry_after_seconds);
  } catch {
    return new ApiError(response.status, "internal", `The console answered ${response.status}.`);
  }
}
