// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const NOTHING = "–";
const nothing = (value) => value === null || value === undefined;

/** 1,234; 56.7K; 8.9M. */
export function count(value) {
  if (nothing(value)) return NOTHING;
  return Math.abs(value) < 100_000 ? whole.format(value) : compact.format(value);
}

/** As `count`, with a digit behind the point when there is little before it. */
export function rate(value) {
  if (nothing(value)) return NOTHING;
  if (value > 0 && value < 10) return value < 0.1 ? value.toFixed(2) : value.toFixed(1);
  return count(value);
}

/** Milliseconds, in the unit that fits: 340 µs, 1.25 ms, 12.3 s, 4 min. */
export function time(ms) {
  if (nothing(ms)) return NOTHING;
  if (ms === 0) return "0 ms";
  if (ms < 0.1) return `${digits(ms * 1000)} µs`;
  if (ms < 1000) return `${digits(ms)} ms`;
  if (ms < 120_000) return `${digits(ms / 1000)} s`;
  if (ms < 7_200_000) return `${digits(ms / 60_000)} min`;
  return `${digits(ms / 3_600_000)} h`;
}

function digits(value) {
  if (value >= 100 || Number.isInteger(value)) return whole.format(value);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** 0.1234 is 12 %. */
export function percent(part) {
  if (nothing(part)) return NOTHING;
  const value = part * 100;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  return `${value === 0 || value >= 10 ? value.toFixed(0) : value.toFixed(1)} %`;
}

/** Seconds ago. */
export function ago(seconds) {
  if (nothing(seconds)) return NOTHING;
  if (seconds < 5) return "now";
  return `${span(seconds)} ago`;
}

/** Seconds, in the unit that fits. */
export function span(seconds) {
  if (nothing(seconds)) return NOTHING;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const short = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Seconds since 1970 as 14:05:09, or without the seconds. */
export const at = (seconds) => clock.format(new Date(seconds * 1000));
export const minute = (seconds) => short.format(new Date(seconds * 1000));

/** 3.5 MB. */
export function bytes(value) {
  if (nothing(value)) return NOTHING;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
