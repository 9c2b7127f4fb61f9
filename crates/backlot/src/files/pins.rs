//! Tracked files and the remotes they belong on: pushing and fetching by the remote of each out.
//!
//! As in DVC, an out with `remote: NAME` is on that remote whatever the command names, all others on the one that is named, or
//! the default; one with `push: false` need not be on any. Invariant: a pin to a remote that this workspace does not have is an
//! error, never another remote.

use std::collections::BTreeMap;

use backlot_dvc::{SentAhead, TrackedPointer};
use backlot_store::{Cache, FileDigests, ObjectId, Remote, Transfer};

use crate::error::{Error, OutsError, Result};
use crate::files::MoveReport;
use crate::files::tracked::Tracked;
use crate::workspace::Workspace;
use crate::workspace::config::RemoteEntry;

/// Pointers of which only the outs of one pin are left, by pin; those without one under `None`.
pub(crate) fn by_pin(pointers: &[&TrackedPointer]) -> BTreeMap<Option<String>, Vec<TrackedPointer>> {
    let mut groups: BTreeMap<Option<String>, Vec<TrackedPointer>> = BTreeMap::new();
    for pointer in pointers {
        let mut pins: Vec<&Option<String>> = pointer.pointer.outs.iter().map(|out| &out.remote).collect();
        pins.sort();
        pins.dedup();
        for pin in pins {
            let mut part = (*pointer).clone();
            part.pointer.outs.retain(|out| out.remote == *pin);
            groups.entry(pin.clone()).or_default().push(part);
        }
    }
    groups
}

impl Tracked {
    /// Whether all its outs go to the remote that a command names: then content can be sent there while it is read.
    pub(crate) fn sends_all(&self) -> bool {
        let mut outs = self.pointers.iter().flat_map(|pointer| &pointer.pointer.outs);
        outs.all(|out| out.cache && out.push && out.remote.is_none())
    }
}

impl Workspace {
    /// The remote that a pin names.
    pub(crate) fn pinned(&self, pin: &str, pointers: &[TrackedPointer]) -> Result<&RemoteEntry> {
        let entry = self.config().remotes.iter().find(|remote| remote.name == pin);
        entry.ok_or_else(|| {
            let pointer = pointers.first().map(|pointer| self.display_path(&pointer.path));
            let error = OutsError::UnknownPin {
                pointer: pointer.unwrap_or_default(),
                remote: pin.to_owned(),
            };
            error.into()
        })
    }

    /// Bring the manifests of tracked folders that the cache lacks: without them a partial folder cannot be told from a
    /// whole one.
    pub(crate) fn bring_manifests(&self, tracked: &Tracked, remote: Option<&Remote>) -> Result<()> {
        let cache = self.cache()?;
        let mut lacking = Vec::new();
        for pointer in &tracked.pointers {
            let trees = pointer.pointer.outs.iter().filter_map(backlot_dvc::Out::id);
            for id in trees.filter(|id| id.tree) {
                if !cache.has(&id)? {
                    lacking.push(pointer);
                }
            }
        }
        let mut failed = Ok(());
        for (pin, pointers) in by_pin(&lacking) {
            let opened;
            let remote = match (&pin, remote) {
                (Some(pin), _) => {
                    opened = self.open_remote(self.pinned(pin, &pointers)?)?;
                    &opened
                }
                (None, Some(remote)) => remote,
                (None, None) => continue,
            };
            let pointers: Vec<&TrackedPointer> = pointers.iter().collect();
            // What cannot be had of one remote keeps nothing of another away.
            let brought = backlot_dvc::fetch_manifests(&pointers, remote, &cache, self.context());
            failed = failed.and(brought.map(drop));
        }
        Ok(failed?)
    }

    /// Send tracked files to their remotes. Some were sent ahead while they were added.
    pub(crate) fn push_tracked(
        &self,
        tracked: &[Tracked],
        remote: Option<&str>,
        ahead: SentAhead,
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

    /// Bring into the cache what it does not have of some assets.
    pub(crate) fn fetch_tracked(
        &self,
        tracked: &[Tracked],
        remote: Option<&str>,
        cache: &Cache,
        (report, proven): (&mut MoveReport, &mut BTreeMap<ObjectId, FileDigests>),
    ) -> Result<()> {
        let pointers: Vec<&TrackedPointer> = tracked.iter().flat_map(|t| &t.pointers).collect();
        for (pin, pointers) in by_pin(&pointers) {
            let pointers_of_pin: Vec<&TrackedPointer> = pointers.iter().collect();
            for round in 1.. {
                if backlot_dvc::all_cached(&pointers_of_pin, cache)? {
                    break;
                }
                let entry = match &pin {
                    Some(pin) => self.pinned(pin, &pointers)?,
                    None => self.remote_entry(remote, "pulling files")?,
                };
                report.name_remote(&entry.name);
                let opened = self.open_remote(entry)?.rescuing();
                match backlot_dvc::fetch(&pointers_of_pin, &opened, cache, self.context())
                    .map_err(Error::from)
                {
                    Err(error) if round < PULL_ROUNDS && lacks_objects(&error, cache) => {}
                    fetched => {
                        let fetched = fetched?;
                        report.take(&fetched);
                        if fetched.rescued {
                            self.note_own_repos(&opened)?;
                        }
                        proven.extend(fetched.digests);
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

impl MoveReport {
    /// Note that files go to or come from a remote.
    pub(crate) fn name_remote(&mut self, name: &str) {
        match &mut self.remote {
            Some(names) if names.split(", ").any(|known| known == name) => {}
            Some(names) => *names = format!("{names}, {name}"),
            None => self.remote = Some(name.to_owned()),
        }
    }
}

/// How often a pull begins again because objects of the cache were damaged.
pub(crate) const PULL_ROUNDS: u32 = 3;

/// Whether something failed because the cache does not have objects, or set them aside.
pub(crate) fn lacks_objects(error: &Error, cache: &Cache) -> bool {
    use backlot_dvc::Error as DvcError;
    use backlot_store::Error as StoreError;
    let of_store = |error: &StoreError| match error {
        StoreError::Corrupt { place, .. } | StoreError::Missing { place, .. } => *place == cache.place(),
        _ => false,
    };
    match error {
        Error::Dvc(DvcError::NotInCache { .. }) => true,
        Error::Dvc(DvcError::Store(error)) | Error::Store(error) => of_store(error),
        _ => false,
    }
}
