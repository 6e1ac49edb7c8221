// Sign-in: trades a token for a session.

import { signIn } from "../core/api.js";
import { element, field } from "../core/dom.js";

/** Fill `root`; `onSession` gets the session, `reason` says why one is needed. */
export function signInPage(root, { reason, onSession }) {
  const token = element("input", { type: "password", name: "token", required: true, autocomplete: "off", spellcheck: "false" });
  const problem = element("p", { class: "failure", role: "alert" }, reason ?? "");
  const send = element("button", { class: "main" }, "Sign in");
  const form = element(
    "form",
    { class: "sign-in panel" },
    element("h1", {}, "Sign in"),
    element("p", { class: "quiet" }, "With the token that your administrator made for you (ugicm token)."),
    field("Token", token),
    problem,
    send,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    problem.textContent = "";
    try {
      onSession(await signIn(token.value.trim()));
    } catch (error) {
      if (error.status === undefined) throw error;
      problem.textContent = error.message;
    } finally {
      send.disabled = false;
      token.value = "";
    }
  });
  root.append(form);
  token.focus();
}
