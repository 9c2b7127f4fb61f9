//! Publishing a wheel, or one file of a release that is copied: look, then do.
//!
//! The order: check the wheel, look whether the version is there, write the `published` fact, **commit**, then what is derived.
//! Invariant: before the commit readers see nothing, after it a complete release, wherever the publisher dies; a loser touches nothing of the
//! winner, and takes its own fact away. What is exclusive is the file name; other files of the version are found by listing, before and
//! after: a publish tolerates none, a copy those of the release it copies ([`crate::Checked`]). To a store far away a wheel is sent from
//! memory, because only a whole request can be conditional. Deliberately absent: how a commit is won (`commit`), building wheels, and
//! pushing the files they point to.

use std::path::Path;

use backlot_core::{Context, Operation, Timestamp};

use super::commit::Committed;
use super::{JSON, METADATA, ReleaseStore, WHEEL_LIMIT, package_prefix, pages_prefix, status_prefix};
use crate::error::{Error, Result};
use crate::feed::FeedEvent;
use crate::location::Location;
use crate::publish::{
    ExistingRelease, Publication, PublishCandidate, PublishPlan, Published, published_fact, unknown,
};
use crate::record::{RECORD_FORMAT, ReleaseRecord, sha256};
use crate::release_event::{ReleaseEventKind, fact_name};

impl ReleaseStore {
    /// The plan of [`Self::publish`]. Changes nothing.
    pub fn plan_publish(&self, wheel: &Path, context: &Context) -> Result<PublishPlan> {
        self.plan(&PublishCandidate::check_wheel(wheel, context)?)
    }

    /// Publish a wheel: exactly one of any number of publishers of a version wins, the others get
    /// [`Error::ReleaseExists`]. Derived files of the package that an earlier publisher could not write are made too, also
    /// when this publish is a conflict.
    pub fn publish(&self, wheel: &Path, publication: &Publication, context: &Context) -> Result<Published> {
        self.offer(
            &PublishCandidate::check_wheel(wheel, context)?,
            publication,
            context,
        )
    }

    /// The plan of [`Self::offer`]. Changes nothing.
    pub(crate) fn plan(&self, offer: &PublishCandidate) -> Result<PublishPlan> {
        offer.check_gate(self.gate())?;
        self.check_layout()?;
        let makes_repo = !self.is_made()?;
        let existing = self.find_version(offer)?;
        let (package, version) = (&offer.name.package, &offer.name.version);
        let target = target(offer);
        let mut writes = Vec::new();
        if existing.is_none() {
            if makes_repo {
                writes.push("repo.json".to_owned());
            }
            writes.push(status_prefix(package, version).trim_end_matches('/').to_owned());
            let metadata = (!offer.is_sdist()).then(|| format!("{target}.metadata"));
            writes.push(target.clone());
            writes.extend(metadata);
            writes.push(format!("{target}.json"));
            for folder in [pages_prefix(package), "simple/".to_owned()] {
                writes.extend([format!("{folder}index.html"), format!("{folder}index.json")]);
            }
        }
        Ok(PublishPlan {
            package: package.clone(),
            version: version.clone(),
            file: offer.file.clone(),
            repo: self.place(),
            sha256: offer.sha256,
            size: offer.size,
            makes_repo,
            existing,
            writes: writes.iter().map(|key| self.at(key)).collect(),
        })
    }

    /// Publish a checked file, which may be one of several.
    pub(crate) fn offer(
        &self,
        offer: &PublishCandidate,
        publication: &Publication,
        context: &Context,
    ) -> Result<Published> {
        offer.check_gate(self.gate())?;
        self.ensure(context)?;
        context.check()?;
        let mark = self.mark()?;
        if let Some(existing) = self.find_version(offer)? {
            return Err(self.conflict(offer, existing, context));
        }
        if !self.is_local() && offer.size > WHEEL_LIMIT {
            return Err(Error::TooLarge {
                place: Location::Path(offer.source.clone()),
                limit: WHEEL_LIMIT,
            });
        }
        let sending = context.clone().about(self.place().subject());
        let running = sending.start(Operation::Push, 1, offer.size);
        let at = context.now();
        let fact = published_fact(offer, publication, at);
        let announced = self.announce(mark, vec![FeedEvent::of_offer(offer, &fact)], context)?;
        let fact = self.add_fact(&fact)?;
        match self.commit(offer, at, &target(offer), context) {
            Ok(Committed::Won) => {}
            Err(error) => {
                // Of a folder it is clear that nothing was committed; elsewhere the fact may be about the release.
                if self.is_local() {
                    self.0.objects.delete(&fact)?;
                    self.withdraw(&announced);
                }
                return Err(error);
            }
            // Also without a lost answer: what stands between us and the store may have sent the request twice.
            Ok(_) if self.is_ours(offer, &fact)? => {}
            Ok(outcome) => {
                // If its owner is unclear, the fact is harmless if it is not about the release.
                if outcome == Committed::Lost {
                    self.0.objects.delete(&fact)?;
                    self.withdraw(&announced);
                }
                let existing = self.find_version(offer)?;
                let existing = existing.unwrap_or_else(|| unknown(self.at(&target(offer))));
                return Err(self.conflict(offer, existing, context));
            }
        }
        running.advance(1, offer.size);
        // From here on the release stands whatever happens, so nothing stops it any more.
        let finished = self.finish(offer, at, context);
        let late = self.tell_or_leave(announced, context);
        let (healed, unfinished) = match finished {
            Ok(healed) => (healed, late),
            Err(error) => {
                let message = format!(
                    "{} {} is published, but its index could not be updated: {error}",
                    offer.name.package, offer.name.version
                );
                context.warn("repo::unfinished_index", message);
                (Vec::new(), Some(error.to_string()))
            }
        };
        self.warn_of_siblings(offer, context);
        Ok(Published {
            place: self.at(&target(offer)),
            healed,
            unfinished,
        })
    }

    /// Update derived files after a commit. Returns other rebuilt files of the package.
    fn finish(&self, offer: &PublishCandidate, at: Timestamp, context: &Context) -> Result<Vec<Location>> {
        let (objects, target) = (&*self.0.objects, target(offer));
        // A disk may round the time that it was given.
        let there = if self.is_local() {
            objects.stat(&target)?
        } else {
            None
        };
        let record = ReleaseRecord {
            format: RECORD_FORMAT,
            filename: offer.file.clone(),
            sha256: offer.sha256,
            size: offer.size,
            // What the fact says too: so it is known whose it is, should others offer the same bytes.
            modified: there.map_or(at.0, |entry| entry.modified),
            metadata_sha256: sha256(&offer.metadata),
            requires_python: offer.requires_python.clone(),
            published_at: at,
        };
        if !offer.is_sdist() {
            objects.write_for_now(&format!("{target}.metadata"), offer.metadata.clone(), METADATA)?;
        }
        objects.write_for_now(&format!("{target}.json"), record.to_bytes(), JSON)?;
        let healed = self.complete(&offer.name.package, context)?;
        Ok(healed.iter().map(|key| self.at(key)).collect())
    }

    /// The error for a version that is there; completes what its publisher may have left undone.
    fn conflict(&self, offer: &PublishCandidate, existing: ExistingRelease, context: &Context) -> Error {
        let complete = self.complete(&offer.name.package, context).is_ok();
        offer.conflict(self.place(), existing, complete)
    }

    /// After a commit that seems lost: whether the release that is there has our bytes, and nobody else says it is theirs.
    fn is_ours(&self, offer: &PublishCandidate, fact: &str) -> Result<bool> {
        let target = target(offer);
        let snapshot = self.snapshot_of(&offer.name.package, &|file| {
            file.trim_end_matches(".json") == offer.file
        })?;
        let is_same = snapshot
            .files()
            .any(|r| self.key_of(r) == target && r.sha256 == Some(offer.sha256));
        if !is_same {
            return Ok(false);
        }
        let prefix = status_prefix(&offer.name.package, &offer.name.version);
        let said = self.said(&offer.name.package, &offer.name.version)?;
        let claims = said.named.iter().filter(|(id, claim)| {
            claim.kind == ReleaseEventKind::Published
                && claim.sha256 == Some(offer.sha256)
                && format!("{prefix}{}", fact_name(*id)) != fact
        });
        Ok(claims.count() == 0)
    }

    /// Two publishers of one version with different tags can pass each other; people must know.
    fn warn_of_siblings(&self, offer: &PublishCandidate, context: &Context) {
        if offer.siblings.is_some() {
            return;
        }
        // Of a store far away, as the pages were just made from.
        let files = if self.is_local() {
            self.file_names(&offer.name.package).unwrap_or_default()
        } else {
            let snapshot = self.known_snapshot(&offer.name.package).unwrap_or_default();
            snapshot
                .files()
                .map(|file| (file.file.clone(), file.version.clone()))
                .collect()
        };
        let other = files
            .iter()
            .find(|(file, version)| *version == offer.name.version && *file != offer.file);
        if let Some((other, _)) = other {
            let message = format!(
                "`{other}` was published at the same time as `{}`: the version has two wheels",
                offer.file
            );
            context.warn("repo::several_wheels", message);
        }
    }
}

fn target(offer: &PublishCandidate) -> String {
    format!("{}{}", package_prefix(&offer.name.package), offer.file)
}
