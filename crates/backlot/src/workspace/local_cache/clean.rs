//! Evicting from the cache: the least recently used first.
//!
//! Invariants: what a workspace needs stays, whatever the bounds; nothing goes while a command is changing a workspace of the
//! cache, since what it is about to name looks unneeded; a workspace that cannot be asked stops all. Other machines that share
//! the cache are seen by the same lock, where their disk has locks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use backlot_core::options;
use backlot_core::{FileLock, Timestamp, file};
use backlot_store::{Cache, Evictable, delete_taken_out};
use serde::{Deserialize, Serialize};

use super::needs::CacheNeeds;
use super::used::{self, PATIENCE, lock_of};
use super::users::forget_workspace;
use super::{CacheUser, CacheUserState, Contents, environments, registered};
use crate::error::{CacheError, Result};
use crate::workspace::Opened;

options! {
    /// How to clean the cache.
    pub struct CleanOptions {
        /// Files used more recently than this are kept.
        pub unused_for: Duration,
        /// Remove only as much as needed for the cache to be at most this size.
        pub max_bytes: Option<u64>,
        /// Remove only as much as needed for this much free space on its disk.
        pub min_free: Option<u64>,
        /// Do without knowing what these workspaces need.
        pub forget: Vec<PathBuf>,
        /// Ignore workspaces whose folders no longer exist.
        pub forget_missing: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

impl Default for CleanOptions {
    /// All unneeded files that were not used for a day.
    fn default() -> Self {
        Self {
            unused_for: Duration::from_hours(24),
            max_bytes: None,
            min_free: None,
            forget: Vec::new(),
            forget_missing: false,
            dry_run: false,
        }
    }
}

/// The result of a cleaning.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanReport {
    /// The cache.
    pub cache: PathBuf,
    /// The workspaces whose files are kept.
    pub workspaces: Vec<PathBuf>,
    /// Those that were forgotten.
    pub forgotten: Vec<PathBuf>,
    /// Objects that were removed.
    pub objects: u64,
    /// Unpacked wheels and conda packages that were removed.
    pub packages: u64,
    /// Environments of releases without a workspace that were removed.
    pub environments: u64,
    /// Freed bytes; a file with another hard link, as in a workspace, frees none.
    pub freed: u64,
    /// Bytes of objects and packages that are kept.
    pub kept_bytes: u64,
    /// Those of them that no workspace needs, but which were used recently or are within the bounds.
    pub unneeded_bytes: u64,
    /// Bytes that are free on the disk now; in a dry run, that would be.
    pub free: u64,
    /// Whether the bounds are met: not where what is needed is more than they allow.
    pub within_bounds: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The amount to remove to meet the limits.
struct Bounds {
    total: u64,
    free: u64,
    max_bytes: Option<u64>,
    min_free: Option<u64>,
}

impl Bounds {
    fn of(contents: &Contents, options: &CleanOptions, free: u64) -> Self {
        let objects = contents.objects.iter();
        let wheels = contents.wheels.iter().map(|(_, one)| one);
        let conda = contents.conda.iter().map(|(_, one)| one);
        Self {
            total: objects.chain(wheels).chain(conda).map(|one| one.bytes).sum(),
            free,
            max_bytes: options.max_bytes,
            min_free: options.min_free,
        }
    }

    fn are_met(&self) -> bool {
        self.max_bytes.is_none_or(|most| self.total <= most)
            && self.min_free.is_none_or(|least| self.free >= least)
    }

    /// Whether more has to go. Without bounds, all that may.
    fn want_more(&self) -> bool {
        self.max_bytes.is_none() && self.min_free.is_none() || !self.are_met()
    }
}

impl Opened {
    pub(crate) fn clean_cache(&self, options: &CleanOptions) -> Result<CleanReport> {
        let cache = self.cache()?;
        let contents = Contents::read(&cache)?;
        let lock = if options.dry_run {
            None
        } else {
            Some(FileLock::acquire(
                &lock_of(cache.root()),
                PATIENCE,
                self.context(),
            )?)
        };
        let mut report = CleanReport {
            cache: cache.root().to_path_buf(),
            workspaces: Vec::new(),
            forgotten: Vec::new(),
            objects: 0,
            packages: 0,
            environments: 0,
            freed: 0,
            kept_bytes: 0,
            unneeded_bytes: 0,
            free: file::disk_space(cache.root())?.free,
            within_bounds: true,
            dry_run: options.dry_run,
        };
        let mut bounds = Bounds::of(&contents, options, report.free);
        let before = self.context().now().before(options.unused_for);
        let environments = if bounds.want_more() {
            environments::unused(cache.root(), before, self.context())?
        } else {
            Vec::new()
        };
        let needs = self.needs_of_cache(&cache, options, &environments, &mut report)?;
        for one in &environments {
            bounds.free += one.frees;
            report.freed += one.frees;
            report.environments += 1;
        }
        let mut going = choose(contents, &needs, (bounds, before), &mut report);
        going.extend_from_slice(&environments);
        if !options.dry_run {
            for root in &report.forgotten {
                forget_workspace(cache.root(), root)?;
            }
            let aside = cache.take_out(&going)?;
            for one in &environments {
                used::forget(cache.root(), &one.path);
            }
            drop(lock);
            delete_taken_out(aside, self.context())?;
            report.free = file::disk_space(cache.root())?.free;
        }
        Ok(report)
    }

    /// The needs of the workspaces of the cache. One that cannot be read is an error, or is forgotten.
    fn needs_of_cache(
        &self,
        cache: &Cache,
        options: &CleanOptions,
        going: &[Evictable],
        report: &mut CleanReport,
    ) -> Result<CacheNeeds> {
        let users = registered(cache.root())?;
        let mut unknown: BTreeSet<&PathBuf> = options.forget.iter().collect();
        let mut needs = CacheNeeds::default();
        let mut closed = Vec::new();
        for CacheUser { path, state } in users {
            self.context().check()?;
            if going.iter().any(|one| one.path == path) {
                continue;
            }
            let is_cleaned = state == CacheUserState::Missing && environments::is_one(cache.root(), &path);
            if unknown.remove(&path) || is_cleaned {
                report.forgotten.push(path);
            } else if state == CacheUserState::There {
                needs.add(&Self::open(&path, self.host(), self.context())?, cache)?;
                report.workspaces.push(path);
            } else if state == CacheUserState::Missing && options.forget_missing {
                report.forgotten.push(path);
            } else {
                closed.push(CacheUser { path, state });
            }
        }
        if let Some(path) = unknown.first() {
            return Err(CacheError::UnknownWorkspace {
                cache: cache.root().to_path_buf(),
                workspace: (*path).clone(),
            }
            .into());
        }
        if !closed.is_empty() {
            return Err(CacheError::UnknownNeeds {
                cache: cache.root().to_path_buf(),
                workspaces: closed,
            }
            .into());
        }
        Ok(needs)
    }
}

/// What goes, and the account of it.
fn choose(
    contents: Contents,
    needs: &CacheNeeds,
    (mut bounds, before): (Bounds, Timestamp),
    report: &mut CleanReport,
) -> Vec<Evictable> {
    let is_conda_needed = |name: &str| {
        let is_it = |needed: &String| {
            let rest = name.strip_prefix(needed.as_str());
            // Where a package came from may follow.
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        needs.conda.iter().any(is_it)
    };
    let objects = contents.objects.into_iter().map(|one| {
        let is_needed = one.object.is_some_and(|id| needs.objects.contains(&id));
        (is_needed, one)
    });
    let wheels = contents.wheels.into_iter();
    let wheels = wheels.map(|(digest, one)| (needs.wheels.contains(&digest), one));
    let conda = contents.conda.into_iter();
    let conda = conda.map(|(name, one)| (is_conda_needed(&name), one));
    let all: Vec<(bool, Evictable)> = objects.chain(wheels).chain(conda).collect();
    let mut unneeded = Vec::new();
    for (is_needed, one) in all {
        if is_needed {
            report.kept_bytes += one.bytes;
        } else {
            unneeded.push(one);
        }
    }
    unneeded.sort_by(|a, b| a.used.cmp(&b.used).then_with(|| a.path.cmp(&b.path)));
    let mut going = Vec::new();
    for one in unneeded {
        if one.used <= before && bounds.want_more() {
            bounds.total -= one.bytes;
            bounds.free += one.frees;
            report.freed += one.frees;
            match one.object {
                Some(_) => report.objects += 1,
                None => report.packages += 1,
            }
            going.push(one);
        } else {
            report.kept_bytes += one.bytes;
            report.unneeded_bytes += one.bytes;
        }
    }
    report.free = bounds.free;
    report.within_bounds = bounds.are_met();
    going
}
