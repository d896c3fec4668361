// The faces of the footage: looked for in the background, shown, picked.

import { $, Problem, get, make, post, show } from './api.js';

const AUTOMATIC = 120; // seconds of footage that are looked at without being asked

let current = null;
let choice = 'largest';

export const picked = () => choice;

function pick(value, text, picture, checked) {
  const radio = make('input', { type: 'radio', name: 'speaker', checked, onchange: () => { choice = value; } });
  return make('label', { className: picture ? 'pick' : 'pick word' }, radio, picture ? make('img', { src: picture, alt: '' }) : null, text);
}

function drawn(file, found) {
  const box = $('faces');
  if (found.status === 'running') {
    const bar = make('progress', {});
    if (found.total) { bar.max = found.total; bar.value = found.done; }
    box.replaceChildren(make('small', {}, `Looking for faces${found.total ? `: frame ${found.done} of ${found.total}` : ''}`), bar);
  } else if (found.status === 'failed') {
    box.replaceChildren(make('p', { className: 'problem', role: 'alert' }, found.message));
  } else if (!found.faces.length) {
    box.replaceChildren(make('p', { className: 'problem', role: 'alert' }, `No face was found in ${file.name}.`));
  } else {
    const views = found.faces.filter((f) => f.picture).slice(0, 24);
    const words = [];
    if (found.faces.length > 1) {
      words.push(pick('largest', 'the largest', '', choice === 'largest'));
      if (file.sound) words.push(pick('speaker', 'who speaks in the footage', '', choice === 'speaker'));
      words.push(pick('all', 'everybody', '', choice === 'all'));
    }
    const one = found.faces.length === 1;
    const picks = views.map((f) => pick(one ? 'largest' : f.face, one ? 'speaks' : `${f.from.toFixed(1)} to ${f.to.toFixed(1)} s`,
      `/api/files/${file.id}/faces/${f.face}`, choice === (one ? 'largest' : f.face)));
    box.replaceChildren(make('b', {}, one ? 'One face was found' : `${found.faces.length} faces were found: who is to speak?`),
      make('div', { className: 'picks' }, ...words, ...picks));
  }
  show(box);
}

export async function lookAt(file, preset) {
  current = file;
  choice = 'largest';
  show($('faces'), false);
  if (!file) return;
  if ((file.seconds || 0) > AUTOMATIC && (await get(`/files/${file.id}/faces`)).status === 'none') {
    $('faces').replaceChildren(make('button', { type: 'button', onclick: () => watch(file, preset) }, 'Show the faces and choose'));
    show($('faces'));
    return;
  }
  await watch(file, preset);
}

async function watch(file, preset) {
  try {
    let found = await post(`/files/${file.id}/faces`, { preset });
    while (current === file) {
      drawn(file, found);
      if (found.status !== 'running') return;
      await new Promise((done) => setTimeout(done, 500));
      found = await get(`/files/${file.id}/faces`);
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (current === file) drawn(file, { status: 'failed', message: error.message });
  }
}
