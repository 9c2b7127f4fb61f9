//! Opening remotes: where they are, and of which layout.
//!
//! Invariant: nothing is made at a place until something is pushed there. Deliberately absent: credentials, which a store of objects is
//! opened with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_backend::{ObjectStore, shared_memory};
use backlot_core::file::TemporaryFolder;
use backlot_core::web::shown_text;
use backlot_core::{Context, Subject};

use super::{Backend, Proven, Remote, RemoteConfig, RemoteLayout, folder, identity, service};
use crate::chunked::{ChunkedRemote, FileStream};
use crate::error::{Error, Result};
use crate::object::Transfer;

/// The kind of location of a remote URL.
enum Place {
    Folder(PathBuf),
    Store(Arc<dyn ObjectStore>),
}

impl Place {
    fn of(url: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadRemote {
            url: shown_text(url),
            reason,
        };
        match url.split_once("://") {
            None => Ok(Self::Folder(PathBuf::from(url))),
            Some(("file", path)) => Ok(Self::Folder(PathBuf::from(path))),
            Some(("memory", name)) => Ok(Self::Store(shared_memory(name))),
            Some(("", _)) => Err(bad("it has no scheme".to_owned())),
            Some((scheme, _)) if backlot_backend::is_store_url(url) => Err(bad(format!(
                "open `{scheme}` as a store of objects, for `Remote::on`"
            ))),
            Some((scheme, _)) => Err(bad(format!("unsupported scheme `{scheme}`"))),
        }
    }
}

impl Remote {
    /// A chunked remote at a folder (a path, or `file://` and one) or in this process's memory (`memory://name`, which all that name it
    /// share). Nothing is asked, and nothing made until something is pushed.
    ///
    /// What is remembered of it lies in a temporary folder until this is dropped, or in the cache of a [`Store`](crate::Store) that has one.
    ///
    /// Errors: `store::bad_remote` for another URL; those of `backlot_backend::is_store_url` are opened by `backlot_backend::open`, for
    /// [`Remote::on`].
    ///
    /// ```
    /// use backlot_store::Remote;
    ///
    /// assert_eq!(Remote::at("memory://show").unwrap().place(), "the remote `memory://show`");
    /// assert!(Remote::at("s3://bucket").is_err());
    /// ```
    pub fn at(url: &str) -> Result<Self> {
        match Place::of(url)? {
            Place::Store(store) => Self::on(store),
            Place::Folder(root) => Self::forgetful(|mirrors| Ok(Self::in_folder(root, mirrors))),
        }
    }

    /// A chunked remote in a store of objects: one that `backlot_backend::open` made of a URL, or any [`ObjectStore`] of the caller's own,
    /// which may be asked from many threads at once ([`Traits::concurrency`](backlot_backend::Traits)). Nothing is asked, and nothing made
    /// until something is pushed. As [`Remote::at`] otherwise.
    ///
    /// Errors: `store::bad_remote` for a store that cannot be listed, as a plain web server.
    pub fn on(store: Arc<dyn ObjectStore>) -> Result<Self> {
        Self::forgetful(|mirrors| Self::in_store(store, RemoteLayout::Chunked, mirrors))
    }

    /// Open a remote; nothing is made until something is pushed.
    pub fn open(config: &RemoteConfig) -> Result<Self> {
        let root = match Place::of(&config.url)? {
            Place::Store(store) => return Self::in_store(store, config.layout, &config.mirrors),
            Place::Folder(root) => root,
        };
        Ok(match config.layout {
            RemoteLayout::Chunked => Self::in_folder(root, &config.mirrors),
            RemoteLayout::Dvc => Self::in_plain_folder(root).remembering(&config.mirrors),
        })
    }

    fn in_folder(root: PathBuf, mirrors: &Path) -> Self {
        let subject = Subject::File(root.clone());
        let backend = Backend::Chunked(Box::new(ChunkedRemote::in_folder(root, mirrors)));
        Self::new(backend, subject).remembering(mirrors)
    }

    /// In DVC's layout.
    fn in_plain_folder(root: PathBuf) -> Self {
        let subject = Subject::File(root.clone());
        Self::new(Backend::Folder(folder::FolderRemote::new(root)), subject)
    }

    /// Open a remote in a store of objects; nothing is asked yet. `mirrors` is a local folder for what is remembered of remotes.
    pub fn in_store(store: Arc<dyn ObjectStore>, layout: RemoteLayout, mirrors: &Path) -> Result<Self> {
        let subject = Subject::of_place(store.place());
        let backend = match layout {
            RemoteLayout::Chunked if !store.traits().lists => {
                return Err(Error::BadRemote {
                    url: store.place().to_owned(),
                    reason: "a chunked remote has to be listed, which a plain web server does not support"
                        .to_owned(),
                });
            }
            RemoteLayout::Chunked => Backend::Chunked(Box::new(ChunkedRemote::in_store(store, mirrors))),
            RemoteLayout::Dvc => Backend::Service(service::ServiceRemote::new(store)),
        };
        Ok(Self::new(backend, subject).remembering(mirrors))
    }

    /// As what work is about.
    pub(crate) fn subject(&self) -> Subject {
        self.subject.clone()
    }

    /// One that remembers nothing when it is dropped.
    fn forgetful(open: impl FnOnce(&Path) -> Result<Self>) -> Result<Self> {
        let mirrors = TemporaryFolder::absent_in(&std::env::temp_dir());
        let mut remote = open(mirrors.path())?;
        remote.mirrors = Some(mirrors);
        Ok(remote)
    }

    /// The same, which remembers things in a folder if the caller named none.
    pub(crate) fn mirrored_in(mut self, folder: &Path) -> Self {
        if self.mirrors.take().is_some()
            && let Backend::Chunked(remote) = self.backend
        {
            self.backend = Backend::Chunked(Box::new(remote.mirrored_in(folder)));
        }
        self
    }

    fn new(backend: Backend, subject: Subject) -> Self {
        Self {
            backend,
            subject,
            known: None,
            rescues: false,
            proven: Proven::default(),
            mirrors: None,
        }
    }

    fn remembering(mut self, mirrors: &Path) -> Self {
        if !matches!(self.backend, Backend::Chunked(_)) {
            self.proven = Proven::of(mirrors, &self.place());
        }
        self
    }

    /// The layout of a location: from its identity, else DVC's if written by DVC, else Backlot's.
    pub fn detect_layout(url: &str) -> Result<RemoteLayout> {
        match Place::of(url)? {
            Place::Store(store) => Self::detect_layout_in(store),
            Place::Folder(root) => Self::in_plain_folder(root).detected(),
        }
    }

    /// The same of a store.
    pub fn detect_layout_in(store: Arc<dyn ObjectStore>) -> Result<RemoteLayout> {
        let subject = Subject::of_place(store.place());
        Self::new(Backend::Service(service::ServiceRemote::new(store)), subject).detected()
    }

    fn detected(&self) -> Result<RemoteLayout> {
        if let Some(layout) = self
            .read_identity()?
            .and_then(|bytes| identity::layout_of(&bytes))
        {
            return Ok(layout);
        }
        Ok(if self.is_used()? {
            RemoteLayout::Dvc
        } else {
            RemoteLayout::Chunked
        })
    }

    /// Open a file to be read by ranges; `None` in DVC's layout.
    pub(crate) fn stream(&self, wanted: &Transfer, context: &Context) -> Result<Option<FileStream>> {
        match &self.backend {
            Backend::Chunked(remote) => remote.stream(wanted, context).map(Some),
            Backend::Folder(_) | Backend::Service(_) => Ok(None),
        }
    }
}
