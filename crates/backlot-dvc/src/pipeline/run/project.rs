//! A project with stages: where it is, its definitions, and its locks.
//!
//! Invariants: definitions are found in a fixed order; a lock is written whole, one stage at a time, and what another
//! program wrote into it meanwhile is kept. Deliberately absent: the state of files ([`super::world`]).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlot_core::{Context, FileError, FileLock, LinkMode, RelPath, file};
use backlot_store::{Cache, StatCache};

use super::super::{ArgumentStyle, Folder, Graph, Lock, LockEntry, Pipelines, Stage, TrackedFile};
use crate::error::Result;
use crate::names;
use crate::tracked::Definitions;

/// A folder with `dvc.yaml` files.
#[derive(Clone, Debug)]
pub struct Project<'a> {
    pub(super) root: PathBuf,
    pub(super) state: PathBuf,
    pub(super) cache: &'a Cache,
    pub(super) stat: &'a StatCache,
    pub(super) links: Vec<LinkMode>,
    pub(super) style: ArgumentStyle,
    pub(super) git_ignore: bool,
    /// More folders to be searched, which links of the project lead to.
    linked: Vec<PathBuf>,
    left_out: Vec<PathBuf>,
}

impl<'a> Project<'a> {
    /// The project of a folder. `state` is a folder for its lock, logs and the outputs that are set aside while a stage runs;
    /// it should be on the same disk. Both must be absolute.
    pub fn new(
        root: impl Into<PathBuf>,
        state: impl Into<PathBuf>,
        cache: &'a Cache,
        stat: &'a StatCache,
    ) -> Self {
        Self {
            root: root.into(),
            state: state.into(),
            cache,
            stat,
            links: vec![LinkMode::Reflink, LinkMode::Copy],
            style: ArgumentStyle::default(),
            git_ignore: false,
            linked: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The same; nothing is read in these folders to find stages and pointers.
    #[must_use]
    pub fn leaving_out(mut self, folders: Vec<PathBuf>) -> Self {
        self.left_out = folders;
        self
    }

    /// The same; stages and pointers are also searched in these folders of the project, which may lie behind links.
    #[must_use]
    pub fn with_linked(mut self, folders: Vec<PathBuf>) -> Self {
        self.linked = folders;
        self
    }

    /// The same, whose outputs share content with the cache in these ways.
    #[must_use]
    pub fn with_links(mut self, links: &[LinkMode]) -> Self {
        self.links = links.to_vec();
        self
    }

    /// The same, with another style of mappings in commands (`parsing` of DVC's configuration).
    #[must_use]
    pub fn with_style(mut self, style: ArgumentStyle) -> Self {
        self.style = style;
        self
    }

    /// The same; cached outputs are kept out of git by a `.gitignore` beside them.
    #[must_use]
    pub fn with_git_ignore(mut self, git_ignore: bool) -> Self {
        self.git_ignore = git_ignore;
        self
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the output of a stage's commands is kept.
    pub fn log_path(&self, stage: &Stage) -> PathBuf {
        self.state
            .join("logs")
            .join(format!("{}.log", file_name_of(&stage.address())))
    }

    /// Held by a run: exclusively, or shared by those that make single stages.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// Held by a run of a single stage.
    pub(super) fn lock_file_of(&self, address: &str) -> PathBuf {
        let name = format!("{}.lock", file_name_of(address));
        self.state.join("locks").join(name)
    }

    /// All its stages and pointers.
    pub fn graph(&self, context: &Context) -> Result<Graph> {
        let mut left_out = self.left_out.clone();
        left_out.push(self.state.clone());
        let mut roots = vec![self.root.clone()];
        roots.extend(self.linked.iter().cloned());
        let definitions = Definitions::find(&roots, &left_out, context)?;
        // A file that is about to be replaced, or what a killed command left.
        let is_lasting = |path: &RelPath| !path.parts().any(names::is_temporary);
        let files = definitions.pipelines.iter().filter_map(|path| self.inside(path));
        let files: Vec<RelPath> = files.filter(is_lasting).collect();
        let pipelines = Pipelines::load(&Folder::new(&self.root), &files, self.style)?;
        let mut found = Vec::with_capacity(definitions.pointers.len());
        for pointer in &definitions.pointers {
            if let Some(path) = self.inside(&pointer.path) {
                found.push(TrackedFile::new(path, &pointer.pointer));
            }
        }
        Ok(Graph::new(pipelines, found)?)
    }

    fn inside(&self, path: &Path) -> Option<RelPath> {
        RelPath::from_path(path.strip_prefix(&self.root).ok()?).ok()
    }
}

/// A text as the name of a file.
pub(super) fn file_name_of(text: &str) -> String {
    const LONGEST: usize = 150;
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'@' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    if name.len() > LONGEST {
        let digest = backlot_store::digest_bytes(text.as_bytes()).md5.to_hex();
        name.truncate(LONGEST);
        name.push_str(&digest);
    }
    name
}

/// The locks of a project while its stages run.
#[derive(Debug)]
pub(super) struct Locks<'a> {
    root: PathBuf,
    /// Held while a lock or an ignore file is edited, which stages have in common.
    guard: PathBuf,
    context: &'a Context,
    files: Mutex<HashMap<RelPath, KnownLock>>,
    /// The order in which stages would be made one after the other.
    ranks: HashMap<(RelPath, String), usize>,
    ignores: Mutex<()>,
}

#[derive(Debug, Default)]
struct KnownLock {
    bytes: Option<Vec<u8>>,
    lock: Lock,
    /// Stages that this run added, with their ranks.
    added: BTreeMap<usize, String>,
}

impl<'a> Locks<'a> {
    /// Read the locks of some stages.
    pub(super) fn load<'s>(
        project: &Project<'_>,
        context: &'a Context,
        stages: impl Iterator<Item = &'s Stage>,
    ) -> Result<Self> {
        let root = &project.root;
        let paths: std::collections::BTreeSet<RelPath> = stages.map(Stage::lock_path).collect();
        let mut files = HashMap::new();
        for path in paths {
            let mut known = KnownLock::default();
            known.read(root, &path)?;
            files.insert(path, known);
        }
        Ok(Self {
            root: root.clone(),
            guard: project.state.join("locks").join("files"),
            context,
            files: Mutex::new(files),
            ranks: HashMap::new(),
            ignores: Mutex::default(),
        })
    }

    /// The same, in which new entries stand in the order of `stages`, whichever is done first.
    pub(super) fn in_order_of<'s>(mut self, stages: impl Iterator<Item = &'s Stage>) -> Self {
        let ranks = stages.enumerate();
        self.ranks = ranks
            .map(|(rank, stage)| ((stage.lock_path(), stage.name.clone()), rank))
            .collect();
        self
    }

    fn files(&self) -> MutexGuard<'_, HashMap<RelPath, KnownLock>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keep other processes from editing files that stages have in common; they do so for moments.
    fn guard(&self) -> Result<FileLock> {
        const PATIENCE: Duration = Duration::from_mins(1);
        Ok(FileLock::acquire(&self.guard, PATIENCE, self.context)?)
    }

    /// Keep an output out of git.
    pub(super) fn git_ignore(&self, path: &Path) -> Result<()> {
        let _held = self.ignores.lock().unwrap_or_else(PoisonError::into_inner);
        let _guard = self.guard()?;
        crate::add::git_ignore(path)
    }

    /// The entry of a stage.
    pub(super) fn get(&self, stage: &Stage) -> Option<LockEntry> {
        let files = self.files();
        files.get(&stage.lock_path())?.lock.get(&stage.name).cloned()
    }

    /// Write the entry of a stage into the lock as it is on the disk now.
    pub(super) fn set(&self, stage: &Stage, entry: LockEntry) -> Result<()> {
        let path = stage.lock_path();
        let mut files = self.files();
        let _guard = self.guard()?;
        let known = files.entry(path.clone()).or_default();
        known.read(&self.root, &path)?;
        let is_new = known.lock.get(&stage.name).is_none();
        known.lock.set(&stage.name, entry);
        let rank = self.ranks.get(&(path.clone(), stage.name.clone()));
        if let Some(rank) = rank.filter(|_| is_new) {
            known.put_in_order(*rank, &stage.name);
        }
        let text = known.lock.to_text().into_bytes();
        if known.bytes.as_ref() != Some(&text) {
            file::write(&path.to_path(&self.root), &text)?;
            known.bytes = Some(text);
        }
        Ok(())
    }
}

impl KnownLock {
    /// An entry was just added at the end: those of later stages go behind it.
    fn put_in_order(&mut self, rank: usize, name: &str) {
        for later in self.added.range(rank..).map(|(_, name)| name) {
            if let Some(entry) = self.lock.remove(later) {
                self.lock.set(later, entry);
            }
        }
        self.added.insert(rank, name.to_owned());
    }

    /// Read the file unless it is as it was.
    fn read(&mut self, root: &Path, path: &RelPath) -> Result<()> {
        let bytes = file::read_if_exists(&path.to_path(root))?;
        if bytes == self.bytes {
            return Ok(());
        }
        self.lock = match &bytes {
            None => Lock::default(),
            Some(bytes) => Lock::parse_bytes(path.as_str(), bytes)?,
        };
        self.bytes = bytes;
        Ok(())
    }
}

/// Which stage makes a place, and at which position of its outputs.
pub(super) fn makers(graph: &Graph) -> BTreeMap<&str, (usize, usize)> {
    let mut makers = BTreeMap::new();
    for node in 0..graph.len() {
        for (at, out) in graph
            .stage(node)
            .into_iter()
            .flat_map(|s| s.outs.iter().enumerate())
        {
            makers.insert(out.place.as_str(), (node, at));
        }
    }
    makers
}

/// A refused file operation as an error of this crate.
pub(super) fn file_error(error: std::io::Error) -> crate::Error {
    crate::Error::File(FileError::from(error))
}
