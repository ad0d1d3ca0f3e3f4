// Numbers and times as people read them; in the language of the browser where that matters.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const brief = (value) => (value < 10_000 ? whole.format(value) : short.format(value));

export function rate(value) {
  if (!value) return "0";
  if (value < 10) return value.toFixed(1);
  return brief(Math.round(value));
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.95) return seconds === 0 ? "0 s" : "< 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return two(seconds, 60, "min", "s");
  if (seconds < 172_800) return two(seconds / 60, 60, "h", "min");
  return two(seconds / 3600, 24, "d", "h");
}

function two(value, size, large, small) {
  const rounded = Math.round(value);
  const rest = rounded % size;
  const first = `${Math.floor(rounded / size)} ${large}`;
  return rest ? `${first} ${rest} ${small}` : first;
}

export const ago = (ms, now) => (ms ? `${duration(Math.max(0, now - ms) / 1000)} ago` : "not yet");
export const time = (ms) => (ms ? moment.format(new Date(ms)) : "–");
export const timeOf = (ms) => (ms ? clock.format(new Date(ms)) : "");
export const stamp = (text) => (text ? time(Date.parse(text)) : "–");
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
