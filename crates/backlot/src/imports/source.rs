//! What is imported: a path, a file of a web server, or what lies in a store of objects; and how it is written in a pointer.
//!
//! Invariants: nothing is asked here; the text in a pointer is one that DVC reads, and never has a secret in it. A source below a remote or repo
//! of the workspace is reached as that is. Deliberately absent: releases of other repos (`release`), and asking (`inquiry`).

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use backlot_backend::{Entry, ObjectStore, StoreOptions, is_store_url};
use backlot_core::RelPath;
use backlot_core::web::{percent_decode, shown_text};
use backlot_dvc::FsConfig;
use backlot_net::PlaceName;
use url::Url;

use crate::error::{ImportError, Result};
use crate::workspace::Opened;

/// Words in the query of a URL that is signed: whoever has it may read.
const SIGNED: [&str; 8] = [
    "signature",
    "sig",
    "token",
    "access_token",
    "x-amz-signature",
    "x-goog-signature",
    "x-amz-security-token",
    "key",
];

/// The source of an import.
#[derive(Clone, Debug)]
pub(crate) enum ImportFrom {
    /// A file or folder that this machine sees.
    Local(PathBuf),
    /// A file of a web server.
    Web(Url),
    /// An object, or the objects below a prefix.
    Store(StoreSource),
}

/// An object of a store, or a folder of them.
#[derive(Clone, Debug)]
pub(crate) struct StoreSource {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Its key, without a `/` at its end.
    pub(crate) key: String,
    scheme: String,
}

/// A source, and how it is written.
#[derive(Clone, Debug)]
pub(crate) struct NamedSource {
    pub(crate) from: ImportFrom,
    /// The text in the pointer.
    pub(crate) text: String,
    /// How its store is reached.
    pub(crate) fs_config: Option<FsConfig>,
}

impl NamedSource {
    /// As far as it may be shown.
    pub(crate) fn shown(&self) -> String {
        shown_text(&self.text)
    }

    /// Whether it is a file of a web server.
    pub(crate) fn is_web(&self) -> bool {
        matches!(self.from, ImportFrom::Web(_))
    }

    /// Whether this machine sees it as a file or folder.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.from, ImportFrom::Local(_))
    }
}

impl StoreSource {
    /// The tag of an object as DVC spells it; `None` where the store has none, and only says when it was written.
    pub(crate) fn dvc_tag(&self, entry: &Entry) -> Option<String> {
        let tag = entry.tag.as_str();
        if tag.is_empty() || tag == entry.modified.to_string() {
            return None;
        }
        let bare = tag.trim_matches('"');
        Some(match self.scheme.as_str() {
            "s3" | "oss" => bare.to_owned(),
            "azure" => format!("\"{bare}\""),
            "gs" => hex_of_base64(bare).unwrap_or_else(|| tag.to_owned()),
            _ => tag.to_owned(),
        })
    }

    /// What lies below the key, by its path there; `None` if there is nothing.
    pub(crate) fn folder_entries(&self) -> Result<Option<Vec<(RelPath, Entry)>>> {
        let prefix = if self.key.is_empty() {
            String::new()
        } else {
            format!("{}/", self.key)
        };
        let listed = self
            .store
            .list(&prefix, true)
            .map_err(backlot_store::Error::from)?;
        let mut found = Vec::new();
        for entry in listed {
            let Some(inside) = entry.key.strip_prefix(&prefix) else {
                continue;
            };
            if !inside.is_empty() && !inside.ends_with('/') {
                found.push((RelPath::parse(inside)?, entry));
            }
        }
        found.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        Ok((!found.is_empty()).then_some(found))
    }

    /// The object itself; `None` if it does not exist.
    pub(crate) fn object(&self) -> Result<Option<Entry>> {
        if self.key.is_empty() {
            return Ok(None);
        }
        let found = self.store.stat(&self.key).map_err(backlot_store::Error::from)?;
        let found = found.filter(|entry| !entry.key.ends_with('/'));
        // WebDAV shows a folder that is asked for without its `/` as a file without bytes; among its neighbours it has it.
        let is_doubtful =
            self.scheme.starts_with("webdav") && found.as_ref().is_some_and(|entry| entry.size == 0);
        if is_doubtful {
            let names = self.store.names("").map_err(backlot_store::Error::from)?;
            let folder = format!("{}/", self.key);
            return Ok(found.filter(|_| !names.contains(&folder)));
        }
        Ok(found)
    }
}

fn hex_of_base64(text: &str) -> Option<String> {
    let bytes = decode_base64(text)?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The bytes of base64 with padding.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in digits.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn bad(text: &str, reason: &str) -> ImportError {
    ImportError::BadSource {
        source_url: shown_text(text),
        reason: reason.to_owned(),
    }
}

/// An address as our stores have it, and as DVC writes it.
fn spellings(text: &str) -> Option<(String, String)> {
    let (scheme, rest) = text.split_once("://")?;
    let both = |ours: &str, dvc: &str| Some((format!("{ours}://{rest}"), format!("{dvc}://{rest}")));
    match scheme {
        "ssh" | "sftp" => both("sftp", "ssh"),
        "webdav" | "webdav+http" => both("webdav+http", "webdav"),
        "webdavs" | "webdav+https" => both("webdav+https", "webdavs"),
        _ if is_store_url(text) => both(scheme, scheme),
        _ => None,
    }
}

/// How a store is reached, as a pointer says it.
fn options_of(config: Option<&FsConfig>) -> StoreOptions {
    StoreOptions::new()
        .endpoint(config.and_then(FsConfig::endpoint).map(ToOwned::to_owned))
        .region(config.and_then(FsConfig::region).map(ToOwned::to_owned))
        .anonymous(config.is_some_and(FsConfig::is_anonymous))
}

/// A path without `.` and `..`, as far as that needs no look at the disk.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// A path relative to a folder.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let (path, folder) = (plain(path), plain(folder));
    let shared = path.components().zip(folder.components());
    let shared = shared.take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

impl Opened {
    /// The source given by a user, relative to `here`, for a pointer in `folder`.
    pub(crate) fn given_source(
        &self,
        text: &str,
        (here, folder): (&Path, &Path),
        options: &StoreOptions,
    ) -> Result<NamedSource> {
        let path = text.strip_prefix("file://").unwrap_or(text);
        if !path.contains("://") {
            let given = Path::new(path);
            let full = plain(&here.join(given));
            // As DVC: what was given from the root of the disk is written so, all else as seen from the pointer.
            let written = if given.is_absolute() {
                full.clone()
            } else {
                relative(&full, folder)
            };
            let written = written.to_str().map(|path| path.replace('\\', "/"));
            return Ok(NamedSource {
                from: ImportFrom::Local(full),
                text: written.ok_or_else(|| bad(path, "its path is not UTF-8"))?,
                fs_config: None,
            });
        }
        let config = FsConfig::new(
            options.endpoint.as_deref(),
            options.region.as_deref(),
            options.anonymous,
        );
        self.source_behind(text, config)
    }

    /// The source that a pointer in `folder` names.
    pub(crate) fn source_of_pointer(
        &self,
        text: &str,
        folder: &Path,
        fs_config: Option<&FsConfig>,
    ) -> Result<NamedSource> {
        if text.contains("://") {
            return self.source_behind(text, fs_config.cloned());
        }
        Ok(NamedSource {
            from: ImportFrom::Local(plain(&folder.join(text))),
            text: text.to_owned(),
            fs_config: None,
        })
    }

    fn source_behind(&self, text: &str, fs_config: Option<FsConfig>) -> Result<NamedSource> {
        if text.starts_with("http://") || text.starts_with("https://") {
            let url = Url::parse(text).map_err(|e| bad(text, &e.to_string()))?;
            check_public(text, &url)?;
            return Ok(NamedSource {
                from: ImportFrom::Web(url),
                text: text.to_owned(),
                fs_config: None,
            });
        }
        if let Some((name, inside)) = text
            .strip_prefix("remote://")
            .and_then(|rest| rest.split_once('/'))
        {
            let entry = self.remote_entry(Some(name), "importing")?;
            let address = format!(
                "{}/{inside}",
                self.resolve_place(&entry.url).trim_end_matches('/')
            );
            let from = match spellings(&address) {
                Some((ours, _)) => self.in_store(&ours, &StoreOptions::default())?,
                None if address.contains("://") => {
                    return Err(bad(text, "that remote can only be used as a remote").into());
                }
                None => ImportFrom::Local(plain(Path::new(&address))),
            };
            return Ok(NamedSource {
                from,
                text: text.to_owned(),
                fs_config: None,
            });
        }
        let (ours, written) = spellings(text).ok_or_else(|| bad(text, "unsupported scheme"))?;
        Ok(NamedSource {
            from: self.in_store(&ours, &options_of(fs_config.as_ref()))?,
            text: written.trim_end_matches('/').to_owned(),
            fs_config,
        })
    }

    /// The parts of a store address.
    fn in_store(&self, address: &str, given: &StoreOptions) -> Result<ImportFrom> {
        let address = address.trim_end_matches('/');
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let (above, key) = match rest.rsplit_once('/') {
            Some((above, key)) => (format!("{scheme}://{above}"), key),
            None => (address.to_owned(), ""),
        };
        let is_url = scheme.starts_with("webdav") || scheme == "sftp";
        let key = if is_url {
            percent_decode(key).ok_or_else(|| bad(address, "`%` is not followed by two digits"))?
        } else {
            key.to_owned()
        };
        let (place, options) = self.place_of(address, given);
        let network = self.network()?;
        let store =
            backlot_backend::open(&network, &place, &above, &options).map_err(backlot_store::Error::from)?;
        Ok(ImportFrom::Store(StoreSource {
            store,
            key,
            scheme: scheme.to_owned(),
        }))
    }

    /// How an address that DVC wrote is reached: as our stores have it, under whose name, and with which options.
    pub(crate) fn reach(&self, url: &str, given: &StoreOptions) -> (String, String, StoreOptions) {
        let ours = spellings(url).map_or_else(|| url.to_owned(), |(ours, _)| ours);
        let (place, options) = self.place_of(&ours, given);
        let name = match place {
            PlaceName::Remote(name) => name,
            PlaceName::Repo(_) => String::new(),
        };
        (ours, name, options)
    }

    /// Whose credentials and options an address is asked with: those of the remote or repo that it lies below, which the workspace names.
    fn place_of(&self, address: &str, given: &StoreOptions) -> (PlaceName, StoreOptions) {
        let config = self.config();
        let remotes = config.remotes.iter().map(|entry| {
            let name = PlaceName::Remote(entry.name.clone());
            (&entry.url, &entry.store, name)
        });
        let repos = self.repos().into_iter().map(|entry| {
            let name = PlaceName::Repo(entry.name.clone());
            (&entry.place, &entry.store, name)
        });
        let bucket = |url: &str| {
            let (scheme, rest) = url.split_once("://")?;
            Some(format!("{scheme}://{}/", rest.split('/').next()?))
        };
        let below = |url: &str| {
            let url = url.trim_end_matches('/');
            address
                .strip_prefix(url)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let known: Vec<_> = remotes.collect::<Vec<_>>().into_iter().chain(repos).collect();
        let nearest = known
            .iter()
            .filter(|(url, ..)| below(url))
            .max_by_key(|(url, ..)| url.len());
        // Another folder of the same bucket or server is behind the same door.
        let nearest = nearest.or_else(|| {
            known
                .iter()
                .find(|(url, ..)| bucket(url).is_some() && bucket(url) == bucket(address))
        });
        let own = given.clone().via(None);
        match nearest {
            Some((_, store, name)) => {
                let options = StoreOptions::new()
                    .endpoint(own.endpoint.or_else(|| store.endpoint.clone()))
                    .region(own.region.or_else(|| store.region.clone()))
                    .anonymous(own.anonymous || store.anonymous);
                (name.clone(), options)
            }
            None => (PlaceName::unnamed(), own),
        }
    }
}

/// An error for a URL that would put a secret into the pointer, and so into every release.
fn check_public(text: &str, url: &Url) -> Result<(), ImportError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(text, "it contains credentials"));
    }
    let signed = url
        .query_pairs()
        .any(|(key, _)| SIGNED.iter().any(|word| key.eq_ignore_ascii_case(word)));
    if signed {
        return Err(bad(
            text,
            "its query contains a signature or key, which would be stored in the pointer and in every release",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{check_public, decode_base64, hex_of_base64, relative, spellings};

    #[test]
    fn addresses_are_written_as_dvc_reads_them() {
        for (given, ours, dvc) in [
            (
                "sftp://ana@nas:22/x/a",
                "sftp://ana@nas:22/x/a",
                "ssh://ana@nas:22/x/a",
            ),
            ("ssh://nas/x", "sftp://nas/x", "ssh://nas/x"),
            ("webdav+https://h/x", "webdav+https://h/x", "webdavs://h/x"),
            ("webdav://h/x", "webdav+http://h/x", "webdav://h/x"),
            ("s3://b/x", "s3://b/x", "s3://b/x"),
        ] {
            assert_eq!(
                spellings(given),
                Some((ours.to_owned(), dvc.to_owned())),
                "{given}"
            );
        }
        assert_eq!(spellings("ftp://h/x"), None);
    }

    #[test]
    fn local_paths_are_written_as_seen_from_the_pointer() {
        for (path, folder, expected) in [
            ("/a/ext/f", "/a/ws/src", "../../ext/f"),
            ("/a/ws/src/f", "/a/ws/src", "f"),
            ("/a/./b/../f", "/a/ws", "../f"),
        ] {
            assert_eq!(relative(Path::new(path), Path::new(folder)), Path::new(expected));
        }
    }

    #[test]
    fn base64_is_read_or_refused() {
        assert_eq!(decode_base64("aGVsbG8=").as_deref(), Some(&b"hello"[..]));
        assert_eq!(decode_base64("").as_deref(), Some(&b""[..]));
        assert_eq!(hex_of_base64("AP8=").as_deref(), Some("00ff"));
        for wrong in ["a", "aGVsbG8", "a===", "aGVs!A=="] {
            assert_eq!(decode_base64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn urls_that_are_secrets_are_refused() {
        for (url, is_fine) in [
            ("https://h/a?frame=1", true),
            ("https://ana@h/a", false),
            ("https://h/a?X-Amz-Signature=1", false),
            ("https://h/a?sig=1", false),
        ] {
            assert_eq!(
                check_public(url, &url.parse().expect("a URL")).is_ok(),
                is_fine,
                "{url}"
            );
        }
    }
}
