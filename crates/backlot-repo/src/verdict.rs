//! What people say of a release once it is there: approved, deprecated, yanked, a yank taken back.
//!
//! Invariant: a fact is only ever added, under a name nobody else has, so of any number of people who speak at once all
//! are heard; and its name sorts after every fact its writer saw, so a clock that is late takes nothing back by accident.
//! Facts carried from another repo keep their names: carrying them again adds nothing. Deliberately absent: changing or
//! removing a fact, and who may say what.

use backlot_core::file::Created;
use backlot_core::shared::{self, make_folder};
use backlot_core::{Context, PackageName, Timestamp, Version};
use serde::Serialize;
use ulid::Ulid;

use crate::error::{Error, Result};
use crate::fact::{
    Fact, FactKind, ReleaseStatus, fact_bytes, fact_path, id_path, last_time, named_facts, read_facts,
};
use crate::folder::FolderRepo;
use crate::layout::RepoKind;
use crate::publish::{Publication, TOOL};
use crate::release::FolderRelease;

/// The last time that the name of a fact can hold (48 bits).
const LAST_TIME: u64 = (1 << 48) - 1;

/// What to say of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is approved.
    Approve,
    /// It works but should be moved away from.
    Deprecate,
    /// It should not be chosen any more, unless pinned.
    Yank,
    /// A yank is taken back.
    Unyank,
}

impl Verdict {
    /// The kind of fact it becomes.
    pub fn kind(self) -> FactKind {
        match self {
            Self::Approve => FactKind::Approved,
            Self::Deprecate => FactKind::Deprecated,
            Self::Yank => FactKind::Yanked,
            Self::Unyank => FactKind::Unyanked,
        }
    }

    /// Whether it holds already, in the same words of the same person.
    pub(crate) fn holds(self, status: &ReleaseStatus, by: &Publication) -> bool {
        let same = |fact: &Fact| fact.author == by.author && fact.reason == by.reason;
        match self {
            Self::Approve => status.approved.iter().any(same),
            Self::Deprecate => status.deprecated.as_ref().is_some_and(same),
            Self::Yank => status.yanked.as_ref().is_some_and(same),
            Self::Unyank => status.yanked.is_none(),
        }
    }
}

/// What was said.
#[derive(Clone, Debug, Serialize)]
pub struct VerdictReport {
    /// The fact, as it was or would be written.
    pub fact: Fact,
    /// Whether it held already, so that nothing was added.
    pub already: bool,
    /// The status after it.
    pub status: ReleaseStatus,
}

/// A fact with the name it has in its repo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedFact {
    pub(crate) id: Ulid,
    pub(crate) fact: Fact,
}

/// The fact that a verdict becomes, after the last fact that is there.
pub(crate) fn verdict_fact(
    (package, version): (&PackageName, &Version),
    verdict: Verdict,
    by: &Publication,
    now: Timestamp,
    last: Option<u64>,
) -> Fact {
    let at = Timestamp(last.map_or(now.0, |last| now.0.max(last + 1)).min(LAST_TIME));
    Fact {
        format: 1,
        kind: verdict.kind(),
        package: package.clone(),
        version: version.clone(),
        file: None,
        sha256: None,
        modified: None,
        author: by.author.clone(),
        reason: by.reason.clone(),
        machine: by.machine.clone(),
        tool: TOOL.to_owned(),
        at,
        time: at.to_string(),
    }
}

/// Those of a release's facts that go with it to another repo.
pub(crate) fn carried(
    facts: impl IntoIterator<Item = (Ulid, Fact)>,
    package: &PackageName,
    version: &Version,
) -> Vec<CarriedFact> {
    let said = |fact: &Fact| !matches!(fact.kind, FactKind::Published | FactKind::Unknown);
    let about = |fact: &Fact| fact.package == *package && fact.version == *version;
    let carried = facts.into_iter().filter(|(_, fact)| said(fact) && about(fact));
    carried.map(|(id, fact)| CarriedFact { id, fact }).collect()
}

impl FolderRepo {
    /// Say something of a release. What holds already in the same words is not said again, but the index is made right.
    pub fn judge(
        &self,
        release: &FolderRelease,
        verdict: Verdict,
        by: &Publication,
        dry_run: bool,
        context: &Context,
    ) -> Result<VerdictReport> {
        let (package, version) = (&release.package, &release.version);
        let folder = self.facts_folder(package, version)?;
        let status = self.status(release)?;
        let last = last_time(&folder)?;
        let fact = verdict_fact((package, version), verdict, by, context.now(), last);
        let at = fact.at;
        let already = verdict.holds(&status, by);
        if dry_run {
            let mut facts = read_facts(&folder)?;
            facts.extend((!already).then(|| fact.clone()));
            let status = ReleaseStatus::fold(facts, &release.sha256, release.modified);
            return Ok(VerdictReport {
                fact,
                already,
                status,
            });
        }
        let pending = self.pending(package)?;
        if !already {
            make_folder(&folder)?;
            // Chance in the name keeps two writers of one millisecond apart; should they ever meet, one draws again.
            while shared::create(&fact_path(&folder, at), &fact_bytes(&fact))? == Created::Exists {}
        }
        self.settle_package(package, context)?;
        pending.done()?;
        Ok(VerdictReport {
            fact,
            already,
            status: self.status(release)?,
        })
    }

    /// What was said of a release, to be carried to another repo. How it was published is not: that is each repo's own.
    pub fn facts_to_carry(&self, package: &PackageName, version: &Version) -> Result<Vec<CarriedFact>> {
        let facts = named_facts(&self.places.status(package, version))?;
        Ok(carried(facts, package, version))
    }

    /// Add what was said elsewhere of a release, which need not be here yet. Returns how much of it is new here (or would
    /// be).
    pub fn carry_facts(
        &self,
        package: &PackageName,
        version: &Version,
        facts: &[CarriedFact],
        dry_run: bool,
        context: &Context,
    ) -> Result<u64> {
        if facts.is_empty() {
            return Ok(0);
        }
        if dry_run {
            let folder = self.places.status(package, version);
            return Ok(facts.iter().filter(|f| !id_path(&folder, f.id).exists()).count() as u64);
        }
        self.ensure(context)?;
        let folder = self.facts_folder(package, version)?;
        let pending = self.pending(package)?;
        make_folder(&folder)?;
        let mut new = 0;
        for carried in facts {
            context.check()?;
            let created = shared::create(&id_path(&folder, carried.id), &fact_bytes(&carried.fact))?;
            new += u64::from(created == Created::New);
        }
        // Also if all were there: whoever wrote them may have been killed before the pages.
        if self.has_files(package)? {
            self.settle_package(package, context)?;
        }
        pending.done()?;
        Ok(new)
    }

    fn facts_folder(&self, package: &PackageName, version: &Version) -> Result<std::path::PathBuf> {
        if self.kind()? == RepoKind::Flat {
            return Err(Error::FlatFolder {
                path: self.places.root.clone(),
            });
        }
        Ok(self.places.status(package, version))
    }
}
