// What an operator may change. Every deed goes through one dialog, and none without a reason.

const NAME = 'outrigger-name';
const kept = (key, value) => {
  // Storage may be switched off: then nothing is remembered.
  try {
    if (value === undefined) return localStorage.getItem(key);
    localStorage.setItem(key, value);
  } catch { /* as above */ }
  return null;
};

const input = (name, label, props) => h('label', { class: 'field' }, h('span', null, label), h('input', { name, autocomplete: 'off', ...props }));
const choice = (name, value, label, checked) => h('label', { class: 'choice' }, h('input', { type: 'radio', name, value, checked }), h('span', null, label));

/**
 * Asks for a reason, then does the deed. `parts`: what stands above the reason; `risk`: what must be accepted first;
 * `deed`: given the form's words, gives the sentence that says what came of it.
 */
function dialog({ title, parts, risk, word, deed, ready = true }) {
  let busy = false;
  const draw = (message) => fill($('dialog'), h('form', { method: 'dialog', novalidate: true, onsubmit: send },
    h('h2', { id: 'dialog-title' }, title), parts,
    risk && h('label', { class: 'choice risk' }, h('input', { type: 'checkbox', name: 'risk' }), h('span', null, risk)),
    ready && input('reason', 'Reason', { required: true, maxlength: 500, placeholder: 'why, for whoever finds this change' }),
    ready && input('author', 'Your name', { maxlength: 100, placeholder: 'admin-page', value: kept(NAME) ?? '' }),
    h('p', { class: 'message', role: 'alert' }, message),
    h('div', { class: 'deeds' }, button('Cancel', () => $('dialog').close(), { class: 'quiet' }),
      ready && h('button', { type: 'submit', class: 'deed', disabled: busy }, word))));
  async function send(event) {
    event.preventDefault();
    const words = Object.fromEntries(new FormData(event.target));
    words.reason = (words.reason ?? '').trim();
    words.author = (words.author ?? '').trim();
    if (busy) return;
    if (risk && !words.risk) return void draw('Tick the box if you accept that; else find out first what became of it.');
    if (!words.reason) {
      draw('State a reason: whoever finds this change will ask.');
      return void $('dialog').querySelector('[name=reason]').focus();
    }
    if (silence() !== null) return void draw('The proxy does not answer; nothing was sent.');
    kept(NAME, words.author);
    busy = true;
    draw('Sending …');
    try {
      state.note = await deed({ ...words, author: words.author || 'admin-page' });
      $('dialog').close();
      look(true);
      render();
    } catch (error) {
      busy = false;
      draw(error instanceof Refusal ? error.message : 'No answer came. It may have been done: look at the audit and the changes.');
    }
  }
  patch($('dialog'), []);
  draw('');
  if (!$('dialog').open) $('dialog').showModal();
  $('dialog').querySelector(ready ? '[name=reason]' : 'button').focus();
}

const HOLD = {
  open: ['Hold the circuit open', 'Every request is refused at once, until the time is over or somebody resets it.'],
  close: ['Hold the circuit closed', 'Requests pass whatever the failures: the breaker cannot act.'],
  reset: ['Reset the circuit', 'A hold ends, the circuit closes, and what was learned is forgotten.'],
};
function holdDialog(upstream, action) {
  const [title, effect] = HOLD[action];
  const timed = action !== 'reset';
  dialog({
    title: [title, ' of ', said(upstream, 60), '?'], word: title,
    parts: [h('p', null, effect), timed && input('ttl', 'For how long, 1s to 24h', { value: '10m', maxlength: 20 })],
    deed: async ({ reason, author, ttl }) => {
      const order = timed ? { action, ttl, reason, author } : { action, reason, author };
      const { circuit } = await call(`/circuits/${encodeURIComponent(upstream)}`, order);
      const is = circuit?.held ? `held ${circuit.held} for ${ttl}` : circuit?.state;
      return { at: 'q2', text: `The circuit of ${upstream} is ${is}.` };
    },
  });
}

/** What a replay would do, as `outrigger dlq replay --dry-run` says it. */
function planLines(plan) {
  const told = [`${many(plan.letters, 'letter')} ${plan.letters === 1 ? 'matches' : 'match'}.`];
  if (plan.safe) told.push(`${grouped(plan.safe)} safe to replay`);
  if (plan.needsDecision) told.push(`${grouped(plan.needsDecision)} may be executed twice: sent only if that is accepted`);
  for (const { why, letters: count } of plan.excluded) told.push(`${grouped(count)} not replayable: ${plain(why, 200)}`);
  return h('ul', { class: 'plan' }, told.map((line) => h('li', null, line)));
}

/** A plan first. It sends nothing and says what would be sent. */
async function planned(title, filter, then) {
  dialog({ title, parts: h('p', null, 'Working out what would be sent …'), ready: false });
  try {
    const plan = await call('/replays', { filter, dryRun: true });
    if ($('dialog').open) then(plan);
  } catch (error) {
    if ($('dialog').open) dialog({ title, parts: h('p', null, plain(error.message, 400)), ready: false });
  }
}

function replayDialog(letter) {
  const title = ['Send ', h('code', null, letter.id.slice(-8)), ' again?'];
  planned(title, { id: letter.id }, (plan) => dialog({
    title, word: 'Send it again', ready: plan.safe + plan.needsDecision > 0,
    parts: [h('p', null, said(letter.standing ?? '', 700)), planLines(plan)],
    risk: plan.needsDecision > 0 && 'I accept that it may be executed twice.',
    deed: async ({ reason, author, risk }) => {
      const order = { reason, author, version: letter.version, acceptDuplicateRisk: risk === 'on' };
      const done = await call(`${pathOf(letter)}/replay`, order);
      return { at: 'q4', text: done.text ?? `${letter.id}: ${done.end}${done.status ? ` ${done.status}` : ''}.` };
    },
  }));
}

function replayAllDialog() {
  const title = 'Send all letters again that are safe to replay?';
  const filter = { state: 'open' };
  planned(title, filter, (plan) => dialog({
    title, word: `Send ${many(plan.sends, 'letter')}`, ready: plan.sends > 0,
    parts: [planLines(plan), input('rate', 'Per second, 1 to 100', { type: 'number', min: 1, max: 100, value: 1 }),
      aside('Oldest first. It ends by itself after 5 failures.')],
    deed: async ({ reason, author, rate: perSecond }) => {
      // Others may have come since: only so many were agreed to.
      const started = await call('/replays', { filter, rate: Number(perSecond) || 1, max: plan.sends, reason, author });
      return { at: 'q4', text: `Replay ${started.id} has begun: ${many(started.letters, 'letter')}.` };
    },
  }));
}

const cancelDialog = (one) => dialog({
  title: 'End this replay?', word: 'End it', parts: h('p', null, 'What was not sent yet stays open.'),
  deed: async ({ reason, author }) => {
    await call(`/replays/${encodeURIComponent(one.id)}/cancel`, { reason, author });
    return { at: 'q4', text: `Replay ${one.id} is cancelled.` };
  },
});

const dropDialog = (letter) => dialog({
  title: ['Give up ', h('code', null, letter.id.slice(-8)), '?'], word: 'Drop it',
  parts: [h('p', null, h('b', null, said(letter.method, 20)), ' ', said(`${letter.host}${letter.target}`, 160)),
    h('p', null, 'It is closed as dropped and is never sent again.')],
  deed: async ({ reason, author }) => {
    await call(`${pathOf(letter)}/drop`, { reason, author, version: letter.version });
    return { at: 'q4', text: `${letter.id} is dropped.` };
  },
});

const resolveDialog = (letter) => dialog({
  title: ['What became of ', h('code', null, letter.id.slice(-8)), '?'], word: 'Close it',
  parts: [h('p', null, 'Only say what you have found out at ', said(letter.upstream, 60), ' itself.'),
    choice('as', 'executed', 'It took effect. Repetitions with its key get 200 and are not executed.', true),
    choice('as', 'not-executed', 'It did not. The next request with its key is executed.')],
  deed: async ({ reason, author, as }) => {
    await call(`${pathOf(letter)}/resolve`, { as, reason, author, version: letter.version });
    return { at: 'q4', text: `${letter.id} is resolved as ${as.replace('-', ' ')}.` };
  },
});
