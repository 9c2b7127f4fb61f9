//! A small HTTP server for tests, on standard sockets: it serves folders as static hosts do, or misbehaves as it is told.
//!
//! It keeps a log of what it was asked and how many bytes of bodies it sent. Deliberately absent: everything a test does
//! not need, such as encryption.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "each test uses its part, and fails where it cannot go on"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fs_err as fs;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// How often this path was asked for, this time included.
    pub times: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What to answer.
pub enum Reply {
    /// As it should be.
    Whole(u16, Vec<(String, String)>, Vec<u8>),
    /// These bytes on the wire, then the end.
    Raw(Vec<u8>),
    /// A head, then bytes for ever.
    Endless,
    /// A head, then a byte now and then, for ever.
    Trickle,
    /// Nothing, for ever.
    Silence,
}

impl Reply {
    pub fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(
            status,
            vec![("Content-Type".to_owned(), kind.to_owned())],
            body.into(),
        )
    }
    pub fn html(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "text/html; charset=utf-8", body)
    }
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/vnd.pypi.simple.v1+json", body)
    }
    pub fn bytes(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/octet-stream", body)
    }
    pub fn status(status: u16) -> Self {
        Self::new(status, "text/plain", "no")
    }
    pub fn with(self, name: &str, value: &str) -> Self {
        match self {
            Self::Whole(status, mut headers, body) => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Whole(status, headers, body)
            }
            other => other,
        }
    }
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Logged {
    pub request: Request,
    pub status: u16,
    pub sent: u64,
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A running server; it stops with the process.
pub struct Server {
    port: u16,
    log: Arc<Mutex<Vec<Logged>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (handler, shared): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&shared));
                std::thread::spawn(move || serve(&stream, &*handler, &log));
            }
        });
        Self { port, log }
    }

    /// Serve a folder as a static host does: `index.json` where `json` says so and else `index.html` for folders, tags,
    /// ranges.
    pub fn folder(root: &Path, json: bool) -> Self {
        let root = root.to_path_buf();
        Self::start(move |request| file(&root, json, request))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The same server as another host.
    pub fn other_url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    pub fn log(&self) -> Vec<Logged> {
        self.log.lock().unwrap().clone()
    }

    /// What was asked since the last time.
    pub fn take_log(&self) -> Vec<Logged> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

fn serve(stream: &TcpStream, handler: &Handler, log: &Mutex<Vec<Logged>>) {
    stream.set_nodelay(true).ok();
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read(&mut reader) {
        let earlier = |l: &&Logged| l.request.path == request.path;
        request.times = log.lock().unwrap().iter().filter(earlier).count() + 1;
        let reply = handler(&request);
        let note = |status, sent| {
            log.lock().unwrap().push(Logged {
                request: request.clone(),
                status,
                sent,
            });
        };
        let mut stream = stream;
        match reply {
            Reply::Whole(status, headers, body) => {
                note(status, body.len() as u64);
                let mut head = format!(
                    "HTTP/1.1 {status} Something\r\nContent-Length: {}\r\n",
                    body.len()
                );
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                let mut bytes = format!("{head}\r\n").into_bytes();
                if request.method != "HEAD" {
                    bytes.extend(body);
                }
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
            Reply::Raw(bytes) => {
                note(0, bytes.len() as u64);
                stream.write_all(&bytes).ok();
                return;
            }
            Reply::Endless => {
                note(200, 0);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).ok();
                let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
                while stream.write_all(&chunk).is_ok() {}
                return;
            }
            Reply::Trickle => {
                note(200, 0);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).ok();
                while stream.write_all(b"1\r\nx\r\n").is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                return;
            }
            Reply::Silence => {
                note(0, 0);
                std::thread::sleep(std::time::Duration::from_mins(1));
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|l| l.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        headers,
        body,
        times: 0,
    })
}

/// A file of a folder, as a static host sends it.
pub fn file(root: &Path, json: bool, request: &Request) -> Reply {
    let decoded = request.path.replace("%2B", "+").replace("%21", "!");
    let mut path: PathBuf = root.join(decoded.trim_start_matches('/'));
    let mut kind = "application/octet-stream";
    if path.is_dir() {
        let wants_json = json && request.header("accept").contains("+json");
        path = path.join(if wants_json { "index.json" } else { "index.html" });
        kind = if wants_json {
            "application/vnd.pypi.simple.v1+json"
        } else {
            "text/html"
        };
    }
    let Ok(bytes) = fs::read(&path) else {
        return Reply::status(404);
    };
    let sum = bytes
        .iter()
        .fold(0u64, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(*b)));
    let etag = format!("\"{sum:x}\"");
    if request.header("if-none-match") == etag {
        return Reply::new(304, kind, "").with("ETag", &etag);
    }
    match request.header("range").strip_prefix("bytes=") {
        Some(range) => ranged(&bytes, range),
        None => Reply::new(200, kind, bytes).with("ETag", &etag),
    }
}

/// A part of some bytes, as a server that does ranges sends it.
pub fn ranged(bytes: &[u8], range: &str) -> Reply {
    let (from, to) = range.split_once('-').unwrap();
    let last = bytes.len() - 1;
    let (from, to) = if from.is_empty() {
        (bytes.len().saturating_sub(to.parse().unwrap()), last)
    } else {
        (
            from.parse().unwrap(),
            to.parse::<usize>().map_or(last, |to| to.min(last)),
        )
    };
    Reply::new(206, "application/octet-stream", &bytes[from..=to])
        .with("Content-Range", &format!("bytes {from}-{to}/{}", bytes.len()))
}
