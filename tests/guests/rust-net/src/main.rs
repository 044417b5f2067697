// SPDX-License-Identifier: Apache-2.0
//! Rust's standard library on wasi:sockets, as a 0.2 command. The first argument says what to do:
//!   alone            both ends of a TCP and of a UDP conversation, on the loopback
//!   talk HOST:PORT   send stdin, close that half, print the answer
//!   serve IP:PORT    print the address, echo what one client sends in capitals
//! Whoever fails prints the kind of error.

use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};

fn alone() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, peer) = listener.accept()?;
    println!("accepted {}", peer == near.local_addr()?);
    near.set_nodelay(true).or_else(|_| Ok::<(), std::io::Error>(()))?;
    near.write_all(b"to the far end")?;
    near.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    far.read_to_string(&mut text)?;
    println!("far {text:?}");
    far.write_all(b"and back")?;
    drop(far);
    text.clear();
    near.read_to_string(&mut text)?;
    println!("near {text:?}");
    let gone = listener.local_addr()?;
    drop(listener);
    println!("then {:?}", TcpStream::connect(gone).map(drop).map_err(|e| e.kind()));

    let (a, b) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    a.send_to(b"datagram", b.local_addr()?)?;
    let mut bytes = [0; 64];
    let (n, from) = b.recv_from(&mut bytes)?;
    println!("datagram {:?} {}", &bytes[..n] == b"datagram", from == a.local_addr()?);
    b.connect(from)?;
    b.send(b"answer")?;
    let n = a.recv(&mut bytes)?;
    println!("answer {:?}", &bytes[..n] == b"answer");
    Ok(())
}

fn talk(to: &str) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    stream.write_all(&bytes)?;
    stream.shutdown(Shutdown::Write)?;
    bytes.clear();
    stream.read_to_end(&mut bytes)?;
    std::io::stdout().write_all(&bytes)
}

fn serve(at: &str) -> Result<()> {
    let listener = TcpListener::bind(at)?;
    println!("{}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    let mut bytes = [0; 4096];
    loop {
        let n = stream.read(&mut bytes)?;
        if n == 0 {
            return Ok(());
        }
        bytes.make_ascii_uppercase();
        stream.write_all(&bytes[..n])?;
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let end = match words[..] {
        ["alone"] => alone(),
        ["talk", to] => talk(to),
        ["serve", at] => serve(at),
        _ => panic!("no such verb"),
    };
    if let Err(e) = end {
        println!("failed {:?}", e.kind());
        std::process::exit(1);
    }
}
