// Shows the OpenAPI document of the engine and lets its reader try what is in it. Everything is made of text nodes: nothing
// that the API answers is ever taken for HTML.

const kept = 'kre-token'
const byId = (id) => document.getElementById(id)
const methods = ['get', 'post', 'patch', 'put', 'delete']
let api

// make('p', {class: 'faint'}, 'text', node…)
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== false && value !== undefined) element.setAttribute(name, value)
  }
  element.append(...children.filter((child) => child !== undefined && child !== ''))
  return element
}

// prose turns `code` in a description into code.
function prose(text = '', tag = 'p') {
  return text.split(/\n\n+/).map((paragraph) =>
    make(tag, {}, ...paragraph.split('`').map((piece, i) => (i % 2 ? make('code', {}, piece) : piece))))
}

const authorization = () => ({ Authorization: `Bearer ${sessionStorage.getItem(kept)}` })
const resolve = (schema = {}) => (schema.$ref ? api.components.schemas[schema.$ref.split('/').pop()] : schema)

function typeOf(schema = {}) {
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop()
    return make('a', { href: `#schema-${name}` }, name)
  }
  if (schema.type === 'array') return make('span', {}, 'list of ', typeOf(schema.items))
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') {
    return make('span', {}, 'map of ', typeOf(schema.additionalProperties))
  }
  return make('span', {}, [schema.type || 'any', schema.format].filter(Boolean).join(', '))
}

// example is a value of a schema that a person can go on from. What is only answered is left out.
function example(schema, depth = 0) {
  const plain = resolve(schema)
  if (plain.enum) return plain.enum[0]
  if (plain.type === 'object') {
    if (depth > 3 || !plain.properties) return {}
    return Object.fromEntries(Object.entries(plain.properties)
      .filter(([, property]) => !property.readOnly)
      .map(([name, property]) => [name, example(property, depth + 1)]))
  }
  if (plain.type === 'array') return []
  if (plain.type === 'boolean') return false
  if (plain.type === 'integer' || plain.format === 'int64') return 0
  return plain.type === 'string' ? '' : {}
}

function properties(schema) {
  const rows = Object.entries(schema.properties || {}).map(([name, property]) => make('tr', {},
    make('td', {}, make('code', {}, name)),
    make('td', {}, typeOf(property), property.readOnly ? make('span', { class: 'faint' }, ' (only answered)') : ''),
    make('td', {}, ...prose(property.description, 'span'))))
  return make('table', {}, make('thead', {}, make('tr', {}, ...['Field', 'Type', 'What it is'].map((h) => make('th', {}, h)))),
    make('tbody', {}, ...rows))
}

// input is the field in which a parameter is given.
function input(parameter, id) {
  const schema = resolve(parameter.schema)
  const attributes = { id, name: parameter.name, 'data-in': parameter.in, required: parameter.in === 'path' }
  const choices = schema.enum || (schema.type === 'boolean' ? ['true', 'false'] : undefined)
  if (choices) return make('select', attributes, make('option', { value: '' }, ''), ...choices.map((c) => make('option', {}, c)))
  return make('input', {
    ...attributes, spellcheck: 'false', autocomplete: 'off', 'data-list': schema.type === 'array',
    placeholder: schema.type === 'array' ? 'several: separated by commas' : schema.format,
  })
}

function operation(path, method, op) {
  const form = make('form', { autocomplete: 'off' })
  for (const parameter of op.parameters || []) {
    const id = `${op.operationId}-${parameter.name}`
    form.append(make('label', { for: id }, make('code', {}, parameter.name), ' ',
      make('span', { class: 'faint' }, ...prose(parameter.description, 'span'))), input(parameter, id))
  }
  const content = op.requestBody?.content || {}
  if (content['application/octet-stream']) {
    form.append(make('label', { for: `${op.operationId}-body` }, 'Package'),
      make('input', { type: 'file', id: `${op.operationId}-body`, 'data-in': 'file', required: true }))
  } else if (content['application/json']) {
    const text = make('textarea', { id: `${op.operationId}-body`, 'data-in': 'body', spellcheck: 'false' })
    text.value = JSON.stringify(example(content['application/json'].schema), null, 2)
    form.append(make('label', { for: text.id }, 'Body'), text)
  }
  const answer = make('div', { 'aria-live': 'polite' })
  const send = make('button', { type: 'submit' }, 'Try it')
  const stop = make('button', { type: 'button', hidden: true }, 'Stop')
  form.append(send, stop, answer)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    attempt(path, method, form, answer, send, stop)
  })
  const good = op.responses['200']?.content || {}
  const answered = Object.values(good)[0]?.schema
  const inside = make('div', { class: 'inside' }, ...prose(op.summary), ...prose(op.description))
  const body = content['application/json']?.schema
  if (body && !body.$ref) inside.append(make('h3', {}, 'Body'), properties(body))
  else if (body) inside.append(make('p', {}, 'Body: ', typeOf(body)))
  if (answered) inside.append(make('p', {}, `Answers ${good['application/x-ndjson'] ? 'with lines of ' : ''}`, typeOf(answered), '.'))
  inside.append(form)
  return make('details', { id: op.operationId },
    make('summary', {}, make('span', { class: `method ${method}` }, method.toUpperCase()), make('span', { class: 'path' }, path),
      make('span', { class: 'name' }, op.operationId)), inside)
}

// request reads the form: where to, and with what.
function request(path, method, form) {
  const query = new URLSearchParams()
  const init = { method: method.toUpperCase(), headers: authorization() }
  for (const field of form.querySelectorAll('[data-in]')) {
    const { in: place, list } = field.dataset
    if (place === 'file') init.body = field.files[0]
    else if (place === 'body') {
      init.body = field.value
      init.headers['Content-Type'] = 'application/json'
    } else if (place === 'path') path = path.replace(`{${field.name}}`, encodeURIComponent(field.value))
    else if (field.value) {
      for (const value of list === undefined ? [field.value] : field.value.split(',')) query.append(field.name, value.trim())
    }
  }
  return [path + (query.size ? `?${query}` : ''), init]
}

async function attempt(path, method, form, answer, send, stop) {
  const [url, init] = request(path, method, form)
  const control = new AbortController()
  const end = () => control.abort()
  stop.addEventListener('click', end)
  send.disabled = true
  stop.hidden = false
  const begun = performance.now()
  const status = make('p', { class: 'status' }, '…')
  const body = make('pre', {})
  answer.replaceChildren(make('p', { class: 'faint' }, `${init.method} ${url}`), status, body)
  try {
    const response = await fetch(url, { ...init, signal: control.signal })
    status.className = response.ok ? 'status' : 'status bad'
    status.textContent = `${response.status} ${response.statusText}, ${Math.round(performance.now() - begun)} ms`
    if (response.headers.get('Content-Type')?.includes('ndjson')) await readLines(response, body)
    else body.textContent = pretty(await response.text())
  } catch (error) {
    status.append(error.name === 'AbortError' ? ' stopped' : ` ${error.message}`)
  } finally {
    stop.removeEventListener('click', end)
    send.disabled = false
    stop.hidden = true
  }
}

const maxLines = 500

async function readLines(response, into) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  const shown = []
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const pieces = (rest + value).split('\n')
    rest = pieces.pop()
    shown.push(...pieces.map(pretty))
    shown.splice(0, shown.length - maxLines)
    into.textContent = shown.join('\n')
    into.scrollTop = into.scrollHeight
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

function show() {
  const groups = new Map(api.tags.map((tag) => [tag.name, { about: tag.description, operations: [] }]))
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of methods.filter((m) => item[m])) groups.get(item[method].tags[0]).operations.push([path, method, item[method]])
  }
  const content = [...prose(api.info.description)]
  for (const [name, group] of groups) {
    content.push(make('h2', { id: `group-${name}` }, name), ...prose(group.about).map((p) => (p.classList.add('faint'), p)),
      ...group.operations.map(([path, method, op]) => operation(path, method, op)))
  }
  content.push(make('h2', { id: 'group-Schemas' }, 'Schemas'))
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    content.push(make('details', { id: `schema-${name}` }, make('summary', {}, make('span', { class: 'path' }, name)),
      make('div', { class: 'inside' }, ...prose(schema.description),
        schema.enum ? make('p', {}, ...schema.enum.flatMap((value) => [make('code', {}, value), ' '])) : properties(schema))))
  }
  byId('api').replaceChildren(...content)
  byId('groups').replaceChildren(...[...groups.keys(), 'Schemas'].map((name) => make('a', { href: `#group-${name}` }, name)))
  reveal()
}

// reveal opens what the address names.
function reveal() {
  const target = byId(decodeURIComponent(location.hash.slice(1)))
  if (target?.tagName === 'DETAILS') target.open = true
  target?.scrollIntoView()
}

// enter reads the document with the token that is kept, and asks for one where that is refused.
async function enter() {
  const given = sessionStorage.getItem(kept)
  let refusal = ''
  if (given) {
    try {
      const response = await fetch('/openapi.json', { headers: authorization() })
      if (response.ok) api = await response.json()
      else refusal = (await response.json()).message
    } catch (error) {
      refusal = `The API does not answer: ${error.message}`
    }
  }
  const open = Boolean(given && !refusal)
  byId('login').hidden = open
  byId('forget').hidden = !open
  byId('document').hidden = !open
  byId('refusal').textContent = refusal
  if (open) show()
}

byId('login').addEventListener('submit', (event) => {
  event.preventDefault()
  sessionStorage.setItem(kept, byId('token').value.trim())
  enter()
})
byId('forget').addEventListener('click', () => {
  sessionStorage.removeItem(kept)
  location.reload()
})
byId('document').addEventListener('click', (event) => {
  event.preventDefault()
  const file = new Blob([JSON.stringify(api, null, 2)], { type: 'application/json' })
  const link = make('a', { href: URL.createObjectURL(file), download: 'openapi.json' })
  link.click()
  URL.revokeObjectURL(link.href)
})
window.addEventListener('hashchange', reveal)
enter()
