'use strict';
// Everything shown is built from text nodes, so nothing in the document can become markup.
const SPEC = new URL('/api/v1/openapi.json', location.origin);
const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options'];
const SAMPLES = {
  'date-time': '2026-01-15T09:00:00Z', date: '2026-01-15', time: '09:00:00', duration: 'PT30M',
  email: 'ada@example.com', uri: 'https://example.com/', uuid: '3f2b8c1e-5d4a-4e6f-9a7b-0c1d2e3f4a5b',
};
const $ = (id) => document.getElementById(id);
let spec = {};
let serial = 0;

function el(tag, attrs = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== ''));
  return node;
}

// Plain text, with `code` spans the one piece of formatting.
const prose = (text, tag = 'p') => text && el(tag, { class: 'text' },
  String(text).trim().split(/`([^`\n]+)`/).map((part, i) => (i % 2 ? el('code', {}, part) : part)));

function lookup(ref) {
  if (!ref.startsWith('#/')) return {};
  const keys = ref.slice(2).split('/').map((k) => decodeURIComponent(k).replace(/~1/g, '/').replace(/~0/g, '~'));
  return keys.reduce((at, key) => (at && Object.hasOwn(at, key) ? at[key] : {}), spec);
}

const resolve = (node, hops = 0) =>
  (node?.$ref && hops < 20 ? resolve(lookup(node.$ref), hops + 1) : node ?? {});

// A schema with its references followed and allOf folded in; `trail` holds the references passed
// on the way down, and one met twice is marked as `again` instead of being walked for ever.
function flatten(schema, trail = []) {
  let node = schema && typeof schema === 'object' ? { ...schema } : {};
  let name = '';
  while (node.$ref) {
    const { $ref, ...rest } = node;
    name = name || $ref.split('/').pop();
    if (trail.includes($ref)) return { node: {}, name, trail, again: true };
    trail = [...trail, $ref];
    node = { ...lookup($ref), ...rest };
  }
  const { allOf = [], ...own } = node;
  const parts = allOf.map((part) => flatten(part, trail));
  const layers = [...parts.map((part) => part.node), own];
  const merged = Object.assign({}, ...layers);
  if (layers.some((l) => l.properties)) merged.properties = Object.assign({}, ...layers.map((l) => l.properties));
  merged.required = layers.flatMap((l) => l.required ?? []);
  if (parts.length === 1) name = name || parts[0].name;
  return { node: merged, name, trail: [...new Set([...trail, ...parts.flatMap((p) => p.trail)])], again: false };
}

const kinds = (node) => [node.type ?? (node.properties ? 'object' : node.items ? 'array' : [])].flat();
const isNull = (schema) => schema?.type === 'null';

function typeName(schema, trail = []) {
  const { node, name, trail: below, again } = flatten(schema, trail);
  if (name || again) return name;
  const choices = node.oneOf ?? node.anyOf;
  if (choices) return choices.map((choice) => typeName(choice, below)).join(' | ');
  return kinds(node).map((kind) => (kind === 'array' ? `array of ${typeName(node.items, below)}` : kind))
    .join(' | ') + (node.format ? ` (${node.format})` : '') || 'any';
}

function limits(node) {
  const show = ['minimum', 'exclusiveMinimum', 'maximum', 'exclusiveMaximum', 'minLength', 'maxLength',
    'minItems', 'maxItems', 'pattern', 'default', 'const'];
  const facts = show.filter((key) => node[key] != null).map((key) => `${key} ${JSON.stringify(node[key])}`);
  if (node.enum) facts.unshift(`one of ${node.enum.map((v) => JSON.stringify(v)).join(', ')}`);
  for (const key of ['readOnly', 'writeOnly', 'deprecated']) if (node[key]) facts.push(key);
  return facts.join(' · ');
}

function line(name, schema, required, trail, param) {
  const { node } = flatten(schema, trail);
  return el('li', {}, name && el('code', {}, name), ' ',
    el('span', { class: 'soft' }, typeName(schema, trail), param && `, in ${param.in}`),
    required ? el('span', { class: 'must' }, ' required') : '', ' ', el('small', {}, limits(node)),
    prose(param?.description ?? node.description, 'div'), branch(schema, trail));
}

function branch(schema, trail = []) {
  const { node, trail: below, again } = flatten(schema, trail);
  if (again) return '';
  const rows = Object.entries(node.properties ?? {})
    .map(([key, sub]) => line(key, sub, node.required?.includes(key), below));
  if (node.additionalProperties && typeof node.additionalProperties === 'object') {
    rows.push(line('(any key)', node.additionalProperties, false, below));
  }
  const choices = (node.oneOf ?? node.anyOf ?? []).filter((choice) => !isNull(choice));
  if (choices.length === 1 && !rows.length) return branch(choices[0], below);
  rows.push(...choices.map((choice) => line('', choice, false, below)));
  if (rows.length) return el('ul', { class: 'tree' }, rows);
  return node.items ? branch(node.items, below) : '';
}

function example(schema, trail = []) {
  const { node, trail: below, again } = flatten(schema, trail);
  if (again) return null;
  for (const given of [node.const, node.example, node.examples?.[0], node.default, node.enum?.[0]]) {
    if (given != null) return given;
  }
  const choice = (node.oneOf ?? node.anyOf)?.find((c) => !isNull(c));
  const base = choice ? example(choice, below) : null;
  const kind = kinds(node).find((k) => k !== 'null');
  if (choice && !node.properties) return base;
  if (kind === 'object') {
    const out = Object.entries(node.properties ?? {}).filter(([, sub]) => !flatten(sub, below).node.readOnly)
      .map(([key, sub]) => [key, example(sub, below)]);
    return { ...Object.fromEntries(out), ...base };
  }
  if (kind === 'array') return [example(node.items, below)].filter((item) => item != null);
  if (kind === 'boolean') return false;
  if (kind === 'integer' || kind === 'number') return node.minimum ?? (node.exclusiveMinimum ?? -1) + 1;
  if (kind === 'string') return SAMPLES[node.format] ?? 'string'.padEnd(node.minLength ?? 0, 'x');
  return null;
}

// The media type to show for a body: JSON when offered, otherwise the first.
function media(content = {}) {
  const type = Object.keys(content).find((t) => /[/+]json\b/.test(t)) ?? Object.keys(content)[0];
  return type && { type, json: /[/+]json\b/.test(type), ...content[type] };
}

function sampleBody(body) {
  const value = body.example ?? resolve(Object.values(body.examples ?? {})[0]).value ?? example(body.schema);
  if (body.json) return JSON.stringify(value, null, 2);
  if (body.type.includes('urlencoded')) return new URLSearchParams(value ?? {}).toString();
  return typeof value === 'string' ? value : '';
}

function paramField(param) {
  const { node } = flatten(param.schema);
  const id = `f${++serial}`;
  const options = node.enum ?? (kinds(node).includes('boolean') ? [true, false] : null);
  const hint = param.example ?? node.example ?? node.examples?.[0];
  const attrs = { id, required: param.required, autocomplete: 'off', spellcheck: 'false' };
  const input = options
    ? el('select', attrs, el('option', { value: '' }, '—'), options.map((o) => el('option', {}, String(o))))
    : el('input', { ...attrs, placeholder: hint ?? node.default ?? node.format ?? kinds(node).join(' | ') });
  return { param, input, list: kinds(node).includes('array'),
    row: el('div', { class: 'field' }, el('label', { for: id }, param.name, ' ',
      el('small', {}, param.in, param.required ? ', required' : '')), input) };
}

function address(path, fields) {
  const server = spec.servers?.[0] ?? { url: '/' };
  const root = server.url.replace(/\{([^}]+)\}/g, (_, key) => server.variables?.[key]?.default ?? '');
  const query = new URLSearchParams();
  for (const { param, input, list } of fields) {
    const value = input.value.trim();
    if (param.in === 'path') {
      if (/^\.{1,2}$/.test(value)) throw new Error(`${param.name} cannot be "${value}"`);
      path = path.replace(`{${param.name}}`, () => encodeURIComponent(value));
    } else if (param.in === 'query' && value) {
      const many = list && param.explode !== false;
      for (const one of many ? value.split(',') : [value]) query.append(param.name, one.trim());
    }
  }
  // Only ever this origin: the token must not leave for whatever host the document names.
  const url = new URL(location.origin);
  url.pathname = new URL(root || '/', SPEC).pathname.replace(/\/+$/, '') + path;
  url.search = query;
  return url;
}

function tryIt(method, path, params, body, open) {
  const fields = params.filter((p) => p.in !== 'cookie').map(paramField);
  const id = `f${++serial}`;
  const text = body && el('textarea', { id, spellcheck: 'false', required: body.required });
  if (text) text.value = sampleBody(body);
  const send = el('button', { type: 'submit' }, 'Send');
  const out = el('div', { class: 'wide', 'aria-live': 'polite' });
  const form = el('form', { class: 'try' }, fields.map((f) => f.row),
    text && el('div', { class: 'field wide' }, el('label', { for: id }, 'Body ', el('small', {}, body.type)), text),
    send, out);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const headers = new Headers();
    const started = performance.now();
    const token = $('token').value.trim().replace(/^bearer\s+/i, '');
    text?.removeAttribute('aria-invalid');
    send.disabled = true;
    try {
      const url = address(path, fields);
      for (const { param, input } of fields) if (param.in === 'header' && input.value) headers.set(param.name, input.value);
      if (token && !open) headers.set('Authorization', `Bearer ${token}`);
      const payload = text?.value.trim() ? text.value : undefined;
      if (payload) headers.set('Content-Type', body.type);
      if (payload && body.json) {
        try { JSON.parse(payload); } catch (error) {
          text.setAttribute('aria-invalid', 'true');
          text.focus();
          throw new Error(`The body is not JSON: ${error.message}`);
        }
      }
      out.replaceChildren(el('p', { class: 'soft' }, 'Sending…'));
      const answer = await fetch(url, { method: method.toUpperCase(), headers, body: payload,
        redirect: 'manual', cache: 'no-store', signal: AbortSignal.timeout(30000) });
      const request = `${method.toUpperCase()} ${url.pathname}${url.search}`;
      showAnswer(out, request, answer, await answer.text(), performance.now() - started);
    } catch (error) {
      const why = error.name === 'TimeoutError' ? 'No full answer within 30 seconds.' : error.message;
      out.replaceChildren(el('p', { class: 'bad' }, why));
    } finally {
      send.disabled = false;
    }
  });
  return form;
}

function showAnswer(out, request, answer, raw, took) {
  if (answer.type === 'opaqueredirect') {
    const note = 'The server answered with a redirect, which this page does not follow.';
    out.replaceChildren(el('p', {}, note), el('pre', {}, request));
    return;
  }
  let shown = raw;
  try { shown = JSON.stringify(JSON.parse(raw), null, 2); } catch { /* not JSON: shown as it came */ }
  if (shown.length > 200000) shown = `${shown.slice(0, 200000)}\n… cut at 200,000 characters`;
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
  out.replaceChildren(el('p', {}, el('strong', { class: answer.ok ? 'good' : 'bad' },
    `${answer.status} ${answer.statusText}`.trim()), el('span', { class: 'soft' }, ` in ${Math.round(took)} ms`)),
  el('pre', { tabindex: 0, 'aria-label': 'Request' }, request),
  el('details', {}, el('summary', {}, 'Response headers'), el('pre', { tabindex: 0 }, headers)),
  el('pre', { tabindex: 0, 'aria-label': 'Response body' }, shown || '(no body)'));
}

function detail({ method, path, item, op }) {
  const all = [...(item.parameters ?? []), ...(op.parameters ?? [])].map((p) => resolve(p));
  const params = [...new Map(all.map((p) => [`${p.in} ${p.name}`, p])).values()];
  const wanted = op.requestBody && resolve(op.requestBody);
  const body = wanted && media(wanted.content);
  if (body) body.required = wanted.required === true;
  const needs = op.security ?? spec.security;
  const open = Array.isArray(needs) && !needs.some((n) => Object.keys(n).length);
  const answers = Object.entries(op.responses ?? {}).map(([code, entry]) => {
    const response = resolve(entry);
    const kind = media(response.content);
    const tone = /^[123]/.test(code) ? 'good' : 'bad';
    const head = [el('code', { class: tone }, code), ' ', prose(response.description, 'span')];
    if (!kind) return el('li', {}, head);
    const label = [...head, ' ', el('small', {}, kind.type, ' ', typeName(kind.schema))];
    return el('li', {}, el('details', {}, el('summary', {}, label), branch(kind.schema)));
  });
  return el('div', { class: 'inner' }, prose(op.description),
    el('p', { class: 'soft' }, needs === undefined ? '' : open ? 'No token needed.' : 'Needs a bearer token.'),
    params.length ? [el('h3', {}, 'Parameters'), el('ul', { class: 'tree' }, params.map((p) =>
      line(p.name, p.schema, p.required, [], p)))] : [],
    body ? [el('h3', {}, 'Request body'), prose(wanted.description), el('p', { class: 'soft' },
      body.type, ' ', body.schema && typeName(body.schema), body.required ? '' : ', optional'), branch(body.schema)] : [],
    answers.length ? [el('h3', {}, 'Responses'), el('ul', { class: 'tree' }, answers)] : [],
    el('h3', {}, 'Try it'), tryIt(method, path, params, body, open));
}

function card(entry) {
  const { method, path, op } = entry;
  const anchor = op.operationId ?? `${method}${path}`;
  const node = el('details', { class: 'op', id: `op-${anchor}` }, el('summary', {},
    el('span', { class: `badge ${method}` }, method.toUpperCase()),
    el('code', { class: op.deprecated && 'gone' }, path), el('span', { class: 'soft' }, op.summary)));
  node.addEventListener('toggle', () => {
    if (node.open && node.children.length === 1) node.append(detail(entry));
  });
  entry.node = node;
  entry.words = [method, path, op.summary, op.operationId, op.description, entry.tag].join(' ').toLowerCase();
  return node;
}

function start() {
  const entries = Object.entries(spec.paths ?? {}).flatMap(([path, raw]) => {
    const item = resolve(raw);
    return METHODS.filter((m) => item[m]).map((method) =>
      ({ method, path, item, op: item[method], tag: item[method].tags?.[0] ?? 'Other' }));
  });
  const known = new Map((spec.tags ?? []).map((tag) => [tag.name, tag.description]));
  const groups = [...new Set([...known.keys(), ...entries.map((e) => e.tag)])].map((tag) => {
    const members = entries.filter((e) => e.tag === tag);
    const id = `g${++serial}`;
    const node = el('section', { 'aria-labelledby': id }, el('h2', { id }, tag), prose(known.get(tag)), members.map(card));
    return { members, node };
  });
  $('title').textContent = spec.info?.title ?? 'Calweave API';
  $('version').textContent = spec.info?.version ?? '';
  if (spec.info?.description) $('intro').replaceWith(prose(spec.info.description));
  $('operations').replaceChildren(...groups.map((g) => g.node));
  const filter = () => {
    const words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const e of entries) e.node.hidden = !words.every((w) => e.words.includes(w));
    for (const g of groups) g.node.hidden = g.members.every((e) => e.node.hidden);
    const left = entries.filter((e) => !e.node.hidden).length;
    $('status').textContent = words.length ? `${left} of ${entries.length} operations` : `${left} operations`;
  };
  const jump = () => {
    let id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch { /* an odd fragment is taken as it is */ }
    const target = entries.find((e) => e.node.id === id)?.node;
    if (target) { target.hidden = false; target.open = true; target.scrollIntoView(); }
  };
  $('filter').addEventListener('input', filter);
  addEventListener('hashchange', jump);
  addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.target.closest?.('input, textarea, select')) return;
    event.preventDefault();
    $('filter').focus();
  });
  filter();
  jump();
}

fetch(SPEC).then((answer) => {
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}).then((loaded) => { spec = loaded; start(); }).catch((error) => {
  $('status').className = 'bad';
  $('status').textContent = `The OpenAPI document could not be read: ${error.message}`;
});
