// Says what is wrong, once for each cause, until it is over.

const root = document.getElementById("notices");
const shown = new Map();

/** Show one line for `cause`, in place of the line that it had. */
export function notify(cause, message, kind = "error") {
  const known = shown.get(cause);
  if (known?.message === message) return;
  clearNotice(cause);
  if (isService(cause)) {
    // What a request said of it already would be said twice.
    for (const [other, { message: said }] of [...shown]) if (!isService(other) && said === message) clearNotice(other);
  }
  const line = document.createElement("div");
  line.className = `notice ${kind}`;
  line.dataset.cause = cause;
  line.setAttribute("role", kind === "error" ? "alert" : "status");
  const text = document.createElement("span");
  text.textContent = message;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Dismiss";
  close.addEventListener("click", () => clearNotice(cause));
  line.append(text, close);
  root.append(line);
  shown.set(cause, { line, message });
}

/** Show an error, unless it is of a request that nobody wants any more or of a session that ended. */
export function notifyError(cause, error) {
  if (error.name === "AbortError" || error.code === "session_expired") return;
  if (error.status === undefined) throw error; // a mistake in the page, for the browser's console
  const isSaid = [...shown].some(([other, { message }]) => other !== cause && message === error.message);
  if (isSaid) clearNotice(cause); // one dead service fails many requests
  else notify(cause, error.message);
}

/** Remove the line of `cause`, where it has one. */
export function clearNotice(cause) {
  shown.get(cause)?.line.remove();
  shown.delete(cause);
}

/** Remove the lines of all causes but the services. */
export function clearPageNotices() {
  for (const cause of [...shown.keys()]) {
    if (!isService(cause)) clearNotice(cause);
  }
}

const isService = (cause) => cause.startsWith("service ");
