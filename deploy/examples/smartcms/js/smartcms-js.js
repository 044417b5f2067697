// SPDX-License-Identifier: Apache-2.0
// SmartCMS in JavaScript, for StarlingMonkey: the same routes as smartcms.c but for the page.
import { open } from 'wasi:keyvalue/store@0.2.0-draft';
import { increment } from 'wasi:keyvalue/atomics@0.2.0-draft';
import { generate } from 'thomastaylor312:ollama/generate';

const bytes = (text) => new TextEncoder().encode(text);
const plain = (text, status = 200) => new Response(text, { status, headers: { 'content-type': 'text/plain; charset=utf-8' } });

// With a blank when neither has one and a word begins.
const goOn = (first, said) => first + (/^(?:$|[\s.,;:!?)])/.test(said) ? '' : ' ') + said;

const routes = {
  '/api/create': (body) => {
    const [first, ...rest] = body.split('\n');
    const name = first.trim();
    if (!name) return plain('the first line must be a name\n', 400);
    open('default').set(name, bytes(rest.join('\n')));
    return plain(`Stored ${name}\n`);
  },
  '/api/retrieve': (body) => {
    const story = open('default').get(body.trim());
    return story ? plain(`${new TextDecoder().decode(story)}\n`) : plain('Story not found\n', 404);
  },
  '/api/generate': (body) => {
    const prompt = body.trim() || 'Once upon a time';
    const story = goOn(prompt, generate({ prompt, images: undefined }).response);
    const bucket = open('default');
    const name = `generated${increment(bucket, 'generated', 1n)}`;
    bucket.set(name, bytes(story));
    return plain(`${name}\n${story}\n`);
  },
};

async function answer(request) {
  const route = routes[new URL(request.url).pathname];
  if (!route) return plain('Invalid route!\n', 404);
  if (request.method !== 'POST') return plain('POST it\n', 405);
  try {
    return route(await request.text());
  } catch (e) {
    return plain(`${e.payload ?? e}\n`, 502);
  }
}

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));
