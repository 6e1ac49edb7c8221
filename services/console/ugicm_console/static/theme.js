// Applies the chosen colours before the first paint; "auto" leaves them to the system.
"use strict";

(() => {
  const stored = () => {
    try {
      return localStorage.getItem("ugicm-theme") ?? "auto";
    } catch {
      return "auto"; // storage is switched off: the choice lasts as long as the page
    }
  };
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  apply(stored());
  addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    select.value = stored();
    select.addEventListener("change", () => {
      apply(select.value);
      try {
        localStorage.setItem("ugicm-theme", select.value);
      } catch {
        // As above.
      }
    });
  });
})();
