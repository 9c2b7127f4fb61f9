//! Testing that a store guarantees what a commit relies on.
//!
//! Invariant: neither documentation nor OpenDAL's capabilities decide. Deliberately absent:
//! races; that a store which refuses the second of two requests refuses the second of two at once is its own to promise,
//! and was measured for those named in `docs/decisions`.

use backlot_backend::{CommitBy, Error as BackendError, Put, RenameOutcome};
use ulid::Ulid;

use super::{ReleaseStore, WHEEL};
use crate::error::{Error, Result};

impl ReleaseStore {
    /// Test it with objects of unique names, once per process.
    pub(super) fn prove(&self) -> Result<()> {
        if self.0.proven.get().is_some() {
            return Ok(());
        }
        let id = Ulid::generate().to_string().to_lowercase();
        let names = ["a", "b", "c", "d"].map(|part| format!("staged/probe-{id}{part}"));
        let outcome = match self.0.objects.commit_by() {
            CommitBy::Create => self.prove_create(&names[0]),
            CommitBy::Move => self.prove_move(&names),
        };
        for key in &names {
            // If left behind, it is harmless.
            self.0.objects.delete(key).ok();
        }
        if let Some(reason) = outcome? {
            let place = self.0.objects.place().to_owned();
            return Err(Error::Backend(BackendError::NoExclusiveCreate {
                place,
                reason: reason.to_owned(),
            }));
        }
        self.0.proven.get_or_init(|| ());
        Ok(())
    }

    fn prove_create(&self, key: &str) -> Result<Option<&'static str>> {
        let create = || self.0.objects.create(key, b"probe".to_vec(), WHEEL);
        Ok(match (create()?, create()?) {
            (Put::New, Put::Exists) => None,
            (Put::Exists, _) => Some("it reports that an object exists that was never written"),
            (Put::New, Put::New) => {
                Some("it creates an object that already exists (`If-None-Match: *` is ignored)")
            }
        })
    }

    fn prove_move(&self, [one, two, target, free]: &[String; 4]) -> Result<Option<&'static str>> {
        let objects = &self.0.objects;
        objects.stage(one, b"one".to_vec())?;
        objects.stage(two, b"two".to_vec())?;
        if !self.is_listed(one)? || !self.is_listed(two)? {
            return Ok(Some("its listings do not show written objects"));
        }
        if objects.rename(one, target)? != RenameOutcome::Done {
            return Ok(Some("it cannot move an object to an unused name"));
        }
        if objects.rename(one, free)? != RenameOutcome::Gone {
            return Ok(Some("it moves an object that does not exist"));
        }
        if objects.rename(two, target)? != RenameOutcome::Exists {
            return Ok(Some(
                "it moves an object over another (`Overwrite: F` is ignored)",
            ));
        }
        if self.is_listed(one)? || !self.is_listed(target)? {
            return Ok(Some("its listings do not show moved objects"));
        }
        let stays = objects.read(target, 16)?.as_deref() == Some(b"one") && objects.read(one, 16)?.is_none();
        Ok((!stays).then_some("the moved object has different contents"))
    }

    fn is_listed(&self, key: &str) -> Result<bool> {
        let entries = self.0.objects.list("staged/", false)?;
        Ok(entries.iter().any(|entry| entry.key == key))
    }
}
