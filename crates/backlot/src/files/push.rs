//! Sending tracked files to their remotes, and planning it.
//!
//! Invariant: an out is sent to the remote that it is pinned to, and what is counted on there is looked at again after the rest was sent.
//! Deliberately absent: which remote that is (`pins`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_dvc::{AddedOut, EarlyUpload, TrackedPointer};
use backlot_store::{Remote, Transfer};

use crate::error::Result;
use crate::files::adding::Preview;
use crate::files::apart::each_apart;
use crate::files::moved::MoveReport;
use crate::files::pins::by_pin;
use crate::files::tracked::Tracked;
use crate::workspace::Opened;
use crate::workspace::problems::problem_of;

impl Opened {
    pub(crate) fn push(&self, names: &[String], remote: Option<&str>, dry_run: bool) -> Result<MoveReport> {
        let mut problems = Vec::new();
        let tracked = self.tracked_or(names, false, &mut problem_of(&mut problems))?;
        let report = match self.push_tracked(&tracked, remote, EarlyUpload::default(), dry_run) {
            Err(error) if names.is_empty() => {
                let mut report = MoveReport {
                    dry_run,
                    ..MoveReport::default()
                };
                each_apart(tracked, error, &mut problems, |one| {
                    let one = std::slice::from_ref(one);
                    report.add(self.push_tracked(one, remote, EarlyUpload::default(), dry_run)?);
                    Ok(())
                })?;
                report
            }
            pushed => pushed?,
        };
        Ok(MoveReport { problems, ..report })
    }

    /// Send tracked files to their remotes. Some were sent ahead while they were added.
    pub(crate) fn push_tracked(
        &self,
        tracked: &[Tracked],
        remote: Option<&str>,
        ahead: EarlyUpload,
        dry_run: bool,
    ) -> Result<MoveReport> {
        if dry_run {
            return self.plan_push(tracked, &BTreeMap::new(), remote);
        }
        let mut report = MoveReport::of(tracked);
        self.push_by_pin(tracked, &BTreeMap::new(), remote, &mut report)?;
        report.objects += ahead.objects;
        report.bytes += ahead.bytes;
        report.sent += ahead.sent;
        report.already_there = report.already_there.saturating_sub(ahead.objects);
        Ok(report)
    }

    /// What a push would send of tracked files and, by pin, of more objects, which need not be in the cache yet.
    pub(crate) fn plan_push(
        &self,
        tracked: &[Tracked],
        more: &BTreeMap<Option<String>, Vec<Transfer>>,
        remote: Option<&str>,
    ) -> Result<MoveReport> {
        let mut report = MoveReport {
            dry_run: true,
            ..MoveReport::of(tracked)
        };
        self.push_by_pin(tracked, more, remote, &mut report)?;
        Ok(report)
    }

    fn push_by_pin(
        &self,
        tracked: &[Tracked],
        more: &BTreeMap<Option<String>, Vec<Transfer>>,
        remote: Option<&str>,
        report: &mut MoveReport,
    ) -> Result<()> {
        let pointers: Vec<&TrackedPointer> = tracked.iter().flat_map(|t| &t.pointers).collect();
        let mut groups = by_pin(&pointers);
        for pin in more.keys() {
            groups.entry(pin.clone()).or_default();
        }
        for (pin, pointers) in groups {
            let entry = match &pin {
                Some(pin) => self.pinned(pin, &pointers)?,
                None => self.remote_entry(remote, "pushing files")?,
            };
            report.name_remote(&entry.name);
            let opened = self.open_remote(entry)?;
            for asset in tracked {
                self.bring_manifests(asset, pin.is_none().then_some(&opened))?;
            }
            let pointers: Vec<&TrackedPointer> = pointers.iter().collect();
            let more = more.get(&pin).map(Vec::as_slice).unwrap_or_default();
            self.push_to(&opened, &pointers, more, report)?;
        }
        Ok(())
    }

    fn push_to(
        &self,
        remote: &Remote,
        pointers: &[&TrackedPointer],
        more: &[Transfer],
        report: &mut MoveReport,
    ) -> Result<()> {
        let (cache, context) = (self.cache()?, self.context());
        let mut plan = backlot_dvc::plan_push(pointers, &cache, context)?;
        backlot_dvc::check_elsewhere(&plan, remote, context)?;
        report.already_there += plan.elsewhere.len() as u64;
        if report.dry_run {
            plan.transfers.extend(more);
            return report.plan(&plan.transfers, remote, self);
        }
        let named =
            |error: backlot_store::Error| backlot_dvc::with_path_of_same_md5(error.into(), pointers, &cache);
        let pushed = remote.push(&cache, &plan.transfers, context).map_err(named)?;
        report.take(&pushed);
        // A collector may have condemned them meanwhile. What was pushed was looked after by the push itself.
        Ok(backlot_dvc::check_elsewhere(&plan, remote, context)?)
    }

    /// What a push would send once the changes are recorded, and what is `previewed` is added.
    pub(crate) fn plan_files(
        &self,
        tracked: &[Tracked],
        recorded: &[AddedOut],
        previewed: &[Preview],
        remote: Option<&str>,
    ) -> Result<MoveReport> {
        let mut others = Vec::new();
        for one in tracked {
            let mut pointers = one.pointers.clone();
            for pointer in &mut pointers {
                let base = pointer.pointer.base(pointer.folder());
                let is_planned = |path: PathBuf| recorded.iter().any(|planned| planned.path == path);
                pointer
                    .pointer
                    .outs
                    .retain(|out| !is_planned(out.path.to_path(&base)));
            }
            others.push(Tracked {
                name: one.name.clone(),
                pointers,
                installed: false,
            });
        }
        let mut more = BTreeMap::<Option<String>, Vec<Transfer>>::new();
        for planned in recorded.iter().filter(|one| one.out.push && one.out.cache) {
            let of_remote = more.entry(planned.out.remote.clone()).or_default();
            of_remote.extend(planned.objects.iter().copied());
        }
        if !previewed.is_empty() {
            let objects = previewed
                .iter()
                .flat_map(|preview| preview.objects.iter().copied());
            more.entry(None).or_default().extend(objects);
        }
        let mut report = self.plan_push(&others, &more, remote)?;
        for (asset, one) in report.assets.iter_mut().zip(tracked) {
            let more = previewed.iter().filter(|preview| preview.asset == one.name);
            asset.files = one.files() + more.map(|preview| preview.files).sum::<u64>();
        }
        Ok(report)
    }
}
