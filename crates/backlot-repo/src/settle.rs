//! Making what is derived agree with what is there: sidecars, records and index pages.
//!
//! Invariant: a page is written, then the folder is listed again, until a fresh listing gives the page that is on disk. So
//! the last writer of a page has listed after writing it: whoever committed before that listing is on the page, and
//! whoever committed after it will write the page again. Killed in between, a page may be old but never torn, and the next
//! publish of that name or a reindex settles it. Deliberately absent: locks, and any change to a wheel or a fact.

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use backlot_core::file::{self, TEMPORARY_PREFIX};
use backlot_core::shared::{self, make_folder};
use backlot_core::{Context, PackageName, Timestamp};
use backlot_wheel::{Sdist, WheelArchive};
use fs_err as fs;

use crate::bounded::read_bounded;
use crate::error::Result;
use crate::fact::{ReleaseStatus, may_be, published_digests, read_facts};
use crate::folder::FolderRepo;
use crate::known_page::KnownPage;
use crate::layout::{RepoKind, names_in};
use crate::listing::{BrokenRelease, by_name, inspect, modified_of, source_in_folder};
use crate::pages::{self, PageEntry};
use crate::place::Place;
use crate::probe::Step;
use crate::quick::{PENDING, modified};
use crate::record::{
    find_record, find_sidecar, record_path, sha256, sidecar_path, write_record, write_sidecar,
};
use crate::reindex::{LeftBehind, Steps};
use crate::release::{FolderRelease, Release, WheelFile};

/// How often a page is written again because the folder changed meanwhile, before it is left to the others.
pub(crate) const ROUNDS: usize = 100;

/// A temporary this old belongs to nobody.
pub(crate) const STALE_MILLISECONDS: u64 = 24 * 60 * 60 * 1000;

/// The most a root page may have.
pub(crate) const ROOT_PAGE_LIMIT: u64 = 256 * 1024 * 1024;

/// The steps of looking after a folder.
pub(crate) struct FolderSteps<'a> {
    pub(crate) repo: &'a FolderRepo,
    pub(crate) dry_run: bool,
}

impl Steps for FolderSteps<'_> {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn package_folders(&self) -> Result<Vec<PackageName>> {
        self.repo.package_folders()
    }

    fn names_with_pages(&self) -> Result<Vec<PackageName>> {
        self.repo.names_with_pages()
    }

    fn sweep(&self, what: LeftBehind<'_>, context: &Context) -> Result<Vec<Place>> {
        let places = &self.repo.places;
        let (folders, prefix) = match what {
            LeftBehind::Anywhere => {
                let folders = vec![places.root.clone(), places.packages(), places.simple()];
                (folders, TEMPORARY_PREFIX)
            }
            LeftBehind::Publishing(name) => {
                (vec![places.package(name), places.pages(name)], TEMPORARY_PREFIX)
            }
            LeftBehind::Saying(name) => (vec![places.pages(name)], PENDING),
        };
        let mut removed = Vec::new();
        for folder in folders {
            removed.extend(remove_stale(&folder, prefix, self.dry_run, context)?);
        }
        Ok(removed.into_iter().map(Place::from).collect())
    }

    fn heal(&self, name: &PackageName) -> Result<Vec<Place>> {
        let healed = self.repo.heal(name, self.dry_run)?;
        Ok(healed.into_iter().map(Place::from).collect())
    }

    fn tally(&self, name: &PackageName) -> Result<(u64, Vec<BrokenRelease>)> {
        let listing = self.repo.releases_with_problems(name)?;
        let files = listing.releases.len() + listing.sources.len();
        Ok((files as u64, listing.broken))
    }

    /// Of a dry run, as if the healing had been done.
    fn settle(&self, name: &PackageName, healed: bool, context: &Context) -> Result<bool> {
        if self.dry_run {
            return Ok(healed || self.repo.has_stale_pages(name)?);
        }
        self.repo.settle_package(name, context)
    }

    fn settle_root(&self, context: &Context) -> Result<Vec<Place>> {
        let mut stale = self.repo.stale_root_pages()?;
        if !self.dry_run && !stale.is_empty() {
            stale = self.repo.settle_root(true, context)?;
        }
        Ok(stale.into_iter().map(Place::from).collect())
    }

    fn pages(&self, name: &PackageName) -> Place {
        self.repo.places.pages(name).into()
    }

    fn page(&self, name: &PackageName) -> Place {
        self.repo.places.pages(name).join("index.json").into()
    }
}

impl FolderRepo {
    /// Make the missing or wrong sidecars and records of a package's files. Returns what was written. What cannot be read is
    /// passed over. A dry run only names them.
    pub(crate) fn heal(&self, name: &PackageName, dry_run: bool) -> Result<Vec<PathBuf>> {
        self.heal_unknown(name, &KnownPage::default(), dry_run)
    }

    /// The same without the wheels of which a page of before says all.
    pub(crate) fn heal_unknown(
        &self,
        name: &PackageName,
        known: &KnownPage,
        dry_run: bool,
    ) -> Result<Vec<PathBuf>> {
        let mut healed = Vec::new();
        let files = self.files_named(name, &|file| !known.has(file))?;
        for source in &files.sources {
            healed.extend(self.heal_source(source, dry_run)?);
        }
        for wheel in files.wheels {
            healed.extend(self.heal_wheel(&wheel, dry_run)?);
        }
        Ok(healed)
    }

    /// Make the sidecar and the record of a wheel, as far as they are missing or wrong.
    fn heal_wheel(&self, wheel: &WheelFile, dry_run: bool) -> Result<Vec<PathBuf>> {
        let mut healed = Vec::new();
        let record = find_record(wheel);
        let facts = read_facts(&self.places.status(&wheel.name.package, &wheel.name.version))?;
        let published = published_digests(&facts, &wheel.file);
        if let Some(record) = &record
            && may_be(&published, record.sha256)
            && find_sidecar(&wheel.path, &record.metadata_sha256).is_some()
        {
            return Ok(healed);
        }
        let described = match record {
            None => self.describe(wheel),
            Some(_) => inspect(wheel),
        };
        // Opening checks nothing yet, so a record is made only for a wheel that can be described.
        let (Ok(release), Ok(archive)) = (described, WheelArchive::open(&wheel.path)) else {
            return Ok(healed);
        };
        let found = (release.sha256, release.metadata_sha256);
        if let Some(record) = &record
            && record.is_of_other_bytes(found.0, &published)
        {
            return Ok(healed);
        }
        let is_recorded = record
            .as_ref()
            .is_some_and(|record| (record.sha256, record.metadata_sha256) == found);
        if dry_run {
            let sidecar = find_sidecar(&wheel.path, &release.metadata_sha256);
            healed.extend(sidecar.is_none().then(|| sidecar_path(&wheel.path)));
            healed.extend((!is_recorded).then(|| record_path(&wheel.path)));
            return Ok(healed);
        }
        healed.extend(write_sidecar(&wheel.path, archive.metadata_bytes())?);
        if !is_recorded {
            let published = self.status(&release)?.published.map(|fact| fact.at);
            let known = record.as_ref().map(|record| record.published_at);
            let at = published.or(known).unwrap_or(Timestamp(wheel.modified));
            healed.extend(write_record(wheel, &release, at, record.is_some())?);
        }
        Ok(healed)
    }

    /// Make the record of a source distribution that has none, or one that it was not published with.
    fn heal_source(&self, source: &Release, dry_run: bool) -> Result<Option<PathBuf>> {
        let Some(path) = source.path() else {
            return Ok(None);
        };
        if let Some(recorded) = source.sha256 {
            let facts = read_facts(&self.places.status(&source.package, &source.version))?;
            if may_be(&published_digests(&facts, &source.file), recorded) {
                return Ok(None);
            }
        }
        let unknown = Release {
            sha256: None,
            ..source.clone()
        };
        let (Ok(known), Ok(sdist)) = (source_in_folder(&unknown), Sdist::open(&path)) else {
            return Ok(None);
        };
        if source.sha256 == Some(known.sha256) {
            return Ok(None);
        }
        if dry_run {
            return Ok(Some(record_path(&path)));
        }
        let requires_python = sdist.metadata().requires_python.as_ref();
        let release = FolderRelease {
            metadata_sha256: sha256(sdist.pkg_info()),
            requires_python: requires_python.map(ToString::to_string),
            ..known
        };
        let published = self.status(&release)?.published;
        let at = published.map_or(release.published_at, |fact| fact.at);
        let file = WheelFile {
            name: release.name.clone(),
            file: release.file.clone(),
            path: release.path.clone(),
            size: release.size,
            modified: release.modified,
        };
        write_record(&file, &release, at, source.sha256.is_some())
    }

    /// What was said of a source distribution; who published it only if its digest is known.
    pub(crate) fn status_of_source(&self, source: &Release) -> Result<ReleaseStatus> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(ReleaseStatus::default());
        }
        let facts = read_facts(&self.places.status(&source.package, &source.version))?;
        let digest = source.sha256.unwrap_or_else(|| sha256(b""));
        Ok(ReleaseStatus::fold(facts, &digest, source.modified))
    }

    /// All facts about a release, folded.
    pub fn status(&self, release: &FolderRelease) -> Result<ReleaseStatus> {
        let folder = self.places.status(&release.package, &release.version);
        Ok(ReleaseStatus::fold(
            read_facts(&folder)?,
            &release.sha256,
            release.modified,
        ))
    }

    /// Whether the pages of a package differ from what they should be.
    pub(crate) fn has_stale_pages(&self, name: &PackageName) -> Result<bool> {
        let folder = self.places.pages(name);
        let (html, json) = (folder.join("index.html"), folder.join("index.json"));
        let entries = self.page_entries(name, &KnownPage::default())?;
        if entries.is_empty() {
            return Ok(html.exists() || json.exists());
        }
        let stale = |path: &Path, page: String| fs::read(path).ok() != Some(page.into_bytes());
        Ok(stale(&html, pages::package_html(name, &entries))
            || stale(&json, pages::package_json(name, &entries)))
    }

    /// Write the pages of a package until they agree with a listing made after writing them. A package without wheels has
    /// none. Returns whether one changed.
    pub(crate) fn settle_package(&self, name: &PackageName, context: &Context) -> Result<bool> {
        self.settle_after(name, &KnownPage::default(), context)
    }

    /// The same by a page of before, so that only what is new is read.
    pub(crate) fn settle_after(
        &self,
        name: &PackageName,
        known: &KnownPage,
        context: &Context,
    ) -> Result<bool> {
        let folder = self.places.pages(name);
        let (html, json) = (folder.join("index.html"), folder.join("index.json"));
        let mut any = false;
        for _ in 0..ROUNDS {
            let entries = self.page_entries(name, known)?;
            self.reached(Step::PackageListed)?;
            let changed = if entries.is_empty() {
                remove_pages(&folder, [&html, &json])?
            } else {
                make_folder(&folder)?;
                let html =
                    shared::write_for_now_if_changed(&html, pages::package_html(name, &entries).as_bytes())?;
                self.reached(Step::PackageHtml)?;
                let page = pages::package_json(name, &entries);
                // Written again, too, where it is older than the last change: only then it counts as current.
                let json = if is_older(&json, &self.places.package(name)) {
                    shared::write_for_now(&json, page.as_bytes())?;
                    true
                } else {
                    shared::write_for_now_if_changed(&json, page.as_bytes())?
                };
                self.reached(Step::PackageJson)?;
                html || json
            };
            if !changed {
                return Ok(any);
            }
            any = true;
        }
        context.warn(
            "repo::busy_index",
            format!("the index of {name} was still changing; those who change it will finish it"),
        );
        Ok(any)
    }

    /// The root pages that differ from what they should be. A repo without packages needs none.
    pub(crate) fn stale_root_pages(&self) -> Result<Vec<PathBuf>> {
        let names = self.names_for_root(&BTreeSet::new())?;
        let folder = self.places.simple();
        let mut stale = Vec::new();
        for (path, page) in [
            (folder.join("index.html"), pages::root_html(&names)),
            (folder.join("index.json"), pages::root_json(&names)),
        ] {
            match fs::read(&path) {
                Ok(found) if found == page.as_bytes() => {}
                Err(error) if error.kind() == ErrorKind::NotFound && names.is_empty() => {}
                _ => stale.push(path),
            }
        }
        Ok(stale)
    }

    /// The packages for the root pages: those that are known and have a folder, and all others that have files.
    fn names_for_root(&self, known: &BTreeSet<PackageName>) -> Result<Vec<PackageName>> {
        let mut names = Vec::new();
        for name in self.package_folders()? {
            if known.contains(&name) || self.has_files(&name)? {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The same for the root pages; returns those that changed. Names that are on the page are believed to have wheels as long as their folder is
    /// there, unless `all` is given: so a publish costs one listing however many packages there are.
    pub(crate) fn settle_root(&self, all: bool, context: &Context) -> Result<Vec<PathBuf>> {
        let folder = self.places.simple();
        make_folder(&folder)?;
        let (html, json) = (folder.join("index.html"), folder.join("index.json"));
        let mut changed = BTreeSet::new();
        for _ in 0..ROUNDS {
            let known: BTreeSet<PackageName> = if all {
                BTreeSet::new()
            } else {
                let page = read_bounded(&json, ROOT_PAGE_LIMIT)?.unwrap_or_default();
                pages::names_in_root_json(&page).into_iter().collect()
            };
            let names = self.names_for_root(&known)?;
            self.reached(Step::RootListed)?;
            let new_html = shared::write_for_now_if_changed(&html, pages::root_html(&names).as_bytes())?;
            self.reached(Step::RootHtml)?;
            let new_json = shared::write_for_now_if_changed(&json, pages::root_json(&names).as_bytes())?;
            self.reached(Step::RootJson)?;
            changed.extend(new_html.then(|| html.clone()));
            changed.extend(new_json.then(|| json.clone()));
            if !new_html && !new_json {
                return Ok(changed.into_iter().collect());
            }
        }
        context.warn(
            "repo::busy_index",
            "the root index was still changing; those who change it will finish it",
        );
        Ok(changed.into_iter().collect())
    }

    fn page_entries(&self, name: &PackageName, known: &KnownPage) -> Result<Vec<PageEntry>> {
        let mut entries = known.entries(self, name)?;
        let files = {
            let known: HashSet<&str> = entries.iter().map(|entry| &*entry.release.file).collect();
            self.files_named(name, &|file| !known.contains(file))?
        };
        let listing = self.described(files);
        for release in listing.releases {
            let sidecar =
                find_sidecar(&release.path, &release.metadata_sha256).map(|_| release.metadata_sha256);
            let status = self.status(&release)?;
            let release = Release::from(release).said(status);
            entries.push(PageEntry { release, sidecar });
        }
        entries.sort_by(|a, b| by_name(&a.release, &b.release));
        for mut source in listing.sources {
            let Ok(known) = source_in_folder(&source) else {
                // Gone since it was listed, or unreadable: nobody could fetch it.
                continue;
            };
            source.sha256 = Some(known.sha256);
            let status = self.status_of_source(&source)?;
            entries.push(PageEntry {
                release: source.said(status),
                sidecar: None,
            });
        }
        // Stable: of a version the wheels come first.
        entries.sort_by(|a, b| a.release.version.cmp(&b.release.version));
        Ok(entries)
    }

    pub(crate) fn names_with_pages(&self) -> Result<Vec<PackageName>> {
        let folder = self.places.simple();
        let mut packages = Vec::new();
        for name in names_in(&folder)?.unwrap_or_default() {
            if let Ok(package) = PackageName::parse(&name)
                && package.as_str() == name
                && folder.join(&name).is_dir()
            {
                packages.push(package);
            }
        }
        Ok(packages)
    }
}

/// Whether a page was written before the last change of a folder.
fn is_older(page: &Path, folder: &Path) -> bool {
    matches!((modified(page), modified(folder)), (Some(page), Some(folder)) if page < folder)
}

fn remove_pages(folder: &Path, files: [&Path; 2]) -> Result<bool> {
    let mut removed = false;
    for file in files {
        if file.exists() {
            file::remove(file)?;
            removed = true;
        }
    }
    if removed {
        // Goes only if nothing else lies there.
        fs::remove_dir(folder).ok();
    }
    Ok(removed)
}

/// Remove what begins with a prefix in a folder and belongs to nobody any more. Returns what it was.
fn remove_stale(folder: &Path, prefix: &str, dry_run: bool, context: &Context) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(removed);
    };
    for entry in entries {
        let entry = entry?;
        let ours = entry.file_name().to_str().is_some_and(|n| n.starts_with(prefix));
        if !ours {
            continue;
        }
        let age = entry
            .metadata()
            .ok()
            .map(|m| context.now().0.saturating_sub(modified_of(&m)));
        if age.is_some_and(|age| age > STALE_MILLISECONDS) {
            if !dry_run {
                file::remove(&entry.path())?;
            }
            removed.push(entry.path());
        }
    }
    Ok(removed)
}
