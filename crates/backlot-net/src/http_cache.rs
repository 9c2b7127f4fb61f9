//! HTTP cache on disk: pages with their freshness, metadata forever.
//!
//! One file an answer: a line of JSON about it, then its bytes. Invariants: a file is read only if its bytes have the
//! digest its first line says, so a torn or damaged one counts as absent; files appear by a rename, so any number of
//! processes may write and any may delete. Deliberately absent: syncing (a lost entry is requested again), and credentials.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use backlot_core::{Sha256, shared};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

const FORMAT: u32 = 1;
/// The most that the first line of a file may have.
const HEAD_LIMIT: u64 = 64 * 1024;

/// Metadata of a cached response.
///
/// ```
/// use backlot_net::ResponseMeta;
///
/// let url = "https://index.studio.example/simple/chair/";
/// let head = ResponseMeta::new(url, url, 200, b"a page");
/// assert_eq!(head.fresh_until, 0, "the server is asked again");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseMeta {
    /// The format of the file.
    pub format: u32,
    /// The requested URL.
    pub url: String,
    /// The final URL after redirects: links on the page are relative to it.
    pub base: String,
    /// 200, or 404 for a page that is known to be absent.
    pub status: u16,
    /// How to ask whether it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The same by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Its content type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Until when no revalidation is needed, in milliseconds since the Unix epoch.
    pub fresh_until: u64,
    /// The digest of the bytes.
    pub sha256: Sha256,
}

/// A kept answer.
///
/// ```
/// use backlot_net::{ResponseMeta, CachedResponse, Kind, HttpCache};
///
/// let folder = tempfile::tempdir().unwrap();
/// let kept = HttpCache::new(folder.path());
/// let url = "https://index.studio.example/chair-1.0.whl.metadata";
/// kept.keep(Kind::Metadata, url, &ResponseMeta::new(url, url, 200, b"Name: chair"), b"Name: chair");
/// let CachedResponse { head, body } = kept.find(Kind::Metadata, url).unwrap();
/// assert_eq!((head.status, body.as_slice()), (200, &b"Name: chair"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct CachedResponse {
    /// Its metadata.
    pub head: ResponseMeta,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// The kind of response.
///
/// ```
/// use backlot_net::{Kind, HttpCache};
///
/// let kept = HttpCache::new("cache".as_ref());
/// let url = "https://index.studio.example/simple/chair/";
/// assert_ne!(kept.path(Kind::Page, url), kept.path(Kind::Metadata, url));
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A page, which may change.
    Page,
    /// The metadata of a file, which does not.
    Metadata,
}

/// The folder of kept answers.
///
/// ```
/// use backlot_net::{ResponseMeta, Kind, HttpCache};
///
/// let folder = tempfile::tempdir().unwrap();
/// let kept = HttpCache::new(folder.path());
/// let url = "https://index.studio.example/simple/chair/";
/// assert!(kept.find(Kind::Page, url).is_none());
/// kept.keep(Kind::Page, url, &ResponseMeta::new(url, url, 200, b"a page"), b"a page");
/// assert_eq!(kept.find(Kind::Page, url).unwrap().body, b"a page");
/// kept.forget(Kind::Page, url);
/// assert!(kept.find(Kind::Page, url).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct HttpCache {
    root: PathBuf,
}

impl ResponseMeta {
    /// The head of an answer that came just now, which may not be used again without asking.
    pub fn new(url: &str, base: &str, status: u16, body: &[u8]) -> Self {
        Self {
            format: FORMAT,
            url: url.to_owned(),
            base: base.to_owned(),
            status,
            etag: None,
            last_modified: None,
            content_type: None,
            fresh_until: 0,
            sha256: sha256(body),
        }
    }
}

impl HttpCache {
    /// The answers in a folder, which need not be there.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The answer under a key, if it is there and whole.
    pub fn find(&self, kind: Kind, key: &str) -> Option<CachedResponse> {
        let bytes = fs::read(self.path(kind, key)).ok()?;
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let head: ResponseMeta = serde_json::from_slice(&bytes[..end]).ok()?;
        let body = bytes.get(end + 1..)?.to_vec();
        (head.format == FORMAT && head.sha256 == sha256(&body)).then_some(CachedResponse { head, body })
    }

    /// Keep an answer. A disk that does not take it only costs asking again.
    pub fn keep(&self, kind: Kind, key: &str, head: &ResponseMeta, body: &[u8]) {
        let mut bytes = serde_json::to_vec(head).expect("a head is plain data");
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        shared::write_for_now(&self.path(kind, key), &bytes).ok();
    }

    /// Forget an answer.
    pub fn forget(&self, kind: Kind, key: &str) {
        fs::remove_file(self.path(kind, key)).ok();
    }

    /// Where a whole wheel is kept: a folder of its own, so that the file has its right name.
    pub fn wheel(&self, key: &str, file: &str) -> PathBuf {
        self.root.join("wheels").join(hex(key)).join(file)
    }

    /// The metadata of the response in a file; its body is not read.
    pub fn head(path: &Path) -> Option<ResponseMeta> {
        let mut line = Vec::new();
        let file = fs::File::open(path).ok()?;
        BufReader::new(file.take(HEAD_LIMIT))
            .read_until(b'\n', &mut line)
            .ok()?;
        serde_json::from_slice(&line).ok()
    }

    /// Where the answer under a key is kept.
    pub fn path(&self, kind: Kind, key: &str) -> PathBuf {
        let folder = match kind {
            Kind::Page => "pages",
            Kind::Metadata => "metadata",
        };
        let name = hex(key);
        self.root.join(folder).join(&name[..2]).join(name)
    }
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

fn hex(key: &str) -> String {
    sha256(key.as_bytes()).to_hex()
}

#[cfg(test)]
mod tests {
    use super::{HttpCache, Kind, ResponseMeta};
    use fs_err as fs;

    #[test]
    fn what_is_kept_is_found_and_what_is_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = HttpCache::new(folder.path());
        assert!(store.find(Kind::Page, "a").is_none());
        let mut head = ResponseMeta::new("a", "b", 200, b"hello\nthere");
        head.etag = Some("\"1\"".to_owned());
        store.keep(Kind::Page, "a", &head, b"hello\nthere");
        let kept = store.find(Kind::Page, "a").unwrap();
        assert_eq!((kept.head, kept.body.as_slice()), (head, &b"hello\nthere"[..]));
        let path = store.path(Kind::Page, "a");
        let mut bytes = fs::read(&path).unwrap();
        bytes.pop();
        fs::write(&path, bytes).unwrap();
        assert!(store.find(Kind::Page, "a").is_none());
        store.forget(Kind::Page, "a");
        assert!(!path.exists());
    }
}
