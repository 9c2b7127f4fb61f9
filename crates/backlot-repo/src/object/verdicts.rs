//! What people say of a release in a store; see [`crate::verdict`].

use backlot_backend::each;
use backlot_core::Context;

use super::{JSON, ObjectRepo, status_prefix};
use crate::error::{Error, Result};
use crate::fact::{ReleaseStatus, fact_bytes, fact_name};
use crate::publish::Publication;
use crate::release::Release;
use crate::verdict::{CarriedFact, Verdict, VerdictReport, carried, verdict_fact};

impl ObjectRepo {
    /// Say something of a release; see [`crate::FolderRepo::judge`].
    pub(crate) fn judge(
        &self,
        release: &Release,
        verdict: Verdict,
        by: &Publication,
        dry_run: bool,
        context: &Context,
    ) -> Result<VerdictReport> {
        let shelf = self.shelf(&release.package)?;
        let status = shelf.status(release);
        let facts = shelf.facts(&release.version);
        let last = facts.last().map(|(id, _)| id.timestamp_ms());
        let fact = verdict_fact(
            (&release.package, &release.version),
            verdict,
            by,
            context.now(),
            last,
        );
        let already = verdict.holds(&status, by);
        if dry_run {
            let facts = facts.iter().map(|(_, fact)| fact.clone());
            let facts = facts.chain((!already).then(|| fact.clone()));
            let sha256 = release.sha256.ok_or_else(|| self.no_release(release))?;
            let status = ReleaseStatus::fold(facts, &sha256, release.modified);
            return Ok(VerdictReport {
                fact,
                already,
                status,
            });
        }
        if !already {
            self.add_fact(&fact)?;
        }
        self.settle_package(&release.package, context)?;
        Ok(VerdictReport {
            fact,
            already,
            status: self.status(release)?,
        })
    }

    /// What was said of a release, to be carried to another repo.
    pub(crate) fn facts_to_carry(&self, release: &Release) -> Result<Vec<CarriedFact>> {
        let shelf = self.known_shelf(&release.package)?;
        let facts = shelf.facts(&release.version).to_vec();
        Ok(carried(facts, &release.package, &release.version))
    }

    /// Add what was said elsewhere of a release. Returns how much of it is new here (or would be).
    pub(crate) fn carry_facts(
        &self,
        release: &Release,
        facts: &[CarriedFact],
        dry_run: bool,
        context: &Context,
    ) -> Result<u64> {
        if facts.is_empty() {
            return Ok(0);
        }
        let shelf = self.shelf(&release.package)?;
        let there = shelf.facts(&release.version);
        let new: Vec<&CarriedFact> = facts
            .iter()
            .filter(|carried| there.iter().all(|(id, _)| *id != carried.id))
            .collect();
        if dry_run {
            return Ok(new.len() as u64);
        }
        self.make()?;
        let prefix = status_prefix(&release.package, &release.version);
        each(&new, |carried| {
            // The name and the bytes are the same for everybody who carries it.
            let key = format!("{prefix}{}", fact_name(carried.id));
            self.0.objects.write(&key, fact_bytes(&carried.fact), JSON)
        })?;
        // Also if all were there: whoever wrote them may have been killed before the pages.
        self.settle_package(&release.package, context)?;
        Ok(new.len() as u64)
    }

    pub(super) fn no_release(&self, release: &Release) -> Error {
        Error::NoRelease {
            package: release.package.clone(),
            version: release.version.clone(),
            repo: self.place(),
        }
    }
}
