# SPDX-License-Identifier: Apache-2.0
"""Python: answers from the request alone and from key-value; blocking reads and writes of body streams."""

import json
import math

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import atomics, store
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse,
                                     ResponseOutparam)


def read_all(request):
    body = request.consume()
    data = b""
    with body.stream() as stream:
        while True:
            try:
                data += stream.blocking_read(65536)
            except Err as e:
                if not isinstance(e.value, StreamError_Closed):
                    raise
                break
    IncomingBody.finish(body)
    return data


def hello(query, request):
    return f"hello from python: {query}\n".encode()


def echo(query, request):
    return read_all(request)


def count(query, request):
    return f"count {atomics.increment(store.open('default'), query, 1)}\n".encode()


def numbers(query, request):
    values = json.loads(read_all(request))
    return json.dumps({"sum": math.fsum(values), "sorted": sorted(values), "repr": repr(sum(values))}).encode()


ROUTES = {"/hello": hello, "/echo": echo, "/count": count, "/numbers": numbers}


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path, _, query = (request.path_with_query() or "/").partition("?")
        route = ROUTES.get(path)
        answer = route(query, request) if route else b"no such route\n"
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        response.set_status_code(200 if route else 404)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            for at in range(0, len(answer), 4096):
                stream.blocking_write_and_flush(answer[at:at + 4096])
        OutgoingBody.finish(body, None)
