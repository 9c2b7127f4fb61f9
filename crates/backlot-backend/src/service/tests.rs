//! Servers that break off, and go on with something else. Those that are right are asked by the conformance suite.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use backlot_core::Context;
use backlot_net::{Network, NetworkOptions, PlaceName};

use crate::{ObjectStore, StoreOptions};

/// A store whose server answers its requests with these, one after the other, and breaks each connection off.
fn answering(answers: Vec<String>) -> (tempfile::TempDir, Arc<dyn ObjectStore>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("webdav+http://{}/team", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (stream, answer) in listener.incoming().zip(answers) {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            reader.into_inner().write_all(answer.as_bytes()).ok();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let network = Network::new(NetworkOptions::new(folder.path()), Context::default()).unwrap();
    let store = crate::open(&network, &PlaceName::unnamed(), &url, &StoreOptions::default()).unwrap();
    (folder, store)
}

/// The first half of an object of ten bytes, and then no more.
fn half() -> String {
    "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 10\r\nConnection: close\r\n\r\nfirst".to_owned()
}

fn rest(tag: &str) -> String {
    format!(
        "HTTP/1.1 206 Partial Content\r\nETag: \"{tag}\"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\nConnection: close\r\n\r\n/rest"
    )
}

fn fetched(store: &dyn ObjectStore) -> Result<String, String> {
    let mut bytes = Vec::new();
    let sink = &mut |block: &[u8]| {
        bytes.extend_from_slice(block);
        true
    };
    match store.fetch("object", sink) {
        Ok(is_there) => {
            assert!(is_there);
            Ok(String::from_utf8(bytes).unwrap())
        }
        Err(e) => Err(e.to_string()),
    }
}

#[test]
fn what_breaks_off_goes_on_where_it_was() {
    let (_folder, store) = answering(vec![half(), rest("one")]);
    assert_eq!(fetched(&*store), Ok("first/rest".to_owned()));
}

#[test]
fn half_of_one_object_never_goes_on_with_half_of_another() {
    let (_folder, store) = answering(vec![half(), rest("two")]);
    let error = fetched(&*store).unwrap_err();
    assert!(error.contains("replaced while it was read"), "{error}");
}

#[test]
fn the_beginning_is_not_taken_for_the_rest() {
    let (_folder, store) = answering(vec![half(), half().replace("first", "first/rest")]);
    let error = fetched(&*store).unwrap_err();
    assert!(error.contains("sent the whole object"), "{error}");
}
