//! Publishing a wheel to a store: look, then do.
//!
//! The order is that of a folder: check the wheel, look whether the version is there, write the `published` fact, **commit**,
//! then what is derived. Invariant: before the commit readers see nothing, after it a complete release, wherever the
//! publisher dies; a loser touches nothing of the winner. The wheel is held in memory while it is sent, because only a
//! whole request can be conditional. Deliberately absent: how a commit is won (`commit`).

use backlot_core::{Context, Operation, Sha256, Timestamp};
use fs_err as fs;

use super::commit::Committed;
use super::wheels::object_key;
use super::{JSON, METADATA, ObjectRepo, WHEEL_LIMIT, package_prefix, status_prefix};
use crate::error::{Error, Result};
use crate::fact::{Fact, FactKind, fact_bytes, fact_name};
use crate::place::Place;
use crate::publish::{ExistingRelease, Offer, Publication, PublishPlan, There, published_fact};
use crate::record::{RECORD_FORMAT, ReleaseRecord, sha256};

impl ObjectRepo {
    /// What [`Self::offer`] would do now. Changes nothing.
    pub(crate) fn plan(&self, offer: &Offer) -> Result<PublishPlan> {
        offer.check_gate(self.gate())?;
        let makes_repo = self.marker()?.is_none();
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
            for folder in [format!("simple/{package}"), "simple".to_owned()] {
                writes.extend([format!("{folder}/index.html"), format!("{folder}/index.json")]);
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

    /// Publish a wheel, or one file of several: exactly one of any number of publishers of a version wins, the others get
    /// [`Error::ReleaseExists`]. What an earlier publisher could not write is written too, also when this is a conflict.
    pub(crate) fn offer(&self, offer: &Offer, publication: &Publication, context: &Context) -> Result<()> {
        offer.check_gate(self.gate())?;
        if self.make()? {
            let message = format!("made a new repo in `{}`", self.place());
            context.warn("repo::created", message);
        }
        if let Some(existing) = self.find_version(offer)? {
            return Err(self.conflict(offer, existing, context));
        }
        let bytes = read_wheel(offer)?;
        let running = context.start(Operation::Push, 1, offer.size);
        let at = context.now();
        let fact = self.write_fact(offer, publication, at)?;
        match self.commit(offer, &bytes, &target(offer), context)? {
            Committed::Won => {}
            // Also without a lost answer: what stands between us and the store may have sent the request twice.
            _ if self.is_ours(offer, &fact)? => {}
            outcome => {
                // Where it is not clear whose it is, the fact may be about the release, and harms nobody if it is not.
                if outcome == Committed::Lost {
                    self.0.objects.delete(&fact)?;
                }
                let existing = self.find_version(offer)?;
                let existing = existing.unwrap_or_else(|| unknown(self.at(&target(offer))));
                return Err(self.conflict(offer, existing, context));
            }
        }
        running.advance(1, offer.size);
        // From here on the release stands whatever happens.
        if let Err(error) = self.finish(offer, at, context) {
            let message = format!(
                "{} {} is published, but its index is not: {error}",
                offer.name.package, offer.name.version
            );
            context.warn("repo::unfinished_index", message);
        }
        Ok(())
    }

    /// What is derived, after a commit.
    fn finish(&self, offer: &Offer, at: Timestamp, context: &Context) -> Result<()> {
        let target = target(offer);
        let record = ReleaseRecord {
            format: RECORD_FORMAT,
            filename: offer.file.clone(),
            sha256: offer.sha256,
            size: offer.size,
            // What the fact says too: so it is known whose it is, should others offer the same bytes.
            modified: at.0,
            metadata_sha256: sha256(&offer.metadata),
            requires_python: offer.requires_python.clone(),
            published_at: at,
        };
        let objects = &*self.0.objects;
        if !offer.is_sdist() {
            objects.write(&format!("{target}.metadata"), offer.metadata.clone(), METADATA)?;
        }
        objects.write(&format!("{target}.json"), record.to_bytes(), JSON)?;
        self.complete(&offer.name.package, context)
    }

    /// The error for a version that is there; completes what its publisher may have left undone.
    fn conflict(&self, offer: &Offer, existing: ExistingRelease, context: &Context) -> Error {
        let complete = self.complete(&offer.name.package, context).is_ok();
        offer.conflict(self.place(), existing, complete)
    }

    /// What is in the way of an offer: as a rule any file of its version, whatever its tags and however it is spelled.
    pub(super) fn find_version(&self, offer: &Offer) -> Result<Option<ExistingRelease>> {
        let (package, version) = (&offer.name.package, &offer.name.version);
        let names = self.file_names(package)?;
        let names: Vec<&String> = names
            .iter()
            .filter(|(_, v)| v == version)
            .map(|(file, _)| file)
            .collect();
        if names.is_empty() {
            return Ok(None);
        }
        let shelf = self.shelf(package)?;
        let there = names.into_iter().map(|file| {
            let release = shelf.files().find(|release| release.file == *file);
            There {
                file,
                sha256: release.and_then(|release| release.sha256),
                of: (file, release),
            }
        });
        let Some((file, release)) = offer.in_the_way(there.collect()) else {
            return Ok(None);
        };
        let Some(release) = release else {
            // Broken, but in the way: a release is never replaced.
            let key = format!("{}{file}", package_prefix(package));
            return Ok(Some(unknown(self.at(&key))));
        };
        let published = shelf.status(release).published;
        let since = published.as_ref().map(|fact| fact.at).or(release.published_at);
        Ok(Some(ExistingRelease {
            place: release.place(),
            at: since,
            author: published.map(|fact| fact.author),
            identical: release.sha256 == Some(offer.sha256),
        }))
    }

    /// After a commit that seems lost: whether the release that is there has our bytes, and nobody else says it is theirs.
    fn is_ours(&self, offer: &Offer, fact: &str) -> Result<bool> {
        let shelf = self.shelf(&offer.name.package)?;
        let target = target(offer);
        let is_same = shelf
            .files()
            .any(|r| object_key(r) == target && r.sha256 == Some(offer.sha256));
        let prefix = status_prefix(&offer.name.package, &offer.name.version);
        let claims = shelf.facts(&offer.name.version).iter().filter(|(id, claim)| {
            let about = |digest: &Sha256| *digest == offer.sha256;
            claim.kind == FactKind::Published
                && claim.sha256.as_ref().is_some_and(about)
                && format!("{prefix}{}", fact_name(*id)) != fact
        });
        Ok(is_same && claims.count() == 0)
    }

    fn write_fact(&self, offer: &Offer, publication: &Publication, at: Timestamp) -> Result<String> {
        let fact = published_fact(offer, publication, at, at.0);
        self.add_fact(&fact)
    }

    /// Add a fact under a name that nobody else has. Returns its key.
    pub(super) fn add_fact(&self, fact: &Fact) -> Result<String> {
        let id = ulid::Ulid::from_parts(fact.at.0, ulid::Ulid::new().random());
        let key = format!("{}{}", status_prefix(&fact.package, &fact.version), fact_name(id));
        self.0.objects.write(&key, fact_bytes(fact), JSON)?;
        Ok(key)
    }
}

fn target(offer: &Offer) -> String {
    format!("{}{}", package_prefix(&offer.name.package), offer.file)
}

/// The offered wheel, still the one that was checked.
pub(super) fn read_wheel(offer: &Offer) -> Result<Vec<u8>> {
    if offer.size > WHEEL_LIMIT {
        return Err(Error::TooLarge {
            place: Place::Path(offer.source.clone()),
            limit: WHEEL_LIMIT,
        });
    }
    let bytes = fs::read(&offer.source)?;
    if sha256(&bytes) != offer.sha256 {
        return Err(Error::WheelChanged {
            path: offer.source.clone(),
        });
    }
    Ok(bytes)
}

/// A release of which nothing can be said but that it is there.
fn unknown(place: Place) -> ExistingRelease {
    ExistingRelease {
        place,
        author: None,
        at: None,
        identical: false,
    }
}
