// The videos that were asked for: how far they are, and what can be done with them.

import { $, get, length, make, post, remove, show, size } from './api.js';
import { player } from './player.js';

const STATES = { pending: 'waiting', running: 'being made', done: 'done', failed: 'failed', canceled: 'canceled' };
export const ended = (dub) => ['done', 'failed', 'canceled'].includes(dub.status);

export function progress(dub) {
  const bar = make('progress', { max: 1 });
  let text = STATES[dub.status];
  if (dub.status === 'running' && dub.total && dub.frames) {
    bar.value = dub.frames / dub.total;
    text = `frame ${dub.frames} of ${dub.total}`;
  } else if (dub.status === 'running') text = dub.message || 'preparing: networks and footage';
  return make('div', {}, make('p', {}, make('b', {}, dub.title), make('br'), make('small', {}, `${text}, ${length(dub.seconds)}`)), bar);
}

export function actions(dub, act) {
  const button = (text, path) => make('button', { type: 'button', onclick: () => act(() => post(`/dubs/${dub.id}/${path}`)) }, text);
  const parts = [];
  if (dub.status === 'done') parts.push(make('a', { className: 'button', href: `/api/dubs/${dub.id}/result`, download: '' }, `Download (${size(dub.size || 0)})`));
  if (dub.manifest) parts.push(make('a', { className: 'button', href: `/api/dubs/${dub.id}/manifest`, download: '' }, 'Its manifest'));
  if (!ended(dub)) parts.push(button('Cancel', 'cancel'));
  if (dub.status === 'failed' || dub.status === 'canceled') parts.push(button('Try again', 'retry'));
  return parts;
}

export async function compared(dub) {
  let before = null;
  try { before = await get(`/files/${dub.face}`); } catch { /* deleted since */ }
  const source = before ? { url: `/api/files/${before.id}/play`, still: before.kind === 'picture' } : { url: '', still: true };
  return player(`/api/dubs/${dub.id}/result?play`, source, dub.extend, `/api/dubs/${dub.id}/sheet`);
}

async function facts(dub) {
  const found = await get(`/dubs/${dub.id}/report`);
  const rows = [
    ['frames', `${found.output.frames} (${length(found.output.seconds)})`],
    ['faces made', found.faces.synthesized],
    ['frames without', found.faces.frames_without_face],
    ['sound against lips', found.offset_ms === null ? 'not measured' : `${found.offset_ms.toFixed(0)} ms`],
    ['provenance', found.provenance],
    ['consent', found.consent ? found.consent.text || found.consent.file : 'none'],
    ...found.warnings.map((w) => ['warning', w]),
  ];
  return make('dl', {}, ...rows.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, String(value))]));
}

export async function report(dub, box) {
  try { box.replaceChildren(await facts(dub)); } catch (error) { box.replaceChildren(make('small', {}, error.message)); }
}

function card(dub, act, open) {
  const picture = dub.sheet ? make('img', { src: `/api/dubs/${dub.id}/sheet`, alt: 'frames before, and the same after', loading: 'lazy' })
    : make('img', { src: `/api/files/${dub.face}/poster`, alt: '', loading: 'lazy' });
  picture.addEventListener('error', () => picture.replaceWith(make('div', { className: 'blank' })));
  const status = make('p', {}, make('span', { className: 'status' }, STATES[dub.status]),
    make('small', {}, ` ${[new Date(dub.made * 1000).toLocaleString(), dub.preset, dub.frames ? `${dub.frames} frames` : '', dub.seconds ? length(dub.seconds) : ''].filter(Boolean).join(', ')}`));
  const parts = [make('h3', {}, dub.title), status];
  if (dub.message) parts.push(make('p', { className: dub.status === 'failed' ? 'problem' : '' }, dub.status === 'failed' ? dub.message : make('small', {}, dub.message)));
  if (!ended(dub)) parts.push(progress(dub));
  const more = make('details', { ontoggle: () => { if (more.open) report(dub, more.lastChild); } }, make('summary', {}, 'Report'), make('div', {}));
  const buttons = actions(dub, act);
  if (dub.status === 'done') buttons.unshift(make('button', { type: 'button', onclick: () => open(dub) }, 'Compare'));
  if (dub.status !== 'running') buttons.push(make('button', { type: 'button', className: 'quiet', onclick: () => act(() => remove(`/dubs/${dub.id}`)) }, 'Delete'));
  parts.push(make('div', { className: 'actions' }, ...buttons));
  if (dub.status === 'done') parts.push(more);
  const made = make('article', { className: `card video ${dub.status}` }, picture, make('div', {}, ...parts));
  made.dataset.id = dub.id;
  made.dataset.state = JSON.stringify([dub.status, dub.sheet, dub.message]);
  return made;
}

// Only what has changed is drawn anew, so that an open report stays open.
export function list(dubs, act, open) {
  const box = $('list');
  const old = new Map([...box.querySelectorAll('article')].map((a) => [a.dataset.id, a]));
  show($('report'), dubs.length > 0);
  if (!dubs.length) { box.replaceChildren(make('p', { className: 'card' }, 'Nothing was made yet.')); return; }
  box.replaceChildren(...dubs.map((dub) => {
    const fresh = card(dub, act, open);
    const there = old.get(dub.id);
    return there && ended(dub) && there.dataset.state === fresh.dataset.state ? there : fresh;
  }));
}
