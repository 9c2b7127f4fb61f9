//! Parts on a remote: put, list, drop, and their protection from collections.
//!
//! Invariants: a part is written after everything it names can be pulled, so a node that dies leaves none; after it is
//! written the tombs are read once more, and what a collector took meanwhile is stored again before success is reported;
//! a collector lists parts after it read the tombs, as it does recipes. So either side sees the other. A part that cannot
//! be read stops a collection. Ages and order are those of the service's clock, never of a node's.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use backlot_core::clock::Timestamp;
use backlot_core::{Context, RelPath};
use serde::{Deserialize, Serialize};

use super::blob::BlobEntry;
use super::gc::{CollectOptions, is_older};
use super::name::StoredName;
use super::open_file::Source;
use super::part::{JobId, JobRelease, MOST_BYTES, Part, PartFile, PartHead};
use super::push::ChunkedRepository;
use super::relied::ROUNDS;
use super::remote::{ChunkedRemote, report};
use super::uncached::seen;
use crate::error::{Error, Result};
use crate::object::{FileDigests, KnownFile, ObjectId};
use crate::parallel::each;
use crate::remote::TransferReport;

/// Where parts lie, by job.
const PARTS: &str = "v1/parts/";
/// How the name of a part ends, and that of a release.
const PART: &str = ".part";
const DONE: &str = ".done";

/// A file to be stored as a member of a part.
#[derive(Clone, Debug)]
pub struct PartSource {
    /// Its path in the folder of the part.
    pub path: RelPath,
    /// Where it is on this machine.
    pub file: PathBuf,
}

/// A part that was stored.
#[derive(Clone, Debug)]
pub struct StoredPart {
    /// Its name.
    pub name: StoredName,
    /// Its files, in the order of the sources.
    pub files: Vec<PartFile>,
    /// The result of a put.
    pub report: TransferReport,
    /// Releases that were made from the job before: they do not have this part.
    pub late: Vec<JobRelease>,
}

/// An object among the parts that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedPart {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// The parts of one job, or of all.
#[derive(Clone, Debug, Default)]
pub struct JobParts {
    /// In the order in which they were stored.
    pub parts: Vec<Part>,
    /// The releases that were made from them.
    pub releases: Vec<JobRelease>,
    /// Unreadable parts.
    pub damaged: Vec<DamagedPart>,
}

/// A part that was dropped, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedPart {
    /// Its key.
    pub key: String,
    /// The node that stored it; `None` for what cannot be read, and for the record of a release.
    pub node: Option<String>,
    /// Its files.
    pub files: u64,
}

/// Which parts of a job are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartChoice<'a> {
    /// All, with what cannot be read and the records of releases.
    #[default]
    All,
    /// Those of a node.
    OfNode(&'a str),
    /// The one of this name, whether it can be read or not.
    Named(StoredName),
}

/// One object below [`PARTS`].
#[derive(Debug)]
enum Found {
    Part(Part),
    Release(JobRelease),
    Damaged(String),
}

impl ChunkedRemote {
    /// Store files and the part that names them.
    pub(crate) fn push_part(
        &self,
        head: &PartHead,
        sources: &[PartSource],
        context: &Context,
    ) -> Result<StoredPart> {
        match self.find()? {
            Some(site) => site.push_part(head, sources, context),
            None => Err(Error::NotThere { place: self.place() }),
        }
    }

    /// The parts of a job, or of all.
    pub(crate) fn job_parts(&self, job: Option<&JobId>, context: &Context) -> Result<JobParts> {
        match self.find()? {
            Some(site) => site.job_parts(job, context),
            None => Ok(JobParts::default()),
        }
    }

    /// Drop parts of a job.
    pub(crate) fn drop_parts(
        &self,
        job: &JobId,
        choice: PartChoice<'_>,
        dry_run: bool,
        context: &Context,
    ) -> Result<Vec<DroppedPart>> {
        match self.find()? {
            Some(site) => site.drop_parts(job, choice, dry_run, context),
            None => Ok(Vec::new()),
        }
    }

    /// Note that a release was made from parts.
    pub(crate) fn note_job_release(&self, release: &JobRelease, context: &Context) -> Result<()> {
        match self.find()? {
            Some(site) => site.note_release(release, context),
            None => Err(Error::NotThere { place: self.place() }),
        }
    }
}

impl ChunkedRepository {
    fn push_part(&self, head: &PartHead, sources: &[PartSource], context: &Context) -> Result<StoredPart> {
        let paths: Vec<PathBuf> = sources.iter().map(|source| source.file.clone()).collect();
        let (outcomes, mut pushed) = self.read_once(&paths, context)?;
        let digests: Vec<FileDigests> = outcomes.iter().map(|outcome| outcome.digests).collect();
        let again = seen(&paths, &digests);
        pushed.already_there = (sources.len() as u64).saturating_sub(pushed.objects);
        pushed.sent += self.push_seen(&again, context)?.sent;
        let mut report = report(&pushed);
        let file = |(source, digests): (&PartSource, &FileDigests)| PartFile {
            path: source.path.clone(),
            digests: *digests,
        };
        let files: Vec<PartFile> = sources.iter().zip(&digests).map(file).collect();
        let bytes = head.to_bytes(&files);
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Error::PartTooLarge {
                files: files.len() as u64,
            });
        }
        // What it names can be pulled; a release that is noted from now on may have it.
        let late = self.job_parts(Some(&head.job), context)?.releases;
        self.require(&files, context)?;
        let name = StoredName::fresh();
        let key = key(&head.job, name, PART);
        report.sent += bytes.len() as u64;
        self.blobs.put(&key, &bytes)?;
        match self.secure(&files, &again, context) {
            Ok(sent) => {
                report.sent += sent;
                Ok(StoredPart {
                    name,
                    files,
                    report,
                    late,
                })
            }
            Err(error) => {
                // Where this fails, too, a publisher finds that the files are not there.
                self.blobs.delete(&key).ok();
                Err(error)
            }
        }
    }

    /// Once a part is written, store again what a collector took that did not see it: its tomb was there before we look
    /// here. Returns the bytes that were written.
    fn secure(&self, files: &[PartFile], sources: &[Source], context: &Context) -> Result<u64> {
        let mut sent = 0;
        for _ in 0..ROUNDS {
            if self.require(files, context)? {
                return Ok(sent);
            }
            sent += self.push_seen(sources, context)?.sent;
        }
        Err(Error::Contended {
            place: self.blobs.place(),
        })
    }

    /// Whether all files can be relied on. One of which the remote has other content is an error.
    pub(super) fn require(&self, files: &[PartFile], context: &Context) -> Result<bool> {
        let ids: Vec<ObjectId> = files.iter().map(PartFile::id).collect();
        let known = self.known(&ids, context)?;
        let is_other = |(file, known): &(&PartFile, &Option<KnownFile>)| {
            let right = (file.digests.size, Some(file.digests.blake3));
            known
                .as_ref()
                .is_some_and(|known| (known.size, known.blake3) != right)
        };
        match files.iter().zip(&known).find(is_other) {
            None => Ok(known.iter().all(Option::is_some)),
            Some((file, _)) => Err(Error::SameMd5 {
                what: format!("`{}`", file.path),
                md5: file.digests.md5,
                other: format!("a file in {}", self.blobs.place()),
            }),
        }
    }

    fn job_parts(&self, job: Option<&JobId>, context: &Context) -> Result<JobParts> {
        let mut all = JobParts::default();
        for (entry, found) in self.read_all(job, context)? {
            match found {
                Found::Part(part) => all.parts.push(part),
                Found::Release(release) => all.releases.push(release),
                Found::Damaged(reason) => all.damaged.push(DamagedPart {
                    key: entry.key,
                    reason,
                }),
            }
        }
        all.parts.sort_by_key(|part| (part.stored, part.name));
        Ok(all)
    }

    /// Everything that was stored for a job, or for all.
    fn read_all(&self, job: Option<&JobId>, context: &Context) -> Result<Vec<(BlobEntry, Found)>> {
        let prefix = job.map_or_else(|| PARTS.to_owned(), prefix_of);
        let mut entries = self.blobs.list(&prefix)?;
        entries.retain(|entry| entry.key.ends_with(PART) || entry.key.ends_with(DONE));
        let found = each(self.blobs.concurrency(), entries.len(), context, |n| {
            self.read_one(&entries[n])
        })?;
        let of_job = |found: &Found| {
            let theirs = match found {
                Found::Part(part) => &part.head.job,
                Found::Release(release) => &release.job,
                Found::Damaged(_) => return true,
            };
            job.is_none_or(|job| job == theirs)
        };
        let all = entries
            .into_iter()
            .zip(found)
            .filter_map(|(entry, found)| Some((entry, found?)));
        Ok(all.filter(|(_, found)| of_job(found)).collect())
    }

    /// One object; `None` if it was dropped since it was listed.
    fn read_one(&self, entry: &BlobEntry) -> Result<Option<Found>> {
        if entry.size > MOST_BYTES {
            return Ok(Some(Found::Damaged(format!("it has {} bytes", entry.size))));
        }
        let Some(bytes) = self.blobs.read(&entry.key)? else {
            return Ok(None);
        };
        Ok(Some(parse(entry, &bytes).unwrap_or_else(Found::Damaged)))
    }

    fn drop_parts(
        &self,
        job: &JobId,
        choice: PartChoice<'_>,
        dry_run: bool,
        context: &Context,
    ) -> Result<Vec<DroppedPart>> {
        let mut dropped = Vec::new();
        for (entry, found) in self.read_all(Some(job), context)? {
            let (theirs, files) = match found {
                Found::Part(part) => (Some(part.head.node), part.files.len() as u64),
                Found::Release(_) | Found::Damaged(_) => (None, 0),
            };
            let is_chosen = match choice {
                PartChoice::All => true,
                PartChoice::OfNode(node) => theirs.as_deref() == Some(node),
                PartChoice::Named(name) => entry.key == key(job, name, PART),
            };
            if !is_chosen {
                continue;
            }
            if !dry_run {
                self.blobs.delete(&entry.key)?;
            }
            dropped.push(DroppedPart {
                key: entry.key,
                node: theirs,
                files,
            });
        }
        if !dry_run && !dropped.is_empty() {
            self.blobs.sync_deleted(&prefix_of(job))?;
        }
        Ok(dropped)
    }

    fn note_release(&self, release: &JobRelease, context: &Context) -> Result<()> {
        let known = self.job_parts(Some(&release.job), context)?;
        if known.releases.contains(release) {
            return Ok(());
        }
        self.blobs
            .put(&key(&release.job, StoredName::fresh(), DONE), &release.to_bytes())
    }
}

/// The objects that parts protect during a collection. A part is read once, since it never changes; the existing ones are listed
/// each time.
#[derive(Debug, Default)]
pub(super) struct KeptParts {
    read: BTreeMap<String, Found>,
    /// The files of parts that count.
    pub(super) files: HashSet<ObjectId>,
    /// How many those are.
    pub(super) count: u64,
    /// Keys older than the given age.
    pub(super) expired: Vec<String>,
}

impl KeptParts {
    /// List the parts, which has to be done after the tombs were read.
    pub(super) fn refresh(
        &mut self,
        site: &ChunkedRepository,
        now: Timestamp,
        options: &CollectOptions,
        context: &Context,
    ) -> Result<()> {
        let mut entries = site.blobs.list(PARTS)?;
        entries.retain(|entry| entry.key.ends_with(PART) || entry.key.ends_with(DONE));
        let is_new = |entry: &&BlobEntry| !self.read.contains_key(&entry.key);
        let fresh: Vec<&BlobEntry> = entries.iter().filter(is_new).collect();
        let found = each(site.blobs.concurrency(), fresh.len(), context, |n| {
            site.read_one(fresh[n])
        })?;
        for (entry, found) in fresh.into_iter().zip(found) {
            match found {
                Some(Found::Damaged(reason)) => {
                    return Err(Error::DamagedPart {
                        place: site.blobs.place(),
                        object: entry.key.clone(),
                        reason,
                    });
                }
                Some(found) => drop(self.read.insert(entry.key.clone(), found)),
                None => {}
            }
        }
        self.weigh(&entries, now, options);
        Ok(())
    }

    /// Tell what counts: parts that are neither too old nor in a release that is there for long enough to be seen.
    fn weigh(&mut self, entries: &[BlobEntry], now: Timestamp, options: &CollectOptions) {
        (self.files, self.count, self.expired) = (HashSet::new(), 0, Vec::new());
        let is_expired = |entry: &BlobEntry| is_older(entry.modified, now, options.parts);
        let mut released: BTreeSet<StoredName> = BTreeSet::new();
        for entry in entries {
            if let Some(Found::Release(release)) = self.read.get(&entry.key)
                && is_older(entry.modified, now, options.young)
            {
                released.extend(&release.parts);
            }
        }
        let mut jobs: BTreeSet<&JobId> = BTreeSet::new();
        for entry in entries {
            let Some(Found::Part(part)) = self.read.get(&entry.key) else {
                continue;
            };
            if is_expired(entry) {
                self.expired.push(entry.key.clone());
                continue;
            }
            jobs.insert(&part.head.job);
            if !released.contains(&part.name) {
                self.files.extend(part.files.iter().map(PartFile::id));
                self.count += 1;
            }
        }
        for entry in entries.iter().filter(|entry| is_expired(entry)) {
            if let Some(Found::Release(release)) = self.read.get(&entry.key)
                && !jobs.contains(&release.job)
            {
                self.expired.push(entry.key.clone());
            }
        }
    }
}

/// The folder of a job's parts.
fn prefix_of(job: &JobId) -> String {
    format!("{PARTS}{}/", job.folder())
}

fn key(job: &JobId, name: StoredName, suffix: &str) -> String {
    format!("{}{name}{suffix}", prefix_of(job))
}

/// What the bytes of an object are; they have to fit their key.
fn parse(entry: &BlobEntry, bytes: &[u8]) -> std::result::Result<Found, String> {
    let rest = entry.key.strip_prefix(PARTS).unwrap_or_default();
    let (folder, file) = rest.split_once('/').ok_or("it is not in a job's folder")?;
    let is_part = file.ends_with(PART);
    let stem = file.strip_suffix(PART).or_else(|| file.strip_suffix(DONE));
    let name: StoredName = stem
        .and_then(|stem| stem.parse().ok())
        .ok_or("its name is not a valid object name")?;
    let (found, job) = if is_part {
        let part = Part::parse(name, entry.modified, bytes)?;
        let job = part.head.job.clone();
        (Found::Part(part), job)
    } else {
        let release = JobRelease::parse(bytes)?;
        let job = release.job.clone();
        (Found::Release(release), job)
    };
    if job.folder() == folder.to_ascii_lowercase() {
        Ok(found)
    } else {
        Err(format!("it belongs to the job `{job}`"))
    }
}
