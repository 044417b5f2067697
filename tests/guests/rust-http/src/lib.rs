// SPDX-License-Identifier: Apache-2.0
//! Rust through wit-bindgen: answers from the request alone and from key-value, and echoes bodies piece by piece.

wit_bindgen::generate!({ world: "rust-http", path: "wit", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasi::io::streams::{OutputStream, StreamError};
use wasi::keyvalue::{atomics, store};

struct Handler;

fn write_all(to: &OutputStream, mut data: &[u8]) {
    while !data.is_empty() {
        let (now, later) = data.split_at(data.len().min(4096));
        to.blocking_write_and_flush(now).expect("a reader");
        data = later;
    }
}

fn echo(request: &IncomingRequest, to: &OutputStream) {
    let body = request.consume().expect("a body");
    {
        let from = body.stream().expect("its stream");
        loop {
            match from.blocking_read(1000) {
                Ok(piece) => write_all(to, &piece),
                Err(StreamError::Closed) => break,
                Err(e) => panic!("{e:?}"),
            }
        }
    }
    IncomingBody::finish(body);
}

fn count(key: &str) -> String {
    match store::open("default").and_then(|b| atomics::increment(&b, key, 1)) {
        Ok(n) => format!("count {n}\n"),
        Err(e) => format!("{e:?}\n"),
    }
}

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let text = match path {
            "/hello" => Some(format!("hello from rust: {query}\n")),
            "/count" => Some(count(query)),
            "/echo" => Some(String::new()),
            _ => None,
        };
        let headers = [("content-type".to_string(), b"text/plain".to_vec())];
        let response = OutgoingResponse::new(Fields::from_list(&headers).expect("good headers"));
        response.set_status_code(if text.is_some() { 200 } else { 404 }).expect("a good status");
        let body = response.body().expect("a body");
        ResponseOutparam::set(out, Ok(response));
        {
            let to = body.write().expect("its stream");
            match path {
                "/echo" => echo(&request, &to),
                _ => write_all(&to, text.as_deref().unwrap_or("no such route\n").as_bytes()),
            }
        }
        OutgoingBody::finish(body, None).expect("the end");
    }
}

export!(Handler);
