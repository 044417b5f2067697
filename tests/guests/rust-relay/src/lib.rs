// SPDX-License-Identifier: Apache-2.0
//! An HTTP handler that talks to a TCP server: sends the request's path to the HOST:PORT of its query, closes that half,
//! and answers what comes back; 502 and the kind of error when it cannot.

wit_bindgen::generate!({ world: "rust-relay", path: "wit", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Handler;

fn relay(path: &str, to: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    let mut answer = Vec::new();
    stream.write_all(path.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, to) = target.split_once('?').unwrap_or((&target, ""));
        let (status, answer) = match relay(path, to) {
            Ok(answer) => (200, answer),
            Err(e) => (502, format!("{:?}\n", e.kind()).into_bytes()),
        };
        let response = OutgoingResponse::new(Fields::new());
        response.set_status_code(status).expect("a good status");
        let body = response.body().expect("a body");
        ResponseOutparam::set(out, Ok(response));
        {
            let to = body.write().expect("its stream");
            for piece in answer.chunks(4096) {
                to.blocking_write_and_flush(piece).expect("a reader");
            }
        }
        OutgoingBody::finish(body, None).expect("the end");
    }
}

export!(Handler);
