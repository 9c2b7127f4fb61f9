//! What a store has of one package: two listings, and the small objects they name.
//!
//! Invariants: releases and facts come from listings made anew each time; what was read once is kept on this disk under
//! its key, size and tag, and not read again while those stay; nothing that lies there makes reading fail: it is named with
//! the reason or passed over. Deliberately absent: the pages, which are derived.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_backend::{Entry, Error as BackendError, each};
use backlot_core::{Context, PackageName, Timestamp, Version, shared};
use backlot_net::{Head, Kind};
use backlot_wheel::{Sdist, WheelArchive, WheelName, sdist_name};
use ulid::Ulid;

use super::{ObjectRepo, WHEEL_LIMIT, package_prefix};
use crate::error::{Error, Result};
use crate::fact::{Fact, ReleaseStatus};
use crate::layout::is_wheel;
use crate::listing::{
    BrokenRelease, Listing, UNSUPPORTED, UnsupportedRelease, named, package_of, sort, source_name,
};
use crate::record::{METADATA_LIMIT, RECORD_FORMAT, RECORD_LIMIT, ReleaseRecord, sha256};
use crate::release::{Lies, Release, ReleaseKind};

/// A package as it was when it was last read.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) listing: Listing<Release>,
    /// Everything that lies below `packages/<name>/`, by key.
    pub(super) entries: HashMap<String, Entry>,
    /// The files without a record that agrees, by key.
    pub(super) unrecorded: Vec<String>,
    /// All facts, by version as the folder spells it, oldest first.
    facts: BTreeMap<String, Vec<(Ulid, Fact)>>,
}

/// How long what was listed ahead of a reading may wait for it.
const AHEAD: Duration = Duration::from_secs(30);
/// How old a listing may be that only a warning rests on.
const RECENT: Duration = Duration::from_secs(10);

/// A package as this process last read it.
pub(super) struct Known {
    shelf: Arc<Shelf>,
    read: Instant,
    /// Listed for a reading that has not come yet, and that need not list it again.
    ahead: bool,
}

/// A wheel or source distribution as listed.
struct Listed {
    kind: ReleaseKind,
    name: WheelName,
    file: String,
    entry: Entry,
}

/// What a file of a package is by its name; `None` if it is neither a wheel nor a source distribution, the reason if it
/// should be one of this package and is not.
fn parse(file: &str, package: &PackageName) -> Result<Option<(ReleaseKind, WheelName)>, String> {
    if is_wheel(file) {
        return Ok(named(file, package, false)?.map(|name| (ReleaseKind::Wheel, name)));
    }
    let source = sdist_name(file).filter(|(of, _)| of == package);
    Ok(source.map(|(of, version)| (ReleaseKind::Sdist, WheelName::pure(&of, &version))))
}

impl Shelf {
    /// All files that can be used.
    pub(super) fn files(&self) -> impl Iterator<Item = &Release> {
        self.listing.files()
    }

    /// The facts about a version.
    pub(super) fn facts(&self, version: &Version) -> &[(Ulid, Fact)] {
        self.facts.get(&version.to_string()).map_or(&[], Vec::as_slice)
    }

    /// What they amount to for one of its wheels.
    pub(super) fn status(&self, release: &Release) -> ReleaseStatus {
        let facts = self.facts(&release.version).iter().map(|(_, fact)| fact.clone());
        let sha256 = release.sha256.unwrap_or_else(|| sha256(b""));
        ReleaseStatus::fold(facts, &sha256, release.modified)
    }
}

impl ObjectRepo {
    /// A package as it is now.
    pub(super) fn shelf(&self, name: &PackageName) -> Result<Arc<Shelf>> {
        if self.gate().is_some_and(|gate| !gate.admits(name)) {
            return Ok(Arc::default());
        }
        let facts = std::thread::scope(|scope| {
            let facts = scope.spawn(|| self.read_facts(&format!("status/{name}/")));
            let packages = self.read_package(name);
            let facts = facts
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            packages.and_then(|shelf| Ok((shelf, facts?)))
        });
        let (mut shelf, facts) = facts?;
        shelf.facts = facts;
        let shelf = Arc::new(shelf);
        let known = Known {
            shelf: Arc::clone(&shelf),
            read: Instant::now(),
            ahead: false,
        };
        self.shelves().insert(name.clone(), known);
        Ok(shelf)
    }

    /// List a package for the reading that comes next.
    pub(super) fn shelf_ahead(&self, name: &PackageName) -> Result<()> {
        self.shelf(name)?;
        if let Some(known) = self.shelves().get_mut(name) {
            known.ahead = true;
        }
        Ok(())
    }

    /// A package as it is now, or as it was listed ahead of this reading a moment ago.
    pub(super) fn next_shelf(&self, name: &PackageName) -> Result<Arc<Shelf>> {
        if let Some(known) = self.shelves().get_mut(name)
            && std::mem::take(&mut known.ahead)
            && known.read.elapsed() < AHEAD
        {
            return Ok(Arc::clone(&known.shelf));
        }
        self.shelf(name)
    }

    /// A package as it is now, or was a moment ago.
    pub(super) fn recent_shelf(&self, name: &PackageName) -> Result<Arc<Shelf>> {
        if let Some(known) = self.shelves().get(name)
            && known.read.elapsed() < RECENT
        {
            return Ok(Arc::clone(&known.shelf));
        }
        self.shelf(name)
    }

    /// The same, or as it was when this process last read it.
    pub(super) fn known_shelf(&self, name: &PackageName) -> Result<Arc<Shelf>> {
        let known = self.shelves().get(name).map(|known| Arc::clone(&known.shelf));
        known.map_or_else(|| self.shelf(name), Ok)
    }

    /// The files of a package by their names alone, with their versions.
    pub(super) fn file_names(&self, name: &PackageName) -> Result<Vec<(String, Version)>> {
        let prefix = package_prefix(name);
        let entries = self.0.objects.list(&prefix, false)?;
        let files = entries.iter().filter_map(|e| e.key.strip_prefix(&prefix));
        Ok(files
            .filter_map(|file| {
                let (_, parsed) = parse(file, name).ok().flatten()?;
                Some((file.to_owned(), parsed.version))
            })
            .collect())
    }

    /// Whether there is an object that is named as one of a package's wheels or source distributions.
    pub(super) fn has_files(&self, name: &PackageName) -> Result<bool> {
        let prefix = package_prefix(name);
        let entries = self.0.objects.list(&prefix, false)?;
        let mut files = entries.iter().filter_map(|e| e.key.strip_prefix(&prefix));
        Ok(files.any(|file| package_of(file).as_ref() == Some(name)))
    }

    fn read_package(&self, name: &PackageName) -> Result<Shelf> {
        let prefix = package_prefix(name);
        let mut listing = Listing::default();
        let (mut files, mut entries) = (Vec::new(), HashMap::new());
        for entry in self.listed(&prefix, false)? {
            let Some(file) = entry.key.strip_prefix(&prefix).map(ToOwned::to_owned) else {
                continue;
            };
            if file.is_empty() || file.starts_with('.') || file.contains('/') {
                continue;
            }
            match parse(&file, name) {
                Ok(Some((kind, name))) => files.push(Listed {
                    kind,
                    name,
                    file,
                    entry: entry.clone(),
                }),
                Ok(None) => {
                    if let Some((package, version)) = source_name(&file)
                        && package == *name
                    {
                        listing.unsupported.push(UnsupportedRelease {
                            place: self.at(&entry.key),
                            version,
                            reason: UNSUPPORTED.to_owned(),
                        });
                    }
                }
                Err(reason) => listing
                    .broken
                    .push(BrokenRelease::new(self.at(&entry.key), reason)),
            }
            entries.insert(entry.key.clone(), entry);
        }
        let mut unrecorded = Vec::new();
        let described = each(&files, |file| self.describe(file, &entries))?;
        for (file, described) in files.iter().zip(described) {
            match described {
                Ok((release, recorded)) => {
                    unrecorded.extend((!recorded).then(|| file.entry.key.clone()));
                    if release.is_sdist() {
                        listing.sources.push(release);
                    } else {
                        listing.releases.push(release);
                    }
                }
                Err(broken) => listing.broken.push(broken),
            }
        }
        sort(&mut listing.releases);
        sort(&mut listing.sources);
        Ok(Shelf {
            listing,
            entries,
            unrecorded,
            facts: BTreeMap::new(),
        })
    }

    /// Everything about a file, and whether its record says so; the inner error is what is wrong with it.
    fn describe(
        &self,
        wheel: &Listed,
        entries: &HashMap<String, Entry>,
    ) -> Result<Result<(Release, bool), BrokenRelease>> {
        if let Some(entry) = entries.get(&format!("{}.json", wheel.entry.key))
            && let Some(bytes) = self.small(entry, RECORD_LIMIT)?
            && let Ok(record) = serde_json::from_slice::<ReleaseRecord>(&bytes)
            && record.format == RECORD_FORMAT
            && record.filename == wheel.file
            && record.size == wheel.entry.size
        {
            return Ok(Ok((self.release(wheel, record), true)));
        }
        match self.inspect(wheel) {
            Ok(record) => Ok(Ok((self.release(wheel, record), false))),
            Err(error) if !self.is_about_file(&error) => Err(error),
            Err(error) => {
                let place = self.at(&wheel.entry.key);
                Ok(Err(BrokenRelease::failed(place, &wheel.name.version, &error)))
            }
        }
    }

    /// Fetch a file without a usable record, and read off what a record would say. Kept, so that it happens once.
    fn inspect(&self, wheel: &Listed) -> Result<ReleaseRecord> {
        let entry = &wheel.entry;
        let key = self.kept_key("inspected", entry);
        if !entry.tag.is_empty()
            && let Some(kept) = self.find_kept(Kind::Metadata, &key)
            && let Ok(record) = serde_json::from_slice(&kept.body)
        {
            return Ok(record);
        }
        let (record, _) = self
            .read_off(wheel.kind, &wheel.file, entry)?
            .ok_or_else(|| Error::NoRelease {
                package: wheel.name.package.clone(),
                version: wheel.name.version.clone(),
                repo: self.place(),
            })?;
        self.keep(&key, &entry.key, &record.to_bytes());
        Ok(record)
    }

    /// Whether an error is about what a file is: a store that does not answer says nothing about it.
    pub(super) fn is_about_file(&self, error: &Error) -> bool {
        match error {
            Error::Backend(BackendError::Store { .. }) | Error::File(_) | Error::Cancelled(_) => false,
            Error::Backend(_) | Error::Network(_) => !self.0.is_uncached,
            _ => true,
        }
    }

    /// Fetch a file as it was listed, and read off what a record of it says, and its metadata; `None` if it is gone.
    pub(super) fn read_off(
        &self,
        kind: ReleaseKind,
        file: &str,
        entry: &Entry,
    ) -> Result<Option<(ReleaseRecord, Vec<u8>)>> {
        if entry.size > WHEEL_LIMIT {
            return Err(Error::TooLarge {
                place: self.at(&entry.key),
                limit: WHEEL_LIMIT,
            });
        }
        // Under its own name, since that tells what it is.
        let folder = shared::temporary_folder(&self.0.kept.wheel("inspected", ""), 1)?;
        let path = folder.path().join(file);
        let found = self.download(&entry.key, &path, entry.size, None, &Context::default(), &|_| {})?;
        let Some(sha256_of_it) = found else {
            return Ok(None);
        };
        let (bytes, metadata) = match kind {
            ReleaseKind::Wheel => {
                let archive = WheelArchive::open(&path)?;
                (archive.metadata_bytes().to_vec(), archive.metadata().clone())
            }
            ReleaseKind::Sdist => {
                let sdist = Sdist::open(&path)?;
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
        Ok(Some((record, bytes)))
    }

    fn release(&self, wheel: &Listed, record: ReleaseRecord) -> Release {
        Release {
            kind: wheel.kind,
            name: wheel.name.clone(),
            file: wheel.file.clone(),
            package: wheel.name.package.clone(),
            version: wheel.name.version.clone(),
            lies: Lies::Under(wheel.entry.key.as_str().into(), self.at(&wheel.entry.key)),
            size: Some(record.size),
            sha256: Some(record.sha256),
            requires_python: record.requires_python,
            published_at: Some(record.published_at),
            yanked: None,
            deprecated: None,
            metadata_sha256: Some(record.metadata_sha256),
            strong: None,
            has_metadata: wheel.kind == ReleaseKind::Wheel,
            modified: record.modified,
        }
    }

    /// What lies below a prefix now; offline, when it was last listed.
    pub(super) fn listed(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        let key = format!("listing {}", self.at(prefix));
        if self.0.objects.is_offline()
            && let Some(kept) = self.find_kept(Kind::Metadata, &key)
            && let Ok(entries) = serde_json::from_slice(&kept.body)
        {
            return Ok(entries);
        }
        let entries = self.0.objects.list(prefix, deep)?;
        let bytes = serde_json::to_vec(&entries).expect("entries are plain data");
        self.keep(&key, prefix, &bytes);
        Ok(entries)
    }

    /// A small object as it was listed; `None` if it is too large or gone.
    pub(super) fn small(&self, entry: &Entry, limit: u64) -> Result<Option<Vec<u8>>> {
        if entry.size > limit {
            return Ok(None);
        }
        let key = self.kept_key("object", entry);
        if !entry.tag.is_empty()
            && let Some(kept) = self.find_kept(Kind::Metadata, &key)
        {
            return Ok(Some(kept.body));
        }
        let Some(bytes) = self.0.objects.read(&entry.key, limit)? else {
            return Ok(None);
        };
        if bytes.len() as u64 > limit {
            return Ok(None);
        }
        // Another length: it was replaced since it was listed, and is not what the key says.
        if !entry.tag.is_empty() && bytes.len() as u64 == entry.size {
            self.keep(&key, &entry.key, &bytes);
        }
        Ok(Some(bytes))
    }

    /// The sidecar of a release, if it is there and right.
    pub(super) fn sidecar(&self, shelf: &Shelf, release: &Release) -> Result<Option<Vec<u8>>> {
        let key = format!("{}.metadata", release.link().unwrap_or_default());
        let Some(entry) = shelf.entries.get(&key).filter(|_| !release.is_sdist()) else {
            return Ok(None);
        };
        let bytes = self.small(entry, METADATA_LIMIT)?;
        Ok(bytes.filter(|bytes| Some(sha256(bytes)) == release.metadata_sha256))
    }

    fn kept_key(&self, what: &str, entry: &Entry) -> String {
        let Entry { key, size, tag, .. } = entry;
        format!("{what} {} {size} {tag}", self.at(key))
    }

    /// Keep on this disk what was read of an object or a folder.
    pub(super) fn keep(&self, key: &str, of: &str, bytes: &[u8]) {
        let place = self.at(of).to_string();
        let head = Head::new(&place, &place, 200, bytes);
        self.0.kept.keep(Kind::Metadata, key, &head, bytes);
    }
}
