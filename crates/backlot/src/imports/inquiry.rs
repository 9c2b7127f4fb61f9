//! The current state of a source, compared with the one in a pointer; its content is not fetched.
//!
//! Invariants: only what the source answers counts as changed or gone; what cannot be asked is an error. A local source is read, as far as it
//! changed since it was last looked at. Deliberately absent: fetching (`fetching`).

use std::path::{Path, PathBuf};

use backlot_backend::Entry;
use backlot_core::{RelPath, text};
use backlot_dvc::{ImportNotes, ImportSource, Manifest, ManifestEntry, SourceState, WebInfo, tag_list_id};
use backlot_net::{Account, PlaceName, WebFile};
use backlot_store::{FileDigests, ObjectId, hash_files};
use url::Url;

use crate::error::{ImportError, Result};
use crate::files::adding::Files;
use crate::imports::source::{ImportFrom, NamedSource, StoreSource};
use crate::workspace::Opened;

/// The current state of a source.
#[derive(Debug)]
pub(crate) enum Inquired {
    /// A file or folder that this machine sees.
    Local(LocalState),
    /// A file of a web server.
    Web(WebFile),
    /// An object of a store.
    Object(Entry),
    /// The objects below a prefix of a store.
    Objects(Vec<(RelPath, Entry)>),
    /// It is not there.
    Gone(Option<String>),
}

/// A local source as it is now.
#[derive(Debug)]
pub(crate) struct LocalState {
    pub(crate) sources: Vec<PathBuf>,
    /// The paths inside of a folder.
    pub(crate) names: Option<Vec<RelPath>>,
    pub(crate) digests: Vec<FileDigests>,
    pub(crate) executable: bool,
}

/// The known state of a source, if it has one without its content, and its size.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownState {
    /// `None` where only the content tells.
    pub(crate) state: Option<SourceState>,
    pub(crate) size: Option<u64>,
    /// When it was last changed, by its own clock, or the digest of a list of such times: where it gives nothing better.
    pub(crate) seen: Option<String>,
    pub(crate) isexec: bool,
}

/// How a source is, compared with when it was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    Same,
    /// In what.
    Differs(String),
    /// Only its content tells.
    Unsure(String),
    Gone(Option<String>),
}

/// A local source's content.
pub(crate) fn content_state(
    name: &Path,
    names: Option<&[RelPath]>,
    digests: &[FileDigests],
) -> Result<SourceState> {
    let Some(names) = names else {
        let id = digests.first().map(|found| ObjectId::file(found.md5));
        let missing = || backlot_dvc::Error::NoSuchPath {
            path: name.to_path_buf(),
        };
        return Ok(SourceState::Content {
            id: id.ok_or_else(missing)?,
            nfiles: None,
        });
    };
    let entries = names.iter().zip(digests).map(|(path, found)| ManifestEntry {
        md5: found.md5,
        path: path.clone(),
    });
    let manifest = Manifest::new(&name.display().to_string(), entries.collect())?;
    Ok(SourceState::Content {
        id: manifest.id(),
        nfiles: Some(names.len() as u64),
    })
}

/// The state of a file of a web server, as DVC writes it.
pub(crate) fn web_state(asked: &Url, file: &WebFile) -> SourceState {
    let info = WebInfo {
        url: asked.as_str(),
        final_url: &file.url,
        etag: file.etag.as_deref(),
        content_md5: file.content_md5.as_deref(),
        digest: file.digest.as_deref(),
        last_modified: file.last_modified.as_deref(),
        content_type: file.content_type.as_deref(),
        size: file.length,
        no_ranges: file.no_ranges,
    };
    info.state()
}

/// The state of a folder of a store, if all of it has tags.
fn objects_state(source: &StoreSource, entries: &[(RelPath, Entry)]) -> Option<SourceState> {
    let tagged = entries
        .iter()
        .map(|(path, entry)| Some((path.clone(), source.dvc_tag(entry)?)));
    let tagged: Vec<(RelPath, String)> = tagged.collect::<Option<_>>()?;
    Some(SourceState::Content {
        id: tag_list_id(&tagged),
        nfiles: Some(tagged.len() as u64),
    })
}

/// The known metadata of an object without its content.
pub(crate) fn object_state(source: &StoreSource, entry: &Entry) -> KnownState {
    let state = source.dvc_tag(entry).map(SourceState::Etag);
    KnownState {
        seen: (state.is_none() && entry.modified > 0).then(|| entry.modified.to_string()),
        state,
        size: Some(entry.size),
        isexec: false,
    }
}

/// The same of a folder.
pub(crate) fn folder_state(source: &StoreSource, entries: &[(RelPath, Entry)]) -> KnownState {
    let state = objects_state(source, entries);
    let lines = entries
        .iter()
        .map(|(path, entry)| format!("{} {} {path}\n", entry.modified, entry.size));
    let seen = backlot_store::digest_bytes(lines.collect::<String>().as_bytes()).blake3;
    let is_dated = entries.iter().all(|(_, entry)| entry.modified > 0);
    KnownState {
        seen: (state.is_none() && is_dated).then(|| seen.to_hex()[..32].to_owned()),
        state,
        size: Some(entries.iter().map(|(_, entry)| entry.size).sum()),
        isexec: false,
    }
}

impl Opened {
    /// Request the current state of a source.
    pub(crate) fn inquire(&self, source: &NamedSource) -> Result<Inquired> {
        match &source.from {
            ImportFrom::Local(path) => self.inquire_local(path),
            ImportFrom::Web(url) => {
                let network = self.network()?;
                network.check_online(url.path(), &source.shown())?;
                let account = Account::open(&network, &PlaceName::unnamed(), url)?;
                match network.block(network.look(&account, url))? {
                    Ok(file) => Ok(Inquired::Web(file)),
                    Err(status) => refused_by_web(source, status),
                }
            }
            ImportFrom::Store(store) => {
                if let Some(entry) = store.object()? {
                    return Ok(Inquired::Object(entry));
                }
                let found = store.folder_entries()?;
                Ok(found.map_or(Inquired::Gone(None), Inquired::Objects))
            }
        }
    }

    fn inquire_local(&self, path: &Path) -> Result<Inquired> {
        if backlot_core::presence::is_absent(path)? {
            return Ok(Inquired::Gone(None));
        }
        let Files {
            sources,
            names,
            executable,
        } = self.files_of(path)?;
        let digests = hash_files(&sources, &*self.stat_cache()?, self.context())?;
        Ok(Inquired::Local(LocalState {
            sources,
            names,
            digests,
            executable,
        }))
    }
}

/// The meaning of a response without the file.
pub(crate) fn refused_by_web(source: &NamedSource, status: u16) -> Result<Inquired> {
    match status {
        404 | 410 => Ok(Inquired::Gone(Some(format!(
            "the server responded with {status}"
        )))),
        _ => Err(backlot_net::Error::Refused {
            url: source.shown(),
            status,
            reason: String::new(),
        }
        .into()),
    }
}

/// The state of the source in a response, without its content.
pub(crate) fn known_of(source: &NamedSource, inquired: &Inquired) -> Result<KnownState> {
    Ok(match (inquired, &source.from) {
        (Inquired::Local(local), _) => KnownState {
            state: Some(content_state(
                Path::new(&source.text),
                local.names.as_deref(),
                &local.digests,
            )?),
            size: Some(local.digests.iter().map(|found| found.size).sum()),
            seen: None,
            isexec: local.executable && local.names.is_none(),
        },
        (Inquired::Web(file), ImportFrom::Web(url)) => KnownState {
            state: Some(web_state(url, file)),
            size: file.length,
            ..KnownState::default()
        },
        (Inquired::Object(entry), ImportFrom::Store(store)) => object_state(store, entry),
        (Inquired::Objects(entries), ImportFrom::Store(store)) => folder_state(store, entries),
        _ => KnownState::default(),
    })
}

/// Compare a response with the state in the pointer.
pub(crate) fn compare_source(
    source: &NamedSource,
    inquired: &Inquired,
    before: &ImportSource,
    notes: &ImportNotes,
) -> Result<Compared> {
    if let Inquired::Gone(reason) = inquired {
        return Ok(Compared::Gone(reason.clone()));
    }
    check_emptied(source, inquired, before)?;
    let now = known_of(source, inquired)?;
    let sizes = match (before.size, now.size) {
        (Some(old), Some(new)) if old != new => {
            Some(format!("{} instead of {}", text::bytes(new), text::bytes(old)))
        }
        _ => None,
    };
    let Some(state) = now.state else {
        return Ok(match sizes {
            Some(sizes) => Compared::Differs(sizes),
            None if now.seen.is_some() && now.seen == notes.seen => Compared::Same,
            None => Compared::Unsure("it was modified since, with the same size".to_owned()),
        });
    };
    if state == before.state {
        return Ok(Compared::Same);
    }
    Ok(match (&before.state, &state) {
        // What was compared by content before has a tag now, or the other way round: the content tells.
        (SourceState::Content { id, .. }, SourceState::Etag(_)) if !id.tree && sizes.is_none() => {
            Compared::Unsure("it has an ETag now, but had none before".to_owned())
        }
        (
            SourceState::Content {
                nfiles: Some(old), ..
            },
            SourceState::Content {
                nfiles: Some(new), ..
            },
        ) if old != new => Compared::Differs(format!("{} instead of {old}", text::count(*new, "file"))),
        (SourceState::Checksum(old), SourceState::Checksum(new)) if old.starts_with(['"', 'W']) => {
            Compared::Differs(format!("its ETag is {new} instead of {old}"))
        }
        _ => Compared::Differs(sizes.unwrap_or_else(|| "other content".to_owned())),
    })
}

/// An error for a local folder that had files and has none: more often its disk is not mounted.
fn check_emptied(
    source: &NamedSource,
    inquired: &Inquired,
    before: &ImportSource,
) -> Result<(), ImportError> {
    let (
        Inquired::Local(local),
        SourceState::Content {
            nfiles: Some(files), ..
        },
    ) = (inquired, &before.state)
    else {
        return Ok(());
    };
    if *files == 0 || local.names.as_ref().is_none_or(|names| !names.is_empty()) {
        return Ok(());
    }
    Err(ImportError::Emptied {
        source_url: source.shown(),
        files: *files,
    })
}
