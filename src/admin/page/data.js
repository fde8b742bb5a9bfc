// What the proxy says, asked every second, and what follows from two answers: rates.

/** Between two looks, and how long an unanswered one is not yet a silence. */
const EVERY = 1000;
const PATIENCE = 3000;
/** Buckets of all curves: 30 minutes on the time line, of which the small ones show five. */
const STEP = 10000;
const STEPS = 180;
const FEW_STEPS = 30;
const OPEN = '/dead-letters?state=open&limit=50';

const state = {
  status: null, changes: [], retries: undefined, stats: null, letters: null, jobs: [], audit: [], details: new Map(),
  story: null, filter: '', said: '',
  heard: performance.now(), began: null, failure: null, turn: 0,
};

/** The proxy's own words for why not. */
class Refusal extends Error {
  constructor(status, problem) {
    super(problem?.detail ? `${problem.detail}. Next: ${problem.next}.` : `The answer was ${status}.`);
    this.status = status;
    this.token = String(problem?.type ?? '').split('/').pop();
  }
}

/** What `admin.tokenFile` holds, if the proxy asks for it: in this page's memory alone. Empty: the user has none. */
let token = null;

async function call(path, body) {
  const shown = token;
  let response = await send(path, body);
  if (response.status === 401 && shown !== '') {
    // Another call may have asked meanwhile.
    if (token === shown) token = prompt('Token (admin.tokenFile)')?.trim() ?? '';
    if (token) response = await send(path, body);
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refusal(response.status, answer);
  return answer;
}

function send(path, body) {
  const options = { cache: 'no-store', headers: { accept: 'application/json' }, signal: AbortSignal.timeout(5000) };
  if (token) options.headers.authorization = `Bearer ${token}`;
  if (body) {
    options.method = 'POST';
    options.headers['content-type'] = 'application/json';
    options.headers['x-outrigger-admin'] = '1';
    options.body = JSON.stringify(body);
    // A replay waits for what becomes of it.
    options.signal = AbortSignal.timeout(40000);
  }
  return fetch(path, options);
}

/** Null: there is no such thing here; it is asked for again after half a minute, or when the policy has changed. */
const absent = new Map();
async function ask(path, then) {
  const known = absent.get(path);
  if (known && known.revision === state.status?.policy.revision && performance.now() - known.at < 30000) return;
  try {
    then(await call(path));
    absent.delete(path);
  } catch (error) {
    // What fails otherwise leaves the last answer in place.
    if (!(error instanceof Refusal) || error.status !== 404) return;
    absent.set(path, { at: performance.now(), revision: state.status?.policy.revision });
    then(null);
  }
}

/** Sums of counters in buckets of equal length. A bucket that is missing was not watched. */
class Series {
  buckets = new Map();
  add(now, delta) {
    const index = Math.floor(now / STEP);
    const bucket = this.buckets.get(index) ?? { requests: 0, failed: 0, rescued: 0 };
    for (const name of Object.keys(bucket)) bucket[name] += delta[name];
    this.buckets.set(index, bucket);
    for (const old of this.buckets.keys()) if (old <= index - 2 * STEPS) this.buckets.delete(old);
  }
  list(now) {
    const last = Math.floor(now / STEP);
    return Array.from({ length: STEPS }, (_, i) => this.buckets.get(last - STEPS + 1 + i));
  }
  /** The sum of the last `ms`. */
  recent(now, ms) {
    const sum = { requests: 0, failed: 0, rescued: 0 };
    for (const bucket of this.list(now).slice(-Math.ceil(ms / STEP))) {
      for (const name of Object.keys(sum)) sum[name] += bucket?.[name] ?? 0;
    }
    return sum;
  }
}

const overall = new Series();
/** By upstream: its last totals, its curve, its present rate. */
const watched = new Map();
let pid = null;

const keyOf = (upstream) => `${upstream.direction}/${upstream.name}`;

/** The minutes before this page was opened, as the proxy remembers them. */
async function remember(now) {
  await ask('/curves', (answer) => {
    for (const curve of answer?.curves ?? []) {
      const series = watched.get(keyOf({ direction: curve.direction, name: curve.upstream }))?.series;
      curve.requests.forEach((requests, i) => {
        const delta = { requests, failed: curve.failed[i], rescued: curve.rescued[i] };
        const at = now - (curve.requests.length - 0.5 - i) * answer.stepSeconds * 1000;
        series?.add(at, delta);
        overall.add(at, delta);
      });
    }
  });
}

async function sample(status, now) {
  const other = pid !== status.pid;
  if (other) watched.clear();
  pid = status.pid;
  const all = { requests: 0, failed: 0, rescued: 0 };
  for (const upstream of status.upstreams) {
    const { requests, requestsFailed: failed, rescued } = upstream.totals;
    const totals = { requests, failed, rescued };
    const known = watched.get(keyOf(upstream));
    if (!known) {
      watched.set(keyOf(upstream), { totals, points: [[now, requests]], series: new Series(), rate: null });
      continue;
    }
    const delta = {};
    for (const name of Object.keys(totals)) delta[name] = Math.max(0, totals[name] - known.totals[name]);
    known.totals = totals;
    known.series.add(now, delta);
    known.points.push([now, requests]);
    while (known.points.length > 2 && now - known.points[1][0] > 10000) known.points.shift();
    const [then, before] = known.points[0];
    known.rate = now > then ? Math.max(0, requests - before) / ((now - then) / 1000) : null;
    for (const name of Object.keys(all)) all[name] += delta[name];
  }
  const names = new Set(status.upstreams.map(keyOf));
  for (const name of watched.keys()) if (!names.has(name)) watched.delete(name);
  if (other) await remember(now);
  else overall.add(now, all);
}

/** The slower questions: every second look, and at once after a change. */
const askRest = () => Promise.all([
  ask('/changes?since=30m&limit=200', (answer) => { state.changes = answer?.changes ?? []; }),
  ask('/retries', (answer) => { state.retries = answer?.retries ?? null; }),
  ask('/dead-letters/stats', (answer) => { state.stats = answer; }),
  ask(OPEN, (answer) => { state.letters = answer; }),
  ask('/replays', (answer) => { state.jobs = answer?.replays ?? []; }),
  ask('/audit?since=24h&limit=5', (answer) => { state.audit = answer?.rows ?? []; }),
]);

let timer;
let due = false;
/** One look. `all`: the slower questions, too, be it in the look after the one that is under way. */
async function look(all) {
  due ||= all === true;
  if (state.began !== null || (document.hidden && state.status)) return;
  clearTimeout(timer);
  state.began = performance.now();
  try {
    const status = await call('/status');
    state.status = status;
    state.heard = performance.now();
    state.failure = null;
    await sample(status, Date.now());
    if (due || state.turn % 2 === 0) {
      due = false;
      await askRest();
    }
    state.turn += 1;
  } catch (error) {
    state.failure = error instanceof Refusal ? error.message : 'it does not answer';
  }
  state.began = null;
  render();
  timer = setTimeout(look, due ? 0 : EVERY);
}

/** For how many seconds the proxy has not answered; null while it does. */
function silence() {
  const now = performance.now();
  const waits = state.began !== null && now - state.began > PATIENCE;
  return (state.failure || waits) && (now - state.heard > EVERY || !state.status) ? (now - state.heard) / 1000 : null;
}

/** Time since the last answer: ages go on while it is awaited. */
const drift = () => Math.floor((performance.now() - state.heard) / 1000);
