// The page: who is here, what is shown, and the video that is being made.

import { $, Problem, get, post, make, show, tell } from './api.js';
import { avatars, keep } from './avatars.js';
import { lookAt, picked } from './faces.js';
import { Input, setUpMicrophone, setUpText, tabs } from './inputs.js';
import { chosen, setUp } from './options.js';
import { actions, compared, ended, list, progress, report } from './videos.js';

let about = null;
let watched = ''; // the dub that the stage shows
let drawn = '';
let timer = 0;
let lost = false; // whether the last question was not answered

const face = new Input('face', (file) => { lookAt(file, $('preset').value).catch(failed); if (file) earlier().catch(failed); });
const speech = new Input('speech', (file) => { if (file) earlier().catch(failed); });

function failed(error) {
  if (error instanceof Problem) tell($('notice'), error.message); else { tell($('notice'), 'something in this page went wrong; reload it'); throw error; }
}

async function earlier() {
  const files = await get('/files');
  face.earlier(files);
  speech.earlier(files);
}

async function act(what) {
  tell($('notice'), '');
  try { await what(); await refresh(); } catch (error) { failed(error); }
}

async function stage(dub) {
  const state = `${dub.id} ${dub.status}`;
  if (dub.status === 'done') {
    if (drawn === state) return;
    drawn = state;
    const facts = make('div', {});
    $('stage-player').replaceChildren(await compared(dub), make('b', {}, dub.title), make('div', { className: 'actions' }, ...actions(dub, act)), facts);
    report(dub, facts);
  } else {
    drawn = state;
    const failure = dub.status === 'failed' ? make('p', { className: 'problem', role: 'alert' }, dub.message) : null;
    const body = ended(dub) ? make('p', {}, make('b', {}, dub.title), make('br'), make('small', {}, dub.status)) : progress(dub);
    $('stage-work').replaceChildren(...[body, failure, make('div', { className: 'actions' }, ...actions(dub, act))].filter(Boolean));
  }
  show($('stage-empty'), false);
  show($('stage-player'), dub.status === 'done');
  show($('stage-work'), dub.status !== 'done');
}

function open(dub) { watched = dub.id; drawn = ''; location.hash = '#make'; refresh(); }

async function refresh() {
  clearTimeout(timer);
  let busy = false;
  try {
    const dubs = await get('/dubs');
    if (lost) { tell($('notice'), ''); lost = false; }
    const waiting = dubs.filter((d) => !ended(d));
    busy = waiting.length > 0;
    tell($('open-count'), busy ? String(waiting.length) : '');
    list(dubs, act, open);
    const mine = dubs.find((d) => d.id === watched);
    if (mine) await stage(mine);
  } catch (error) { lost = true; failed(error); busy = true; }
  if (about.account) timer = setTimeout(refresh, busy ? 700 : 10000);
}

async function go() {
  const button = $('go');
  tell($('go-problem'), '');
  const missing = !face.file ? 'Choose a face first.' : !speech.file ? 'Choose speech first: a file, a text that was spoken, or a recording.'
    : about.require_consent && !$('consent').value.trim() ? 'Say who agreed to this video, and to what.' : '';
  if (missing) { tell($('go-problem'), missing); return; }
  button.disabled = true;
  try {
    const dub = await post('/dubs', { face: face.file.id, speech: speech.file.id, speaker: picked(), consent: $('consent').value, ...chosen() });
    watched = dub.id;
    drawn = '';
    await refresh();
    $('stage').scrollIntoView({ behavior: 'smooth', block: 'nearest' });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tell($('go-problem'), error.message);
  }
  button.disabled = false;
}

async function use(where) {
  const file = await post(`${where}/use`);
  face.set(file);
  $('consent').value = file.consent;
  location.hash = '#make';
}

async function change(what) { await act(what); if (location.hash === '#avatars') await avatars(change, use); }

const PAGES = ['make', 'videos', 'avatars'];

async function route() {
  const wanted = PAGES.includes(location.hash.slice(1)) ? location.hash.slice(1) : 'make';
  for (const name of PAGES) show($(name), about.account !== null && name === wanted);
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#${wanted}`) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  if (wanted === 'make' && about.account) await earlier();
  if (wanted === 'avatars' && about.account) await avatars(change, use);
}

async function enter() {
  about = await get('');
  show($('login'), about.account === null);
  show(document.querySelector('nav'), about.account !== null);
  show($('who'), about.shared && about.account !== null);
  if (about.shared) $('where').textContent = 'Everything happens on the computer that runs the studio.';
  $('who-name').textContent = about.account || '';
  $('face-limits').textContent = `up to ${about.limits.max_upload} MB and ${about.limits.max_minutes} minutes`;
  if (about.account !== null) {
    setUp(await get('/options'));
    await setUpText(speech);
    await refresh();
  }
  await route();
  document.body.dataset.ready = 'yes';
}

$('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  tell($('notice'), '');
  try {
    await post('/login', { name: $('login-name').value, password: $('login-password').value });
    location.reload();
  } catch (error) { failed(error); }
});
$('logout').addEventListener('click', async () => { await post('/logout'); location.reload(); });
document.addEventListener('logged-out', () => { if (about && about.account) location.reload(); });
window.addEventListener('hashchange', () => route().catch(failed));
$('go').addEventListener('click', go);
$('consent').addEventListener('input', () => tell($('go-problem'), ''));
$('avatar-form').addEventListener('submit', (event) => {
  event.preventDefault();
  change(async () => { await keep(); $('avatar-form').reset(); }).catch(failed);
});
tabs($('speech-card'));
setUpMicrophone(speech);
enter().catch(failed);
