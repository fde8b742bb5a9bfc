// Question 2: the dependencies, the most troubled first, and what an operator may do to a circuit.

/** Requests and failures of the last 5 minutes, as columns from the bottom; failures stand in front. */
function sparkline(list) {
  const top = Math.max(1, ...list.map((bucket) => bucket?.requests ?? 0));
  const columns = (of) => list.map((bucket, i) => {
    const height = bucket ? (of(bucket) / top) * 22 : 0;
    return height > 0 ? `M${i * 2} 24V${(24 - Math.max(1, height)).toFixed(1)}H${i * 2 + 1.5}V24Z` : '';
  }).join('');
  return h('svg', { viewBox: `0 0 ${list.length * 2} 24`, preserveAspectRatio: 'none', class: 'spark', 'aria-hidden': 'true' },
    h('path', { class: 'asked', d: columns((bucket) => bucket.requests) }),
    h('path', { class: 'failed', d: columns((bucket) => Math.min(bucket.failed, bucket.requests)) }));
}

/** First try -> final, as clients saw it. */
function success({ requests, failed, rescued }) {
  if (!requests) return '-';
  const last = requests - failed;
  return rescued > 0 ? `${share(Math.max(0, last - rescued), requests)} → ${share(last, requests)}` : share(last, requests);
}

function circuitWord(circuit) {
  if (!circuit) return soft('-');
  const tone = circuit.state === 'closed' ? 'healthy' : circuit.state === 'half-open' ? 'degraded' : 'failing';
  if (circuit.held) return badge(circuit.held === 'open' ? 'failing' : 'degraded', `held ${plain(circuit.held, 20)}`);
  const probe = circuit.retryAfterMs ? ` · ${span(circuit.retryAfterMs)}` : '';
  return circuit.state === 'closed' ? 'closed' : badge(tone, plain(circuit.state, 20), probe);
}

function endpointState({ ejectedForMs, health }) {
  if (ejectedForMs !== null && ejectedForMs !== undefined) return badge('degraded', `out for ${span(ejectedForMs)}`);
  if (health?.state !== 'unhealthy') return 'up';
  return badge('degraded', `${health.sitsOut ? 'out' : 'up'}, fails its checks`, health.cause ? ` · ${plain(health.cause, 60)}` : '');
}

const sitsOut = (one) => (one.ejectedForMs !== null && one.ejectedForMs !== undefined) || one.health?.sitsOut === true;

function endpointRow(endpoint) {
  return h('tr', { key: endpoint.address },
    h('th', { scope: 'row' }, said(endpoint.address, 80)),
    td(endpointState(endpoint)),
    td(millis(endpoint.ewmaMs)), td(percent(endpoint.failurePercent)),
    td(grouped(endpoint.samples)), td(endpoint.pending),
    td(`${endpoint.openConnections} (${endpoint.idleConnections} idle)`),
    words(endpoint.lastFailure ? said(endpoint.lastFailure, 120) : '-'));
}

function inside(upstream) {
  const { circuit } = upstream;
  const act = (action, label) => button(label, () => holdDialog(upstream.name, action));
  const fact = (...words) => h('span', null, words);
  const totals = upstream.totals;
  const all = { requests: totals.requests, failed: totals.requestsFailed, rescued: totals.rescued };
  return h('div', { class: 'inside' },
    h('p', { class: 'line soft' },
      fact('since the start: ', many(totals.requests, 'request'), ', success ', success(all)),
      totals.retries > 0 && fact(many(totals.retries, 'retry', 'retries'), `, ${grouped(totals.rescued)} rescued`),
      totals.refused > 0 && fact(grouped(totals.refused), ' refused unsent'),
      upstream.resolveError && fact('resolving failed, last good set is kept: ', said(upstream.resolveError, 160)),
      fact('endpoint set unchanged for ', whole(upstream.endpointSetAgeSeconds + drift()))),
    h('div', { class: 'wide' }, h('table', { class: 'small' },
      headed('<endpoint', 'state', 'latency', 'failing', 'samples', 'pending', 'connections', '<last failure'),
      h('tbody', null, upstream.endpoints.slice(0, 200).map(endpointRow)))),
    circuit ? h('p', { class: 'deeds' }, h('span', { class: 'soft' },
      `circuit: ${percent(circuit.failurePercent)} of ${many(circuit.samples, 'attempt')} failed, ${percent(circuit.slowPercent)} slow`),
    act('open', 'Hold open …'), act('close', 'Hold closed …'), act('reset', 'Reset …'))
      : aside('Its policy has no circuitBreaker.'));
}

function upstreamRow(upstream, told, now) {
  const key = `u/${keyOf(upstream)}`;
  const seen = watched.get(keyOf(upstream));
  const recent = seen.series.recent(now, 60000);
  const { limits, endpoints, budget } = upstream;
  const up = endpoints.filter((one) => !sitsOut(one)).length;
  const tone = toneOf(told?.condition ?? 'healthy');
  const cause = told?.cause ?? (tone === 'healthy' ? null : tone);
  const full = limits.inFlightMax > 0 && limits.inFlight >= limits.inFlightMax;
  const cells = h('tr', { key, class: `row ${tone}`, onclick: () => toggle(key) },
    h('th', { scope: 'row' }, opener(key, h('i', { class: `dot ${tone}`, 'aria-label': tone, title: tone }), said(upstream.name, 60)),
      upstream.direction === 'inbound' && soft(' inbound')),
    words(cause ? h('span', { class: `word ${tone}` }, said(cause, 40)) : soft('healthy')),
    h('td', { class: 'sparkcell' }, sparkline(seen.series.list(now).slice(-FEW_STEPS))),
    td(rate(seen.rate)),
    h('td', { class: recent.failed && tone !== 'healthy' ? 'strong' : '' }, success(recent)),
    td(millis(upstream.p50Ms)), td(millis(upstream.p99Ms)),
    words(circuitWord(upstream.circuit)),
    h('td', { class: full ? 'strong' : '' }, `${limits.inFlight}/${limits.inFlightMax}`),
    td(upstream.name === 'app' ? '-' : budget.gated ? badge('degraded', 'probes only') : percent(budget.remainingRatio * 100)),
    h('td', { class: up < endpoints.length || !up ? 'strong' : '' }, `${up}/${endpoints.length}`));
  const more = opened.has(key) && h('tr', { key: `${key}/in`, class: 'more' }, h('td', { colspan: 11 }, inside(upstream)));
  return [cells, more];
}

/** The worst that is said of each dependency. */
function worstOf(status) {
  const worst = new Map();
  for (const one of status.verdicts) {
    const key = `${one.direction}/${one.upstream}`;
    const known = worst.get(key);
    if (one.upstream && (!known || WORST[one.condition] > WORST[known.condition])) worst.set(key, one);
  }
  return worst;
}

function dependencies(status) {
  const worst = worstOf(status);
  const now = Date.now();
  // Stable: equals keep the order of the policy file, so that rows do not dance.
  const rows = status.upstreams.filter((one) => matches(one.name, one.direction, worst.get(keyOf(one))?.cause))
    .map((one) => [one, worst.get(keyOf(one))])
    .sort(([, a], [, b]) => (WORST[b?.condition] ?? 0) - (WORST[a?.condition] ?? 0));
  fill(body('q2'), rows.length === 0 ? aside(state.filter ? 'No dependency fits the filter.' : 'The policy names no upstream.')
    : table(['<dependency', '<state', '<last 5 min', 'req/s', 'success, 1 min', 'p50', 'p99', '<circuit', 'in flight', 'budget', 'endpoints'],
      rows.slice(0, 200).map(([one, told]) => upstreamRow(one, told, now))));
}
