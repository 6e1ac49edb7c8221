// Writes numbers and times for people.

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Return a moment, in seconds since 1970, in the reader's own time zone. */
export const moment = (seconds) => MOMENT.format(new Date(seconds * 1000));

/** Return a count of bytes in units of 1000. */
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  const step = Math.min(Math.floor(Math.log10(count) / 3), units.length);
  const scaled = count / 1000 ** step;
  return `${scaled.toFixed(scaled < 100 ? 1 : 0)} ${units[step - 1]}`;
}

/** Return a span of time. */
export function span(seconds) {
  const size = Math.abs(seconds);
  if (size < 1) return `${Math.round(seconds * 1000)} ms`;
  if (size < 120) return `${seconds.toFixed(1)} s`;
  if (size < 7200) return `${Math.round(seconds / 60)} min`;
  if (size < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** Return a view, from 0 to 1, with the name that its ends have. */
export function viewName(view) {
  if (view === 0) return "human view";
  if (view === 1) return "machine view";
  return `view ${view.toFixed(2)}`;
}

/** Return bits per pixel. */
export const bitsPerPixel = (value) => `${value.toFixed(3)} bpp`;
