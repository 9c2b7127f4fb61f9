//! Looking after a repo: making derived files again, and putting damaged or lost releases back.
//!
//! Invariant: what a dry run reports is what a run would do, and it changes nothing. Deliberately absent: the order of the steps
//! (`reindex`), how a kind of repo does each (`settle` and `restore` for folders, `object::upkeep` for stores), and package indexes,
//! whose server maintains them.

use std::path::Path;

use backlot_core::{Context, PackageName};

use crate::error::{Error, Result};
use crate::folder::FolderRepo;
use crate::layout::RepoKind;
use crate::object::ObjectRepo;
use crate::place::Place;
use crate::reindex::{ReindexReport, Steps, reindex};
use crate::restore::ExpectedFile;
use crate::settle::FolderSteps;

/// A repo that is looked after from here, for real or as a dry run.
#[derive(Debug)]
pub struct Upkeep {
    kind: Kind,
    dry_run: bool,
    /// It was never published to.
    is_empty: bool,
    /// Of a folder, the files that a dry run would put back.
    awaited: Vec<ExpectedFile>,
}

#[derive(Debug)]
enum Kind {
    Folder(FolderRepo),
    /// Of a dry run, the store with what would be written to it, kept here.
    Object(ObjectRepo),
}

impl Upkeep {
    /// Look after a folder. A plain folder of packages is an error.
    pub(crate) fn of_folder(repo: &FolderRepo, dry_run: bool) -> Result<Self> {
        let kind = repo.kind()?;
        if kind == RepoKind::Flat {
            return Err(Error::FlatFolder {
                path: repo.root().to_path_buf(),
            });
        }
        Ok(Self {
            kind: Kind::Folder(repo.clone()),
            dry_run,
            is_empty: kind == RepoKind::Empty,
            awaited: Vec::new(),
        })
    }

    /// Look after a store, past what this machine keeps of it.
    pub(crate) fn of_store(repo: &ObjectRepo, dry_run: bool) -> Result<Self> {
        Ok(Self {
            is_empty: repo.is_empty()?,
            kind: Kind::Object(if dry_run {
                repo.rehearsal()?
            } else {
                repo.without_cache()
            }),
            dry_run,
            awaited: Vec::new(),
        })
    }

    fn with_steps<T>(&self, work: impl FnOnce(&dyn Steps) -> Result<T>) -> Result<T> {
        match &self.kind {
            Kind::Folder(repo) => work(&FolderSteps {
                repo,
                dry_run: self.dry_run,
            }),
            Kind::Object(repo) => work(repo),
        }
    }

    /// Make sure that it can be written to.
    fn prepare(&self) -> Result<()> {
        match &self.kind {
            _ if self.dry_run => Ok(()),
            Kind::Folder(repo) => repo.places.ensure(false).map(drop),
            Kind::Object(repo) => repo.make().map(drop),
        }
    }

    /// Make every derived file again that does not agree with the wheels and facts, and remove temporaries left by
    /// publishers that died more than a day ago. Safe beside publishers and other reindexes. A dry run changes nothing and
    /// reports what would be done.
    pub fn reindex(&self, context: &Context) -> Result<ReindexReport> {
        let mut report = ReindexReport {
            dry_run: self.dry_run,
            ..ReindexReport::default()
        };
        if !self.is_empty {
            self.prepare()?;
            self.with_steps(|steps| reindex(steps, &mut report, context))?;
        }
        Ok(report)
    }

    /// Put a damaged or missing file back from a copy of the right bytes. Returns whether it was wrong; a dry run only sees
    /// whether the copy is right.
    pub fn restore(&mut self, expected: &ExpectedFile, from: &Path, context: &Context) -> Result<bool> {
        match &self.kind {
            Kind::Folder(_) if self.dry_run => {
                expected.offer(from, context)?;
                self.awaited.push(expected.clone());
                Ok(true)
            }
            Kind::Folder(repo) => repo.restore(expected, from, context),
            Kind::Object(repo) => {
                self.prepare()?;
                repo.restore(expected, from, context)
            }
        }
    }

    /// Make the sidecars, records and pages of a package again where they do not agree with its files. Returns what was
    /// wrong.
    pub fn mend(&self, name: &PackageName, context: &Context) -> Result<Vec<Place>> {
        if self.is_empty {
            return Ok(Vec::new());
        }
        let mut wrong = self.with_steps(|steps| {
            let mut wrong = steps.heal(name)?;
            if steps.settle(name, !wrong.is_empty(), context)? {
                wrong.push(steps.page(name));
            }
            Ok(wrong)
        })?;
        // A dry run of a folder sees them beside the damaged file, which they do not agree with.
        let awaited = self.awaited.iter().filter(|expected| expected.package == *name);
        let right: Vec<Place> = awaited.flat_map(ExpectedFile::right_derived).collect();
        wrong.retain(|place| !right.contains(place));
        Ok(wrong)
    }

    /// Make the root pages again where they do not agree with the packages. Returns what was wrong.
    pub fn mend_root(&self, context: &Context) -> Result<Vec<Place>> {
        // A dry run of a folder does not see the files that it would put back.
        if self.is_empty || !self.awaited.is_empty() {
            return Ok(Vec::new());
        }
        self.with_steps(|steps| steps.settle_root(context))
    }
}

impl FolderRepo {
    /// Make derived files again; see [`Upkeep::reindex`]. A plain folder of packages is an error.
    pub fn reindex(&self, dry_run: bool, context: &Context) -> Result<ReindexReport> {
        Upkeep::of_folder(self, dry_run)?.reindex(context)
    }
}
