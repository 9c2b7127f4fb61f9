//! Looking after a repo: making derived files again, and putting damaged or lost releases back.
//!
//! Invariants: one order of steps for folders and stores: sidecars and records first, then the pages of each package, then the
//! root pages; what a dry run reports is what a run would do, and it changes nothing. Deliberately absent: how a kind of
//! repo does each step (`settle` and `restore` for folders, `object::upkeep` for stores), and package indexes, whose server
//! maintains them.

use std::collections::BTreeSet;
use std::path::Path;

use backlot_core::{Context, Operation, PackageName};
use serde::Serialize;

use crate::FolderRepo;
use crate::error::{Error, Result};
use crate::layout::RepoKind;
use crate::listing::BrokenRelease;
use crate::object::ObjectRepo;
use crate::place::Place;
use crate::restore::ExpectedFile;
use crate::settle::FolderSteps;

/// What a reindex found and did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReindexReport {
    /// How many packages the repo has.
    pub packages: u64,
    /// How many good wheels and source distributions.
    pub releases: u64,
    /// Sidecars and records that were made again.
    pub healed: Vec<Place>,
    /// Packages whose pages were written.
    pub paged: Vec<PackageName>,
    /// Root pages that were written.
    pub root_pages: Vec<Place>,
    /// Wheels that cannot be used.
    pub broken: Vec<BrokenRelease>,
    /// Left-over temporaries and pages of packages that are gone, which were removed.
    pub removed: Vec<Place>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Where temporaries are left behind by those who died.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LeftBehind<'a> {
    /// Outside the packages.
    Anywhere,
    /// By publishers of a package.
    Publishing(&'a PackageName),
    /// By those who said something of its releases.
    Saying(&'a PackageName),
}

/// The steps of looking after one kind of repo. Those of a dry run report the same and change nothing.
pub(crate) trait Steps {
    /// An error where nothing may be made again from what is there.
    fn check(&self) -> Result<()>;
    /// The packages that have a place for their files.
    fn package_folders(&self) -> Result<Vec<PackageName>>;
    /// The packages that have a place for their pages.
    fn names_with_pages(&self) -> Result<Vec<PackageName>>;
    /// Remove what somebody left behind more than a day ago. Returns what it was.
    fn sweep(&self, what: LeftBehind<'_>, context: &Context) -> Result<Vec<Place>>;
    /// Make the missing or wrong sidecars and records of a package's files. Returns what was written.
    fn heal(&self, name: &PackageName) -> Result<Vec<Place>>;
    /// How many good files a package has, and which cannot be used.
    fn tally(&self, name: &PackageName) -> Result<(u64, Vec<BrokenRelease>)>;
    /// Make the pages of a package agree with its files; `healed` tells whether those beside them were just made again.
    /// Returns whether one was wrong.
    fn settle(&self, name: &PackageName, healed: bool, context: &Context) -> Result<bool>;
    /// The same for the root pages. Returns those that were wrong.
    fn settle_root(&self, context: &Context) -> Result<Vec<Place>>;
    /// Where the pages of a package are.
    fn pages(&self, name: &PackageName) -> Place;
    /// Its page for programs.
    fn page(&self, name: &PackageName) -> Place;
}

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

fn reindex(steps: &dyn Steps, report: &mut ReindexReport, context: &Context) -> Result<()> {
    steps.check()?;
    let mut names: BTreeSet<PackageName> = steps.package_folders()?.into_iter().collect();
    let running = context.start(Operation::Verify, names.len() as u64, 0);
    names.extend(steps.names_with_pages()?);
    report.removed.extend(steps.sweep(LeftBehind::Anywhere, context)?);
    for name in &names {
        context.check()?;
        let left = steps.sweep(LeftBehind::Publishing(name), context)?;
        report.removed.extend(left);
        let healed = steps.heal(name)?;
        let (files, broken) = steps.tally(name)?;
        report.packages += u64::from(files > 0);
        report.releases += files;
        report.broken.extend(broken);
        let changed = steps.settle(name, !healed.is_empty(), context)?;
        // Of those who died while they said something: its page is made now.
        report
            .removed
            .extend(steps.sweep(LeftBehind::Saying(name), context)?);
        report.healed.extend(healed);
        if changed && files == 0 {
            report.removed.push(steps.pages(name));
        } else if changed {
            report.paged.push(name.clone());
        }
        running.advance(1, 0);
    }
    report.root_pages = steps.settle_root(context)?;
    Ok(())
}
