// The head of the page and question 0: what is wrong, in words.

const WORST = { healthy: 0, degraded: 1, failing: 2 };
const toneOf = (condition) => (condition in WORST ? condition : 'degraded');

function head(status) {
  const silent = silence();
  const seconds = silent === null ? 0 : Math.round(silent);
  $('silence').hidden = silent === null;
  const why = state.failure ?? 'it has not answered yet';
  fill($('silence'), silent === null ? '' :
    [h('strong', null, `No answer since ${whole(seconds)}.`),
      ` The page keeps asking (${plain(why, 200)})${status ? '; below is what the proxy said last' : ''}.`]);
  document.body.classList.toggle('silent', silent !== null);
  fill($('pulse'), silent === null ? (status ? 'live' : 'connecting') : 'silent');
  $('pulse').className = `pulse ${silent === null ? 'live' : 'lost'}`;
  if (!status) return;
  const condition = toneOf(status.condition);
  document.documentElement.dataset.condition = silent === null ? condition : 'failing';
  document.title = `${silent === null ? condition : 'no answer'} · ${plain(status.name, 40)}`;
  const named = status.name === 'outrigger' ? null : said(status.name, 40);
  fill($('name'), h('strong', null, 'outrigger'), named && [' ', named],
    h('small', null, `${plain(status.version, 20)} · pid ${status.pid} · up ${whole(status.uptimeSeconds + drift())}`));
  const { policy } = status;
  const title = `sha256 ${plain(policy.hash, 64)}\nfrom ${plain(policy.source, 200)}\nby ${plain(policy.author, 100)}`;
  fill($('policy'), h('span', { title }, 'policy revision ', h('b', null, policy.revision), ', applied ',
    since(policy.appliedAt, policy.ageSeconds + drift()), ' by ', said(policy.author, 40)),
  policy.reload.failed && [' ', badge('failing', 'file refused')]);
}

/** The refused file's finding, whole: the verdict has only its first line. */
const refused = ({ policy }) => policy.reload.failed && h('details', { class: 'refused', key: 'refused', open: true },
  h('summary', null, 'The policy file is refused. Revision ', policy.revision, ' stays in force. The finding:'),
  h('pre', null, String(policy.reload.error ?? 'no reason was kept').split('\n').slice(0, 40)
    .map((line) => `${plain(line, 200)}\n`).join('')));

/** Since when, how sure, how many: what stands under a verdict's sentence. */
function facts(verdict) {
  const told = [];
  if (verdict.since) told.push(['for ', since(verdict.since, (verdict.sinceSeconds ?? 0) + drift(), whole)]);
  if (typeof verdict.share === 'number') told.push(`${percent(verdict.share * 100)} of its requests`);
  if (verdict.cause) told.push(['cause: ', said(verdict.cause, 40)]);
  if (verdict.route) told.push(['route ', said(verdict.route, 60)]);
  if (verdict.confidence) told.push(`confidence ${plain(verdict.confidence, 20)}`);
  return told.flatMap((fact, i) => (i ? [' · ', fact] : [fact]));
}

const evidence = (verdict) => (verdict.evidence ?? []).length > 0 && h('details', null,
  h('summary', null, 'evidence'),
  dl(verdict.evidence.slice(0, 20).map(({ name, value }) => [said(name, 60), said(value, 160)])));

function sentence(verdict, index) {
  const tone = toneOf(verdict.condition);
  const key = `v/${verdict.direction}/${verdict.upstream}/${verdict.route}/${verdict.cause}`;
  const { suspect } = verdict;
  return h('article', { key, class: `verdict ${tone}${index === 0 ? ' first' : ''}` },
    h('p', { class: 'sentence' }, said(verdict.text, 600)),
    h('div', { class: 'facts' }, badge(tone, tone), h('span', null, facts(verdict)), evidence(verdict)),
    suspect && h('p', { class: 'suspect' }, badge('suspect', 'suspect'), ' ',
      h('span', { title: moment(suspect.at) }, said(suspect.text, 400))));
}

/** One of the four answers that `outrigger status` begins with. */
const lead = ({ summary }, at) => summary?.[at] && h('p', { class: 'lead' }, said(summary[at], 400));

function verdict(status) {
  const troubled = status.verdicts.filter((one) => one.condition !== 'healthy');
  const well = status.verdicts.filter((one) => one.condition === 'healthy');
  const clear = troubled.length === 0 && h('article', { key: 'clear', class: 'verdict healthy first' },
    h('p', { class: 'sentence' }, status.upstreams.length ? 'Nothing is wrong.' : 'The policy names no upstream.'), lead(status, 0));
  const quiet = well.length > 0 && h('details', { key: 'well', class: 'well' },
    h('summary', null, `${many(well.length, 'dependency', 'dependencies')} healthy`),
    h('ul', null, well.map((one) => h('li', null, said(one.text, 600)))));
  fill($('verdict'), clear, troubled.slice(0, 12).map(sentence),
    troubled.length > 12 && aside(`… and ${troubled.length - 12} more`), refused(status), quiet);
  announce(status, troubled);
}

/** Screen readers hear of a verdict when it comes or goes, not whenever one of its numbers moves. */
function announce(status, troubled) {
  const now = troubled.map((one) => `${one.upstream}/${one.route}/${one.condition}/${one.cause}`).join() || 'well';
  if (now === state.said) return;
  state.said = now;
  fill($('announce'), troubled.length === 0 ? 'Nothing is wrong.' : troubled.slice(0, 3).map((one) => plain(one.text, 300)).join(' '));
}

/** The life of one request, asked for by its trace id. */
function story() {
  const { story: told } = state;
  $('story').hidden = !told;
  if (!told) return;
  const close = button('Close', () => { state.story = null; render(); }, { class: 'quiet' });
  const top = h('h2', null, 'One request ', h('code', null, plain(told.id, 64)), close);
  if (!told.found) return void fill($('story'), top, aside(told.why ?? 'Asking …'));
  const one = told.found;
  fill($('story'), top,
    h('p', null, h('b', null, said(`${one.method} ${one.path}`, 200)), ' ', badge(one.outcome === 'success' ? 'healthy' : 'failing',
      `${plain(one.outcome, 30)}${one.status ? ` ${one.status}` : ''}`), ' ', h('span', { class: 'soft' },
      millis(one.durationMs), ' · ', since(one.at, one.ageSeconds), one.upstream && [' · ', said(`${one.upstream}/${one.route ?? ''}`, 80)])),
    h('ol', { class: 'steps' }, (one.sentences ?? []).slice(0, 100).map((line) => h('li', null, said(line, 600)))));
}

async function tell(id) {
  state.story = { id };
  render();
  try {
    state.story = { id, found: await call(`/requests/${encodeURIComponent(id)}`) };
  } catch (error) {
    const missing = error.token === 'unknown-path' ? 'This proxy keeps no stories of requests.' : error.message;
    state.story = { id, why: plain(missing, 300) };
  }
  render();
  $('story').focus();
}
