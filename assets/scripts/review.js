// The review queue in the browser: keys, cursor and editors. The server draws every sheet and makes every decision.
// Keys go by event.code, so that an input method changes nothing; in a text field only the editor's own two act.
const KEYS = {
  KeyA: 'accept', 'Shift+KeyA': 'accept_all', KeyR: 'reject', KeyU: 'undo', KeyE: 'edit', KeyF: 'fact',
  KeyJ: 'down', KeyK: 'up', ArrowDown: 'below', ArrowUp: 'above', ArrowRight: 'down', ArrowLeft: 'up',
  KeyN: 'next', KeyP: 'previous',
};
const MOVES = ['down', 'up', 'below', 'above'];
// What was pressed for a sheet that is gone must not decide on one that nobody has seen.
const OUTLIVES_SHEET = ['undo', 'next', 'previous'];
const MOST_WAITING = 8;

const page = (window.sessionStorage['oboe-page'] ||= `${Date.now()}-${Math.random()}`);
let cursor = 0;
let editing = null;  // {form, example, expected, typed}: what the open editor is about
let busy = false;
let waiting = [];
let stale = true;
let changed = false;
let answers = 0;

const part = (name) => element.querySelector(`[data-part="${name}"]`);
const sheet = () => element.querySelector('.oboe-sheet');
const cells = () => [...element.querySelectorAll('[data-example]')];
const cell = () => element.querySelector(`[data-example="${cursor}"]`);
const template = () => element.querySelector(`template[data-detail="${cursor}"]`).content;
const visible = () => element.getClientRects().length > 0;

const say = (sentence, tone = '') => {
  const told = part('told');
  if (!told) return;
  told.textContent = sentence;
  told.className = `oboe-told ${tone}`;
};

const point = (example) => {
  const before = cell();
  if (before) { before.removeAttribute('aria-current'); before.closest('li').removeAttribute('data-here'); }
  cursor = Number(example);
  const now = cell();
  now.setAttribute('aria-current', 'true');
  now.closest('li').setAttribute('data-here', '');
  now.closest('li').scrollIntoView({block: 'nearest'});
  part('detail').replaceChildren(template().cloneNode(true));
  part('detail').scrollTop = 0;
};

const move = (how) => {
  const all = cells();
  const place = all.indexOf(cell());
  if (how === 'down' || how === 'up') {
    const next = all[place + (how === 'down' ? 1 : -1)];
    return next && point(next.dataset.example);
  }
  const lines = [...element.querySelectorAll('.oboe-sheet li')];
  const here = cell().closest('li');
  const line = lines[lines.indexOf(here) + (how === 'below' ? 1 : -1)];
  if (!line) return;
  const column = cell().dataset.column;
  point((line.querySelector(`[data-column="${column}"]`) || line.querySelector('[data-example]')).dataset.example);
};

const draw = (reply) => {
  if (reply.frame) { element.innerHTML = reply.frame; editing = null; }
  if (reply.sheet === undefined) return;
  const before = sheet()?.dataset.fact;
  part('sheet').innerHTML = reply.sheet;
  const now = sheet()?.dataset.fact;
  element.firstElementChild.classList.toggle('oboe-nothing', !now);
  if (now !== before) {
    waiting = waiting.filter((action) => OUTLIVES_SHEET.includes(action));
    if (before && element.getBoundingClientRect().top < 0) element.scrollIntoView({block: 'start'});
  }
  if (now) point(sheet().dataset.cursor);
};

const ask = async (wish) => {
  if (!window.oboe) return null;
  busy = true;
  const asked = {page, ...window.oboe, fact: Number(sheet()?.dataset.fact || 0), example: cursor, ...wish};
  const reply = await server.review({...asked, framed: Boolean(part('sheet'))}).catch(() => null);
  busy = false;
  if (!reply) {
    waiting = [];
    say(part('told')?.dataset.failed || '', 'failed');
    return null;
  }
  changed ||= reply.changed;
  draw(reply);
  say(reply.told, reply.tone);
  if (part('sheet')) part('sheet').dataset.drawn = String(++answers);  // for whoever waits for a key's answer
  return reply;
};

const seen = (chosen) => Object.fromEntries(chosen.map((one) => [one.dataset.example, one.dataset.seen]));

const openEditor = (name) => {
  const form = part(name);
  const values = name === 'fact'
    ? JSON.parse(sheet().dataset.fields)
    : Object.fromEntries([...template().querySelectorAll('[data-text]')].map((t) => [t.dataset.text, t.textContent]));
  for (const [field, value] of Object.entries(values)) form.elements[field].value = value;
  if (name === 'example') {
    const alike = template().querySelector('[data-alike]').textContent;
    form.querySelector('.oboe-alike').hidden = !alike;
    form.querySelector('.oboe-alike span').textContent = alike;
    form.elements.everywhere.checked = Boolean(alike);
  }
  const expected = name === 'fact' ? sheet().dataset.said : cell().dataset.changed;
  editing = {form, example: cursor, expected, before: typed(form)};
  element.firstElementChild.classList.add('oboe-editing');
  form.hidden = false;
  part('detail').hidden = true;
  const first = form.elements[name === 'fact' ? 'subject' : 'question'];
  first.focus({preventScroll: true});
  first.setSelectionRange(first.value.length, first.value.length);
};

const typed = (form) => JSON.stringify(Object.fromEntries(new FormData(form)));

const closeEditor = () => {
  editing.form.hidden = true;
  part('detail').hidden = false;
  const conflict = editing.form.querySelector('[data-part="conflict"]');
  if (conflict) conflict.innerHTML = '';
  document.activeElement?.blur();
  editing = null;
  element.firstElementChild.classList.remove('oboe-editing');
  if (stale) refresh();
};

const cancel = () => {
  if (typed(editing.form) === editing.before || editing.warned) { say(''); return closeEditor(); }
  editing.warned = true;
  say(editing.form.dataset.unsaved, 'warning');
};

const save = async () => {
  if (busy) return;
  const {form, example, expected} = editing;
  const values = Object.fromEntries(new FormData(form));
  const reply = await ask({act: form.dataset.part === 'fact' ? 'save_fact' : 'save', example, expected, values});
  if (!reply || !editing) return;
  editing.warned = false;
  if (reply.conflict) {
    form.querySelector('[data-part="conflict"]').innerHTML = reply.conflict;
    editing.expected = reply.expected;
  } else if (!reply.refused) {
    closeEditor();
  }
};

const perform = async (action) => {
  if (MOVES.includes(action)) return move(action);
  if (action === 'edit') return openEditor('example');
  if (action === 'fact') return openEditor('fact');
  const wish = {act: action};
  if (action === 'accept' || action === 'reject') wish.seen = seen([cell()]);
  if (action === 'accept_all') {
    const undecided = cells().filter((one) => one.dataset.status === 'pending');
    if (!undecided.length) return;
    wish.seen = seen(undecided);
  }
  await ask(wish);
};

const press = async (action) => {
  if (editing || !sheet()) return;
  if (busy) { if (waiting.length < MOST_WAITING) waiting.push(action); return; }
  await perform(action);
  while (waiting.length && !busy && !editing && sheet()) await perform(waiting.shift());
};

const refresh = () => {
  if (!visible() || editing || busy) { stale = true; return; }
  stale = false;
  ask({act: 'open'});
};

const inText = (target) => target.isContentEditable || target.matches?.('input, textarea, select');

const onKey = (event) => {
  if (!element.isConnected) return document.removeEventListener('keydown', onKey);
  if (!visible() || event.isComposing) return;
  if (editing && editing.form.contains(event.target)) {
    if (event.keyCode === 229) return;  // Enter and Escape belong to the input method until it is done
    if (event.code === 'Escape') { event.preventDefault(); cancel(); }
    if (event.code === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || inText(event.target)) return;
  const action = KEYS[(event.shiftKey ? 'Shift+' : '') + event.code];
  if (!action || !sheet()) return;
  event.preventDefault();
  if (!element.contains(document.activeElement)) element.focus({preventScroll: true});
  // A key that is held down moves on, and decides once.
  if (!event.repeat || MOVES.includes(action)) press(action);
};
document.addEventListener('keydown', onKey);
element.tabIndex = -1;

element.addEventListener('click', (event) => {
  const button = event.target.closest('button') || event.target.closest('.oboe-sheet li')?.querySelector('[data-example]');
  if (!button || window.getSelection().toString()) return;
  if (button.dataset.section) trigger('away', {section: button.dataset.section});
  else if (button.dataset.example) { if (!editing && !busy) point(button.dataset.example); }
  else if (button.dataset.action) press(button.dataset.action);
  else if (button.dataset.editor === 'save') save();
  else if (button.dataset.editor === 'cancel') cancel();
});
element.addEventListener('submit', (event) => event.preventDefault());

const onChanged = () => {
  if (!element.isConnected) return window.removeEventListener('oboe-changed', onChanged);
  refresh();
};
window.addEventListener('oboe-changed', onChanged);

// Whoever leaves the queue takes the changes along to the other views; nobody pays for them at every key.
new IntersectionObserver(() => {
  if (visible()) { if (stale) refresh(); }
  else if (changed) { changed = false; trigger('left', {}); }
}).observe(element);
