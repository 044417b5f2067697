// SPDX-License-Identifier: Apache-2.0
// Asks serve.mjs with Ollama's own client, streamed and whole; prints what it said, as JSON.
//   node client.mjs FOLDER-OF-NODE-MODULES URL MODEL PROMPT OPTIONS-AS-JSON
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, host, model, prompt, options] = process.argv.slice(2);
const { Ollama } = await import(pathToFileURL(createRequire(`${folder}/`).resolve('ollama')));
const ollama = new Ollama({ host });
const request = { model, prompt, options: JSON.parse(options) };
const whole = await ollama.generate(request);
let streamed = '';
for await (const part of await ollama.generate({ ...request, stream: true })) streamed += part.response;
const { models } = await ollama.list();
console.log(JSON.stringify({ whole, streamed, models: models.map((m) => m.name) }));
