//! Fetching the complete content of a source, next to the existing files.
//!
//! Invariants: nothing that is tracked is touched; what is fetched counts only if the source was the same before and after; what broke off is gone
//! on with by the next run where the source proves that it is the same. Parts lie in `.backlot/imports`, which can be deleted. Deliberately absent:
//! what becomes of the content (`storing`).

use std::path::{Path, PathBuf};

use backlot_backend::{Entry, each};
use backlot_core::{Md5, Operation, RelPath, Subject};
use backlot_dvc::SourceState;
use backlot_net::{Account, Download, Downloaded, PartFile, PlaceName, forget_part};
use backlot_store::{FileDigests, digest_bytes};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{ImportError, Result};
use crate::imports::inquiry::{Inquired, KnownState, known_of, refused_by_web, web_state};
use crate::imports::members::KnownMembers;
use crate::imports::source::{ImportFrom, NamedSource, StoreSource, decode_base64};
use crate::workspace::Opened;

/// Bytes that the rest of an object is read by.
const BLOCK: u64 = 8 << 20;

/// Content that is here, whole.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) files: Vec<FetchedFile>,
    pub(crate) is_folder: bool,
    pub(crate) executable: bool,
    pub(crate) known: KnownState,
    /// Bytes that came over the network, or were copied.
    pub(crate) bytes: u64,
    /// The MD5 that the source announced.
    pub(crate) announced: Option<Md5>,
    /// Files that were fetched and go when they are stored.
    pub(crate) parts: Vec<PathBuf>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct FetchedFile {
    /// Its path inside of a folder.
    pub(crate) name: Option<RelPath>,
    /// The metadata from the store.
    pub(crate) tag: String,
    pub(crate) content: FetchedContent,
}

/// Where the bytes of a file are.
#[derive(Debug)]
pub(crate) enum FetchedContent {
    /// In this file.
    Here(PathBuf),
    /// In the cache, from an earlier update.
    Cached(FileDigests),
}

/// The outcome of a fetch.
#[derive(Debug)]
pub(crate) enum Fetching {
    Done(Box<Fetched>),
    /// The source is the one that is known.
    Same,
    Gone(Option<String>),
}

/// The object of a partial download.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartOf {
    place: String,
    key: String,
    tag: String,
    size: u64,
}

impl PartOf {
    fn new(source: &StoreSource, entry: &Entry) -> Self {
        Self {
            place: source.store.place().to_owned(),
            key: entry.key.clone(),
            tag: entry.tag.clone(),
            size: entry.size,
        }
    }
}

/// The identity of an object version of a folder.
fn member_tag(entry: &Entry) -> String {
    format!("{} {}", entry.tag, entry.size)
}

impl Opened {
    /// Where parts lie.
    pub(crate) fn imports_dir(&self) -> PathBuf {
        self.state_dir().join("imports")
    }

    fn part_path(&self, of: &str) -> Result<PathBuf> {
        let folder = self.imports_dir();
        fs::create_dir_all(&folder)?;
        let name = digest_bytes(of.as_bytes()).blake3.to_hex();
        Ok(folder.join(format!("{}.part", &name[..32])))
    }

    /// Fetch a source. One that has the state `unless` is not fetched; what `members` knows of a folder's files, and the cache has, is not fetched
    /// again.
    pub(crate) fn fetch_source(
        &self,
        source: &NamedSource,
        inquired: Option<Inquired>,
        unless: Option<&SourceState>,
        members: &KnownMembers,
    ) -> Result<Fetching> {
        if let (None, ImportFrom::Web(url)) = (&inquired, &source.from) {
            return self.download_file(source, url, unless);
        }
        let inquired = match inquired {
            Some(inquired) => inquired,
            None => self.inquire(source)?,
        };
        let known = known_of(source, &inquired)?;
        match (inquired, &source.from) {
            (Inquired::Gone(reason), _) => Ok(Fetching::Gone(reason)),
            (Inquired::Local(local), _) => {
                let is_folder = local.names.is_some();
                let names = match local.names {
                    Some(names) => names.into_iter().map(Some).collect(),
                    None => vec![None],
                };
                let files = names
                    .into_iter()
                    .zip(local.sources)
                    .map(|(name, path)| FetchedFile {
                        name,
                        tag: String::new(),
                        content: FetchedContent::Here(path),
                    });
                Ok(Fetching::Done(Box::new(Fetched {
                    files: files.collect(),
                    is_folder,
                    executable: local.executable,
                    bytes: known.size.unwrap_or(0),
                    known,
                    announced: None,
                    parts: Vec::new(),
                })))
            }
            (Inquired::Web(_), ImportFrom::Web(url)) => self.download_file(source, url, unless),
            (Inquired::Object(entry), ImportFrom::Store(store)) => {
                let entries = [(None, entry)];
                self.fetch_entries(source, store, &entries, known, members)
            }
            (Inquired::Objects(entries), ImportFrom::Store(store)) => {
                let entries: Vec<_> = entries
                    .into_iter()
                    .map(|(name, entry)| (Some(name), entry))
                    .collect();
                self.fetch_entries(source, store, &entries, known, members)
            }
            (Inquired::Web(_) | Inquired::Object(_) | Inquired::Objects(_), _) => Ok(Fetching::Gone(None)),
        }
    }

    fn download_file(
        &self,
        source: &NamedSource,
        url: &Url,
        unless: Option<&SourceState>,
    ) -> Result<Fetching> {
        let network = self.network()?;
        network.check_online(url.path(), &source.shown())?;
        let account = Account::open(&network, &PlaceName::unnamed(), url)?;
        let part = self.part_path(url.as_str())?;
        let etag = match unless {
            Some(SourceState::Checksum(text)) if text.starts_with('"') || text.starts_with("W/") => {
                Some(text.as_str())
            }
            _ => None,
        };
        let fetching = self.context().clone().about(Subject::of_place(&source.shown()));
        let running = fetching.start(Operation::Pull, 1, 0);
        let download = Download {
            url,
            unless: etag,
            part: &part,
            is_known: &|file| unless.is_some_and(|unless| web_state(url, file) == *unless),
            progress: &|bytes| running.advance(0, bytes),
        };
        let file = match network.block(network.download(&account, &download))? {
            Downloaded::Known => return Ok(Fetching::Same),
            Downloaded::Refused(status) => {
                return match refused_by_web(source, status)? {
                    Inquired::Gone(reason) => Ok(Fetching::Gone(reason)),
                    _ => Ok(Fetching::Gone(None)),
                };
            }
            Downloaded::Whole(file) => file,
        };
        let announced = file.content_md5.as_deref().and_then(decode_base64);
        let announced = announced.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        Ok(Fetching::Done(Box::new(Fetched {
            files: vec![FetchedFile {
                name: None,
                tag: String::new(),
                content: FetchedContent::Here(part.clone()),
            }],
            is_folder: false,
            executable: false,
            known: KnownState {
                state: Some(web_state(url, &file)),
                size: file.length,
                ..KnownState::default()
            },
            bytes: file.length.unwrap_or(0),
            announced: announced.map(Md5::from_bytes),
            parts: vec![part],
        })))
    }

    /// Fetch objects, many at a time, but for those that the cache has since an earlier update.
    fn fetch_entries(
        &self,
        source: &NamedSource,
        store: &StoreSource,
        entries: &[(Option<RelPath>, Entry)],
        known: KnownState,
        members: &KnownMembers,
    ) -> Result<Fetching> {
        let cached = members.cached(
            entries
                .iter()
                .map(|(name, entry)| (name.as_ref().map_or("", RelPath::as_str), member_tag(entry))),
            &self.cache()?,
        )?;
        let work: Vec<_> = entries.iter().zip(cached).collect();
        let lacking = || work.iter().filter(|(_, cached)| cached.is_none());
        let bytes = lacking().map(|((_, entry), _)| entry.size).sum();
        let fetching = self.context().clone().about(Subject::of_place(&source.shown()));
        let running = fetching.start(Operation::Pull, lacking().count() as u64, bytes);
        let files = each(&work, |((name, entry), cached)| {
            self.context().check()?;
            let content = match cached {
                Some(digests) => FetchedContent::Cached(*digests),
                None => {
                    let part = self.part_path(&format!("{} {}", store.store.place(), entry.key))?;
                    fetch_object(source, store, entry, &part)?;
                    running.advance(1, entry.size);
                    FetchedContent::Here(part)
                }
            };
            Ok::<_, crate::error::Error>(FetchedFile {
                name: name.clone(),
                tag: member_tag(entry),
                content,
            })
        })?;
        let here = files.iter().filter_map(|file| match &file.content {
            FetchedContent::Here(path) => Some(path.clone()),
            FetchedContent::Cached(_) => None,
        });
        Ok(Fetching::Done(Box::new(Fetched {
            parts: here.collect(),
            is_folder: entries.iter().any(|(name, _)| name.is_some()),
            files,
            executable: false,
            known,
            bytes,
            announced: None,
        })))
    }
}

/// Fetch one object to a file, from where an earlier run stopped if it is the same since.
fn fetch_object(source: &NamedSource, store: &StoreSource, entry: &Entry, part: &Path) -> Result<()> {
    let changed = || ImportError::ChangedMeanwhile {
        source_url: source.shown(),
    };
    let of = PartOf::new(store, entry);
    let begun = PartFile::<PartOf>::begun(part)?;
    let begun = begun.filter(|(begun, here)| *begun == of && !of.tag.is_empty() && *here <= entry.size);
    let from = begun.map_or(0, |(_, here)| here);
    let file = PartFile::resume(part, of, from)?;
    let written = if from == 0 {
        fetch_all(store, &entry.key, file)?
    } else {
        fetch_rest(store, entry, file)?
    };
    let now = store.store.stat(&entry.key).map_err(backlot_store::Error::from)?;
    let is_same = now.is_some_and(|now| now.tag == entry.tag && now.size == entry.size);
    if written != Some(entry.size) || !is_same {
        forget_part(part)?;
        return Err(changed().into());
    }
    Ok(())
}

/// Write an object to a file. Returns its length; `None` if it does not exist.
fn fetch_all(store: &StoreSource, key: &str, mut part: PartFile<PartOf>) -> Result<Option<u64>> {
    let mut failed = None;
    let mut sink = |block: &[u8]| match part.write(block) {
        Ok(()) => true,
        Err(error) => {
            failed = Some(error);
            false
        }
    };
    let found = store
        .store
        .fetch(key, &mut sink)
        .map_err(backlot_store::Error::from)?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(found.then(|| part.finish())),
    }
}

/// Write what is left of an object behind what is here of it. Returns its length; `None` if it ends before.
fn fetch_rest(store: &StoreSource, entry: &Entry, mut part: PartFile<PartOf>) -> Result<Option<u64>> {
    while part.size() < entry.size {
        let block = store
            .store
            .part(&entry.key, part.size(), BLOCK.min(entry.size - part.size()))
            .map_err(backlot_store::Error::from)?;
        let Some(block) = block.filter(|block| !block.is_empty()) else {
            return Ok(None);
        };
        part.write(&block)?;
    }
    Ok(Some(part.finish()))
}
