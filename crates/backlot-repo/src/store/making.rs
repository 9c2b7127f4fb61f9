//! Making a repo, and which one is there now.
//!
//! Invariants: of concurrent creators, one determines its identity; a known repo is not recreated if it is missing, and
//! one with another commit method is not published to. Deliberately absent: its contents.

use backlot_backend::{CommitBy, RenameOutcome};
use backlot_core::{Context, PlaceIdentity};

use super::{JSON, ReleaseStore};
use crate::error::{Error, Result};
use crate::layout::{Marker, RepoKind};

impl ReleaseStore {
    /// Which repo is there now; `None` where it may not be asked.
    pub fn identity(&self) -> Result<Option<PlaceIdentity>> {
        if let Some(places) = &self.0.places {
            return places.identity().map(Some);
        }
        if self.0.objects.is_offline() {
            return Ok(None);
        }
        Ok(Some(match self.marker()? {
            Some(marker) => marker.identity(),
            // The objects are the truth: a copy of `packages/` without the marker is the same repo.
            None if self.package_folders()?.is_empty() => PlaceIdentity::Absent,
            None => PlaceIdentity::Unnamed,
        }))
    }

    /// Whether there is a repo.
    pub fn is_made(&self) -> Result<bool> {
        match &self.0.places {
            Some(_) => Ok(self.kind()? != RepoKind::Empty),
            None => Ok(self.marker()?.is_some()),
        }
    }

    /// Create the repo if it does not exist, with its parent folders. Returns whether it was created.
    pub(crate) fn make_new(&self) -> Result<bool> {
        match &self.0.places {
            _ if self.is_made()? => Ok(false),
            Some(places) => places.ensure(true).map(|_| true),
            None => self.make(),
        }
    }

    /// Create the repo if it does not exist, after testing the store. Succeeds if it already exists.
    pub fn make(&self) -> Result<bool> {
        let by = self.0.objects.commit_by();
        let found = if self.is_local() { None } else { self.marker()? };
        if let Some(marker) = &found
            && marker.commit != Some(by)
        {
            return Err(Error::OtherWay { place: self.place() });
        }
        // Looked at again when it matters: a disk may have gone since the repo was opened.
        if let Some(known) = self.0.known.get()
            && !self.identity()?.is_none_or(|found| known.is_of(&found))
        {
            return Err(Error::NotThere { place: self.place() });
        }
        if let Some(places) = &self.0.places {
            return places.ensure(false);
        }
        self.prove()?;
        if found.is_some() {
            return Ok(false);
        }
        // Of several that make it at once, the first gives it its identity.
        let marker = Marker::fresh(Some(by)).to_bytes();
        match by {
            CommitBy::Create => drop(self.0.objects.create("repo.json", marker, JSON)?),
            CommitBy::Move => {
                let staged = format!(
                    "staged/repo-{}",
                    ulid::Ulid::generate().to_string().to_lowercase()
                );
                self.0.objects.stage(&staged, marker)?;
                if self.0.objects.rename(&staged, "repo.json")? == RenameOutcome::Exists {
                    self.0.objects.delete(&staged)?;
                }
            }
        }
        Ok(true)
    }

    /// The same for a publish, telling people if there was none.
    pub(super) fn ensure(&self, context: &Context) -> Result<()> {
        if self.make()? {
            context.warn(
                "repo::created",
                format!("created a new repo in `{}`", self.place()),
            );
        }
        Ok(())
    }
}
