//! Making what is derived agree with what is there, for every kind of repo in one order of steps: sidecars and records first, then the
//! pages of each package, then the root pages.
//!
//! Deliberately absent: how a kind of repo does each step; see `settle` for folders, `object::upkeep` for stores.

use std::collections::BTreeSet;

use backlot_core::{Context, Operation, PackageName};
use serde::Serialize;

use crate::error::Result;
use crate::listing::BrokenRelease;
use crate::place::Place;

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

pub(crate) fn reindex(steps: &dyn Steps, report: &mut ReindexReport, context: &Context) -> Result<()> {
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
