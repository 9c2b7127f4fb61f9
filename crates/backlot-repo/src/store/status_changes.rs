//! Status changes of a release, and importing them into another repo; for facts see [`crate::StatusChange`].
//!
//! Invariant: a fact is only ever added, under a name nobody else has, so of any number of people who speak at once all
//! are heard; and its name sorts after every fact its writer saw, so a clock that is late takes nothing back by accident.
//! Facts carried from another repo keep their names: carrying them again adds nothing. Deliberately absent: changing or
//! removing a fact, and who may say what.

use backlot_core::Context;

use super::known_page::KnownPage;
use super::release_events::new_id;
use super::snapshot::fold;
use super::{JSON, ReleaseStore, status_prefix};
use crate::error::Result;
use crate::feed::FeedEvent;
use crate::publish::Publication;
use crate::release::ReleaseFile;
use crate::release_event::{fact_bytes, fact_name};
use crate::status_change::{ImportedEvent, StatusChange, StatusChangeReport, carried, verdict_fact};

impl ReleaseStore {
    /// Set the status of a release. An unchanged status is not recorded again, but the index is updated.
    pub fn set_status(
        &self,
        release: &ReleaseFile,
        verdict: StatusChange,
        by: &Publication,
        dry_run: bool,
        context: &Context,
    ) -> Result<StatusChangeReport> {
        self.check_layout()?;
        let release = &ReleaseFile {
            sha256: Some(self.digest_of(release)?),
            ..self.looked_at(release)
        };
        let said = self.said(&release.package, &release.version)?;
        let status = fold(said.facts(), release);
        let last = said.last.map(|id| id.timestamp_ms());
        let fact = verdict_fact(
            (&release.package, &release.version),
            verdict,
            by,
            context.now(),
            last,
        );
        let already = verdict.holds(&status, by);
        if dry_run {
            let facts = said.facts().chain((!already).then_some(&fact));
            let status = fold(facts, release);
            return Ok(StatusChangeReport {
                fact,
                already,
                status,
            });
        }
        let pending = self.pending(&release.package)?;
        let mut announced = None;
        if !already {
            let id = new_id(fact.at);
            let events = FeedEvent::of_fact(id, &fact).into_iter().collect();
            announced = Some(self.announce(self.mark()?, events, context)?);
            self.add_named(id, &fact)?;
        }
        self.settle_package(&release.package, &KnownPage::default(), context)?;
        pending.done()?;
        if let Some(announced) = announced {
            self.tell_or_leave(announced, context);
        }
        Ok(StatusChangeReport {
            fact,
            already,
            status: self.status(release)?,
        })
    }

    /// The status events of a release, for import into another repo. Without `published`, which belongs to each repo.
    pub fn events_to_import(&self, release: &ReleaseFile) -> Result<Vec<ImportedEvent>> {
        let (package, version) = (&release.package, &release.version);
        let facts = if self.is_local() {
            self.said(package, version)?.named
        } else {
            let snapshot = self.known_snapshot(package)?;
            let said = snapshot.said.get(&version.to_string());
            said.map(|said| said.named.clone()).unwrap_or_default()
        };
        Ok(carried(facts, package, version))
    }

    /// Import status events of a release, which need not exist here yet. Returns how many are new here (or would
    /// be).
    pub fn import_events(
        &self,
        release: &ReleaseFile,
        facts: &[ImportedEvent],
        dry_run: bool,
        context: &Context,
    ) -> Result<u64> {
        if facts.is_empty() {
            return Ok(0);
        }
        self.check_layout()?;
        let mark = self.mark()?;
        let there = self.said(&release.package, &release.version)?;
        let is_there = |carried: &ImportedEvent| there.named.iter().any(|(id, _)| *id == carried.id);
        let new: Vec<&ImportedEvent> = facts.iter().filter(|carried| !is_there(carried)).collect();
        if dry_run {
            return Ok(new.len() as u64);
        }
        self.ensure(context)?;
        let events = |carried: &&ImportedEvent| FeedEvent::of_fact(carried.id, &carried.fact);
        let events: Vec<FeedEvent> = new.iter().filter_map(events).collect();
        let mut announced = None;
        if !events.is_empty() {
            announced = Some(self.announce(mark, events, context)?);
        }
        let pending = self.pending(&release.package)?;
        let prefix = status_prefix(&release.package, &release.version);
        self.each(&new, |carried| {
            // The name and the bytes are the same for everybody who carries it.
            let key = format!("{prefix}{}", fact_name(carried.id));
            Ok(self.0.objects.write(&key, fact_bytes(&carried.fact), JSON)?)
        })?;
        // Also if all existed: their writer may have been killed before the pages.
        self.settle_package(&release.package, &KnownPage::default(), context)?;
        pending.done()?;
        if let Some(announced) = announced {
            self.tell_or_leave(announced, context);
        }
        Ok(new.len() as u64)
    }
}
