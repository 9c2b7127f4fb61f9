//! Addresses and servers that are not what they should be. Stores that are right are asked in `tests/tests/storage/stores.rs`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use backlot_core::{Context, Diagnostic as _};
use backlot_net::{Network, NetworkOptions};

use super::super::{ReleaseStore, StoreOptions};
use crate::error::Result;
use crate::support::package;

fn open(url: &str, options: &StoreOptions) -> Result<(tempfile::TempDir, ReleaseStore)> {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::new(NetworkOptions::new(folder.path()), Context::default())?;
    Ok((folder, ReleaseStore::open(&network, "far", url, options)?))
}

#[test]
fn an_address_that_cannot_be_a_store_is_refused_and_its_secrets_are_not_told() {
    let endpoint = |endpoint: &str| StoreOptions::new().endpoint(Some(endpoint.to_owned()));
    let none = StoreOptions::default();
    for (url, options) in [
        ("s3:///repo", none.clone()),
        ("s3://bucket:9000/repo", none.clone()),
        ("s3://bucket/repo?token=hunter2", none.clone()),
        ("s3://key:hunter2@bucket/repo", none.clone()),
        ("s3://bucket/%FF", none.clone()),
        ("s3://bucket/a%00b", none.clone()),
        ("s3://bucket/repo", endpoint("s3.studio.lan")),
        ("s3://bucket/repo", endpoint("ftp://s3.studio.lan")),
        ("s3://bucket/repo", endpoint("https://key:hunter2@s3.studio.lan")),
        ("webdav+https://ana:hunter2@host/repo", none.clone()),
        ("webdav+https://", none.clone()),
        ("webdav+https://host/repo", endpoint("https://host")),
        ("sftp://ana:hunter2@host/repo", none.clone()),
        ("sftp://host/repo", none.clone()),
        ("sftp://ana@host", none.clone()),
        ("sftp://ana@host/", none.clone()),
        ("sftp://ana@host/a%0Ab", none.clone()),
        ("sftp://a%00na@host/repo", none.clone()),
        ("sftp://ana@-oProxyCommand/repo", none.clone()),
        ("sftp://ana@ho%20st/repo", none.clone()),
        ("sftp://ana@host/repo?password=hunter2", none.clone()),
        ("sftp://ana@host/repo", endpoint("https://host")),
        ("ftp://host/repo", none),
    ] {
        let error = open(url, &options).unwrap_err();
        assert_eq!(error.code(), "repo::bad_store", "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

/// What a repo on a server says that answers everything in one way.
fn ask(answer: &'static str, body: String) -> crate::Error {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("webdav+http://{}/team/repo", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = number.trim().parse().unwrap();
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).ok();
            let head = format!(
                "HTTP/1.1 {answer}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let mut stream = reader.into_inner();
            stream
                .write_all(&[head.as_bytes(), body.as_bytes()].concat())
                .ok();
        }
    });
    let (_folder, repo) = open(&url, &StoreOptions::default()).unwrap();
    repo.releases_with_problems(&package("chair")).unwrap_err()
}

#[test]
fn a_server_that_answers_nonsense_ends_in_an_error() {
    let listing = |hrefs: &[&str]| {
        let responses: String = hrefs
            .iter()
            .map(|href| {
                format!("<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype><D:getlastmodified>Sat, 21 Nov 2026 09:00:00 GMT</D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>")
            })
            .collect();
        format!("<?xml version='1.0'?><D:multistatus xmlns:D='DAV:'>{responses}</D:multistatus>")
    };
    for (answer, body, reason) in [
        // OpenDAL takes the name apart as if it lay below the folder, past its end and inside a letter.
        ("207 Multi-Status", listing(&["/x"]), "makes no sense"),
        (
            "207 Multi-Status",
            listing(&["/tea\u{f6}\u{f6}\u{f6}\u{f6}"]),
            "makes no sense",
        ),
        ("207 Multi-Status", "<not xml".to_owned(), "Unexpected"),
        ("401 Unauthorized", String::new(), "rejected the credentials"),
        (
            "302 Found\r\nLocation: http://127.0.0.1:1/",
            String::new(),
            "Unexpected",
        ),
        ("207 Multi-Status", " ".repeat(65 << 20), "too long"),
        ("400 Bad Request", " ".repeat(65 << 20), "too long"),
    ] {
        let error = ask(answer, body);
        assert_eq!(error.code(), "repo::store", "{answer}: {error}");
        assert!(error.to_string().contains(reason), "{answer}: {error}");
    }
}
