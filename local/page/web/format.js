// Times, durations and counts for display.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const CLOCK_SECONDS = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

export const clock = (at) => CLOCK.format(new Date(at));
export const clockWithSeconds = (at) => CLOCK_SECONDS.format(new Date(at));

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export const shortened = (text, length) => {
  const shown = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
  return shown.length > length ? `${shown.slice(0, length - 1).join("")}…` : text;
};

// Whether an HTTP status is a success.
export const ok = (status) => status >= 200 && status < 300;
