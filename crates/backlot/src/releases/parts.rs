//! Parts of farm jobs: pushed by nodes that have no workspace, listed, dropped.
//!
//! Invariants: a node needs nothing but a remote that is there, since an empty folder may be a disk that is not mounted; a
//! part appears last and whole; files are read once and no cache is written. Deliberately absent: making a release of parts
//! (`from_parts`), and how they are stored (`backlot-store`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_backend::StoreOptions;
use backlot_core::{Context, PlaceIdentity, RelPath, Subject};
use backlot_dvc::{Scanned, names};
use backlot_store::{
    DamagedPart, DroppedPart, JobId, JobParts, JobRelease, Part, PartChoice, PartHead, PartSource, Remote,
    StoredName,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, PartError, Result, WorkspaceError};
use crate::files::adding::scan_given;
use crate::handle::options::ChangeOptions;
use crate::project::provenance::TOOL;
use crate::workspace::call::call;
use crate::workspace::config::Config;
use crate::workspace::connect::{self, Address};
use crate::workspace::settings::{Host, Settings};
use crate::workspace::{Opened, Shared, absolute};

/// The parts on a remote: a handle, which opens the remote for each call.
#[derive(Clone, Debug)]
pub struct Parts {
    remote: Where,
    host: Host,
}

/// Which remote it is.
#[derive(Clone, Debug)]
enum Where {
    /// A remote of a workspace, by the configuration at the start of a call; without a name, the default one.
    OfWorkspace {
        workspace: Arc<Shared>,
        name: Option<String>,
    },
    /// The parts at a location, without a workspace.
    At(Box<Place>),
}

#[derive(Clone, Debug)]
struct Place {
    /// As it was given.
    given: String,
    /// A URL, or the whole path of a folder.
    url: String,
    store: StoreOptions,
    settings: Settings,
}

/// A remote, open for one call.
#[derive(Debug)]
struct Connected {
    remote: Remote,
    /// The remote as people call it: its name in a workspace, or its place.
    name: String,
    author: String,
}

/// The input of a push of a part.
#[derive(Clone, Debug, Default)]
pub struct PushPart {
    /// Files, which are called as they are named, and folders, whose files are called as in the folder.
    pub files: Vec<PathBuf>,
    /// The ID of the job.
    pub job: String,
    /// The tracked folder that the files are of, relative to the asset.
    pub folder: String,
    /// The node, if it is not called as this machine.
    pub node: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
}

/// Which parts of a job to drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DropChoice {
    /// All, also those that cannot be read.
    #[default]
    All,
    /// Those of a node.
    OfNode(String),
    /// The one of this name, as a list has it.
    Named(String),
}

/// A part that was pushed, or would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PushedPart {
    /// The remote.
    pub remote: String,
    /// The job.
    pub job: JobId,
    /// The folder.
    pub folder: RelPath,
    /// The node.
    pub node: String,
    /// The name of the part; `None` in a dry run.
    pub part: Option<StoredName>,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose content was new to the remote.
    pub objects: u64,
    /// Bytes that were written to the remote.
    pub sent: u64,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The outcome of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PartState {
    /// It is in no release yet.
    Waiting,
    /// A release was made from it.
    Released,
    /// A release was made from its job, and not from it.
    Late,
}

/// A part that a remote has.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartRow {
    /// Its name.
    pub part: StoredName,
    /// The metadata from the node.
    #[serde(flatten)]
    pub head: PartHead,
    /// When it was stored, by the clock of the service, in milliseconds since 1970.
    pub stored: Option<u64>,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The outcome.
    pub state: PartState,
}

/// The parts of a remote.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartList {
    /// The remote.
    pub remote: String,
    /// By job, in the order in which they were stored.
    pub parts: Vec<PartRow>,
    /// The releases that were made from them.
    pub releases: Vec<JobRelease>,
    /// Unreadable parts.
    pub damaged: Vec<DamagedPart>,
}

/// The result or plan of dropping parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DroppedParts {
    /// The remote.
    pub remote: String,
    /// The job.
    pub job: JobId,
    /// The parts, and with all of them the records of releases.
    pub dropped: Vec<DroppedPart>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Whether a text says where a remote is, and is not the name of one.
fn is_place(remote: &str) -> bool {
    remote.contains(['/', '\\']) || remote.starts_with('.')
}

/// The folder that a text names. One slash more at its end means nothing, as in a shell.
fn parse_folder(text: &str) -> Result<RelPath, PartError> {
    let parsed = RelPath::parse(text.trim_end_matches('/')).map_err(|error| PartError::BadFolder {
        folder: text.to_owned(),
        reason: format!("it {}", error.reason),
    });
    parsed.and_then(|folder| check_folder(&folder).map(|()| folder))
}

/// See that a folder of an asset can be tracked: that its pointer gets into the wheel and is found again.
pub(crate) fn check_folder(folder: &RelPath) -> Result<(), PartError> {
    let refuse = |reason: String| {
        Err(PartError::BadFolder {
            folder: folder.to_string(),
            reason,
        })
    };
    for name in folder.parts() {
        if names::is_reserved(name) || names::is_of_tracking(name) {
            return refuse(format!(
                "`{}` is a name that git or DVC uses",
                name.escape_debug()
            ));
        }
    }
    let pointer = format!("{}{}", folder.file_name(), names::POINTER_SUFFIX);
    let above = folder.parent();
    let above = above.iter().flat_map(RelPath::parts);
    for name in above.chain([pointer.as_str()]) {
        if let Err(reason) = backlot_wheel::check_packaged_name(name.as_ref()) {
            return refuse(reason);
        }
    }
    Ok(())
}

impl Parts {
    /// The parts of a remote: by its place (a path, or a URL), by its name in the workspace that contains `start`, or the
    /// default one of that workspace. Paths are relative to `here`.
    pub fn find(
        remote: Option<&str>,
        store: &StoreOptions,
        here: &Path,
        start: &Path,
        host: &Host,
    ) -> Result<Self> {
        if let Some(place) = remote.filter(|remote| is_place(remote)) {
            return Self::at(place, store, here, host);
        }
        match Opened::find(start, host) {
            Ok(workspace) => Ok(Self::of(&workspace, remote)),
            Err(Error::Workspace(WorkspaceError::NoWorkspace { start })) => match remote {
                Some(place) => Self::at(place, store, here, host),
                None => Err(PartError::NoRemote { start }.into()),
            },
            Err(error) => Err(error),
        }
    }

    /// The parts of the remote at a location, without a workspace. Of a store, credentials are those of a remote `part`.
    pub fn at(place: &str, store: &StoreOptions, here: &Path, host: &Host) -> Result<Self> {
        let url = if place.contains("://") {
            place.to_owned()
        } else {
            absolute(&here.join(place))?.display().to_string()
        };
        let place = Place {
            given: place.to_owned(),
            url,
            store: store.clone(),
            settings: Settings::layered(here, &Config::new(here)?, host)?,
        };
        Ok(Self {
            remote: Where::At(Box::new(place)),
            host: host.clone(),
        })
    }

    /// The parts of a remote of a workspace, or of its default one.
    pub(crate) fn of(workspace: &Arc<Shared>, remote: Option<&str>) -> Self {
        Self {
            host: workspace.host().clone(),
            remote: Where::OfWorkspace {
                workspace: Arc::clone(workspace),
                name: remote.map(str::to_owned),
            },
        }
    }

    /// The place of the parts.
    fn subject(&self) -> Subject {
        match &self.remote {
            Where::OfWorkspace { workspace, .. } => Subject::File(workspace.root().to_path_buf()),
            Where::At(place) => Subject::of_place(&place.url),
        }
    }

    fn connect(&self, context: &Context) -> Result<Connected> {
        match &self.remote {
            Where::OfWorkspace { workspace, name } => {
                let opened = Opened::now(workspace, context)?;
                let entry = opened.remote_entry(name.as_deref(), "looking for parts")?;
                Ok(Connected {
                    remote: opened.open_remote(entry)?,
                    name: entry.name.clone(),
                    author: opened.settings().author.value.clone(),
                })
            }
            Where::At(place) => place.connect(&self.host, context),
        }
    }

    /// Store files as a part of a job. It is there, and all its files can be pulled, once this has succeeded.
    pub fn push(&self, part: &PushPart, context: &Context) -> Result<PushedPart> {
        let about = ("push_part", Subject::File(part.folder.clone().into()));
        call(about, &self.host, context, |context| {
            self.push_part(part, context)
        })
    }

    fn push_part(&self, part: &PushPart, context: &Context) -> Result<PushedPart> {
        let job: JobId = part.job.parse()?;
        let folder = parse_folder(&part.folder)?;
        let Connected { remote, name, author } = self.connect(context)?;
        // Refused early, and so by a dry run, too.
        remote.job_parts(Some(&job), context)?;
        let head = PartHead {
            job,
            folder,
            node: part.node.clone().unwrap_or_else(|| self.host.machine.clone()),
            user: author,
            time: context.now(),
            tool: TOOL.to_owned(),
        };
        let (sources, bytes) = sources(&part.files, context)?;
        let mut pushed = PushedPart {
            remote: name,
            job: head.job.clone(),
            folder: head.folder.clone(),
            node: head.node.clone(),
            part: None,
            files: sources.len() as u64,
            bytes,
            objects: 0,
            sent: 0,
            dry_run: part.dry_run,
        };
        if part.dry_run {
            return Ok(pushed);
        }
        let stored = remote.push_part(&head, &sources, context)?;
        pushed.part = Some(stored.name);
        pushed.bytes = stored.files.iter().map(|file| file.digests.size).sum();
        (pushed.objects, pushed.sent) = (stored.report.objects, stored.report.sent);
        if let Some(release) = stored.late.first() {
            let message = format!(
                "{} {} was already released from the job `{}`, without this part",
                release.package, release.version, head.job
            );
            context.warn("parts::late", message);
        }
        Ok(pushed)
    }

    /// The parts of a job, or of all.
    pub fn list(&self, job: Option<&str>, context: &Context) -> Result<PartList> {
        let about = ("list_parts", self.subject());
        call(about, &self.host, context, |context| {
            self.list_parts(job, context)
        })
    }

    fn list_parts(&self, job: Option<&str>, context: &Context) -> Result<PartList> {
        let job: Option<JobId> = job.map(str::parse).transpose()?;
        let Connected { remote, name, .. } = self.connect(context)?;
        let mut found = remote.job_parts(job.as_ref(), context)?;
        found.parts.sort_by(|a, b| a.head.job.cmp(&b.head.job));
        let row = |part: &Part| PartRow {
            part: part.name,
            head: part.head.clone(),
            stored: part.stored.map(|time| time.0),
            files: part.files.len() as u64,
            bytes: part.bytes(),
            state: state_of(part, &found),
        };
        Ok(PartList {
            remote: name,
            parts: found.parts.iter().map(row).collect(),
            releases: found.releases,
            damaged: found.damaged,
        })
    }

    /// Drop parts of a job.
    pub fn drop_parts(
        &self,
        job: &str,
        choice: &DropChoice,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<DroppedParts> {
        let about = ("drop_parts", self.subject());
        call(about, &self.host, context, |context| {
            self.drop_some(job, choice, options.dry_run, context)
        })
    }

    fn drop_some(
        &self,
        job: &str,
        choice: &DropChoice,
        dry_run: bool,
        context: &Context,
    ) -> Result<DroppedParts> {
        let job: JobId = job.parse()?;
        let choice = match choice {
            DropChoice::All => PartChoice::All,
            DropChoice::OfNode(node) => PartChoice::OfNode(node),
            DropChoice::Named(name) => {
                let bad = |_| PartError::BadName { name: name.clone() };
                PartChoice::Named(name.parse().map_err(bad)?)
            }
        };
        let Connected { remote, name, .. } = self.connect(context)?;
        let dropped = remote.drop_parts(&job, choice, dry_run, context)?;
        Ok(DroppedParts {
            remote: name,
            job,
            dropped,
            dry_run,
        })
    }
}

/// The files of a part by name, sorted, and their bytes.
fn sources(files: &[PathBuf], context: &Context) -> Result<(Vec<PartSource>, u64)> {
    let mut found: BTreeMap<RelPath, PathBuf> = BTreeMap::new();
    let mut bytes = 0;
    let mut take = |path: RelPath, file: PathBuf, size: u64| -> Result<()> {
        if let Some(other) = found.get(&path).filter(|other| **other != file) {
            let files = Box::new([other.clone(), file]);
            return Err(PartError::SameName { path, files }.into());
        }
        if found.insert(path, file).is_none() {
            bytes += size;
        }
        Ok(())
    };
    for given in files {
        let given = absolute(given)?;
        match scan_given(&given, context)? {
            Scanned::Missing => return Err(backlot_dvc::Error::NoSuchPath { path: given }.into()),
            Scanned::File { size, .. } => {
                let name = RelPath::from_path(Path::new(given.file_name().unwrap_or_default()))?;
                take(name, given, size)?;
            }
            Scanned::Folder(files) => {
                for file in files {
                    take(file.path, file.full, file.size)?;
                }
            }
        }
    }
    if found.is_empty() {
        return Err(PartError::NoFiles.into());
    }
    let source = |(path, file)| PartSource { path, file };
    Ok((found.into_iter().map(source).collect(), bytes))
}

impl Place {
    fn connect(&self, host: &Host, context: &Context) -> Result<Connected> {
        let address = Address {
            name: "part",
            url: &self.url,
            options: &self.store,
            host,
        };
        let cache = &self.settings.cache.value;
        let network = || connect::network(host, cache, context);
        let (_, remote) = address.open(None, &cache.join("remotes"), network)?;
        let identity = remote.identity()?;
        if identity == PlaceIdentity::Absent {
            let place = self.given.clone();
            return Err(PartError::RemoteNotThere { place }.into());
        }
        Ok(Connected {
            remote: remote.known(identity.name()),
            name: self.given.clone(),
            author: self.settings.author.value.clone(),
        })
    }
}

/// The outcome of a part of some job.
pub(crate) fn state_of(part: &Part, found: &JobParts) -> PartState {
    let mut releases = found
        .releases
        .iter()
        .filter(|release| release.job == part.head.job);
    if releases.clone().any(|release| release.parts.contains(&part.name)) {
        PartState::Released
    } else if releases.next().is_some() {
        PartState::Late
    } else {
        PartState::Waiting
    }
}
