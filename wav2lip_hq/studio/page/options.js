// Presets and options: the form is made from what the studio says there is, and only what was changed is sent.

import { $, make } from './api.js';

let offered = null;
const changed = new Map();

const label = (name) => name.replaceAll('_', ' ');

function typed(field, input) {
  if (field.shape === 'switch') return input.checked;
  const text = input.value.trim();
  if (text === '') return field.default;
  if (field.shape === 'number' || field.shape === 'integer') return Number(text);
  return text;
}

function input(field) {
  const value = field.default ?? '';
  if (field.shape === 'switch') return make('input', { type: 'checkbox', checked: field.default === true });
  if (field.shape === 'choice') {
    const choices = field.optional ? ['', ...field.choices] : field.choices;
    return make('select', {}, ...choices.map((c) => make('option', { value: c, selected: c === value }, String(c) || 'by itself')));
  }
  if (field.shape === 'text') return make('input', { value, maxLength: 200, placeholder: field.default === null ? 'by itself' : '' });
  const facts = { type: 'number', step: field.shape === 'integer' ? 1 : 'any', value, placeholder: field.default === null ? 'by itself' : '' };
  if (field.low !== null) facts.min = field.low;
  if (field.high !== null) facts.max = field.high;
  return make('input', facts);
}

function row(field, name) {
  const control = input(field);
  control.name = name;
  const line = make('label', { className: 'option' }, make('span', {}, label(field.name), field.unit ? ` (${field.unit})` : ''), control,
    make('small', {}, field.help));
  control.addEventListener('change', () => {
    if (!control.checkValidity()) { control.reportValidity(); return; }
    const value = typed(field, control);
    if (value === field.default || (value === '' && field.default === null)) changed.delete(name); else changed.set(name, value);
    line.classList.toggle('changed', changed.has(name));
    $('changed').textContent = changed.size ? `${changed.size} changed` : '';
  });
  return line;
}

function preset() { return offered.presets.find((p) => p.name === $('preset').value); }

function draw() {
  const chosen = preset();
  changed.clear();
  $('changed').textContent = '';
  $('preset-about').textContent = chosen.about + (chosen.missing.length ? ` Not ready: the weights ${chosen.missing.join(', ')} are not installed.` : '');
  const parts = [make('h3', {}, 'The video'), ...offered.run.map((f) => row(f, f.name))];
  for (const stage of chosen.stages) {
    parts.push(make('details', {}, make('summary', {}, `${stage.name}: ${stage.about}`), ...stage.fields.map((f) => row(f, `${stage.name}.${f.name}`))));
  }
  $('options').replaceChildren(...parts);
}

function codecs() {
  const there = offered.formats[$('format').value];
  $('codec').replaceChildren(...there.map((c) => make('option', { value: c }, c)));
}

export function setUp(found) {
  offered = found;
  $('preset').replaceChildren(...found.presets.map((p) => make('option', { value: p.name }, p.missing.length ? `${p.name} (not ready)` : p.name)));
  $('format').replaceChildren(...Object.keys(found.formats).map((f) => make('option', { value: f }, f)));
  $('preset').addEventListener('change', draw);
  $('format').addEventListener('change', codecs);
  draw();
  codecs();
}

export function chosen() {
  const first = offered.formats[$('format').value][0];
  return {
    preset: $('preset').value,
    format: $('format').value,
    codec: $('codec').value === first ? '' : $('codec').value,
    options: Object.fromEntries(changed),
  };
}
