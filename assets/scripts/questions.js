// The question set's keys and buttons: what is pressed goes to the server, which draws what is there then.
// It must not know what a kind means.

const KINDS = {Digit1: 0, Digit2: 1, Digit3: 2, Digit4: 3, Digit5: 4};
let here = null;

const visible = () => element.getClientRects().length > 0;
const rows = () => [...element.querySelectorAll('li[data-question]')];
const row = () => rows().find((found) => found.dataset.question === here);
const inText = (target) => target.isContentEditable || target.matches?.('input, textarea, select');

const mark = (wanted, move = true) => {
  if (!wanted) return;
  rows().forEach((found) => found.toggleAttribute('data-here', found === wanted));
  here = wanted.dataset.question;
  if (move) wanted.scrollIntoView({block: 'nearest'});
};

// A redraw keeps the place: the same question, or the first that is open.
const settle = () => mark(row() ?? rows().find((found) => 'open' in found.dataset) ?? rows()[0], false);

const step = (by) => {
  const all = rows();
  mark(all[all.indexOf(row()) + by]);
};

const decide = (question, act, kind = '') => {
  const found = rows().find((other) => other.dataset.question === question);
  const fact = found.querySelector('input[name="fact"]').value;
  const all = rows();
  // The next question is marked at once; the answer comes while it is being read.
  if (act === 'confirm') {
    const next = all.slice(all.indexOf(found) + 1).find((other) => 'open' in other.dataset);
    if (next) mark(next);
  }
  trigger('select', {act, question: Number(question), kind, fact});
};

element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  const found = event.target.closest('li[data-question]');
  if (found) mark(found, false);
  if (!button) return;
  const {page, act, kind} = button.dataset;
  if (page) trigger('click', {page: Number(page)});
  else if (found) decide(found.dataset.question, act, kind ?? '');
});

const onKey = (event) => {
  if (!element.isConnected) return document.removeEventListener('keydown', onKey);
  if (!visible() || event.isComposing || event.keyCode === 229) return;
  if (event.target.matches?.('input[name="fact"]') && event.code === 'Enter') {
    event.preventDefault();
    event.target.blur();
    return decide(event.target.closest('li').dataset.question, 'confirm');
  }
  if (event.ctrlKey || event.metaKey || event.altKey || inText(event.target) || !row()) return;
  if (event.code === 'KeyJ' || event.code === 'ArrowDown') step(1);
  else if (event.code === 'KeyK' || event.code === 'ArrowUp') step(-1);
  else if (event.code === 'KeyA' && !event.repeat) decide(here, 'confirm');
  else if (event.code === 'KeyU' && !event.repeat) decide(here, 'reopen');
  else if (event.code === 'KeyF') row().querySelector('input[name="fact"]').select();
  else if (event.code in KINDS && !event.repeat) {
    decide(here, 'confirm', row().querySelectorAll('button[data-kind]')[KINDS[event.code]].dataset.kind);
  } else return;
  event.preventDefault();
};
document.addEventListener('keydown', onKey);
watch('value', settle);
settle();
