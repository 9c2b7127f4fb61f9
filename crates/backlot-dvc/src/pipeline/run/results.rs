//! The run cache: results of stages by all that decides them, as files in the cache folder.
//!
//! Two layouts: our own, whose key covers parameters whole, the working folder and proofs of the inputs; and DVC's, which
//! is read and written only where its key decides enough ([`run_cache::is_sound`], and one working folder a command).
//! Invariants: an entry is used only if all it names is in the cache, the newest first; paths are never taken from an entry.
//! The formats are in `docs/format/pipeline-runs.md`. Deliberately absent: moving entries and objects between machines, for
//! which [`RunCache`] has names, bytes and objects, and [`super::share`] what is worth sending.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::presence::read_folder;
use backlot_core::{Blake3, Sha256, file, shared};
use backlot_store::{Cache, ObjectId, RunCacheLayout};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::super::{Content, LockEntry, Output, PipelineError, Place, Stage, run_cache};
use super::project::file_error;
use super::world::{Measured, World};
use crate::content::peek_manifest;
use crate::error::Result;
use crate::manifest::push_python_json;
use crate::yaml;

/// Largest entry that is read, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// The version of entries, and of keys.
const VERSION: u32 = 1;

/// A result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    version: u32,
    /// When it was made, in milliseconds since the epoch.
    made: u64,
    outs: Vec<EntryOut>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EntryOut {
    path: String,
    md5: ObjectId,
    blake3: Blake3,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nfiles: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    isexec: bool,
}

impl Entry {
    /// Its name among the entries of one key: everything but the time.
    fn digest(&self) -> String {
        let mut text = String::new();
        for out in &self.outs {
            push_python_json(&mut text, &out.path);
            text.push_str(&format!(
                " {} {} {} {} {}\n",
                out.md5,
                out.blake3.to_hex(),
                out.size,
                out.nfiles
                    .map_or_else(|| "-".to_owned(), |nfiles| nfiles.to_string()),
                out.isexec
            ));
        }
        sha256(&text).to_hex()
    }
}

fn sha256(text: &str) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(text.as_bytes()).into())
}

/// The inputs that decide about a result.
pub(super) struct Inputs<'a> {
    pub(super) stage: &'a Stage,
    /// Dependencies in the order of the stage.
    pub(super) deps: Vec<Measured>,
    /// Command, dependencies and parameters as the lock will have them; no outputs.
    pub(super) entry: &'a LockEntry,
    /// The values from the caller.
    pub(super) decides: &'a BTreeMap<String, String>,
}

/// The key of a result in Backlot's layout.
pub(super) fn key(inputs: &Inputs<'_>) -> Sha256 {
    let stage = inputs.stage;
    let mut text = format!("backlot-run-key {VERSION}\n");
    let mut line = |name: &str, words: &[&str], rest: &str| {
        text.push_str(name);
        for word in words {
            text.push(' ');
            push_python_json(&mut text, word);
        }
        text.push_str(rest);
        text.push('\n');
    };
    let own = stage.file.parent().map_or(Place::Root, Place::Inside);
    line("file", &[&own.to_string()], "");
    line("folder", &[&stage.folder.to_string()], "");
    for (dep, measured) in stage.deps.iter().zip(&inputs.deps) {
        let content = format!(" {} {}", measured.content.id, measured.blake3.to_hex());
        line("dep", &[&dep.path], &content);
    }
    for out in &stage.outs {
        line("out", &[&out.path], if out.cache { " cached" } else { "" });
    }
    for (name, value) in inputs.decides {
        line("decides", &[name, value], "");
    }
    let mut values = LockEntry::new(inputs.entry.command.clone());
    values.params.clone_from(&inputs.entry.params);
    text.push_str(&yaml::value_text(&values.to_value()));
    sha256(&text)
}

/// The results in Backlot's layout, below a cache.
fn own_folder(cache: &Cache) -> PathBuf {
    cache.root().join("run-results")
}

/// Where DVC's are.
fn dvc_folder(cache: &Cache) -> PathBuf {
    cache.root().join("runs")
}

/// The entries of a folder; empty if it does not exist, or is a file.
fn list(folder: &Path) -> Result<Vec<(String, std::fs::Metadata)>> {
    let mut found = Vec::new();
    for entry in read_folder(folder)?.into_iter().flatten() {
        let entry = entry.map_err(file_error)?;
        // One that another process replaces at this moment is found under its next name.
        if let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) {
            found.push((name, metadata));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// The contents of a stage's outputs, in their order.
type Outs = Vec<Content>;
/// Brings an object of an output into the cache, if it can be found.
pub(super) type Fetch<'a> = &'a dyn Fn(&Output, ObjectId) -> Result<()>;

/// The result of a key in our own layout: the newest with all its content in the cache, or, where objects can be fetched,
/// in which `fetch` brought it there.
pub(super) fn find(world: &World<'_>, stage: &Stage, key: &Sha256, fetch: Fetch<'_>) -> Result<Option<Outs>> {
    let cache = world.project.cache;
    let hex = key.to_hex();
    let folder = own_folder(cache).join(&hex[..2]).join(&hex);
    let mut entries = Vec::new();
    for (name, _) in list(&folder)? {
        let Some(bytes) = file::read_if_exists(&folder.join(&name))? else {
            continue;
        };
        // A damaged entry counts as absent: the stage runs, and its result is rewritten.
        if let Ok(entry) = parse(&name, &bytes) {
            entries.push(entry);
        }
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.made));
    for entry in entries {
        let found: Option<Vec<Measured>> = stage
            .outs
            .iter()
            .map(|out| {
                let found = entry.outs.iter().find(|known| known.path == out.path)?;
                let content = Content {
                    id: found.md5,
                    size: found.size,
                    nfiles: found.nfiles,
                    isexec: found.isexec,
                };
                let blake3 = found.blake3;
                Some(Measured { content, blake3 })
            })
            .collect();
        let Some(measured) = found.filter(|_| entry.outs.len() == stage.outs.len()) else {
            continue;
        };
        let outs: Outs = measured.iter().map(|one| one.content).collect();
        if is_complete(world, stage, &outs, fetch)? && is_proven(world, &measured)? {
            return Ok(Some(outs));
        }
    }
    Ok(None)
}

fn is_complete(world: &World<'_>, stage: &Stage, outs: &Outs, fetch: Fetch<'_>) -> Result<bool> {
    for (out, content) in stage.outs.iter().zip(outs) {
        if !world.has(content.id)? {
            fetch(out, content.id)?;
            if !world.has(content.id)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether the cache has what an entry proves: an MD5 alone can be that of other content.
fn is_proven(world: &World<'_>, outs: &[Measured]) -> Result<bool> {
    for out in outs {
        if world
            .in_cache(out.content)?
            .is_none_or(|found| found.blake3 != out.blake3)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The same in DVC's layout. `inputs` is what the lock will have, but for outputs.
pub(super) fn find_dvc(
    world: &World<'_>,
    stage: &Stage,
    inputs: &LockEntry,
    fetch: Fetch<'_>,
) -> Result<Option<Outs>> {
    let Some(key) = dvc_key(stage, inputs) else {
        return Ok(None);
    };
    let hex = key.to_hex();
    let folder = dvc_folder(world.project.cache).join(&hex[..2]).join(&hex);
    let mut files = list(&folder)?;
    files.sort_by_key(|(_, metadata)| std::cmp::Reverse(metadata.modified().ok()));
    for (name, _) in files {
        let Some(bytes) = file::read_if_exists(&folder.join(&name))? else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        let Ok(entry) = run_cache::parse(&name, &text) else {
            continue;
        };
        if run_cache::key(&entry) != Some(key) || run_cache::value(&entry).map(|v| v.to_hex()) != Some(name) {
            continue;
        }
        let outs: Option<Outs> = stage
            .outs
            .iter()
            .map(|out| {
                let found = entry.out(&out.path)?;
                Some(Content {
                    id: found.id?,
                    size: found.size?,
                    nfiles: found.nfiles,
                    isexec: found.isexec,
                })
            })
            .collect();
        let Some(outs) = outs else { continue };
        if is_complete(world, stage, &outs, fetch)? {
            return Ok(Some(outs));
        }
    }
    Ok(None)
}

/// DVC's key of a stage with these inputs, where it decides enough.
pub(super) fn dvc_key(stage: &Stage, inputs: &LockEntry) -> Option<Sha256> {
    let mut wanted = inputs.clone();
    let nothing = ObjectId::file(backlot_store::digest_bytes(b"").md5);
    let out = |path: &str| super::super::LockedPath::new(path, nothing, 0, None);
    wanted.outs = stage.outs.iter().map(|o| out(&o.path)).collect();
    run_cache::key(&wanted).filter(|_| run_cache::is_sound(&wanted))
}

/// Store a result in Backlot's layout.
pub(super) fn remember(
    cache: &Cache,
    stage: &Stage,
    key: &Sha256,
    outs: &[Measured],
    made: u64,
) -> Result<()> {
    let outs = stage.outs.iter().zip(outs).map(|(out, measured)| EntryOut {
        path: out.path.clone(),
        md5: measured.content.id,
        blake3: measured.blake3,
        size: measured.content.size,
        nfiles: measured.content.nfiles,
        isexec: measured.content.isexec,
    });
    let entry = Entry {
        version: VERSION,
        made,
        outs: outs.collect(),
    };
    let hex = key.to_hex();
    let path = own_folder(cache).join(&hex[..2]).join(&hex).join(entry.digest());
    // It can be rebuilt, so a power cut may lose it.
    Ok(shared::write_for_now(&path, &to_bytes(&entry)?)?)
}

/// Remember a result where DVC finds it, if its key decides enough.
pub(super) fn remember_dvc(cache: &Cache, entry: &LockEntry) -> Result<()> {
    let (Some(key), Some(value)) = (run_cache::key(entry), run_cache::value(entry)) else {
        return Ok(());
    };
    if !run_cache::is_sound(entry) {
        return Ok(());
    }
    let path = dvc_folder(cache).join(run_cache::path(&key, &value));
    Ok(shared::write_for_now(
        &path,
        run_cache::to_text(entry).as_bytes(),
    )?)
}

fn to_bytes(entry: &Entry) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(entry).map_err(|error| PipelineError::RunCacheEntry {
        name: entry.digest(),
        reason: error.to_string(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Read an entry of Backlot's layout; its name is the hash of its contents.
fn parse(name: &str, bytes: &[u8]) -> Result<Entry> {
    let refuse = |reason: String| PipelineError::RunCacheEntry {
        name: name.to_owned(),
        reason,
    };
    if bytes.len() > MAX_BYTES {
        return Err(refuse("it is larger than 16 MiB".to_owned()).into());
    }
    let entry: Entry = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
    if entry.version != VERSION {
        return Err(refuse(format!("unsupported version {}", entry.version)).into());
    }
    if entry.digest() != name {
        return Err(refuse("its name does not match its content".to_owned()).into());
    }
    Ok(entry)
}

/// The entries of a run cache, to be sent to other machines and taken from them.
#[derive(Clone, Copy, Debug)]
pub struct RunCache<'a> {
    cache: &'a Cache,
    layout: RunCacheLayout,
}

impl<'a> RunCache<'a> {
    /// The run cache of a cache.
    pub const fn new(cache: &'a Cache, layout: RunCacheLayout) -> Self {
        Self { cache, layout }
    }

    fn folder(&self) -> PathBuf {
        match self.layout {
            RunCacheLayout::Backlot => own_folder(self.cache),
            RunCacheLayout::Dvc => dvc_folder(self.cache),
        }
    }

    /// The names of all entries, sorted: `<2 hex digits>/<key>/<value>`.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let root = self.folder();
        for (start, _) in list(&root)? {
            for (key, _) in list(&root.join(&start))? {
                for (value, _) in list(&root.join(&start).join(&key))? {
                    let name = format!("{start}/{key}/{value}");
                    if check_name(&name).is_some() {
                        names.push(name);
                    }
                }
            }
        }
        Ok(names)
    }

    /// The names of the entries of a key, sorted.
    pub fn names_of(&self, key: &Sha256) -> Result<Vec<String>> {
        let hex = key.to_hex();
        let folder = format!("{}/{hex}", &hex[..2]);
        let values = list(&self.folder().join(&folder))?.into_iter();
        let names = values.map(|(value, _)| format!("{folder}/{value}"));
        Ok(names.filter(|name| check_name(name).is_some()).collect())
    }

    /// Whether it has a whole entry of a name.
    pub fn has(&self, name: &str) -> Result<bool> {
        let bytes = self.read(name)?;
        Ok(bytes.is_some_and(|bytes| self.outs(name, &bytes).is_ok()))
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        if check_name(name).is_none() {
            return Err(PipelineError::RunCacheEntry {
                name: name.to_owned(),
                reason: "its name is not `<2 hex digits>/<key>/<value>`".to_owned(),
            }
            .into());
        }
        Ok(self.folder().join(name))
    }

    /// The bytes of an entry; `None` if it does not exist.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(file::read_if_exists(&self.path(name)?)?)
    }

    /// The outputs of an entry, with their paths as the stage spells them. An error if the bytes are not an entry of this name.
    pub(super) fn outs(&self, name: &str, bytes: &[u8]) -> Result<Vec<(String, ObjectId)>> {
        let refuse = |reason: &str| PipelineError::RunCacheEntry {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        let (key, value) = check_name(name).ok_or_else(|| refuse("its name is not a valid entry name"))?;
        if bytes.len() > MAX_BYTES {
            return Err(refuse("it is larger than 16 MiB").into());
        }
        match self.layout {
            RunCacheLayout::Backlot => {
                let outs = parse(value, bytes)?.outs.into_iter();
                Ok(outs.map(|out| (out.path, out.md5)).collect())
            }
            RunCacheLayout::Dvc => {
                let text = std::str::from_utf8(bytes).map_err(|_| refuse("it is not valid UTF-8"))?;
                let entry = run_cache::parse(name, text)?;
                let found = (run_cache::key(&entry), run_cache::value(&entry));
                let hex = |digest: Option<Sha256>| digest.map(|digest| digest.to_hex());
                if (hex(found.0).as_deref(), hex(found.1).as_deref()) != (Some(key), Some(value)) {
                    return Err(refuse("its name does not match its content").into());
                }
                let outs = entry.outs.into_iter();
                Ok(outs.filter_map(|out| Some((out.path, out.id?))).collect())
            }
        }
    }

    /// Take an entry from elsewhere, after it was checked. Returns whether it is new. One that is there stays as it is.
    pub fn insert(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path(name)?;
        self.outs(name, bytes)?;
        if self.has(name)? {
            return Ok(false);
        }
        shared::write_for_now(&path, bytes)?;
        Ok(true)
    }

    /// The objects that an entry needs: of folders, the manifests, and their files as far as the cache has the manifests.
    pub fn objects(&self, name: &str) -> Result<Vec<ObjectId>> {
        let Some(bytes) = self.read(name)? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for (_, id) in self.outs(name, &bytes)? {
            all.push(id);
            if id.tree
                && let Some(manifest) = peek_manifest(self.cache, &id)?
            {
                all.extend(manifest.entries().iter().map(|entry| ObjectId::file(entry.md5)));
            }
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }
}

/// Key and value of a name.
fn check_name(name: &str) -> Option<(&str, &str)> {
    let mut parts = name.split('/');
    let (start, key, value) = (parts.next()?, parts.next()?, parts.next()?);
    let is_digest = |text: &str| {
        text.len() == 64
            && text
                .bytes()
                .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
    };
    let is_name = is_digest(key) && is_digest(value) && key.get(..2) == Some(start) && parts.next().is_none();
    is_name.then_some((key, value))
}
