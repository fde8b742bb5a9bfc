// Numbers and foreign text as the command line says them: the same rules as src/admin/words.rs.

const grouped = (number) => String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ',');

/** `1 letter`, `1,204 letters`. */
const many = (count, one, more = `${one}s`) => `${grouped(count)} ${count === 1 ? one : more}`;

/** One decimal place where it says something; a rounded value never claims all or nothing. */
function percent(value) {
  if (!(value > 0)) return '0%';
  if (value >= 100) return '100%';
  return `${Math.min(Math.max(value, 0.1), 99.9).toFixed(1).replace(/\.0$/, '')}%`;
}

const share = (part, whole) => (whole > 0 ? percent((part * 100) / whole) : '-');

/** A span in the two largest units that matter. */
function span(ms) {
  const seconds = Math.floor(ms / 1000);
  const pair = (large, unit, small, smaller) => (small ? `${large} ${unit} ${small} ${smaller}` : `${large} ${unit}`);
  if (seconds < 1) return `${Math.floor(ms)} ms`;
  if (seconds < 10) return `${(ms / 1000).toFixed(1)} s`;
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return pair(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  if (seconds < 86400) return pair(Math.floor(seconds / 3600), 'h', Math.floor((seconds % 3600) / 60), 'min');
  return pair(Math.floor(seconds / 86400), 'd', Math.floor((seconds % 86400) / 3600), 'h');
}

/** A span that is known to the second. */
const whole = (seconds) => (seconds < 10 ? `${Math.max(0, Math.floor(seconds))} s` : span(seconds * 1000));
const ago = (seconds) => (seconds < 1 ? 'just now' : `${whole(seconds)} ago`);

function millis(ms) {
  if (ms === null || ms === undefined) return '-';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : span(ms);
}

/** Requests per second. */
const rate = (value) => (value === null ? '-' : value > 0 && value < 10 ? value.toFixed(1) : grouped(value));

/** What rearranges or hides text: control characters, line separators, bidirectional controls. */
const UNPLAIN = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Foreign text, cut and without anything that rearranges what a reader sees. */
function plain(text, max = 160) {
  const all = String(text ?? '').replace(UNPLAIN, '\ufffd');
  if (all.length <= max) return all;
  return `${Array.from(all.slice(0, 2 * max)).slice(0, max).join('')}…`;
}

/** A moment in UTC and here, for a hover. */
function moment(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return plain(iso, 40);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'local';
  const here = at.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
  return `${at.toISOString().replace('T', ' ').slice(0, 19)} UTC · ${here} ${zone}`;
}
