// A tree of plain values becomes the page. Text only ever becomes text nodes, so nothing foreign is parsed as markup;
// the policy `require-trusted-types-for` makes the browser refuse any other way.

const SVG = 'http://www.w3.org/2000/svg';
const $ = (id) => document.getElementById(id);

const h = (tag, props, ...kids) => ({
  tag,
  props: props ?? {},
  kids: kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false && kid !== ''),
});

/** Foreign text, kept from rearranging its neighbours. */
const said = (text, max) => h('bdi', null, plain(text, max));

/** A moment as an age, with UTC and local time on hover. */
const since = (iso, seconds, say = ago) => h('time', { datetime: plain(iso, 40), title: moment(iso) }, say(seconds));

const create = (tag) => (tag === 'svg' || tag === 'path' ? document.createElementNS(SVG, tag) : document.createElement(tag));

function give(node, props) {
  const before = node.given ?? {};
  for (const name of Object.keys(before)) {
    if (!(name in props)) give1(node, name, null);
  }
  for (const [name, value] of Object.entries(props)) {
    if (before[name] !== value) give1(node, name, value);
  }
  node.given = props;
}

function give1(node, name, value) {
  if (name === 'key') node.key = value;
  else if (name.endsWith('%')) node.style[name.slice(0, -1)] = value === null ? '' : `${value}%`;
  else if (name.startsWith('on')) node[name] = value;
  else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? '' : value);
}

/** Makes the children of `parent` be `kids`. Elements stay where they can: focus, selection and `open` survive. */
function patch(parent, kids) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.key !== undefined) keyed.set(node.key, node);
  let at = parent.firstChild;
  for (const kid of kids) {
    let node;
    if (typeof kid === 'object') {
      const { key } = kid.props;
      const old = key === undefined ? at : keyed.get(key);
      const fits = old && old.localName === kid.tag && old.key === key;
      node = fits ? old : create(kid.tag);
      // A key names one element: whoever repeats it gets an element of its own.
      if (fits) keyed.delete(key);
      give(node, kid.props);
      patch(node, kid.kids);
    } else {
      node = at?.nodeType === 3 ? at : document.createTextNode('');
      if (node.data !== String(kid)) node.data = kid;
    }
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** As `patch`, and whoever had the focus keeps it even if its row has moved. */
function fill(parent, ...kids) {
  const focused = document.activeElement;
  patch(parent, h('', null, kids).kids);
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

/** Opens and closes what is below a row; which ones are open is remembered here. */
const opened = new Set();
function toggle(key) {
  if (!opened.delete(key)) opened.add(key);
  render();
}

/** The control at the head of a row: a button, so that keys and screen readers have something to hold. */
const opener = (key, ...label) => button(label, (event) => { event.stopPropagation(); toggle(key); },
  { class: 'opener', 'data-row': key, 'aria-expanded': String(opened.has(key)) });

const badge = (tone, ...text) => h('span', { class: `badge ${tone}` }, text);
const soft = (...kids) => h('span', { class: 'soft' }, kids);
const aside = (...kids) => h('p', { class: 'soft' }, kids);
const td = (...kids) => h('td', null, kids);
const words = (...kids) => h('td', { class: 'text' }, kids);
const button = (label, act, more) => h('button', { type: 'button', onclick: act, ...more }, label);
const headed = (...names) => h('thead', null, h('tr', null, names.map((name) =>
  h('th', { scope: 'col', class: name.startsWith('<') ? 'text' : '' }, name.replace('<', '')))));
/** A table that scrolls by itself where the screen is narrow. */
const table = (names, rows) => h('div', { class: 'wide' }, h('table', { class: 'rows' }, headed(...names), h('tbody', null, rows)));
const dl = (pairs) => h('dl', null, pairs.map(([name, value]) => [h('dt', null, name), h('dd', null, value)]));
