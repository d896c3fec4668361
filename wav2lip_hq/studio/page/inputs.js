// What goes in: files that are dropped or chosen, files from before, typed text, the microphone.

import { $, Problem, get, length, make, post, show, size, tell, upload } from './api.js';

export class Input {
  // kind: 'face' or 'speech'. onChange: called with the file that is chosen, or null.
  constructor(kind, onChange) {
    this.kind = kind;
    this.onChange = onChange;
    this.file = null;
    this.card = $(`${kind}-card`);
    this.box = $(`${kind}-chosen`);
    this.field = $(`${kind}-file`);
    this.field.addEventListener('change', () => { if (this.field.files.length) this.send(this.field.files[0], this.field.files[0].name); });
    const drop = $(`${kind}-drop`);
    for (const event of ['dragover', 'dragenter']) drop.addEventListener(event, (e) => { e.preventDefault(); drop.classList.add('over'); });
    for (const event of ['dragleave', 'drop']) drop.addEventListener(event, () => drop.classList.remove('over'));
    drop.addEventListener('drop', (e) => { e.preventDefault(); if (e.dataTransfer.files.length) this.send(e.dataTransfer.files[0], e.dataTransfer.files[0].name); });
  }

  async send(data, name) {
    this.set(null);
    const bar = make('progress', { max: 1, value: 0 });
    const text = make('div', {}, `Uploading ${name}`, bar);
    this.box.replaceChildren(text);
    show(this.box);
    try {
      this.set(await upload(data, name, (done, all) => {
        bar.value = all ? done / all : 0;
        if (done === all) text.firstChild.textContent = `Looking at ${name}`;
      }));
    } catch (error) { this.refuse(error); }
    this.field.value = '';
  }

  refuse(error) {
    if (!(error instanceof Problem)) throw error;
    this.box.replaceChildren(make('p', { className: 'problem', role: 'alert' }, error.message));
    show(this.box);
  }

  fits(file) { return this.kind === 'face' ? file.kind !== 'sound' : file.kind === 'sound' || file.sound; }

  set(file) {
    this.file = null;
    show(this.box, false);
    if (file && !this.fits(file)) {
      this.refuse(new Problem(this.kind === 'face' ? `${file.name} is sound; the face is a video or a photo` : `${file.name} has no sound`));
    } else if (file) {
      this.file = file;
      const facts = [file.width ? `${file.width} x ${file.height}` : '', file.fps ? `${file.fps} frames/s` : '', length(file.seconds), size(file.size)];
      const parts = [make('div', {}, make('b', {}, file.name), make('br'), make('small', {}, facts.filter(Boolean).join(', ')),
        this.kind === 'speech' ? make('audio', { controls: true, preload: 'metadata', src: `/api/files/${file.id}/play` }) : null)];
      if (this.kind === 'face') parts.unshift(make('img', { src: `/api/files/${file.id}/poster`, alt: '' }));
      this.box.replaceChildren(...parts);
      show(this.box);
    }
    this.onChange(this.file);
  }

  earlier(files) {
    const mine = files.filter((f) => (this.kind === 'face' ? f.kind !== 'sound' : f.kind === 'sound'));
    const box = $(`${this.kind}-earlier`);
    show(box, mine.length > 0);
    box.querySelector('.earlier').replaceChildren(...mine.map((f) => make('button', { type: 'button', onclick: () => this.set(f) },
      f.kind === 'sound' ? null : make('img', { src: `/api/files/${f.id}/poster`, alt: '', loading: 'lazy' }), make('span', {}, f.name))));
  }
}

export function tabs(card) {
  const buttons = [...card.querySelectorAll('[data-tab]')];
  for (const button of buttons) {
    button.addEventListener('click', () => {
      for (const other of buttons) {
        other.setAttribute('aria-selected', other === button);
        show(card.querySelector(`[data-panel=${other.dataset.tab}]`), other === button);
      }
    });
  }
}

export async function setUpText(speech) {
  const ready = (await get('/voices')).filter((v) => !v.missing);
  const about = new Map(ready.map((v) => [v.name, `${v.about} License: ${v.license}.`]));
  $('text-speaker').replaceChildren(make('option', { value: 'auto' }, 'best there is'), ...ready.map((v) => make('option', { value: v.name }, v.name)));
  $('text-speaker').addEventListener('change', () => { $('text-about').textContent = about.get($('text-speaker').value) || ''; });
  if (!ready.length) {
    $('text-about').textContent = "No speech engine is installed: pip install 'wav2lip-hq[voice]'.";
    $('text-speak').disabled = true;
  }
  $('topic-write').addEventListener('click', async () => {
    const asked = { topic: $('topic').value, seconds: Number($('topic-seconds').value), language: $('text-language').value.trim() };
    try { $('text').value = (await post('/text', asked)).text; } catch (error) { speech.refuse(error); }
  });
  $('text-speak').addEventListener('click', async () => {
    const button = $('text-speak');
    button.disabled = true;
    button.textContent = 'Speaking';
    try {
      speech.set(await post('/speech', { text: $('text').value, language: $('text-language').value.trim(), speaker: $('text-speaker').value }));
    } catch (error) { speech.set(null); speech.refuse(error); }
    button.disabled = false;
    button.textContent = 'Speak it';
  });
}

export function setUpMicrophone(speech) {
  const button = $('record');
  let recorder = null;
  if (!navigator.mediaDevices || !window.MediaRecorder) {
    button.disabled = true;
    $('record-note').textContent = 'Browsers give the microphone only to pages on this computer and to https pages.';
    return;
  }
  button.addEventListener('click', async () => {
    if (recorder) { recorder.stop(); return; }
    tell($('record-note'), '');
    let stream;
    try { stream = await navigator.mediaDevices.getUserMedia({ audio: true }); } catch (error) {
      tell($('record-note'), `The microphone cannot be used (${error.name}): allow it in the browser, or check that there is one.`);
      return;
    }
    const pieces = [];
    recorder = new MediaRecorder(stream);
    const began = Date.now();
    const ticking = setInterval(() => { $('record-time').textContent = length((Date.now() - began) / 1000); }, 100);
    recorder.ondataavailable = (e) => pieces.push(e.data);
    recorder.onstop = () => {
      clearInterval(ticking);
      stream.getTracks().forEach((t) => t.stop());
      const ending = recorder.mimeType.includes('mp4') ? 'm4a' : recorder.mimeType.includes('ogg') ? 'ogg' : 'weba';
      const stamp = new Date(began).toTimeString().slice(0, 8).replaceAll(':', '.');
      speech.send(new Blob(pieces), `recording ${stamp}.${ending}`);
      recorder = null;
      button.textContent = 'Record';
    };
    recorder.start(1000);
    button.textContent = 'Stop';
  });
}
