// Faces that are kept with a note of consent, to be used again.

import { $, get, length, make, post, remove, show } from './api.js';

function card(one, act, use) {
  const where = `/avatars/${encodeURIComponent(one.name)}`;
  const facts = [one.kind, one.size[0] ? `${one.size[0]} x ${one.size[1]}` : '', one.seconds ? length(one.seconds) : ''].filter(Boolean).join(', ');
  const image = make('img', { src: `/api${where}/poster`, alt: '', loading: 'lazy' });
  image.addEventListener('error', () => image.replaceWith(make('div', { className: 'blank' })));
  const buttons = [make('button', { type: 'button', className: 'quiet', onclick: () => act(() => remove(where)) }, 'Remove')];
  if (!one.problem) buttons.unshift(make('button', { type: 'button', onclick: () => act(() => use(where)) }, 'Use'));
  return make('article', { className: 'card video' }, image, make('div', {}, make('h3', {}, one.name), make('small', {}, facts),
    make('p', one.problem ? { className: 'problem' } : {}, one.problem || one.said), make('div', { className: 'actions' }, ...buttons)));
}

// act: does something and draws the page anew; use: puts a face into the form.
export async function avatars(act, use) {
  const [there, files] = await Promise.all([get('/avatars'), get('/files')]);
  const faces = files.filter((f) => f.kind !== 'sound');
  $('avatar-file').replaceChildren(...faces.map((f) => make('option', { value: f.id }, f.name)));
  show($('avatar-form'), faces.length > 0);
  show($('avatar-none'), faces.length === 0);
  const drawn = there.map((one) => card(one, act, use));
  $('avatar-list').replaceChildren(...(drawn.length ? drawn : [make('p', { className: 'card' }, 'No face is kept yet.')]));
}

export const keep = () => post('/avatars', { name: $('avatar-name').value.trim(), file: $('avatar-file').value, consent: $('avatar-consent').value });
