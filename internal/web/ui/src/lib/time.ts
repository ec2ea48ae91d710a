// Times through the reader's locale. Formatters are made once: making one
// costs more than using it a thousand times.
const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const dayShort = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });
const dayLong = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

export const timeOf = (ms: number): string => clock.format(ms);
export const fullTime = (ms: number): string => full.format(ms);
export const shortDate = (ms: number): string => date.format(ms);

export const dayKey = (ms: number): string => {
  const d = new Date(ms);
  return `${d.getFullYear()}-${d.getMonth()}-${d.getDate()}`;
};

const dayStart = (ms: number): number => new Date(ms).setHours(0, 0, 0, 0);
const daysAgo = (ms: number, now: number): number => Math.round((dayStart(now) - dayStart(ms)) / 86_400_000);

// dayName: "Today", "Yesterday", "Fri 20 Nov", and with the year when it is
// not this one.
export function dayName(ms: number, now = Date.now()): string {
  const ago = daysAgo(ms, now);
  if (ago === 0 || ago === 1) {
    const word = relative.format(-ago, 'day');
    return word.charAt(0).toLocaleUpperCase() + word.slice(1);
  }
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? dayShort.format(ms) : dayLong.format(ms);
}

// listTime is the time at the right of a conversation: clock, weekday, date.
export function listTime(ms: number, now = Date.now()): string {
  const ago = daysAgo(ms, now);
  if (ago <= 0) return clock.format(ms);
  if (ago < 7) return weekday.format(ms);
  return date.format(ms);
}

// moment is a time with its day when that is not today.
export const moment = (ms: number, now = Date.now()): string =>
  daysAgo(ms, now) === 0 ? clock.format(ms) : `${dayName(ms, now)} ${clock.format(ms)}`;

export const seconds = (ms: number): number => Math.max(0, Math.ceil(ms / 1000));
