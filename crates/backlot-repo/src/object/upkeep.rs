//! Looking after a store: which files it should have, putting them back, and what was left behind.
//!
//! Invariants: as for folders ([`crate::upkeep`], [`crate::restore`]). A file gets its name when it is whole: by a request
//! that replaces the damaged one, or by a create or a move where none is there. A dry run is the same over a
//! [`super::rehearsal`]. Deliberately absent: sidecars, records and pages (`pages`).

use std::collections::BTreeSet;
use std::path::Path;

use backlot_backend::{CommitBy, Moved, Put, folders};
use backlot_core::{Context, PackageName};
use sha2::Digest as _;
use ulid::Ulid;

use super::commit::staged_key;
use super::offer::read_wheel;
use super::{ObjectRepo, SDIST, WHEEL, package_prefix};
use crate::error::{Error, Result};
use crate::listing::BrokenRelease;
use crate::place::Place;
use crate::quick::PAGE_LIMIT;
use crate::record::RECORD_LIMIT;
use crate::reindex::{LeftBehind, Steps};
use crate::restore::{ExpectedFile, Gathered, missing_files};
use crate::settle::STALE_MILLISECONDS;

impl ObjectRepo {
    /// The names of all packages that it may be asked for, also of those whose files are gone.
    pub(crate) fn all_names(&self) -> Result<Vec<PackageName>> {
        self.marker()?;
        let mut names: BTreeSet<PackageName> = Steps::package_folders(self)?.into_iter().collect();
        names.extend(self.names_with_pages()?);
        Ok(names.into_iter().collect())
    }

    /// Whether it was never published to.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        Ok(self.marker()?.is_none() && self.package_folders()?.is_empty() && !self.had_releases()?)
    }

    /// Whether something is there that only releases leave.
    fn had_releases(&self) -> Result<bool> {
        for prefix in ["simple/", "status/"] {
            if !folders(&self.0.objects.list(prefix, false)?, prefix).is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The files of a package that are there, or that a record or a page names; sorted by name.
    pub(crate) fn expected_files(&self, name: &PackageName) -> Result<Vec<ExpectedFile>> {
        let prefix = package_prefix(name);
        let place = |file: &str| self.at(&format!("{prefix}{file}"));
        let mut gathered = Gathered::new(name, &place);
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
        gathered.page(&self.own_page(name)?.unwrap_or_default());
        let facts = self.read_facts(&format!("status/{name}/"))?;
        gathered.with_facts(&|version| {
            let of_version = facts.get(&version.to_string()).into_iter().flatten();
            Ok(of_version.map(|(_, fact)| fact.clone()).collect())
        })
    }

    fn own_page(&self, name: &PackageName) -> Result<Option<Vec<u8>>> {
        let page = self
            .0
            .objects
            .read(&format!("simple/{name}/index.json"), PAGE_LIMIT)?;
        Ok(page.filter(|page| page.len() as u64 <= PAGE_LIMIT))
    }

    /// The files of a package that its records or its page name and that are not there.
    pub(crate) fn missing_files(&self, name: &PackageName) -> Result<Vec<Place>> {
        let prefix = package_prefix(name);
        let entries = self.0.objects.list(&prefix, false)?;
        let files = entries.iter().filter_map(|entry| entry.key.strip_prefix(&prefix));
        let there: BTreeSet<String> = files.map(ToOwned::to_owned).collect();
        missing_files(name, &there, || self.own_page(name), || self.expected_files(name))
    }

    /// Put a damaged or missing file back from a copy of the right bytes. Returns whether it was wrong.
    pub(crate) fn restore(&self, expected: &ExpectedFile, from: &Path, context: &Context) -> Result<bool> {
        let mut offer = expected.offer(from, context)?;
        // It may be spelled otherwise than we would.
        offer.file.clone_from(&expected.file);
        let bytes = read_wheel(&offer)?;
        let key = format!("{}{}", package_prefix(&expected.package), expected.file);
        let objects = &self.0.objects;
        let mut hasher = sha2::Sha256::new();
        let is_there = objects.fetch(&key, &mut |block| {
            hasher.update(block);
            context.check().is_ok()
        })?;
        context.check()?;
        // Somebody else may have been here first.
        if is_there && hasher.finalize()[..] == *offer.sha256.as_bytes() {
            return Ok(false);
        }
        let kind = if offer.is_sdist() { SDIST } else { WHEEL };
        let is_placed = match objects.commit_by() {
            CommitBy::Create if is_there => {
                objects.write(&key, bytes, kind)?;
                true
            }
            CommitBy::Create => objects.create(&key, bytes, kind)? == Put::New,
            CommitBy::Move => {
                let staged = staged_key(&offer, Ulid::new());
                objects.stage(&staged, bytes)?;
                if is_there {
                    // Nothing can be moved over it.
                    objects.delete(&key)?;
                }
                let moved = objects.rename(&staged, &key);
                if !matches!(moved, Ok(Moved::Done)) {
                    objects.delete(&staged).ok();
                }
                moved? == Moved::Done
            }
        };
        if !is_placed {
            return Err(self.in_the_way(&key, "somebody else changed it meanwhile", true));
        }
        objects.forget(&key);
        Ok(true)
    }

    fn places(&self, keys: &[String]) -> Vec<Place> {
        keys.iter().map(|key| self.at(key)).collect()
    }

    fn admitted(&self, mut names: Vec<PackageName>) -> Vec<PackageName> {
        names.retain(|name| self.gate().is_none_or(|gate| gate.admits(name)));
        names
    }
}

impl Steps for ObjectRepo {
    /// A store has no empty folders: one that lists no releases, and had some, lost them all.
    fn check(&self) -> Result<()> {
        if self.package_folders()?.is_empty() && self.had_releases()? {
            return Err(Error::NoPackages {
                place: self.at("packages"),
            });
        }
        Ok(())
    }

    fn package_folders(&self) -> Result<Vec<PackageName>> {
        Ok(self.admitted(self.package_folders()?))
    }

    fn names_with_pages(&self) -> Result<Vec<PackageName>> {
        let names = folders(&self.0.objects.list("simple/", false)?, "simple/").into_iter();
        let names = names.filter_map(|n| PackageName::parse(&n).ok().filter(|p| p.as_str() == n));
        Ok(self.admitted(names.collect()))
    }

    /// What was staged: its publisher begins again if it lives.
    fn sweep(&self, what: LeftBehind<'_>, context: &Context) -> Result<Vec<Place>> {
        let LeftBehind::Anywhere = what else {
            return Ok(Vec::new());
        };
        let mut stale = self.0.objects.list("staged/", true)?;
        let now = context.now().0;
        stale.retain(|entry| {
            let is_file = !entry.key.ends_with('/');
            is_file && entry.modified > 0 && now.saturating_sub(entry.modified) > STALE_MILLISECONDS
        });
        for entry in &stale {
            self.0.objects.delete(&entry.key)?;
        }
        Ok(stale.iter().map(|entry| self.at(&entry.key)).collect())
    }

    fn heal(&self, name: &PackageName) -> Result<Vec<Place>> {
        Ok(self.places(&self.heal(name)?))
    }

    fn tally(&self, name: &PackageName) -> Result<(u64, Vec<BrokenRelease>)> {
        let shelf = self.shelf(name)?;
        Ok((shelf.files().count() as u64, shelf.listing.broken.clone()))
    }

    fn settle(&self, name: &PackageName, _healed: bool, context: &Context) -> Result<bool> {
        self.settle_package(name, context)
    }

    fn settle_root(&self, context: &Context) -> Result<Vec<Place>> {
        Ok(self.places(&self.settle_root(true, context)?))
    }

    fn pages(&self, name: &PackageName) -> Place {
        self.at(&format!("simple/{name}"))
    }

    fn page(&self, name: &PackageName) -> Place {
        self.at(&format!("simple/{name}/index.json"))
    }
}
