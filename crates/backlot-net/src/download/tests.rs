//! Downloads against servers that break off, change, and answer what was not asked.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backlot_core::Context;
use url::Url;

use super::{Download, Downloaded};
use crate::{Account, Error, Network, NetworkOptions, PlaceName};

/// A server that gives the n-th request the n-th answer, and the last one to all that follow. What it was asked is kept.
fn server(answers: Vec<Vec<u8>>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/plate.exr", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.extend(byte);
            }
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            heard.lock().unwrap().push(head);
            stream.write_all(&answers[n.min(answers.len() - 1)]).ok();
        }
    });
    (url.parse().unwrap(), asked)
}

fn answer(status: &str, fields: &[&str], body: &str) -> Vec<u8> {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{fields}\r\n{body}").into_bytes()
}

fn download(url: &Url, part: &Path, known: Option<&str>) -> Result<Downloaded, Error> {
    let mut options = NetworkOptions::new(part.with_extension("cache"));
    (options.pause, options.retries) = (Duration::from_millis(1), 2);
    let network = Network::new(options, Context::default()).unwrap();
    let account = Account::open(&network, &PlaceName::unnamed(), url).unwrap();
    let wanted = Download {
        url,
        unless: known,
        part,
        is_known: &|file| known.is_some() && file.etag.as_deref() == known,
        progress: &|_| {},
    };
    network.block(network.download(&account, &wanted))
}

fn part() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("part");
    (folder, part)
}

fn read(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap()
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let (url, asked) = server(vec![
        answer("200 OK", &["ETag: \"1\"", "Content-Length: 10"], "0123"),
        answer(
            "206 Partial Content",
            &["ETag: \"1\"", "Content-Length: 6", "Content-Range: bytes 4-9/10"],
            "456789",
        ),
    ]);
    let (_folder, part) = part();
    let Downloaded::Whole(file) = download(&url, &part, None).unwrap() else {
        panic!("it is there");
    };
    assert_eq!((read(&part).as_str(), file.length), ("0123456789", Some(10)));
    let asked = asked.lock().unwrap();
    assert!(
        asked[1].contains("range: bytes=4-") && asked[1].contains("if-range: \"1\""),
        "{}",
        asked[1]
    );
}

#[test]
fn what_a_run_left_is_gone_on_with_by_the_next() {
    let (_folder, part) = part();
    let cut = answer("200 OK", &["ETag: \"1\"", "Content-Length: 10"], "0123");
    let (url, _) = server(vec![cut, answer("500 Oops", &[], "")]);
    download(&url, &part, None).unwrap_err();
    assert_eq!(read(&part), "0123");
    // The same file behind another port is another file: it begins anew.
    let all = answer("200 OK", &["ETag: \"1\"", "Content-Length: 4"], "abcd");
    let (other, asked) = server(vec![all]);
    download(&other, &part, None).unwrap();
    assert_eq!(read(&part), "abcd");
    assert!(!asked.lock().unwrap()[0].contains("range:"));
}

#[test]
fn a_later_run_asks_for_the_rest_only() {
    let (_folder, part) = part();
    let busy = answer("503 Busy", &[], "");
    let rest = answer(
        "206 Partial Content",
        &["ETag: \"1\"", "Content-Length: 6", "Content-Range: bytes 4-9/10"],
        "456789",
    );
    let cut = answer("200 OK", &["ETag: \"1\"", "Content-Length: 10"], "0123");
    let (url, asked) = server(vec![cut, busy.clone(), busy.clone(), rest]);
    download(&url, &part, None).unwrap_err();
    assert_eq!(asked.lock().unwrap().len(), 3);
    // Also where an older version is known: what was begun is newer.
    download(&url, &part, Some("\"0\"")).unwrap();
    assert_eq!(read(&part), "0123456789");
    assert!(asked.lock().unwrap()[3].contains("range: bytes=4-"));
}

#[test]
fn a_file_that_changed_meanwhile_begins_anew() {
    let (url, _) = server(vec![
        answer("200 OK", &["ETag: \"1\"", "Content-Length: 10"], "0123"),
        answer("200 OK", &["ETag: \"2\"", "Content-Length: 6"], "abcdef"),
    ]);
    let (_folder, part) = part();
    let Downloaded::Whole(file) = download(&url, &part, None).unwrap() else {
        panic!("it is there");
    };
    assert_eq!(
        (read(&part).as_str(), file.etag.as_deref()),
        ("abcdef", Some("\"2\""))
    );
}

#[test]
fn another_part_than_was_asked_for_is_not_used() {
    for fields in [
        ["ETag: \"2\"", "Content-Range: bytes 4-9/10"],
        ["ETag: \"1\"", "Content-Range: bytes 3-9/10"],
        ["ETag: \"1\"", "Content-Range: bytes 4-9/12"],
        ["X-None: 1", "Content-Range: bytes 4-9/10"],
        ["ETag: \"1\"", "X-None: 1"],
    ] {
        let (url, asked) = server(vec![
            answer("200 OK", &["ETag: \"1\"", "Content-Length: 10"], "0123"),
            answer("206 Partial Content", &fields, "xxxxxx"),
            answer("200 OK", &["ETag: \"1\"", "Content-Length: 10"], "0123456789"),
        ]);
        let (_folder, part) = part();
        download(&url, &part, None).unwrap();
        assert_eq!(read(&part), "0123456789", "{fields:?}");
        assert_eq!(asked.lock().unwrap().len(), 3);
    }
}

#[test]
fn without_a_strong_etag_nothing_is_gone_on_with() {
    for etag in ["ETag: W/\"1\"", "X-None: 1"] {
        let (url, asked) = server(vec![
            answer("200 OK", &[etag, "Content-Length: 10"], "0123"),
            answer("200 OK", &[etag, "Content-Length: 10"], "0123456789"),
        ]);
        let (_folder, part) = part();
        download(&url, &part, None).unwrap();
        assert_eq!(read(&part), "0123456789");
        assert!(!asked.lock().unwrap()[1].contains("range:"));
    }
}

#[test]
fn the_known_one_is_not_sent() {
    let (_folder, part) = part();
    let (url, asked) = server(vec![answer("304 Not Modified", &["ETag: \"1\""], "")]);
    assert_eq!(download(&url, &part, Some("\"1\"")).unwrap(), Downloaded::Known);
    assert!(asked.lock().unwrap()[0].contains("if-none-match: \"1\""));
    // A server that knows no conditions: its answer tells.
    let (url, _) = server(vec![answer(
        "200 OK",
        &["ETag: \"1\"", "Content-Length: 4"],
        "same",
    )]);
    assert_eq!(download(&url, &part, Some("\"1\"")).unwrap(), Downloaded::Known);
    assert!(!part.exists());
    let (url, _) = server(vec![answer("404 Not Found", &[], "")]);
    assert_eq!(
        download(&url, &part, Some("\"1\"")).unwrap(),
        Downloaded::Refused(404)
    );
}

#[test]
fn a_server_that_always_breaks_off_is_given_up() {
    let cut = answer("200 OK", &["Content-Length: 10"], "0123");
    let (url, asked) = server(vec![cut]);
    let (_folder, part) = part();
    let error = download(&url, &part, None).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    // What was cut off in the same place again brings nothing new.
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn packed_bytes_are_refused() {
    let (url, _) = server(vec![answer(
        "200 OK",
        &["Content-Encoding: br", "Content-Length: 3"],
        "xyz",
    )]);
    let (_folder, part) = part();
    let error = download(&url, &part, None).unwrap_err();
    assert!(error.to_string().contains("`br`"), "{error}");
    assert!(!part.exists());
}

#[test]
fn a_file_is_looked_at_without_its_bytes() {
    let head = answer("405 Method Not Allowed", &[], "");
    let got = answer("200 OK", &["Last-Modified: x", "Content-Length: 99"], "0");
    let (url, asked) = server(vec![head, got]);
    let (_folder, part) = part();
    let network = Network::new(NetworkOptions::new(&part), Context::default()).unwrap();
    let account = Account::open(&network, &PlaceName::unnamed(), &url).unwrap();
    let file = network.block(network.look(&account, &url)).unwrap().unwrap();
    assert_eq!(
        (file.length, file.last_modified.as_deref()),
        (Some(99), Some("x"))
    );
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("head ") && asked[1].starts_with("get "));
}
