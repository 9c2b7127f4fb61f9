//! Which remote tracked files belong on, and the manifests of folders, which every look at them needs.
//!
//! As in DVC, an out with `remote: NAME` is on that remote whatever the command names, all others on the one that is named, or
//! the default; one with `push: false` need not be on any. Invariant: a pin to a remote that this workspace does not have is an
//! error, never another remote.

use std::collections::BTreeMap;

use backlot_dvc::TrackedPointer;
use backlot_store::Remote;

use crate::error::{OutsError, Result};
use crate::files::tracked::Tracked;
use crate::workspace::Opened;
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

impl Opened {
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

    /// The remote where files that are not here are looked for, if there is one.
    pub(crate) fn remote_elsewhere(&self, name: Option<&str>) -> Option<Remote> {
        let entry = self.remote_entry(name, "looking for files").ok()?;
        self.open_remote(entry).ok()
    }
}
