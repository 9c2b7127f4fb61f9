//! Maintenance of a store: expected files, restoring them, rebuilding derived files, and removing leftovers.
//!
//! Invariants: as for [`crate::Upkeep`]. A file gets its name when it is whole: by a request that replaces the damaged one, or by a create or
//! a move where none is there. A dry run is the same over a [`super::rehearsal`]. Deliberately absent: how sidecars, records and pages are made (`pages`).

use std::collections::BTreeSet;
use std::path::Path;

use backlot_backend::{CommitBy, Entry, How, Put, RenameOutcome};
use backlot_core::{Context, Operation};
use backlot_pep::PackageName;
use sha2::Digest as _;
use ulid::Ulid;

use super::by_page::PENDING;
use super::commit::{read_offered, staged_key};
use super::feed_pending::pending_prefix;
use super::known_page::KnownPage;
use super::release_events::Said;
use super::{ReleaseStore, package_prefix, page_key, pages_prefix};
use crate::error::{Error, Result};
use crate::expected::{ExpectedFile, Gathered, missing_files};
use crate::layout::RepoKind;
use crate::location::Location;
use crate::record::RECORD_LIMIT;
use crate::reindex::ReindexReport;

/// A temporary of this age is abandoned.
const STALE_MILLISECONDS: u64 = 24 * 60 * 60 * 1000;

impl ReleaseStore {
    /// The names of all packages that it may be asked for, also of those whose files are gone.
    pub fn all_names(&self) -> Result<Vec<PackageName>> {
        if self.is_local() && self.kind()? != RepoKind::Backlot {
            return self.packages();
        }
        if !self.is_local() {
            self.marker()?;
        }
        let mut names: BTreeSet<PackageName> = self.package_folders()?.into_iter().collect();
        names.extend(self.folders_below("simple/")?);
        Ok(self.admitted(names))
    }

    fn admitted(&self, mut names: BTreeSet<PackageName>) -> Vec<PackageName> {
        names.retain(|name| self.admits(name));
        names.into_iter().collect()
    }

    /// Whether it was never published to. A plain folder of packages is an error.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        self.check_layout()?;
        if self.is_local() {
            return Ok(self.kind()? == RepoKind::Empty);
        }
        Ok(self.marker()?.is_none() && self.package_folders()?.is_empty() && !self.had_releases()?)
    }

    /// Whether something is there that only releases leave.
    fn had_releases(&self) -> Result<bool> {
        for prefix in ["simple/", "status/"] {
            let names = self.0.objects.names(prefix)?;
            if names
                .iter()
                .any(|name| name.ends_with('/') && !name.starts_with('.'))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The files of a package that are there, or that a record or a page names; sorted by name. None of a plain folder of
    /// wheels, which says nothing about them.
    pub fn expected_files(&self, name: &PackageName) -> Result<Vec<ExpectedFile>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(Vec::new());
        }
        let prefix = package_prefix(name);
        let place = |file: &str| self.at(&format!("{prefix}{file}"));
        let mut gathered = Gathered::new(name, &place);
        if self.is_local() {
            for file in self.names_of(name)? {
                if let Some(of) = file.strip_suffix(".json") {
                    let record = self.bounded(&format!("{prefix}{file}"), RECORD_LIMIT)?;
                    gathered.record(of, &record.unwrap_or_default());
                } else if self.is_there(&format!("{prefix}{file}")) {
                    gathered.there(&file);
                } else {
                    gathered.named(file.trim_end_matches('/'));
                }
            }
        } else {
            for entry in self.0.objects.list(&prefix, false)? {
                let Some(file) = entry.key.strip_prefix(&prefix) else {
                    continue;
                };
                if let Some(of) = file.strip_suffix(".json") {
                    gathered.record(of, &self.small(&entry, RECORD_LIMIT)?.unwrap_or_default());
                } else {
                    gathered.there(file);
                }
            }
        }
        gathered.page(&self.page_reader(name)?.unwrap_or_default());
        let facts = if self.is_local() {
            None
        } else {
            Some(self.read_facts(name)?)
        };
        gathered.with_facts(&|version| match &facts {
            None => Ok(self.said(name, version)?.facts().cloned().collect()),
            Some(facts) => {
                let said = facts.get(&version.to_string()).into_iter();
                Ok(said.flat_map(Said::facts).cloned().collect())
            }
        })
    }

    /// Whether there is a file, or something that cannot be looked at.
    fn is_there(&self, key: &str) -> bool {
        !key.ends_with('/') && !matches!(self.0.objects.stat(key), Ok(None))
    }

    /// The files of a package that its records or its page name and that are not there; the judgement of
    /// [`Self::expected_files`], without reading the metadata of existing ones.
    pub fn missing_files(&self, name: &PackageName) -> Result<Vec<Location>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(Vec::new());
        }
        let there: BTreeSet<String> = self.names_of(name)?.into_iter().collect();
        missing_files(
            name,
            &there,
            || self.page_reader(name),
            || self.expected_files(name),
        )
    }

    /// Put a damaged or missing file back from a copy of the right bytes. Returns whether it was wrong.
    pub(crate) fn restore(&self, expected: &ExpectedFile, from: &Path, context: &Context) -> Result<bool> {
        let mut offer = expected.offer(from, context)?;
        // It may be spelled otherwise than we would.
        offer.file.clone_from(&expected.file);
        let key = format!("{}{}", package_prefix(&expected.package), expected.file);
        let objects = &self.0.objects;
        let mut hasher = sha2::Sha256::new();
        let found = objects.fetch(&key, &mut |block| {
            hasher.update(block);
            context.check().is_ok()
        });
        context.check()?;
        let is_there = match found {
            // Something that cannot be read stands in a folder.
            Err(_) if self.is_local() => true,
            found => found?,
        };
        // Another process may have been first.
        if is_there && hasher.finalize()[..] == *offer.sha256.as_bytes() {
            return Ok(false);
        }
        // Its digest in record and fact.
        let modified = expected.modified(offer.sha256);
        let modified = modified.unwrap_or_else(|| context.now().0);
        let is_placed = match objects.commit_by() {
            CommitBy::Create => {
                let how = if is_there { How::Replace } else { How::Create };
                self.put_offered(&offer, &key, how, modified, context)?? == Put::New
            }
            CommitBy::Move => {
                let staged = staged_key(&offer, Ulid::generate());
                objects.stage(&staged, read_offered(&offer, context)?)?;
                if is_there {
                    // Nothing can be moved over it.
                    objects.delete(&key)?;
                }
                let moved = objects.rename(&staged, &key);
                if !matches!(moved, Ok(RenameOutcome::Done)) {
                    objects.delete(&staged).ok();
                }
                moved? == RenameOutcome::Done
            }
        };
        if !is_placed {
            return Err(self.in_the_way(&key, "it was changed concurrently", true));
        }
        objects.forget(&key);
        Ok(true)
    }

    /// Make the sidecars, records and pages of a package again where they do not agree with its files. Returns what was
    /// wrong.
    pub(crate) fn mend(&self, name: &PackageName, context: &Context) -> Result<Vec<Location>> {
        let none = KnownPage::default();
        let healed = self.repair_derived(name, &none)?;
        let mut wrong = self.places(&healed);
        if self.settle_package(name, &none, context)? {
            wrong.push(self.at(&page_key(name)));
        }
        Ok(wrong)
    }

    /// The same for the root pages.
    pub(crate) fn mend_root(&self, context: &Context) -> Result<Vec<Location>> {
        Ok(self.places(&self.settle_root(true, context)?))
    }

    /// Update all derived files: sidecars and records first, then the pages of each package, then the root
    /// pages; and remove leftovers.
    pub(crate) fn reindex_into(&self, report: &mut ReindexReport, context: &Context) -> Result<()> {
        let mut names: BTreeSet<PackageName> = self.package_folders()?.into_iter().collect();
        // One that lists no releases, and had some, lost them all; a folder without any is there, and was emptied on purpose.
        if names.is_empty() && !self.is_local() && self.had_releases()? {
            return Err(Error::NoPackages {
                place: self.at("packages"),
            });
        }
        let running = context.start(Operation::Verify, names.len() as u64, 0);
        names.extend(self.folders_below("simple/")?);
        let names = self.admitted(names);
        for folder in ["", "packages/", "simple/", "events/", "events/pending/"] {
            let left = self.0.objects.abandoned(folder)?;
            report.removed.extend(self.sweep(left, context)?);
        }
        // Staged files: a live publisher starts again.
        let staged = if self.is_local() {
            Vec::new()
        } else {
            self.0.objects.list("staged/", true)?
        };
        report.removed.extend(self.sweep(staged, context)?);
        let none = KnownPage::default();
        let mut events = Vec::new();
        for name in names {
            context.check()?;
            for folder in [package_prefix(&name), pages_prefix(&name)] {
                let left = self.0.objects.abandoned(&folder)?;
                report.removed.extend(self.sweep(left, context)?);
            }
            let healed = self.repair_derived(&name, &none)?;
            let listing = self.releases_with_problems(&name)?;
            let files = (listing.releases.len() + listing.sources.len()) as u64;
            events.extend(self.events_of(&name, &listing)?);
            report.packages += u64::from(files > 0);
            report.releases += files;
            report.broken.extend(listing.broken);
            let changed = self.settle_package(&name, &none, context)?;
            // Of writers killed while changing a status: their page is rebuilt now.
            let mut spoken = Vec::new();
            if self.is_local() {
                spoken = self.0.objects.list(&pages_prefix(&name), false)?;
                spoken.retain(|entry| {
                    let file = entry.key.rsplit('/').next().unwrap_or_default();
                    file.starts_with(PENDING)
                });
            }
            report.removed.extend(self.sweep(spoken, context)?);
            report.healed.extend(self.places(&healed));
            if changed && files == 0 {
                let pages = pages_prefix(&name);
                report.removed.push(self.at(pages.trim_end_matches('/')));
            } else if changed {
                report.paged.push(name);
            }
            running.advance(1, 0);
        }
        report.root_pages = self.mend_root(context)?;
        events.extend(self.events_of_cascades()?);
        report.events = self.reconcile_feed(events, context)?;
        // Those that came to nothing: all that happened is in the feed now.
        let announced = self.0.objects.list(&pending_prefix(), false)?;
        report.removed.extend(self.sweep(announced, context)?);
        Ok(())
    }

    /// Remove leftovers older than a day. Returns them.
    fn sweep(&self, mut left: Vec<Entry>, context: &Context) -> Result<Vec<Location>> {
        let now = context.now().0;
        left.retain(|entry| {
            let is_file = !entry.key.ends_with('/');
            // Some stores tell no times.
            let is_timed = entry.modified > 0 || self.is_local();
            is_file && is_timed && now.saturating_sub(entry.modified) > STALE_MILLISECONDS
        });
        for entry in &left {
            self.0.objects.delete(&entry.key)?;
        }
        Ok(left.iter().map(|entry| self.at(&entry.key)).collect())
    }

    fn places(&self, keys: &[String]) -> Vec<Location> {
        keys.iter().map(|key| self.at(key)).collect()
    }
}
