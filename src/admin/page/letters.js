// Question 4: what could not be served, and what may be done about it.

const REPAIR = {
  safe: ['healthy', 'safe to replay', 'is safe to replay now', 'are safe to replay now'],
  'needs-decision': ['degraded', 'needs a decision', , 'need a decision'],
  impossible: ['unknown', 'cannot be sent again'],
  underway: ['unknown', 'being sent again', 'is being sent again', 'are being sent again'],
  closed: ['unknown', 'closed', 'is closed', 'are closed'],
};

function summary(list, total) {
  const parts = Object.entries(REPAIR).map(([repair, [, word, one = word, more = one]]) => {
    const count = list.filter((letter) => letter.repair === repair).length;
    return count ? `${grouped(count)} ${count === 1 ? one : more}` : null;
  }).filter(Boolean);
  const begin = list.length < total ? `${grouped(list.length)} of ${many(total, 'open letter')}` : many(total, 'open letter');
  return parts.length ? `${begin}: ${parts.join(', ')}.` : 'No letter is open.';
}

const bytes = (count) => (count < 1024 ? `${count} B` : count < 1048576 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / 1048576).toFixed(1)} MiB`);

function stock(stats) {
  const told = [`${grouped(stats.letters)} of ${grouped(stats.lettersMax)} letters kept, closed ones included`,
    `${bytes(stats.bytes)} of ${bytes(stats.bytesMax)}`];
  return h('p', { class: 'line soft' }, told.map((fact) => h('span', null, fact)),
    stats.lost > 0 && badge('failing', `${grouped(stats.lost)} lost since the start`));
}

const pathOf = (letter) => `/dead-letters/${encodeURIComponent(letter.id)}`;

/** Fields, attempts and the last answer of one letter; asked for when it is opened, and again when it has changed. */
function opening(letter) {
  const known = state.details.get(letter.id);
  if (!known || known.version !== letter.version) {
    state.details.set(letter.id, { ...known, version: letter.version });
    ask(pathOf(letter), (found) => {
      state.details.set(letter.id, { version: letter.version, found });
      if (state.details.size > 100) state.details.delete(state.details.keys().next().value);
      render();
    });
  }
  return known?.found;
}

const lines = (title, list) => list?.length > 0 && h('details', { open: true }, h('summary', null, title),
  h('pre', null, list.slice(0, 60).map((line) => `${plain(line, 300)}\n`).join('')));

function letterDetail(letter) {
  const found = opening(letter);
  const may = letter.repair;
  return h('div', { class: 'inside' },
    h('p', null, said(letter.standing ?? REPAIR[may]?.[1] ?? '', 700)),
    h('p', { class: 'deeds' },
      (may === 'safe' || may === 'needs-decision') && button('Replay …', () => replayDialog(letter)),
      (may === 'needs-decision' || may === 'impossible') && button('Resolve …', () => resolveDialog(letter)),
      may !== 'underway' && may !== 'closed' && button('Drop …', () => dropDialog(letter)),
      found?.traceId && button('Its story', () => tell(found.traceId)),
      h('code', { class: 'soft' }, `outrigger dlq show ${plain(letter.id, 40)}`)),
    !found ? aside('Asking …') : h('div', { class: 'columns' },
      h('div', null,
        dl([
          ['captured', since(letter.createdAt, letter.ageSeconds + drift())],
          ['cause', said(`${letter.cause}: ${letter.reason}`, 200)],
          ['class', said(`${letter.class}, contract ${letter.contract}`, 100)],
          ['body', `${many(found.bodyBytes, 'byte')}, ${found.sealed ? 'kept sealed' : 'not kept'}`],
          ['key', found.keyOrigin === 'none' ? 'none' : said(`by the ${found.keyOrigin}${found.key ? `, ${found.key.state}` : ''}`, 60)],
          ['trace', h('code', null, plain(found.traceId, 40))],
          letter.replays > 0 && ['replays', [grouped(letter.replays), letter.note && said(`, last: ${letter.note}`, 200)]],
        ].filter(Boolean)),
        found.tried.length > 0 && h('table', { class: 'small' }, headed('attempt', '<endpoint', 'duration', '<end'),
          h('tbody', null, found.tried.slice(0, 50).map((one, i) => h('tr', null, td(i + 1),
            words(one.endpoint ? said(one.endpoint, 80) : '-'), td(millis(one.durationMs)),
            words(said(one.end, 60))))))),
      h('div', null, lines('Fields', found.fields),
        lines(`The last answer${found.status ? ` ${found.status}` : ''}`,
          [...found.answerFields, ...(found.answerText ? ['', ...found.answerText.split('\n')] : [])]))));
}

function letterRow(letter) {
  const key = `l/${letter.id}`;
  const [tone, word] = REPAIR[letter.repair] ?? ['unknown', plain(letter.repair, 30)];
  return [h('tr', { key, class: 'row', onclick: () => toggle(key) },
    h('th', { scope: 'row' }, opener(key, h('code', null, plain(letter.id, 60).slice(-8)))),
    td(since(letter.createdAt, letter.ageSeconds + drift())),
    h('td', { class: 'text rest', title: plain(`${letter.host}${letter.target}`, 500) },
      h('b', null, said(letter.method, 20)), ' ', said(`${letter.host}${letter.target}`, 160)),
    words(said(`${letter.upstream}/${letter.route}`, 60)),
    words(said(`${letter.cause}: ${letter.reason}`, 80)),
    words(badge(tone, word)),
    td(grouped(letter.attempts)),
    td(whole(Math.max(0, letter.expiresInSeconds - drift())))),
  opened.has(key) && h('tr', { key: `${key}/in`, class: 'more' }, h('td', { colspan: 8 }, letterDetail(letter)))];
}

function job(one) {
  const counts = ['replayed', 'superseded', 'failed', 'skipped'].filter((name) => one[name]).map((name) => `${grouped(one[name])} ${name}`);
  const left = one.letters - one.replayed - one.superseded - one.failed - one.skipped;
  if (left > 0) counts.push(`${grouped(left)} left`);
  return h('li', { key: one.id }, badge(one.state === 'running' ? 'degraded' : 'unknown', plain(one.state, 20)), ' ',
    since(one.startedAt, one.ageSeconds + drift()), ` replay of ${many(one.letters, 'letter')}: ${counts.join(', ') || 'nothing to send'}`,
    one.why && [', ', said(one.why, 200)], soft(' by ', said(one.author, 40), ': ', said(one.reason, 120)),
    one.state === 'running' && [' ', button('End it …', () => cancelDialog(one))]);
}

const audited = (row) => h('li', { key: row.number }, h('span', { class: 'when' }, since(row.at, row.ageSeconds + drift())),
  h('span', null, said(row.actor, 40), ': ', h('b', null, said(row.action, 30)), row.letter && [' ', h('code', null, plain(row.letter, 60).slice(-8))],
    ' → ', said(row.outcome, 200), soft(' — ', said(row.reason, 200)), !row.intact && [' ', badge('failing', 'altered')]));

function letters(status) {
  const { letters: found, stats } = state;
  if (!found || !stats) {
    return void fill(body('q4'), aside('No route keeps dead letters. ', h('code', null, 'deadLetter: {}'), ' on a route of the policy does.'));
  }
  const list = found.letters.filter((one) => matches(one.id, one.target, one.host, one.upstream, one.route, one.cause, one.reason, one.repair));
  const safe = found.letters.filter((one) => one.repair === 'safe').length;
  fill(body('q4'),
    h('p', { class: 'sum' }, summary(found.letters, found.total), ' ',
      safe > 1 && button('Replay all that are safe …', replayAllDialog)),
    (status.repairs ?? []).slice(0, 5).map((one) => h('p', null, said(one.text, 300), one.command && [' ', h('code', { class: 'soft' }, plain(one.command, 200))])),
    stock(stats),
    list.length > 0 && table(['<letter', 'captured', '<request', '<route', '<cause', '<repair', 'attempts', 'expires in'],
      list.map(letterRow)),
    list.length === 0 && found.letters.length > 0 && aside('No letter fits the filter.'),
    state.jobs.length > 0 && h('ul', { class: 'jobs' }, state.jobs.slice(0, 3).map(job)),
    state.audit.length > 0 && [h('h3', null, 'Audit'), h('ol', { class: 'audit' }, state.audit.map(audited))]);
}
