// SPDX-License-Identifier: Apache-2.0
//! Rust's standard library as a 0.2 command: the same story as the other commands here.

use std::io::BufRead;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("arguments {}", arguments.join(","));
    let mut environment: Vec<String> = std::env::vars().map(|(k, v)| format!("{k}={v}")).collect();
    environment.sort();
    println!("environment {}", environment.join(","));
    let mut lines = 0;
    for line in std::io::stdin().lock().lines() {
        println!("line {}", line.expect("text").to_uppercase());
        lines += 1;
    }
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    println!("woken {}", start.elapsed() >= Duration::from_millis(20));
    if let Some(path) = arguments.first() {
        match std::fs::read_to_string(path) {
            Ok(text) => println!("file {text:?}"),
            Err(e) => println!("no file: {:?}", e.kind()),
        }
    }
    eprintln!("ends");
    std::process::exit(if lines > 0 { 1 } else { 0 });
}
