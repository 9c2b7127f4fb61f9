//! Pulling: the tracked files of outputs and inputs, into the cache and into place.
//!
//! Invariants: overwritten files are as a pull or an add left them, and in the cache; files overwritten by force are stored there
//! first, and noted, so that it can be brought back. A dry run tells the numbers and names of the run. Deliberately absent: DVC's formats (`backlot-dvc`).

use std::collections::BTreeMap;

use backlot_core::file::TemporaryFolder;
use backlot_dvc::{CheckoutOptions, TrackedPointer};
use backlot_store::{Cache, FileDigests, ObjectId, StatCache};

use crate::error::{Error, Result};
use crate::files::apart::each_apart;
use crate::files::fetch::{PULL_ROUNDS, lacks_objects};
use crate::files::moved::{MoveReport, MovedFiles};
use crate::files::pins::by_pin;
use crate::files::tracked::Tracked;
use crate::workspace::Opened;
use crate::workspace::config::Localize;
use crate::workspace::problems::problem_of;

impl Opened {
    pub(crate) fn pull(
        &self,
        names: &[String],
        remote: Option<&str>,
        force: bool,
        dry_run: bool,
    ) -> Result<MoveReport> {
        let mut problems = Vec::new();
        let mut tracked = self.tracked_or(names, true, &mut problem_of(&mut problems))?;
        let on_demand = self.left_on_demand(names, &mut tracked);
        self.refuse_foreign_outs(&tracked)?;
        let mut report = MoveReport {
            on_demand,
            problems,
            dry_run,
            ..MoveReport::default()
        };
        report.assets = tracked.iter().map(MovedFiles::of).collect();
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        if dry_run {
            self.plan_pull(&tracked, remote, force, &mut report)?;
            return Ok(report);
        }
        let mut proven = BTreeMap::new();
        let (mut round, mut left_out) = (1, Vec::new());
        loop {
            match self.fetch_tracked(&tracked, remote, &cache, (&mut report, &mut proven)) {
                Err(error) if names.is_empty() => {
                    tracked = each_apart(tracked, error, &mut left_out, |one| {
                        let one = std::slice::from_ref(one);
                        self.fetch_tracked(one, remote, &cache, (&mut report, &mut proven))
                    })?;
                    report.assets = tracked.iter().map(MovedFiles::of).collect();
                }
                fetched => fetched?,
            }
            let held = self.hold()?;
            let mut problems = left_out.clone();
            let mut now = held.tracked_or(names, true, &mut problem_of(&mut problems))?;
            report.on_demand = held.left_on_demand(names, &mut now);
            now.retain(|one| left_out.iter().all(|problem| problem.asset != one.name));
            report.problems = problems;
            if now != tracked {
                // Another command may have run while files were fetched: place the current state.
                tracked = now;
                held.refuse_foreign_outs(&tracked)?;
                report.assets = tracked.iter().map(MovedFiles::of).collect();
                continue;
            }
            match held.place_tracked(&tracked, &cache, &stat, (force, &proven), &mut report) {
                // What was damaged was set aside by then, so it is fetched like what was never there.
                Err(error) if round < PULL_ROUNDS && lacks_objects(&error, &cache) => round += 1,
                Err(error) if names.is_empty() => {
                    held.place_apart(tracked, error, (&cache, &stat), (force, &proven), &mut report)?;
                    break;
                }
                placed => {
                    placed?;
                    break;
                }
            }
        }
        Ok(report)
    }

    /// Place what can be placed of each asset by itself, where that failed for all.
    fn place_apart(
        &self,
        tracked: Vec<Tracked>,
        error: Error,
        (cache, stat): (&Cache, &StatCache),
        how: (bool, &BTreeMap<ObjectId, FileDigests>),
        report: &mut MoveReport,
    ) -> Result<()> {
        let mut before = std::mem::take(&mut report.assets);
        let mut problems = Vec::new();
        each_apart(tracked, error, &mut problems, |one| {
            let known = before.extract_if(.., |moved| moved.name == one.name).next();
            let mut own = MoveReport {
                assets: vec![known.unwrap_or_else(|| MovedFiles::of(one))],
                ..MoveReport::default()
            };
            self.place_tracked(std::slice::from_ref(one), cache, stat, how, &mut own)?;
            report.assets.extend(own.assets);
            Ok(())
        })?;
        report.problems.extend(problems);
        Ok(())
    }

    /// Count what a pull would do. Manifests that are not in the cache are read aside, so the next run has as much to do.
    fn plan_pull(
        &self,
        tracked: &[Tracked],
        remote: Option<&str>,
        force: bool,
        report: &mut MoveReport,
    ) -> Result<()> {
        let (cache, stat, context) = (self.cache()?, self.stat_cache()?, self.context());
        let pointers: Vec<&TrackedPointer> = tracked.iter().flat_map(|t| &t.pointers).collect();
        let aside = TemporaryFolder::in_folder(&self.state_dir())?;
        let aside = Cache::open(&aside.path().join("manifests")).map(|cache| (cache, aside))?;
        for (pin, pointers) in by_pin(&pointers) {
            let of_pin: Vec<&TrackedPointer> = pointers.iter().collect();
            if backlot_dvc::all_cached(&of_pin, &cache)? {
                continue;
            }
            let entry = match &pin {
                Some(pin) => self.pinned(pin, &pointers)?,
                None => self
                    .remote_entry(remote, "pulling files")
                    .map_err(|error| self.with_known_remote(error, tracked))?,
            };
            report.name_remote(&entry.name);
            let remote = self.open_remote(entry)?;
            let (lacking, manifests) = backlot_dvc::lacking_manifests(&of_pin, &cache)?;
            let pulled = remote.pull(&aside.0, &lacking, context);
            report.take(&pulled.map_err(|error| self.with_dropped(error.into(), tracked))?);
            let (wanted, there) = backlot_dvc::plan_fetch(&of_pin, &cache, &aside.0)?;
            let sizes = remote.known_files(&wanted, context)?;
            report.objects += wanted.len() as u64;
            report.bytes += sizes.iter().flatten().map(|known| known.size).sum::<u64>();
            report.already_there += there + manifests;
        }
        for (asset, moved) in tracked.iter().zip(&mut report.assets) {
            let pointers: Vec<&TrackedPointer> = asset.pointers.iter().collect();
            let options = self.checkout_options(asset, force, None);
            let planned =
                backlot_dvc::plan_checkout(&pointers, &cache, Some(&aside.0), &stat, &options, context)?;
            moved.placed = planned.placed;
            moved.removed = planned.removed;
            moved.kept = planned.kept.iter().map(|p| self.display_path(p)).collect();
            moved.set_aside = planned.lost.iter().map(|p| self.display_path(p)).collect();
        }
        Ok(())
    }

    fn checkout_options<'a>(
        &'a self,
        asset: &Tracked,
        force: bool,
        proven: Option<&'a BTreeMap<ObjectId, FileDigests>>,
    ) -> CheckoutOptions<'a> {
        CheckoutOptions {
            links: &self.settings().links.value,
            force,
            proven,
            read_only: asset.installed,
        }
    }

    /// Place cached content of some assets. The caller holds the lock.
    pub(crate) fn place_tracked(
        &self,
        tracked: &[Tracked],
        cache: &Cache,
        stat: &StatCache,
        (force, proven): (bool, &BTreeMap<ObjectId, FileDigests>),
        report: &mut MoveReport,
    ) -> Result<()> {
        let mut aside = BTreeMap::new();
        if force {
            let (mut lost, mut returned) = (Vec::new(), Vec::new());
            for (asset, moved) in tracked.iter().zip(&mut report.assets) {
                let pointers: Vec<&TrackedPointer> = asset.pointers.iter().collect();
                let options = self.checkout_options(asset, true, Some(proven));
                let planned =
                    backlot_dvc::plan_checkout(&pointers, cache, None, stat, &options, self.context())?;
                moved
                    .set_aside
                    .extend(planned.lost.iter().map(|p| self.display_path(p)));
                lost.extend(planned.lost);
                returned.extend(planned.returned);
            }
            aside = self.set_aside(&lost, &returned, cache, stat)?;
        }
        for (asset, moved) in tracked.iter().zip(&mut report.assets) {
            let pointers: Vec<&TrackedPointer> = asset.pointers.iter().collect();
            // What was set aside is in the cache; what changed since then is not overwritten, by force neither.
            let options = self.checkout_options(asset, false, Some(proven));
            let placed =
                backlot_dvc::checkout_after(&pointers, &aside, cache, stat, &options, self.context())?;
            moved.placed += placed.placed;
            moved.removed += placed.removed;
            moved.kept = placed.kept.iter().map(|p| self.display_path(p)).collect();
            if !asset.installed {
                backlot_dvc::note_placed(&pointers, &placed.kept, cache, stat)?;
            }
        }
        Ok(())
    }

    /// Pull the files that are needed of all inputs, and of those that are `named`.
    pub(crate) fn pull_local(
        &self,
        named: &[String],
        remote: Option<&str>,
        dry_run: bool,
    ) -> Result<MoveReport> {
        let mut names = named.to_vec();
        for (asset, tracked) in self.tracked_inputs(&|name| self.localize_of(name) == Localize::Always)? {
            if !tracked?.pointers.is_empty() {
                names.push(asset);
            }
        }
        if names.is_empty() {
            return Ok(MoveReport {
                dry_run,
                ..MoveReport::default()
            });
        }
        self.pull(&names, remote, false, dry_run)
    }
}
