// SPDX-License-Identifier: Apache-2.0
// JavaScript on QuickJS, without an event loop: the handler's own calls, blocking reads and writes.
import { Fields, IncomingBody, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.2';
import { open } from 'wasi:keyvalue/store@0.2.0-draft';
import { increment } from 'wasi:keyvalue/atomics@0.2.0-draft';

// no TextEncoder there; what these answers need is ASCII
const bytes = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));

function readAll(request) {
  const body = request.consume();
  const stream = body.stream();
  const pieces = [];
  try {
    for (;;) pieces.push(stream.blockingRead(65536));
  } catch (e) {
    if (e?.payload?.tag !== 'closed') throw e;
  }
  stream[Symbol.dispose]();
  IncomingBody.finish(body);
  const all = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
  pieces.reduce((at, piece) => (all.set(piece, at), at + piece.length), 0);
  return all;
}

const routes = {
  '/hello': (query) => bytes(`hello from quickjs: ${query}\n`),
  '/echo': (query, request) => readAll(request),
  '/count': (query) => bytes(`count ${increment(open('default'), query, 1)}\n`),
  '/numbers': (query) => bytes(JSON.stringify({ big: (2n ** 70n).toString(), pi: Math.PI, words: query.split(',').sort() })),
};

export const incomingHandler = {
  handle(request, out) {
    const [path, query = ''] = (request.pathWithQuery() ?? '/').split('?');
    const route = routes[path];
    const response = new OutgoingResponse(Fields.fromList([['content-type', bytes('text/plain')]]));
    response.setStatusCode(route ? 200 : 404);
    const answer = route ? route(query, request) : bytes('no such route\n');
    const body = response.body();
    ResponseOutparam.set(out, { tag: 'ok', val: response });
    const stream = body.write();
    for (let i = 0; i < answer.length; i += 4096) stream.blockingWriteAndFlush(answer.subarray(i, i + 4096));
    stream[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};
