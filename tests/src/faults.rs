//! A server between a client and a store that does to requests what networks and busy servers do.
//!
//! It speaks HTTP/1.1, a request a connection. `decide` says what becomes of each; it sees the method and path, and how many came
//! before. For SSH there is [`Line`], which cuts connections after some bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is passed on, and its answer comes back.
    None,
    /// Answered with this status and, in seconds, this `Retry-After`; the store sees nothing of it.
    Answer(u16, Option<u32>),
    /// The connection is closed before anything of it is passed on.
    Dropped,
    /// Half of its body reaches the store.
    Torn,
    /// The store does it, and nobody is told.
    Lost,
    /// Half of the answer comes back.
    Cut,
    /// The answer comes a byte at a time, for ever.
    Slow,
}

/// All but the one that takes for ever.
pub const FAULTS: [Fault; 7] = [
    Fault::Answer(503, Some(0)),
    Fault::Answer(500, None),
    Fault::Answer(429, Some(1)),
    Fault::Dropped,
    Fault::Torn,
    Fault::Lost,
    Fault::Cut,
];

/// The server between.
#[derive(Clone)]
pub struct Between {
    /// Where it listens.
    pub port: u16,
    /// The requests that came, as `METHOD /path`.
    pub seen: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Between")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Between {
    /// Stand before the server on a port of this machine.
    pub fn before(port: u16, decide: impl Fn(&str, u64) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let between = Self {
            port: own,
            seen: Arc::default(),
        };
        let (seen, count, decide) = (
            Arc::clone(&between.seen),
            Arc::new(AtomicU64::new(0)),
            Arc::new(decide),
        );
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (seen, count, decide) = (Arc::clone(&seen), Arc::clone(&count), Arc::clone(&decide));
                std::thread::spawn(move || {
                    pass(client, port, &|line| {
                        seen.lock().expect("no panic").push(line.to_owned());
                        decide(line, count.fetch_add(1, Ordering::SeqCst))
                    });
                });
            }
        });
        between
    }

    /// How many requests came since the last time this was asked.
    pub fn count(&self) -> usize {
        std::mem::take(&mut *self.seen.lock().expect("no panic")).len()
    }
}

/// A head with its end, and what came after it; `None` if the other side went away.
fn head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut block) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match stream.read(&mut block) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&block[..read]),
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The rest of a body that was announced.
fn body(stream: &mut TcpStream, head: &str, mut begun: Vec<u8>) -> Option<Vec<u8>> {
    let chunked = field(head, "transfer-encoding").is_some_and(|how| how.contains("chunked"));
    let length = field(head, "content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut block = vec![0; 64 << 10];
    while if chunked {
        !begun.ends_with(b"0\r\n\r\n")
    } else {
        begun.len() < length
    } {
        match stream.read(&mut block) {
            Ok(0) | Err(_) => return None,
            Ok(read) => begun.extend_from_slice(&block[..read]),
        }
    }
    Some(begun)
}

fn pass(mut client: TcpStream, port: u16, decide: &dyn Fn(&str) -> Fault) {
    let Some((head, begun)) = head(&mut client) else {
        return;
    };
    if field(&head, "expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok();
    }
    let line = head.lines().next().unwrap_or_default();
    let line = line.rsplit_once(' ').map_or(line, |(line, _)| line);
    let fault = decide(line);
    if fault == Fault::Dropped {
        return;
    }
    let Some(body) = body(&mut client, &head, begun) else {
        return;
    };
    if let Fault::Answer(status, pause) = fault {
        let pause = pause.map(|seconds| format!("Retry-After: {seconds}\r\n"));
        let answer = format!(
            "HTTP/1.1 {status} Busy\r\n{}Content-Length: 0\r\nConnection: close\r\n\r\n",
            pause.unwrap_or_default()
        );
        client.write_all(answer.as_bytes()).ok();
        return;
    }
    let mut server = TcpStream::connect(("127.0.0.1", port)).expect("the store is there");
    server.set_nodelay(true).ok();
    server.write_all(onward(&head, port).as_bytes()).ok();
    if fault == Fault::Torn {
        server.write_all(&body[..body.len() / 2]).ok();
        server.shutdown(Shutdown::Both).ok();
        return;
    }
    server.write_all(&body).ok();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok();
    match fault {
        Fault::Lost => {}
        Fault::Cut => drop(client.write_all(&answer[..answer.len() * 2 / 3])),
        Fault::Slow => {
            for byte in answer {
                if client.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        _ => drop(client.write_all(&answer)),
    }
    client.shutdown(Shutdown::Write).ok();
}

/// The head for the server itself: it is who is asked, where something moves to is on it, too, and it says all at once.
fn onward(head: &str, port: u16) -> String {
    let mut onward = String::new();
    for line in head.trim_end().lines() {
        let name = line.split_once(':').map(|(name, _)| name.to_ascii_lowercase());
        let own = field(head, "host").unwrap_or_default();
        match name.as_deref() {
            Some("connection" | "expect") => continue,
            Some("host" | "destination") => onward.push_str(&line.replace(own, &format!("127.0.0.1:{port}"))),
            _ => onward.push_str(line),
        }
        onward.push_str("\r\n");
    }
    onward + "Connection: close\r\n\r\n"
}

/// A line to a server that is cut after some bytes, now and then.
#[derive(Debug)]
pub struct Line {
    /// Where it listens.
    pub port: u16,
}

impl Line {
    /// Stand before a port; `bytes` says after how many that come from the client each connection is cut.
    pub fn before(port: u16, bytes: impl Fn(u64) -> Option<u64> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming().flatten()) {
                let server = TcpStream::connect(("127.0.0.1", port)).expect("the server is there");
                let limit = bytes(number).unwrap_or(u64::MAX);
                let (back, forth) = (
                    (
                        server.try_clone().expect("cloned"),
                        client.try_clone().expect("cloned"),
                    ),
                    (client, server),
                );
                std::thread::spawn(move || pump(back.0, back.1, u64::MAX));
                std::thread::spawn(move || pump(forth.0, forth.1, limit));
            }
        });
        Self { port: own }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut left: u64) {
    let mut block = [0; 8 << 10];
    while let Ok(read) = from.read(&mut block) {
        if read == 0 || left < read as u64 || to.write_all(&block[..read]).is_err() {
            break;
        }
        left -= read as u64;
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
