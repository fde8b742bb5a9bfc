// Draws everything after each look, and listens to keys.

const TITLES = ['What changed?', 'Which dependency?', 'Is this retry helping?', 'Can we repair?'];
TITLES.forEach((title, i) => {
  const part = document.createElement('section');
  part.id = `q${i + 1}`;
  part.tabIndex = -1;
  part.setAttribute('aria-label', title);
  patch(part, [h('h2', null, h('kbd', null, i + 1), ' ', title), h('div', { class: 'body' }), h('p', { class: 'note', role: 'status' })]);
  $('main').append(part);
});
const body = (id) => $(id).querySelector('.body');

/** Whether a row fits what was typed into the filter. */
const matches = (...words) => !state.filter || words.some((word) => String(word ?? '').toLowerCase().includes(state.filter));

function note() {
  for (const id of ['q2', 'q4']) {
    const line = $(id).querySelector('.note');
    const text = state.note?.at === id ? plain(state.note.text, 600) : '';
    if (line.textContent !== text) line.textContent = text;
  }
}

function render() {
  const { status } = state;
  head(status);
  if (!status) return;
  for (const draw of [verdict, story, changes, dependencies, retries, letters, note]) {
    // One answer in a shape that this page does not know must not blank the others.
    try {
      draw(status);
    } catch (error) {
      console.warn(`outrigger page: ${draw.name}: ${error.message}`);
    }
  }
}

const KEYS = [
  ['1 2 3 4', 'the four questions'], ['0', 'the verdict'], ['j k', 'next row, row before'], ['Enter', 'open or close the row'],
  ['/', 'filter; a trace id and Enter tells that request'], ['r', 'ask now'], ['t', 'dark or light'], ['Esc', 'close, or clear the filter'],
];
function help() {
  fill($('dialog'), h('form', { method: 'dialog' }, h('h2', { id: 'dialog-title' }, 'Keys'),
    dl(KEYS.map(([keys, what]) => [keys.split(' ').map((key) => [h('kbd', null, key), ' ']), what])),
    h('div', { class: 'deeds' }, h('button', { class: 'deed' }, 'Close'))));
  if (!$('dialog').open) $('dialog').showModal();
}

function theme(choice) {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const root = document.documentElement.dataset;
  if (choice) root.theme = choice;
  else {
    root.theme = (root.theme ?? (dark ? 'dark' : 'light')) === 'dark' ? 'light' : 'dark';
    kept('outrigger-theme', root.theme);
  }
}

function step(by) {
  const rows = [...document.querySelectorAll('main [data-row]')];
  if (rows.length === 0) return;
  const at = rows.indexOf(document.activeElement);
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}

function jump(id) {
  $(id).scrollIntoView({ block: 'start' });
  $(id).focus({ preventScroll: true });
}

function leave() {
  if (state.filter || $('search').value) {
    $('search').value = '';
    state.filter = '';
  } else if (state.story) state.story = null;
  else opened.clear();
  $('search').blur();
  render();
}

document.addEventListener('keydown', (event) => {
  // An open dialog closes itself by Escape.
  if (event.ctrlKey || event.metaKey || event.altKey || $('dialog').open) return;
  const writes = event.target.matches?.('input, textarea, select');
  const { key } = event;
  if (key === 'Escape') leave();
  else if (writes) return;
  else if (key === 'j' || key === 'k') step(key === 'j' ? 1 : -1);
  else if (key >= '1' && key <= '4') jump(`q${key}`);
  else if (key === '0') jump('verdict');
  else if (key === '/') $('search').focus();
  else if (key === 'r') look(true);
  else if (key === 't') theme();
  else if (key === '?') help();
  else return;
  event.preventDefault();
});

$('search').addEventListener('input', () => {
  state.filter = $('search').value.trim().toLowerCase();
  render();
});
$('search').addEventListener('keydown', (event) => {
  // A bare trace id, or a whole traceparent.
  const trace = /^(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-|$)/.exec($('search').value.trim().toLowerCase());
  if (event.key !== 'Enter' || !trace) return;
  $('search').value = '';
  state.filter = '';
  tell(trace[1]);
});
$('theme').addEventListener('click', () => theme());
$('keys').addEventListener('click', help);
document.addEventListener('visibilitychange', () => look(true));

const remembered = kept('outrigger-theme');
if (remembered === 'dark' || remembered === 'light') theme(remembered);
setInterval(() => { if (!document.hidden) render(); }, EVERY);
look(true);
