// SPDX-License-Identifier: Apache-2.0
// Ollama's routes before a real model: /api/generate (streamed or not), /api/tags, /api/ps, /api/version. A model is
// loaded by the first request that wants it and unloaded keep_alive later. Prints its port, ends with its stdin.
//   node serve.mjs FOLDER-OF-NODE-MODULES NAME=MODEL.gguf...
import http from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, ...named] = process.argv.slice(2);
const library = createRequire(`${folder}/`).resolve('node-llama-cpp');
const { getLlama, LlamaCompletion } = await import(pathToFileURL(library));
const models = new Map(named.map((pair) => pair.split('=')));
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, logLevel: 'error',
                               maxThreads: 1 });
const loaded = new Map(); // name -> {model, context, sequence, timer, expires}
let turn = Promise.resolve(); // one request at a time has the model

const now = () => process.hrtime.bigint();
const ns = (from) => Number(now() - from);

class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// ---- models in memory

async function unload(name) {
  const one = loaded.get(name);
  if (!one) return;
  clearTimeout(one.timer);
  loaded.delete(name);
  await one.context.dispose();
  await one.model.dispose();
}

async function load(name) {
  if (!loaded.has(name)) {
    const model = await llama.loadModel({ modelPath: models.get(name) });
    const context = await model.createContext({ contextSize: 512 });
    loaded.set(name, { model, context, sequence: context.getSequence() });
  }
  return loaded.get(name);
}

// "5m", "30s", a number of seconds; below zero: for ever.
function milliseconds(keep) {
  const [, n, unit] = /^(-?\d+)(ms|s|m|h)?$/.exec(keep ?? '5m') ?? [];
  if (n === undefined) throw new Refusal(400, `time: invalid duration "${keep}"`);
  return n * { ms: 1, s: 1000, m: 60000, h: 3600000 }[unit ?? 's'];
}

function keepFor(name, ms) {
  const one = loaded.get(name);
  clearTimeout(one.timer);
  one.expires = new Date(Date.now() + ms).toISOString();
  if (ms >= 0 && ms < 2 ** 31)
    one.timer = setTimeout(() => { turn = turn.then(() => unload(name)); }, ms);
}

// ---- /api/generate

function checkImages(images) {
  for (const image of images ?? [])
    if (typeof image !== 'string' || !/^(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?$/.test(image))
      throw new Refusal(400, 'illegal base64 data in images');
}

// Calls piece(text) as the model speaks; resolves to what the last message of the answer holds.
async function generate(name, prompt, options, gone, piece) {
  const begun = now();
  const { model, sequence } = await load(name);
  const load_duration = ns(begun), tokens = model.tokenize(prompt);
  const completion = new LlamaCompletion({ contextSequence: sequence });
  const said = [], asked = now();
  let first;
  const { metadata } = await completion.generateCompletionWithMeta(tokens, {
    signal: gone, stopOnAbortSignal: true,
    maxTokens: options.num_predict > 0 ? options.num_predict : 64,
    temperature: options.temperature ?? 0.8, seed: options.seed, topK: options.top_k ?? 40, topP: options.top_p ?? 0.9,
    customStopTriggers: options.stop,
    onToken: (more) => { first ??= now(); said.push(...more); },
    onTextChunk: piece,
  });
  completion.dispose();
  await sequence.clearHistory();
  return { done_reason: metadata.stopReason === 'maxTokens' ? 'length' : 'stop', context: [...tokens, ...said],
           total_duration: ns(begun), load_duration, prompt_eval_count: tokens.length,
           prompt_eval_duration: Number((first ?? now()) - asked), eval_count: said.length,
           eval_duration: first ? ns(first) : 0 };
}

async function answer(body, response, gone) {
  const { model: name, prompt = '', stream = true, options = {}, keep_alive, images } = body;
  if (!models.has(name)) throw new Refusal(404, `model '${name}' not found`);
  checkImages(images);
  const keep = milliseconds(keep_alive);
  const head = { 'content-type': stream ? 'application/x-ndjson' : 'application/json' };
  const message = (text, rest) => ({ model: name, created_at: new Date().toISOString(), response: text, ...rest });
  let text = '';
  const last = await generate(name, prompt, options, gone, (more) => {
    text += more;
    if (!stream) return;
    if (!response.headersSent) response.writeHead(200, head);
    response.write(`${JSON.stringify(message(more, { done: false }))}\n`);
  });
  keepFor(name, keep);
  if (!response.headersSent) response.writeHead(200, head);
  response.end(JSON.stringify(message(stream ? '' : text, { done: true, ...last })));
}

// ---- HTTP

const known = (name) => ({ name, model: name, size: 500000, details: { format: 'gguf', family: 'llama' } });
const shown = {
  '/api/version': () => ({ version: '0.0.0' }),
  '/api/tags': () => ({ models: [...models.keys()].map(known) }),
  '/api/ps': () => ({ models: [...loaded].map(([name, one]) => ({ ...known(name), expires_at: one.expires })) }),
};

function read(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    request.on('data', (data) => chunks.push(data));
    request.on('end', () => {
      try { resolve(JSON.parse(Buffer.concat(chunks))); } catch (e) { reject(new Refusal(400, e.message)); }
    });
  });
}

function fail(response, error) {
  if (response.headersSent) return response.destroy();
  response.writeHead(error.status ?? 500, { 'content-type': 'application/json' });
  return response.end(JSON.stringify({ error: error.message }));
}

const server = http.createServer(async (request, response) => {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    if (shown[request.url]) return response.end(JSON.stringify(shown[request.url]()));
    if (request.url !== '/api/generate' || request.method !== 'POST') throw new Refusal(404, '404 page not found');
    const body = await read(request);
    const mine = turn.then(() => answer(body, response, gone.signal));
    turn = mine.catch(() => {});
    await mine;
  } catch (error) {
    fail(response, error);
  }
  return undefined;
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
