//! A static host: the files of a folder over HTTP/1.1 with connections kept alive, as any web server in front of a repo.
//!
//! A folder is answered with its `index.json` where the client takes PEP 691 pages, else with its `index.html`. Invariant:
//! both sides get the same bytes after the same work. Deliberately absent: ranges, writes, and anything off this machine.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use fs_err as fs;

const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// Serve `folder` until the program ends. Returns the address.
pub(crate) fn serve(folder: &Path) -> io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = format!("http://{}", listener.local_addr()?);
    let folder = folder.to_path_buf();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            // A client that goes away in the middle is its own affair.
            std::thread::spawn(move || drop(answer_all(&stream, &folder)));
        }
    });
    Ok(address)
}

fn answer_all(stream: &TcpStream, folder: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut json) = (String::new(), false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if path.is_empty() {
                line.split(' ').nth(1).unwrap_or("/").clone_into(&mut path);
            } else if line.to_ascii_lowercase().starts_with("accept:") {
                json = line.contains(JSON);
            }
        }
        respond(stream, folder, &path, json)?;
    }
}

fn respond(mut stream: &TcpStream, folder: &Path, path: &str, json: bool) -> io::Result<()> {
    let inside = path.trim_start_matches('/').split('?').next().unwrap_or_default();
    let mut file: PathBuf = folder.join(inside);
    let mut kind = "application/octet-stream";
    if path.ends_with('/') {
        (file, kind) = if json {
            (file.join("index.json"), JSON)
        } else {
            (file.join("index.html"), "text/html; charset=utf-8")
        };
    }
    let found = !inside.split('/').any(|part| part == "..") && file.is_file();
    let (status, body) = if found {
        ("200 OK", fs::read(&file)?)
    } else {
        ("404 Not Found", Vec::new())
    };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: max-age=600\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    stream.write_all(&answer)
}
