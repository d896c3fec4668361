// Before and after, one over the other in step, with an edge to move.

import { make } from './api.js';

const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, '0')}`;

// The moment of the footage that is shown at a moment of the result.
function shown(time, long, extend) {
  if (!long || time < long) return time;
  if (extend === 'pingpong') { const at = time % (2 * long); return at < long ? at : 2 * long - at; }
  return extend === 'loop' ? time % long : long - 0.01;
}

// sheet: what is shown in place of a result that browsers cannot play.
export function player(result, before, extend, sheet) {
  const whole = make('div', {});
  const after = make('video', { src: result, playsInline: true, preload: 'auto', className: 'after' });
  const source = before.still
    ? make('img', { src: before.url, alt: 'before', className: 'before' })
    : make('video', { src: before.url, muted: true, playsInline: true, preload: 'auto', className: 'before' });
  const edge = make('div', { className: 'edge' });
  const slider = make('input', { type: 'range', min: 0, max: 1000, value: 500, ariaLabel: 'How much of the footage before is shown' });
  const box = make('div', { className: 'compare' }, after, source, slider, edge,
    make('span', { className: 'left' }, 'before'), make('span', { className: 'right' }, 'after'));
  const play = make('button', { type: 'button', ariaLabel: 'Play or pause' }, 'Play');
  const seek = make('input', { type: 'range', min: 0, max: 1000, value: 0, ariaLabel: 'Time' });
  const time = make('time', {}, '0:00');

  function divide() {
    const share = slider.value / 10;
    source.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    edge.style.left = `calc(${share}% - 1px)`;
  }
  function follow() {
    if (!before.still && source.readyState > 0) {
      const wanted = shown(after.currentTime, source.duration, extend);
      if (Math.abs(source.currentTime - wanted) > (after.paused ? 0.001 : 0.12)) source.currentTime = wanted;
      if (after.paused !== source.paused) { if (after.paused) source.pause(); else source.play().catch(() => {}); }
    }
    if (after.duration) { seek.value = 1000 * after.currentTime / after.duration; time.textContent = `${clock(after.currentTime)} / ${clock(after.duration)}`; }
  }
  function step() { follow(); if (!after.paused && after.isConnected) requestAnimationFrame(step); }
  const gone = () => { source.remove(); slider.remove(); edge.remove(); box.querySelectorAll('span').forEach((s) => s.remove()); };

  source.addEventListener('error', gone);
  const unplayable = () => {
    const text = make('p', {}, 'Browsers cannot play this kind of file; download it. Frames before, above the same frames after:');
    whole.replaceChildren(text, make('img', { src: sheet, alt: '', className: 'sheet' }));
  };
  after.addEventListener('error', unplayable);
  after.addEventListener('loadedmetadata', () => { if (!after.videoWidth) unplayable(); }); // its sound alone
  source.addEventListener('loadeddata', follow);
  slider.addEventListener('input', divide);
  play.addEventListener('click', () => (after.paused ? after.play() : after.pause()));
  after.addEventListener('play', () => { play.textContent = 'Pause'; step(); });
  after.addEventListener('pause', () => { play.textContent = 'Play'; follow(); });
  for (const event of ['seeked', 'loadedmetadata', 'timeupdate']) after.addEventListener(event, follow);
  seek.addEventListener('input', () => { if (after.duration) after.currentTime = after.duration * seek.value / 1000; });
  divide();
  whole.append(box, make('div', { className: 'controls' }, play, seek, time));
  return whole;
}
