// Question 1: marks on a track, the success of all requests above it, who did what below.

const KINDS = [
  [/policy|guard|roll/, 'policy', '■'],
  [/circuit|breaker/, 'circuit', '◆'],
  [/endpoint|dns|eject/, 'endpoints', '▲'],
  [/retries/, 'retries', '↻'],
  [/cert|tls/, 'certificate', '★'],
  [/start|stop|process|upgrade/, 'process', '●'],
];
function kindOf(change) {
  const found = KINDS.find(([pattern]) => pattern.test(change.kind));
  return found ? { word: found[1], glyph: found[2] } : { word: 'by-hand', glyph: '✚' };
}

/** The verdict's own suspect, found again among the changes: by revision, else by time and words. */
function suspects(status) {
  const list = status.verdicts.map((one) => one.suspect).filter(Boolean);
  return (change) => list.find((one) => (one.revision !== null && one.revision !== undefined && kindOf(change).word === 'policy'
    ? one.revision === change.revision
    : Math.abs(Date.parse(one.at) - Date.parse(change.at)) < 2000));
}

/** A curve of success over 30 minutes: gaps where nobody watched or nothing was asked. */
function curve(now) {
  const list = overall.list(now);
  let line = '';
  let fall = '';
  let pen = false;
  list.forEach((bucket, i) => {
    if (!bucket || bucket.requests === 0) {
      pen = false;
      return;
    }
    const bad = Math.min(1, bucket.failed / bucket.requests);
    const y = (2 + bad * 46).toFixed(1);
    line += `${pen ? 'H' : 'M'}${i}${pen ? '' : ` ${y}`}V${y}H${i + 1}`;
    if (bad > 0) fall += `M${i} 2H${i + 1}V${y}H${i}Z`;
    pen = true;
  });
  return h('svg', { viewBox: `0 0 ${list.length} 50`, preserveAspectRatio: 'none', class: 'curve', role: 'img',
    'aria-label': 'Success of all requests, last 30 minutes' },
  h('path', { class: 'fall', d: fall }), h('path', { class: 'line', d: line }));
}

/** Where a change stands on the track, in percent. */
const placeOf = (change) => 100 - ((change.ageSeconds + drift()) * 100000) / (STEP * STEPS);

function track(changes, suspect) {
  const shown = changes.filter((change) => placeOf(change) >= 0).slice(0, 100);
  const marks = shown.map((change) => {
    const { word, glyph } = kindOf(change);
    const blamed = suspect(change) ? ' blamed' : '';
    return h('span', { key: markKey(change), class: `mark ${word}${blamed}`, 'left%': Math.min(99.8, placeOf(change)).toFixed(2),
      title: `${moment(change.at)}\n${plain(change.summary, 200)}` }, h('i', { 'aria-hidden': 'true' }, glyph));
  });
  const now = Date.now();
  const recent = overall.recent(now, 60000);
  return h('div', { class: 'track' }, curve(now),
    h('span', { class: 'scale top' }, '100%'), h('span', { class: 'scale low' }, '0%'),
    marks, [30, 20, 10].map((minutes) => h('span', { class: `tick${minutes === 30 ? ' first' : ''}`,
      'left%': 100 - (minutes * 100) / 30 }, `-${minutes} min`)),
    h('span', { class: 'tick last' }, 'last minute: ', h('b', null,
      recent.requests ? `${share(recent.requests - recent.failed, recent.requests)} succeed` : 'no requests')));
}

const markKey = (change) => `c/${change.at}/${change.kind}/${change.summary}`;

function row(change, blamed) {
  const { word, glyph } = kindOf(change);
  const effects = (change.effects ?? []).slice(0, 12);
  return h('li', { key: markKey(change), class: blamed ? 'blamed' : '' },
    h('span', { class: 'when' }, since(change.at, change.ageSeconds + drift())),
    h('span', { class: `kind ${word}`, title: plain(change.kind, 40), 'aria-label': word }, glyph),
    h('div', null,
      h('p', null, said(change.summary, 300), blamed && [' ', badge('suspect', 'suspect')],
        change.author && [' ', soft('by ', said(change.author, 60))],
        change.reason && soft(': ', said(change.reason, 300))),
      blamed && h('p', { class: 'why' }, said(blamed.text, 400)),
      effects.length > 0 && h('ul', { class: 'effects' }, effects.map((line) => h('li', null, said(line, 200))),
        change.effects.length > effects.length && h('li', null, `… and ${change.effects.length - effects.length} more`))));
}

const FEW = 6;
function changes(status) {
  const wanted = state.changes.filter((change) => matches(change.summary, change.kind, change.author, change.reason, change.upstream));
  const suspect = suspects(status);
  const shown = opened.has('changes') ? wanted : wanted.slice(0, FEW);
  // The one that is accused must not hide below the fold.
  const accused = wanted.filter((change) => !shown.includes(change) && suspect(change));
  // A suspect is told already, beside its verdict.
  fill(body('q1'), !status.verdicts.some((one) => one.suspect) && lead(status, 1), track(state.changes, suspect),
    h('ol', { class: 'changes' }, [...shown, ...accused].map((change) => row(change, suspect(change)))),
    wanted.length === 0 && aside(state.filter ? 'No change fits the filter.' : 'Nothing changed in the last 30 minutes.'),
    wanted.length > FEW && button(opened.has('changes') ? 'Show the last few' : `Show all ${wanted.length}`, () => toggle('changes'),
      { class: 'quiet', 'aria-expanded': String(opened.has('changes')) }));
}
