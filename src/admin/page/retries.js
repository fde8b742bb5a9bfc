// Question 3: what retries rescue, what they cost, and the proxy's own judgement of it.

const HELP = { helping: 'healthy', 'not-helping': 'failing', harmful: 'failing', marginal: 'degraded', unknown: 'unknown' };

/** Rescued against wasted. Wasted is hatched as well as coloured. */
function bar(rescued, wasted) {
  const sum = Math.max(1, rescued + wasted);
  const part = (name, count) => h('i', { class: name, 'width%': ((count / sum) * 100).toFixed(1) });
  return h('div', { class: 'bar2', role: 'img', title: `${grouped(rescued)} rescued, ${grouped(wasted)} wasted` },
    part('rescued', rescued), part('wasted', wasted));
}

const times = (value) => (value === null || value === undefined ? '-' : `${value.toFixed(2)}x`);

function figures(report) {
  return [td(grouped(report.retries)), h('td', { class: 'barcell' }, bar(report.rescued, report.wasted)),
    td(grouped(report.rescued)), td(grouped(report.wasted)), td(times(report.amplification)),
    td(report.price ? `${report.price.toFixed(1)} per rescue` : '-'),
    td(report.rescuedTaxP50Ms || report.failedTaxP50Ms
      ? `${millis(report.rescuedTaxP50Ms)} / ${millis(report.failedTaxP50Ms)}` : '-')];
}

const judged = ({ verdict: word }) => badge(HELP[word] ?? 'unknown', plain(word, 20).replace('-', ' '));
const placed = (report) => `${report.upstream}/${report.route}`;

function detail(report) {
  const facts = [`window ${whole(report.windowSeconds)}`, `${grouped(report.firstFailed)} of ${many(report.requests, 'request')} failed at first`];
  if (typeof report.efficiency === 'number') {
    facts.push(`efficiency ${percent(report.efficiency * 100)} (95%: ${percent(report.efficiencyLow * 100)} to ${percent(report.efficiencyHigh * 100)})`);
  }
  if (typeof report.upliftPercent === 'number') facts.push(`uplift ${report.upliftPercent.toFixed(1)} points`);
  if (report.denied?.length) facts.push(`not made: ${report.denied.map(([why, count]) => `${plain(why, 40)} ${grouped(count)}`).join(', ')}`);
  const held = report.holdout;
  if (held && typeof held.effectPercent === 'number') {
    facts.push(`control group of ${held.percent}%: retries add ${held.effectPercent.toFixed(1)} points `
      + `(95%: ${held.effectLowPercent?.toFixed(1)} to ${held.effectHighPercent?.toFixed(1)})`);
  }
  facts.push(`all time: ${many(report.lifetimeRetries ?? 0, 'retry', 'retries')}, ${grouped(report.lifetimeRescued ?? 0)} rescued`);
  return h('p', { class: 'line soft' }, facts.map((fact) => h('span', null, fact)));
}

function reportRows(report, classes) {
  const key = `r/${placed(report)}`;
  const open = opened.has(key);
  const rows = [h('tr', { key, class: 'row', onclick: () => toggle(key) },
    h('th', { scope: 'row' }, opener(key, said(placed(report), 80))),
    words(judged(report),
      report.gated && [' ', badge('degraded', 'held to probes')]),
    figures(report)),
  h('tr', { key: `${key}/said`, class: 'under' }, h('td', { colspan: 9 }, h('p', null, said(report.text, 400)), open && detail(report)))];
  if (!open) return rows;
  return [...rows, ...classes.map((one) => h('tr', { key: `${key}/${one.class}`, class: 'part', title: plain(one.text, 400) },
    h('th', { scope: 'row' }, 'after ', said(one.class, 40)),
    words(judged(one)), figures(one)))];
}

const RANK = { harmful: 0, 'not-helping': 1, marginal: 2, unknown: 4 };
function retries(status) {
  const found = state.retries ?? status.retries;
  if (!found) return void fill(body('q3'), aside('This proxy does not judge its retries.'));
  const reports = found.filter((one) => matches(placed(one), one.verdict));
  const all = reports.filter((one) => !one.class).sort((a, b) => (RANK[a.verdict] ?? 3) - (RANK[b.verdict] ?? 3));
  const parts = (of) => reports.filter((one) => one.class && placed(one) === placed(of));
  fill(body('q3'), all.length === 0 ? lead(status, 2) || aside('No route has retried anything lately.')
    : table(['<dependency / route', '<verdict', 'retries', '<rescued, wasted', 'rescued', 'wasted', 'load', 'price', 'time, rescued / not'],
      all.slice(0, 100).map((one) => reportRows(one, parts(one)))));
}
