//! The state of one package in a store: its listing, and the small objects beside it.
//!
//! Invariants: releases and facts come from fresh listings; objects of a remote store are cached on this disk
//! under its key, size and tag, and not read again while those are unchanged; no object makes reading fail: it is reported with
//! the reason or skipped. Deliberately absent: the pages, which are derived.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_backend::{Entry, Error as BackendError};
use backlot_core::{Class, Context, Sha256, Timestamp};
use backlot_net::Kind;
use backlot_pep::{PackageName, Version};
use backlot_wheel::{Sdist, WheelArchive, WheelName};

use super::names::parse;
use super::release_events::Said;
use super::{ReleaseStore, WHEEL_LIMIT};
use crate::error::{Error, Result};
use crate::layout::{RepoKind, is_wheel};
use crate::listing::{BrokenRelease, Listing, UNSUPPORTED, UnsupportedRelease, sort, source_name};
use crate::location::Location;
use crate::record::{METADATA_LIMIT, RECORD_FORMAT, RECORD_LIMIT, ReleaseRecord, sha256, sha256_of_file};
use crate::release::{FileLocation, ReleaseFile, ReleaseKind};
use crate::release_event::{ReleaseEvent, ReleaseStatus};

/// A package as it was when it was last read.
#[derive(Debug, Default)]
pub(super) struct PackageSnapshot {
    pub(super) listing: Listing,
    /// All objects below `packages/<name>/`, by key; in a folder only releases.
    pub(super) entries: HashMap<String, Entry>,
    /// The files without a record that agrees, by key.
    pub(super) unrecorded: Vec<String>,
    /// The status events, by version as the store spells it.
    pub(super) said: BTreeMap<String, Said>,
}

/// How long what was listed ahead of a reading may wait for it.
const AHEAD: Duration = Duration::from_secs(30);
/// How old a listing may be that only a warning rests on.
const RECENT: Duration = Duration::from_secs(10);

/// A package as this process last read it.
pub(super) struct Known {
    snapshot: Arc<PackageSnapshot>,
    read: Instant,
    /// Listed for a reading that has not come yet, and that need not list it again.
    ahead: bool,
}

/// A file of a package as it was found by its name.
struct Found {
    file: String,
    /// Its contents, or why they are unknown.
    entry: Result<Entry>,
}

/// A wheel or source distribution as listed.
struct Listed {
    kind: ReleaseKind,
    name: WheelName,
    file: String,
    entry: Entry,
}

impl PackageSnapshot {
    /// All files that can be used.
    pub(super) fn files(&self) -> impl Iterator<Item = &ReleaseFile> {
        self.listing.files()
    }

    /// The facts about a version.
    pub(super) fn facts(&self, version: &Version) -> impl Iterator<Item = &ReleaseEvent> {
        let said = self.said.get(&version.to_string());
        said.into_iter().flat_map(Said::facts)
    }

    /// The combined status for one of its files.
    pub(super) fn status(&self, release: &ReleaseFile) -> ReleaseStatus {
        fold(self.facts(&release.version), release)
    }
}

/// The combined status of facts for a file.
pub(super) fn fold<'a>(
    facts: impl IntoIterator<Item = &'a ReleaseEvent>,
    release: &ReleaseFile,
) -> ReleaseStatus {
    let sha256 = release.sha256.unwrap_or_else(|| sha256(b""));
    ReleaseStatus::fold(facts.into_iter().cloned(), &sha256, release.modified)
}

impl ReleaseStore {
    /// A package as it is now.
    pub(super) fn snapshot(&self, name: &PackageName) -> Result<Arc<PackageSnapshot>> {
        if !self.admits(name) {
            return Ok(Arc::default());
        }
        if self.is_local() {
            return self.snapshot_of(name, &|_| true).map(Arc::new);
        }
        let facts = std::thread::scope(|scope| {
            let facts = scope.spawn(|| self.read_facts(name));
            let packages = self.read_package(name, &|_| true);
            let facts = facts
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            packages.and_then(|snapshot| Ok((snapshot, facts?)))
        });
        let (mut snapshot, facts) = facts?;
        snapshot.said = facts;
        let snapshot = Arc::new(snapshot);
        let known = Known {
            snapshot: Arc::clone(&snapshot),
            read: Instant::now(),
            ahead: false,
        };
        self.shelves().insert(name.clone(), known);
        Ok(snapshot)
    }

    /// The files of a package with the requested names, with their status; others are not inspected.
    pub(super) fn snapshot_of(
        &self,
        name: &PackageName,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<PackageSnapshot> {
        let mut snapshot = self.read_package(name, wanted)?;
        let spelled: BTreeMap<String, Version> = snapshot
            .files()
            .map(|file| (file.version.to_string(), file.version.clone()))
            .collect();
        let versions: Vec<Version> = spelled.into_values().collect();
        let said = self.each(&versions, |version| self.said(name, version))?;
        let spelled = versions.iter().map(ToString::to_string);
        snapshot.said = spelled.zip(said).collect();
        Ok(snapshot)
    }

    /// List a package for the reading that comes next.
    pub(super) fn snapshot_ahead(&self, name: &PackageName) -> Result<()> {
        self.snapshot(name)?;
        if let Some(known) = self.shelves().get_mut(name) {
            known.ahead = true;
        }
        Ok(())
    }

    /// A package as it is now, or as it was listed ahead of this reading a moment ago.
    pub(super) fn next_snapshot(&self, name: &PackageName) -> Result<Arc<PackageSnapshot>> {
        if let Some(known) = self.shelves().get_mut(name)
            && std::mem::take(&mut known.ahead)
            && known.read.elapsed() < AHEAD
        {
            return Ok(Arc::clone(&known.snapshot));
        }
        self.snapshot(name)
    }

    /// A package as it is now, or was a moment ago.
    pub(super) fn recent_snapshot(&self, name: &PackageName) -> Result<Arc<PackageSnapshot>> {
        if let Some(known) = self.shelves().get(name)
            && known.read.elapsed() < RECENT
        {
            return Ok(Arc::clone(&known.snapshot));
        }
        self.snapshot(name)
    }

    /// The same, or as it was when this process last read it.
    pub(super) fn known_snapshot(&self, name: &PackageName) -> Result<Arc<PackageSnapshot>> {
        let known = self.shelves().get(name).map(|known| Arc::clone(&known.snapshot));
        known.map_or_else(|| self.snapshot(name), Ok)
    }

    /// The objects of a package with the requested names. In a folder, only possible releases are inspected.
    fn found(&self, prefix: &str, name: &PackageName, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Found>> {
        if !self.is_local() {
            let listed = self.listed(prefix, false)?.into_iter();
            let found = listed.filter_map(|entry| {
                let file = entry.key.strip_prefix(prefix)?.to_owned();
                let is_ours = !file.is_empty() && !file.starts_with('.') && wanted(&file);
                is_ours.then_some(Found {
                    file,
                    entry: Ok(entry),
                })
            });
            return Ok(found.collect());
        }
        let mut found = Vec::new();
        for mut file in self.names_below(prefix, name)? {
            let is_folder = file.ends_with('/');
            file.truncate(file.len() - usize::from(is_folder));
            if !wanted(&file) || !is_wheel(&file) && (is_folder || source_name(&file).is_none()) {
                continue;
            }
            let key = format!("{prefix}{file}");
            let entry = if is_folder {
                Ok(Some(Entry {
                    key: format!("{key}/"),
                    size: 0,
                    modified: 0,
                    tag: String::new(),
                }))
            } else {
                self.0.objects.stat(&key)
            };
            // What is gone since it was listed is as if it had never been there.
            if let Some(entry) = entry.map_err(Error::from).transpose() {
                found.push(Found { file, entry });
            }
        }
        Ok(found)
    }

    /// The requested files of a package, without their status.
    pub(super) fn read_package(
        &self,
        name: &PackageName,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<PackageSnapshot> {
        let mut snapshot = PackageSnapshot::default();
        if self.kind()? == RepoKind::Empty {
            return Ok(snapshot);
        }
        let (prefix, shared) = self.files_prefix(name)?;
        let mut files = Vec::new();
        for Found { file, entry } in self.found(&prefix, name, wanted)? {
            let key = format!("{prefix}{file}");
            let place = self.at(&key);
            match parse(file.trim_end_matches('/'), name, shared) {
                Ok(Some((kind, name))) => match entry {
                    Ok(entry) if entry.key.ends_with('/') => {
                        if kind == ReleaseKind::Wheel {
                            snapshot
                                .listing
                                .broken
                                .push(BrokenRelease::new(place, "it is not a file"));
                        }
                    }
                    Ok(entry) => {
                        snapshot.entries.insert(key, entry.clone());
                        files.push(Listed {
                            kind,
                            name,
                            file,
                            entry,
                        });
                    }
                    Err(error) => snapshot
                        .listing
                        .broken
                        .push(unreachable(place, &name.version, &error)),
                },
                Ok(None) => {
                    if let Some((package, version)) = source_name(&file)
                        && package == *name
                    {
                        snapshot.listing.unsupported.push(UnsupportedRelease {
                            place,
                            version,
                            reason: UNSUPPORTED.to_owned(),
                        });
                    }
                    if let Ok(entry) = entry {
                        snapshot.entries.insert(key, entry);
                    }
                }
                Err(reason) => snapshot.listing.broken.push(BrokenRelease::new(place, reason)),
            }
        }
        self.describe_all(&files, &prefix, &mut snapshot)?;
        Ok(snapshot)
    }

    fn describe_all(&self, files: &[Listed], prefix: &str, snapshot: &mut PackageSnapshot) -> Result<()> {
        let folder = self.0.objects.root().map(|root| Arc::from(root.join(prefix)));
        let described = {
            let (entries, folder) = (&snapshot.entries, folder.as_ref());
            self.each(files, |file| self.describe(file, entries, folder))?
        };
        for (file, described) in files.iter().zip(described) {
            match described {
                Ok(Some((release, recorded))) => {
                    snapshot
                        .unrecorded
                        .extend((!recorded).then(|| file.entry.key.clone()));
                    if release.is_sdist() {
                        snapshot.listing.sources.push(release);
                    } else {
                        snapshot.listing.releases.push(release);
                    }
                }
                Ok(None) => {}
                Err(broken) => snapshot.listing.broken.push(broken),
            }
        }
        sort(&mut snapshot.listing.releases);
        sort(&mut snapshot.listing.sources);
        Ok(())
    }

    /// All metadata of a file, and whether it comes from its record; `None` if it is gone, the inner error is its defect.
    fn describe(
        &self,
        file: &Listed,
        entries: &HashMap<String, Entry>,
        folder: Option<&Arc<Path>>,
    ) -> Result<Result<Option<(ReleaseFile, bool)>, BrokenRelease>> {
        let lies = || match folder {
            Some(folder) => FileLocation::Dir(Arc::clone(folder)),
            None => FileLocation::Key(file.entry.key.as_str().into(), self.at(&file.entry.key)),
        };
        if let Some(bytes) = self.record_beside(&file.entry.key, entries)?
            && let Ok(record) = serde_json::from_slice::<ReleaseRecord>(&bytes)
            && self.agrees(&record, file)
        {
            return Ok(Ok(Some((release(file, lies(), Some(record)), true))));
        }
        if self.is_local() && file.kind == ReleaseKind::Sdist {
            // Read on demand.
            return Ok(Ok(Some((release(file, lies(), None), false))));
        }
        match self.inspect(file) {
            Ok(record) => Ok(Ok(
                record.map(|record| (release(file, lies(), Some(record)), false))
            )),
            Err(error) if !self.is_about_file(&error) => Err(error),
            Err(error) => {
                let place = self.at(&file.entry.key);
                if self.is_local() && matches!(self.0.objects.stat(&file.entry.key), Ok(None)) {
                    return Ok(Ok(None));
                }
                Ok(Err(BrokenRelease::failed(place, &file.name.version, &error)))
            }
        }
    }

    /// Whether a record is about a file as it is now. A store far away has its own times.
    fn agrees(&self, record: &ReleaseRecord, file: &Listed) -> bool {
        record.format == RECORD_FORMAT
            && record.filename == file.file
            && record.size == file.entry.size
            && (!self.is_local() || record.modified == file.entry.modified)
    }

    fn record_beside(&self, key: &str, entries: &HashMap<String, Entry>) -> Result<Option<Vec<u8>>> {
        let key = format!("{key}.json");
        if self.is_local() {
            return Ok(self.small_file(&key, RECORD_LIMIT));
        }
        match entries.get(&key) {
            Some(entry) => self.small(entry, RECORD_LIMIT),
            None => Ok(None),
        }
    }

    /// Read a file without a usable record, as far as a record would say it. Remembered, so that it happens once. `None` if it is gone.
    fn inspect(&self, file: &Listed) -> Result<Option<ReleaseRecord>> {
        let entry = &file.entry;
        let read = || {
            Ok::<_, Error>(
                self.read_off(file.kind, &file.file, entry)?
                    .map(|(record, _)| record),
            )
        };
        if self.is_local() {
            let state = (entry.key.clone(), entry.size, entry.modified);
            if let Some(record) = self.inspected().get(&state) {
                return Ok(Some(record.clone()));
            }
            let record = read()?;
            self.inspected()
                .extend(record.clone().map(|record| (state, record)));
            return Ok(record);
        }
        let key = self.kept_key("inspected", entry);
        if !entry.tag.is_empty()
            && let Some(kept) = self.find_kept(Kind::Metadata, &key)
            && let Ok(record) = serde_json::from_slice(&kept.body)
        {
            return Ok(Some(record));
        }
        let record = read()?;
        if let Some(record) = &record {
            self.keep(&key, &entry.key, &record.to_bytes());
        }
        Ok(record)
    }

    /// Whether an error is about the contents of a file: a store without a response proves nothing about it.
    pub(super) fn is_about_file(&self, error: &Error) -> bool {
        match error {
            Error::Cancelled(_) => false,
            _ if self.is_local() => true,
            Error::Backend(BackendError::Store { .. }) | Error::File(_) => false,
            Error::Backend(_) | Error::Network(_) => !self.0.is_uncached,
            _ => true,
        }
    }

    /// Read a file as it was listed, and take from it what a record of it says, and its metadata; `None` if it is gone.
    pub(super) fn read_off(
        &self,
        kind: ReleaseKind,
        file: &str,
        entry: &Entry,
    ) -> Result<Option<(ReleaseRecord, Vec<u8>)>> {
        if let Some(path) = self.0.objects.file(&entry.key) {
            let sha256 = sha256_of_file(&path)?;
            return read_record(kind, file, entry, &path, sha256).map(Some);
        }
        if entry.size > WHEEL_LIMIT {
            return Err(Error::TooLarge {
                place: self.at(&entry.key),
                limit: WHEEL_LIMIT,
            });
        }
        // Under its own name, since that identifies it.
        let folder = self.scratch("inspected")?;
        let path = folder.path().join(file);
        let found = self.download(&entry.key, &path, entry.size, None, &Context::default(), &|_| {})?;
        found
            .map(|sha256| read_record(kind, file, entry, &path, sha256))
            .transpose()
    }

    /// The sidecar of a release, if it is there and right.
    pub(super) fn sidecar(
        &self,
        snapshot: &PackageSnapshot,
        release: &ReleaseFile,
    ) -> Result<Option<Vec<u8>>> {
        if release.is_sdist() {
            return Ok(None);
        }
        let key = format!("{}.metadata", self.key_of(release));
        let bytes = if self.is_local() {
            self.small_file(&key, METADATA_LIMIT)
        } else {
            match snapshot.entries.get(&key) {
                Some(entry) => self.small(entry, METADATA_LIMIT)?,
                None => None,
            }
        };
        Ok(bytes.filter(|bytes| Some(sha256(bytes)) == release.metadata_sha256))
    }
}

/// A file that is there and cannot be looked at: no older version may take its place.
fn unreachable(place: Location, version: &Version, error: &Error) -> BrokenRelease {
    let mut broken = BrokenRelease::failed(place, version, error);
    if let Some(failure) = &mut broken.failure {
        // Not that of a file that was not found: the name is there.
        failure.class = Class::Environment;
    }
    broken
}

/// What a record of a file would say, and its metadata. Opening refuses one whose metadata is of another name or version than its file name.
fn read_record(
    kind: ReleaseKind,
    file: &str,
    entry: &Entry,
    path: &Path,
    sha256_of_it: Sha256,
) -> Result<(ReleaseRecord, Vec<u8>)> {
    let (bytes, metadata) = match kind {
        ReleaseKind::Wheel => {
            let archive = WheelArchive::open(path)?;
            (archive.metadata_bytes().to_vec(), archive.metadata().clone())
        }
        ReleaseKind::Sdist => {
            let sdist = Sdist::open(path)?;
            (sdist.pkg_info().to_vec(), sdist.metadata().clone())
        }
    };
    let record = ReleaseRecord {
        format: RECORD_FORMAT,
        filename: file.to_owned(),
        sha256: sha256_of_it,
        size: entry.size,
        modified: entry.modified,
        metadata_sha256: sha256(&bytes),
        requires_python: metadata.requires_python.as_ref().map(ToString::to_string),
        published_at: Timestamp(entry.modified),
    };
    Ok((record, bytes))
}

/// A file as its record describes it; without one, by its name alone.
fn release(file: &Listed, lies: FileLocation, record: Option<ReleaseRecord>) -> ReleaseFile {
    let published_at = record.as_ref().map(|record| record.published_at);
    ReleaseFile {
        kind: file.kind,
        name: file.name.clone(),
        file: file.file.clone(),
        package: file.name.package.clone(),
        version: file.name.version.clone(),
        has_metadata: false,
        lies,
        size: Some(file.entry.size),
        sha256: record.as_ref().map(|record| record.sha256),
        published_at: published_at.or(Some(Timestamp(file.entry.modified))),
        yanked: None,
        deprecated: None,
        metadata_sha256: record.as_ref().map(|record| record.metadata_sha256),
        strong: None,
        modified: record
            .as_ref()
            .map_or(file.entry.modified, |record| record.modified),
        requires_python: record.and_then(|record| record.requires_python),
    }
}
