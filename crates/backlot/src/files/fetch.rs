//! Bringing tracked files from their remotes into the cache.
//!
//! Invariant: of each pin, all that its pointers name is in the cache afterwards, or it is an error. Deliberately absent: placing them in the
//! workspace (`pull`).

use std::collections::BTreeMap;

use backlot_dvc::TrackedPointer;
use backlot_store::{Cache, FileDigests, ObjectId};

use crate::error::{Error, Result};
use crate::files::moved::MoveReport;
use crate::files::pins::by_pin;
use crate::files::tracked::Tracked;
use crate::workspace::Opened;

/// How often a pull begins again because objects of the cache were damaged.
pub(crate) const PULL_ROUNDS: u32 = 3;

impl Opened {
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
