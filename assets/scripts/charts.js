// The charts of runs in the browser: what the server has measured and thinned is drawn, smoothed and looked at closely
// here. The server writes every word. A drag chooses steps, a double click shows all of them again.
const SIZE = {tall: 216, low: 136, left: 50, right: 12, top: 10, bottom: 22};
const SVG = 'http://www.w3.org/2000/svg';
const SHORTEST_DRAG = 6;
const WHEEL_WAIT_MS = 150;
const REDRAW_MS = 3000;

let data = null;
let range = null;  // [first, last] step; null shows all
let byTag = '';
let log = false;
let smoothing = Number(window.localStorage.getItem('oboe-smoothing') ?? 30);
let asked = 0;  // an answer that another question has overtaken is dropped
let waiting = 0;
let frame = null;
const figures = new Map();

const make = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const shape = (name, attributes, content = '') => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = content;
  return made;
};

const whole = (number) => Math.round(number).toLocaleString(data.language);
const figure = (value) => {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1000) return whole(value);
  return size < 0.01 ? value.toExponential(1).replace('.0', '') : String(Number(value.toPrecision(3)));
};

const span = () => range || [0, Math.max(data.whole, 1)];

const refresh = async () => {
  const shown = props.value ? JSON.parse(props.value) : null;
  const number = ++asked;
  if (!shown) {
    data = frame = null;
    figures.clear();
    element.replaceChildren();
    return;
  }
  const [first, last] = range || [null, null];
  const reply = await server.figures({runs: shown.runs, first, last, by_tag: byTag || null}).catch(() => null);
  if (!reply || number !== asked) return;
  data = reply;
  draw();
  tell();
};

const look = (next, wait = 0) => {
  range = next;
  draw();
  window.clearTimeout(waiting);
  waiting = window.setTimeout(refresh, wait);
};

// ---- the frame: tools above, charts below, the seldom needed ones folded; it is made once and stays

const build = () => {
  const {words, sets} = data;
  const slider = make('input', {type: 'range', min: 0, max: 100, value: smoothing, 'data-tool': 'smoothing'});
  const scale = make('input', {type: 'checkbox', 'data-tool': 'log'});
  const select = make('select', {'data-tool': 'by-tag'}, make('option', {value: ''}, words.by_set));
  for (const [name, title] of Object.entries(sets)) {
    select.append(make('option', {value: name}, title));
  }
  const all = make('button', {type: 'button', class: 'oboe-button', 'data-tool': 'whole', hidden: ''}, words.whole);
  slider.addEventListener('input', () => {
    smoothing = Number(slider.value);
    window.localStorage.setItem('oboe-smoothing', smoothing);
    draw();
  });
  scale.addEventListener('change', () => { log = scale.checked; draw(); });
  select.addEventListener('change', () => { byTag = select.value; refresh(); });
  all.addEventListener('click', () => look(null));
  const tools = make('div', {class: 'oboe-chart-tools'},
    make('label', {}, make('span', {}, words.smoothing), slider),
    make('label', {}, scale, make('span', {}, words.log_scale)),
    select, all, make('span', {class: 'oboe-muted'}, words.zoom_hint));
  const legend = make('div', {class: 'oboe-chart-legend runs'});
  const note = make('p', {class: 'oboe-muted'});
  const grid = make('div', {class: 'oboe-chart-grid'});
  const more = make('div', {class: 'oboe-chart-grid low'});
  const folded = make('details', {}, make('summary', {}, words.more), more);
  folded.addEventListener('toggle', draw);
  const said = make('details', {class: 'oboe-chart-answers'}, make('summary', {}, words.answers), make('div'));
  said.addEventListener('toggle', tell);
  const box = make('div', {class: 'oboe-charts'}, tools, legend, note, grid, folded, said);
  element.replaceChildren(box);
  frame = {box, tools, select, all, legend, note, grid, more, folded, said};
};

const draw = () => {
  if (!data) return;
  if (!frame?.box.isConnected) { figures.clear(); build(); }
  frame.tools.hidden = Boolean(data.nothing);
  frame.select.hidden = !data.charts.some((chart) => chart.share) && !byTag;
  frame.all.hidden = !range;
  frame.note.textContent = data.nothing || data.note;
  frame.legend.hidden = data.runs.length < 2;
  frame.legend.replaceChildren(...data.runs.map((run) => entry(run.name, run.tone, false)));
  frame.folded.hidden = !data.charts.some((chart) => chart.folded);
  const shown = data.charts.map((chart) => {
    const name = `${chart.key} ${chart.title}`;
    if (!figures.has(name)) figures.set(name, outline(chart));
    return Object.assign(figures.get(name), {name, chart});
  });
  settle(frame.grid, shown.filter((made) => !made.chart.folded));
  settle(frame.more, shown.filter((made) => made.chart.folded));
  for (const name of figures.keys()) if (!shown.some((made) => made.name === name)) figures.delete(name);
  // All widths are read before anything is drawn, or the browser would lay the page out once for each chart.
  shown.map((made) => [made, made.figure.clientWidth]).forEach(([made, width]) => paint(made, width));
  frame.box.dataset.drawn = String(Number(frame.box.dataset.drawn || 0) + 1);  // for whoever waits for a drawing
};

// What the last probe asked and heard, only while somebody reads it; the same again would lose the reader's place.
const tell = async () => {
  frame.said.hidden = !data.answers;
  const told = frame.said.lastChild;
  const run = JSON.parse(props.value).runs[0];
  if (!frame.said.open || !data.answers) return;
  const table = await server.answers(run).catch(() => told.dataset.table);
  if (told.dataset.table === table) return;
  told.dataset.table = table;
  told.innerHTML = table;
};

const settle = (grid, shown) => {
  const figures = shown.map((made) => made.figure);
  if (figures.some((one, place) => grid.children[place] !== one) || grid.children.length !== figures.length) {
    grid.replaceChildren(...figures);
  }
};

const entry = (label, tone, dashed) =>
  make('span', {}, make('i', {class: `t${tone}${dashed ? ' dashed' : ''}`}), label, ' ', make('b'));

const outline = (chart) => {
  const legend = make('div', {class: 'oboe-chart-legend'});
  const title = make('span', {class: 'oboe-chart-title'}, chart.title);
  const picture = shape('svg', {role: 'img', 'aria-label': chart.title});
  const made = {figure: make('figure', {'data-chart': chart.key}, title, legend, picture), legend, picture, chart};
  picture.addEventListener('pointerdown', (event) => press(made, event));
  picture.addEventListener('pointermove', (event) => { if (!made.drag) point(made, across(made, event)); });
  picture.addEventListener('pointerleave', () => point(made, null));
  picture.addEventListener('dblclick', () => look(null));
  picture.addEventListener('wheel', (event) => turn(made, event), {passive: false});
  return made;
};

// ---- one chart

const paint = (made, width) => {
  const {chart, picture} = made;
  if (!width) return;
  const height = chart.folded ? SIZE.low : SIZE.tall;
  picture.setAttribute('viewBox', `0 0 ${width} ${height}`);
  picture.setAttribute('height', height);
  const scale = scaleOf(chart, width, height);
  made.scale = scale;
  // A picture in the picture cuts the lines off at the axes, with room for half a point.
  const [from, inside] = [SIZE.left - 3, width - SIZE.left - SIZE.right + 6];
  const lines = shape('svg', {x: from, width: inside, height, viewBox: `${from} 0 ${inside} ${height}`});
  chart.lines.forEach((line) => lines.append(...lineOf(chart, line, scale)));
  made.mark = shape('line', {class: 'mark', y1: SIZE.top, y2: height - SIZE.bottom, visibility: 'hidden'});
  made.chosen = shape('rect', {class: 'chosen', y: SIZE.top, height: height - SIZE.top - SIZE.bottom, width: 0});
  picture.replaceChildren(...gridOf(chart, scale, width, height), lines, made.mark, made.chosen);
  made.legend.replaceChildren(...chart.lines.map((line) => entry(line.label, line.tone, line.dashed)));
  point(made, null);
};

const scaleOf = (chart, width, height) => {
  const [first, last] = span();
  const logarithmic = log && chart.log;
  const seen = [];
  for (const line of chart.lines) {
    line.x.forEach((step, place) => { if (step >= first && step <= last) seen.push(line.values[place]); });
  }
  const values = logarithmic ? seen.filter((value) => value > 0).map(Math.log10) : seen;
  let low = chart.share ? 0 : values.reduce((a, b) => Math.min(a, b), Infinity);
  let high = chart.share ? 100 : values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low > high) [low, high] = [0, 1];
  // Figures are shown from zero; a loss that is looked at closely fills its chart.
  if (!logarithmic && low > 0 && !(range && chart.log && low > 0.6 * high)) low = 0;
  if (low === high) [low, high] = logarithmic ? [low - 0.5, high + 0.5] : [Math.min(0, low), high || 1];
  const step = niceStep((high - low) / 4);
  const [bottom, top] = logarithmic
    ? [low - 0.03 * (high - low), high + 0.03 * (high - low)]
    : [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
  const down = (value) => SIZE.top + (height - SIZE.top - SIZE.bottom) * (1 - (value - bottom) / (top - bottom));
  return {
    logarithmic, bottom, top, step,
    x: (at) => SIZE.left + ((width - SIZE.left - SIZE.right) * (at - first)) / Math.max(last - first, 1e-9),
    at: (x) => first + ((x - SIZE.left) / (width - SIZE.left - SIZE.right)) * (last - first),
    y: (value) => down(Math.min(top, Math.max(bottom, logarithmic ? Math.log10(Math.max(value, 1e-30)) : value))),
  };
};

const niceStep = (rough) => {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 2.5, 5, 10].find((factor) => rough <= factor * power * (1 + 1e-9));
};

const ticksOf = ({logarithmic, bottom, top, step}) => {
  const ticks = [];
  if (!logarithmic || top - bottom < 0.5) {
    const [low, high] = logarithmic ? [10 ** bottom, 10 ** top] : [bottom, top];
    const even = logarithmic ? niceStep((high - low) / 4) : step;
    for (let value = Math.ceil(low / even - 1e-9) * even; value <= high + even / 1e6; value += even) ticks.push(value);
    return ticks;
  }
  const factors = top - bottom > 3 ? [1] : top - bottom > 1 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  for (let power = Math.floor(bottom); power <= top; power++) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (Math.log10(value) >= bottom && Math.log10(value) <= top) ticks.push(value);
    }
  }
  return ticks;
};

const gridOf = (chart, scale, width, height) => {
  const parts = [];
  for (const value of ticksOf(scale)) {
    const y = scale.y(value).toFixed(1);
    parts.push(shape('line', {x1: SIZE.left, x2: width - SIZE.right, y1: y, y2: y}));
    parts.push(shape('text', {class: 'y', x: SIZE.left - 7, y: Number(y) + 4}, chart.share ? `${value} %` : figure(value)));
  }
  const [first, last] = span();
  const step = Math.max(1, niceStep((last - first) / Math.max(2, Math.floor(width / 110))));
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) {
    const x = scale.x(at);
    if (x < width - 24) parts.push(shape('text', {class: 'x', x: x.toFixed(1), y: height - 6}, whole(at)));
  }
  return parts;
};

const lineOf = (chart, line, scale) => {
  const classes = `t${line.tone}${line.dashed ? ' dashed' : ''}`;
  const [first, last] = span();
  // One point more on each side, so that the line reaches the border.
  const from = Math.max(0, line.x.findIndex((step) => step >= first) - 1);
  const beyond = line.x.findIndex((step) => step > last);
  const to = beyond < 0 ? line.x.length : beyond + 1;
  const places = (values) => line.x.slice(from, to).map((step, place) =>
    `${scale.x(step).toFixed(1)},${scale.y(values[from + place]).toFixed(1)}`);
  if (chart.share) {
    return [shape('polyline', {class: classes, points: places(line.values).join(' ')}),
      ...places(line.values).map((place) => {
        const [x, y] = place.split(',');
        return shape('circle', {class: classes, cx: x, cy: y, r: 2.5});
      })];
  }
  const parts = [];
  if (line.low.length) {
    const band = [...places(line.high), ...places(line.low).reverse()];
    parts.push(shape('polygon', {class: classes, points: band.join(' ')}));
  }
  const reach = Math.round((line.values.length * smoothing) / 800);
  const smooth = reach && !line.dashed ? smoothed(line.values, reach) : line.values;
  if (smooth !== line.values) parts.push(shape('polyline', {class: `${classes} raw`, points: places(line.values).join(' ')}));
  parts.push(shape('polyline', {class: classes, points: places(smooth).join(' ')}));
  return parts;
};

// The mean of each point's neighbours on both sides, so that the line does not lag behind.
const smoothed = (values, reach) => {
  const sums = [0];
  for (const value of values) sums.push(sums[sums.length - 1] + value);
  return values.map((_, place) => {
    const near = Math.min(reach, place, values.length - 1 - place);
    return (sums[place + near + 1] - sums[place - near]) / (2 * near + 1);
  });
};

// ---- the hand: the legend says the values under it, a drag chooses steps

const point = (made, x) => {
  const {chart, legend, mark, scale} = made;
  if (!scale) return;
  const inside = x !== null && x >= SIZE.left;
  mark.setAttribute('visibility', inside ? 'visible' : 'hidden');
  let step = null;
  chart.lines.forEach((line, number) => {
    const place = inside ? nearest(line.x, scale.at(x)) : line.x.length - 1;
    if (inside && number === 0) step = line.x[place];
    const value = line.values[place];
    const score = () => `${figure(value)} % (${line.told[place]})`;
    legend.children[number].lastChild.textContent = chart.share ? score() : figure(value);
  });
  if (step === null) { mark.setAttribute('visibility', 'hidden'); delete legend.dataset.step; return; }
  mark.setAttribute('x1', scale.x(step));
  mark.setAttribute('x2', scale.x(step));
  legend.dataset.step = `${data.words.step} ${whole(step)}`;
};

const nearest = (steps, wanted) => {
  const place = steps.findIndex((step) => step >= wanted);
  if (place < 0) return steps.length - 1;
  return place > 0 && wanted - steps[place - 1] < steps[place] - wanted ? place - 1 : place;
};

// Where in a picture the pointer is; offsetX would tell it from whatever lies under the pointer.
const across = (made, event) => event.clientX - made.picture.getBoundingClientRect().left;

const press = (made, event) => {
  const {picture, scale} = made;
  const start = across(made, event);
  if (event.button !== 0 || start < SIZE.left || !scale) return;
  made.drag = true;
  picture.setPointerCapture(event.pointerId);
  const move = (next) => {
    made.chosen.setAttribute('x', Math.min(start, across(made, next)));
    made.chosen.setAttribute('width', Math.abs(across(made, next) - start));
  };
  const end = (last) => {
    made.drag = false;
    picture.removeEventListener('pointermove', move);
    for (const name of ['pointerup', 'pointercancel']) picture.removeEventListener(name, end);
    made.chosen.setAttribute('width', 0);
    const stop = across(made, last);
    if (last.type === 'pointercancel' || Math.abs(stop - start) < SHORTEST_DRAG) return;
    look(within(scale.at(Math.min(start, stop)), scale.at(Math.max(start, stop))));
  };
  picture.addEventListener('pointermove', move);
  for (const name of ['pointerup', 'pointercancel']) picture.addEventListener(name, end);
};

// With the control key, so that a wheel over a chart still scrolls the page.
const turn = (made, event) => {
  if (!(event.ctrlKey || event.metaKey) || !made.scale) return;
  event.preventDefault();
  const [first, last] = span();
  const here = made.scale.at(across(made, event));
  const factor = event.deltaY < 0 ? 0.8 : 1.25;
  look(within(here - (here - first) * factor, here + (last - here) * factor), WHEEL_WAIT_MS);
};

const within = (first, last) => {
  const [least, most] = [0, Math.max(data.whole, 1)];
  const [from, to] = [Math.max(least, Math.floor(first)), Math.min(most, Math.ceil(last))];
  return from <= least && to >= most ? null : [from, Math.max(to, from + 1)];
};

let runs = '';
let redraw = null;
watch('value', () => {
  const shown = props.value ? JSON.parse(props.value).runs.join(' ') : '';
  if (shown !== runs) {
    range = null;
    runs = shown;
    return refresh();
  }
  // To draw all charts anew for every step would take a training machine's own processor from it.
  redraw ??= setTimeout(() => { redraw = null; refresh(); }, REDRAW_MS);
});
new ResizeObserver(draw).observe(element);
refresh();
