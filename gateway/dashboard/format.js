// Figures as people read them; what is not known is a dash.

const UNKNOWN = "–";
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const count = (value) => (value == null ? UNKNOWN : value < 10000 ? plain.format(value) : compact.format(value));

export const percent = (share) => (share == null ? UNKNOWN : `${plain.format(share * 100)} %`);

export function duration(ms) {
  if (ms == null) return UNKNOWN;
  if (ms === 0) return "0 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
}

export function age(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** A time of today as a clock, of another day with its date. `seconds` are Unix seconds. */
export function moment(seconds) {
  const then = new Date(seconds * 1000);
  const clock = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return then.toDateString() === new Date().toDateString() ? clock : `${then.toLocaleDateString()} ${clock}`;
}

export const tokens = (row) => row.prompt_tokens == null && row.completion_tokens == null ? UNKNOWN : `${count(row.prompt_tokens)} / ${count(row.completion_tokens)}`;

export function bytes(size) {
  return size < 1024 ? `${size} B` : size < 1048576 ? `${plain.format(size / 1024)} kB` : `${plain.format(size / 1048576)} MB`;
}
