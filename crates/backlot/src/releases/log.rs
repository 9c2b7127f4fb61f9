//! The history of an asset: its releases, newest first, each with author, reason, inputs, and later status changes.
//!
//! Invariant: it is read only from the releases and the facts about them; unknown data is left out, never guessed.
//! Deliberately absent: local changes (`status`, `diff`).

use std::collections::BTreeMap;

use backlot_core::Timestamp;
use backlot_core::options;
use backlot_pep::{PackageName, Version};
use backlot_repo::{ReleaseEvent, ReleaseEventKind, ReleaseFile, Repo};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::project::provenance::Provenance;
use crate::workspace::Opened;

options! {
    /// Selection of releases for a log.
    #[derive(Default)]
    pub struct LogOptions {
        /// Only those of this repo.
        pub repo: Option<String>,
        /// The number of releases, the newest first; all by default.
        pub limit: Option<usize>,
    }
}

/// A release in the history of an asset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogEntry {
    /// The repo.
    pub repo: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The author, if known.
    pub author: Option<String>,
    /// When, where known.
    pub at: Option<Timestamp>,
    /// The reason, if given.
    pub reason: Option<String>,
    /// On which machine.
    pub machine: Option<String>,
    /// With which tool.
    pub tool: Option<String>,
    /// The exact versions of its inputs that it was built with.
    pub inputs: BTreeMap<PackageName, Version>,
    /// Bytes of its wheel, if known.
    pub wheel_size: Option<u64>,
    /// Its tracked files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Later status changes, oldest first.
    pub events: Vec<LogEvent>,
}

/// A status change of a release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogEvent {
    /// The change.
    pub kind: ReleaseEventKind,
    /// The author.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Opened {
    pub(crate) fn log(&self, what: &str, options: &LogOptions) -> Result<Vec<LogEntry>> {
        // A name of an asset may have spaces.
        let requirement = match PackageName::of_asset(what) {
            Ok(name) => self.parse_requirement(name.as_str())?,
            Err(_) => self.parse_requirement(what)?,
        };
        let entries = match &options.repo {
            Some(name) => vec![self.repo_entry(name)?],
            None => self.repos(),
        };
        let (mut found, mut names) = (Vec::new(), Vec::new());
        for entry in entries {
            let repo = self.open_repo(entry)?;
            let mut releases = repo.offered(requirement.name(), self.context())?;
            releases.dedup_by(|next, kept| next.version == kept.version);
            if releases.is_empty() && entry.public.is_none() {
                names.extend(repo.packages()?.iter().map(ToString::to_string));
            }
            let admitted = releases
                .into_iter()
                .filter(|one| requirement.specifiers().contains(&one.version));
            found.extend(admitted.map(|release| (entry.name.clone(), repo.clone(), release)));
        }
        if found.is_empty() {
            return Err(self.unknown_release(&requirement, &names)?);
        }
        // Of one version, the preferred repo first, as they were found.
        found.sort_by(|(.., a), (.., b)| b.version.cmp(&a.version));
        found.truncate(options.limit.unwrap_or(usize::MAX));
        let entries = found.iter().map(|(repo, opened, release)| {
            self.context().check()?;
            log_entry(repo, opened, release)
        });
        entries.collect()
    }
}

fn log_entry(name: &str, repo: &Repo, release: &ReleaseFile) -> Result<LogEntry> {
    let status = repo.status(release)?;
    // Only wheels are made by us.
    let provenance = if release.is_sdist() {
        None
    } else {
        Provenance::of(&repo.archive(release)?)?
    };
    let outs = provenance.iter().flat_map(|made| &made.outs);
    let (files, bytes) = outs.fold((0, 0), |(files, bytes), out| {
        (files + out.files, bytes + out.size)
    });
    let said = status
        .approved
        .iter()
        .chain(&status.deprecated)
        .chain(&status.yanked);
    let mut events: Vec<LogEvent> = said.map(LogEvent::of).collect();
    events.sort_by_key(|event| event.at);
    let published = status.published.as_ref();
    let known =
        |text: fn(&ReleaseEvent) -> &String| published.map(text).filter(|text| !text.is_empty()).cloned();
    Ok(LogEntry {
        repo: name.to_owned(),
        package: release.package.clone(),
        version: release.version.clone(),
        author: known(|fact| &fact.author),
        at: published.map(|fact| fact.at).or(release.published_at),
        // The default reason of a publish.
        reason: known(|fact| &fact.reason).filter(|reason| reason != "manual"),
        machine: known(|fact| &fact.machine),
        tool: known(|fact| &fact.tool),
        inputs: provenance.map(|made| made.inputs).unwrap_or_default(),
        wheel_size: release.size,
        files,
        bytes,
        events,
    })
}

impl LogEvent {
    fn of(fact: &ReleaseEvent) -> Self {
        Self {
            kind: fact.kind,
            author: fact.author.clone(),
            reason: fact.reason.clone(),
            at: fact.at,
        }
    }
}
