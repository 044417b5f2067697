// SPDX-License-Identifier: Apache-2.0
// JavaScript on StarlingMonkey: answers from the request alone, from key-value, and from another server by fetch().
import { open } from 'wasi:keyvalue/store@0.2.0-draft';
import { increment } from 'wasi:keyvalue/atomics@0.2.0-draft';

const routes = {
  '/hello': async (url) => `hello from javascript: ${url.pathname}${url.search}\n`,
  '/echo': async (url, request) => request.text(),
  '/count': async (url) => `count ${increment(open('default'), url.search, 1n)}\n`,
  '/keep': async (url, request) => {
    const bucket = open('default');
    bucket.set(url.search, new TextEncoder().encode(await request.text()));
    return `kept ${new TextDecoder().decode(bucket.get(url.search))}\n`;
  },
  '/fetch': async (url) => {
    const answer = await fetch(url.searchParams.get('url'), { headers: { 'x-asked-by': 'js-http' } });
    return `${answer.status} ${answer.headers.get('content-type')} ${await answer.text()}`;
  },
  '/sleep': async (url) => {
    const before = Date.now();
    await new Promise((done) => setTimeout(done, 30));
    return `slept ${Date.now() - before >= 25}\n`;
  },
};

async function answer(request) {
  const url = new URL(request.url);
  const route = routes[url.pathname];
  try {
    return route
      ? new Response(await route(url, request), { headers: { 'content-type': 'text/plain' } })
      : new Response('no such route\n', { status: 404 });
  } catch (e) {
    return new Response(`${e}\n`, { status: 500 });
  }
}

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));
