// The HTTP API as the page uses it, and small helpers for elements.

export class Problem extends Error {}

async function answered(response) {
  if (response.ok) return response.json();
  let text = `the studio answered with ${response.status}`;
  try { text = (await response.json()).error || text; } catch { /* no JSON: a proxy, say */ }
  if (response.status === 401 && !response.url.endsWith('/login')) document.dispatchEvent(new Event('logged-out'));
  throw new Problem(text);
}

async function asked(method, path, body) {
  const init = { method, headers: {} };
  if (body !== undefined) { init.body = JSON.stringify(body); init.headers['Content-Type'] = 'application/json'; }
  let response;
  try { response = await fetch(`/api${path}`, init); } catch { throw new Problem('the studio does not answer; is it still running?'); }
  return answered(response);
}

export const get = (path) => asked('GET', path);
export const post = (path, body = {}) => asked('POST', path, body);
export const remove = (path) => asked('DELETE', path);

// XMLHttpRequest, since fetch does not tell how far an upload is.
export function upload(file, name, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', `/api/files?name=${encodeURIComponent(name)}`);
    request.upload.onprogress = (e) => onProgress(e.loaded, e.total);
    request.onload = () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { /* below */ }
      if (request.status === 201) resolve(found);
      else reject(new Problem(found.error || `the upload failed (${request.status})`));
    };
    request.onerror = () => reject(new Problem('the upload broke off: the file is too large, or the studio is not running'));
    request.send(file);
  });
}

export const $ = (id) => document.getElementById(id);

// make('a', {href: '#'}, 'text', child): text is never read as HTML.
export function make(tag, facts = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== 'list') element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...inside.filter((i) => i !== null && i !== undefined));
  return element;
}

export function show(element, yes = true) { element.hidden = !yes; }

export function tell(element, text) { element.textContent = text || ''; element.hidden = !text; }

export function length(seconds) {
  if (seconds === null || seconds === undefined) return '';
  const whole = Math.max(0, seconds);
  return whole < 60 ? `${whole.toFixed(1)} s` : `${Math.floor(whole / 60)}:${String(Math.floor(whole % 60)).padStart(2, '0')} min`;
}

export const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
