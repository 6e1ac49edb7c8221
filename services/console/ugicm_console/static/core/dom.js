// Builds elements. Everything that comes from a service becomes a text node or an attribute, never markup.

/**
 * Return an element. An attribute that is false, null or undefined is left out; `on` maps events to listeners.
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else {
      made.setAttribute(name, value === true ? "" : String(value));
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Return a button that calls `act`. */
export function button(label, act, attributes = {}) {
  return element("button", { type: "button", ...attributes, on: { click: act } }, label);
}

/** Return a labelled control. */
export function field(label, control, attributes = {}) {
  return element("label", { class: "field", ...attributes }, element("span", {}, label), control);
}

/** Return a check box with its label, which calls `act` with its new state. */
export function checkbox(label, checked, act) {
  const box = element("input", { type: "checkbox", checked, on: { change: () => act(box.checked) } });
  return element("label", { class: "check" }, box, label);
}

/** Return buttons of which one is pressed: `[value, label]` pairs; `press(value)` presses one without calling `act`. */
export function choice(name, options, value, act) {
  const buttons = options.map(([option, label]) =>
    button(label, () => {
      group.press(option);
      act(option);
    }, { "data-value": option }),
  );
  const group = element("div", { class: "choice", role: "group", "aria-label": name }, buttons);
  group.press = (chosen) => {
    for (const each of buttons) each.setAttribute("aria-pressed", String(each.dataset.value === chosen));
  };
  group.press(value);
  return group;
}
