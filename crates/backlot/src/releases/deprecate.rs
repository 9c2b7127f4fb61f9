//! Deprecating many releases at once: those of an asset below a version, or those that nobody has used for some time.
//!
//! Invariants: the newest release of an asset is never among them, nor one that is gone anyway; what is unused is judged by what repos have, over all of
//! them: releases that were built with it, requirements, labels and dates. Who is not known to use nothing counts as a user, and a release of which no date is
//! known stays. What a dry run lists is what is done. Deliberately absent: workspaces and their locks, which a deprecation does not break.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backlot_core::{Sha256, Timestamp, options};
use backlot_pep::{PackageName, Specifiers, Version};
use backlot_repo::{ReleaseFile, Repo, StatusChange};
use serde::{Deserialize, Serialize};

use crate::cascade::index::ReleaseIndex;
use crate::cascade::index_file::{IndexedPackage, IndexedRelease};
use crate::cascade::studio::Studio;
use crate::error::{EditError, Result};
use crate::workspace::Opened;

options! {
    /// Which releases to deprecate. Conditions add up; there has to be one.
    #[derive(Default)]
    pub struct DeprecateOptions {
        /// Only releases of this asset.
        pub asset: Option<String>,
        /// Only releases of this repo.
        pub repo: Option<String>,
        /// Only versions below this one, as `<2.0` in a requirement. Requires an asset.
        pub below: Option<Version>,
        /// Only releases that were published before this time ago, and that nothing was built with since.
        pub unused_for: Option<Duration>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// A release that was deprecated, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeprecatedRelease {
    /// The repo.
    pub repo: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// When it was published, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
    /// When the last release was published that was built with it, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Assets whose newest release was built with it, or whose requirements admit nothing newer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
}

/// A release that is old enough, but is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeptRelease {
    /// The repo.
    pub repo: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The reason.
    pub reason: String,
}

/// The deprecated releases, or those of a dry run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeprecateReport {
    /// The releases, by repo and package, oldest version first.
    pub releases: Vec<DeprecatedRelease>,
    /// Releases that are kept, with reasons. Empty without an age.
    pub kept: Vec<KeptRelease>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A release that can be meant.
struct Candidate<'a> {
    index: &'a ReleaseIndex,
    package: &'a PackageName,
    release: &'a IndexedRelease,
}

impl Opened {
    pub(crate) fn deprecate(
        &self,
        options: &DeprecateOptions,
        reason: Option<&str>,
    ) -> Result<DeprecateReport> {
        if let Some(repo) = &options.repo {
            self.repo_entry(repo)?;
        }
        if options.below.is_none() && options.unused_for.is_none() {
            return Err(EditError::NoCondition.into());
        }
        if options.below.is_some() && options.asset.is_none() {
            return Err(EditError::BelowWhat.into());
        }
        let studio = self.studio()?;
        let uses = Uses::of(&studio);
        let mut report = DeprecateReport {
            releases: Vec::new(),
            kept: Vec::new(),
            dry_run: options.dry_run,
        };
        let mut dates = Dates::new(self);
        for candidate in self.candidates(&studio, options)? {
            self.context().check()?;
            self.decide(&candidate, &uses, options, &mut dates, &mut report)?;
        }
        let reason = match (reason, options.unused_for) {
            (Some(reason), _) => reason.to_owned(),
            (None, Some(age)) => format!("unused for {} days", age.as_secs() / 86_400),
            (None, None) => "replaced by newer versions".to_owned(),
        };
        for release in report.releases.iter().filter(|_| !options.dry_run) {
            self.context().check()?;
            let what = format!("{}=={}", release.package, release.version);
            self.set_status(
                &what,
                Some(&release.repo),
                StatusChange::Deprecate,
                &reason,
                false,
            )?;
        }
        Ok(report)
    }

    /// The releases of repos that keep facts, that are neither yanked nor deprecated, and that fit asset, repo and version.
    fn candidates<'s>(&self, studio: &'s Studio, options: &DeprecateOptions) -> Result<Vec<Candidate<'s>>> {
        let only = match &options.asset {
            Some(asset) => {
                let requirement = self.parse_requirement(PackageName::of_asset(asset)?.as_str())?;
                if studio.having(requirement.name(), None).is_empty() {
                    return Err(studio.unknown(&requirement).into());
                }
                Some(requirement.name().clone())
            }
            None => None,
        };
        let below = match &options.below {
            Some(below) => Some(Specifiers::parse(&format!("<{below}"))?),
            None => None,
        };
        if let (Some(package), Some(below)) = (&only, &below) {
            check_rest(studio, package, below)?;
        }
        let mut found = Vec::new();
        for index in &studio.releases.indexes {
            let is_meant = options.repo.as_ref().is_none_or(|repo| *repo == index.repo);
            let keeps_facts = matches!(self.open_repo(self.repo_entry(&index.repo)?)?, Repo::Store(_));
            if !is_meant || !keeps_facts {
                continue;
            }
            for (package, indexed) in &index.packages {
                if only.as_ref().is_some_and(|only| only != package) {
                    continue;
                }
                let releases = indexed.releases.iter().filter(|release| is_live(release));
                let fits = |release: &&IndexedRelease| {
                    below
                        .as_ref()
                        .is_none_or(|below| below.contains(&release.version))
                };
                found.extend(releases.filter(fits).map(|release| Candidate {
                    index,
                    package,
                    release,
                }));
            }
        }
        Ok(found)
    }

    /// Whether one is deprecated.
    fn decide(
        &self,
        candidate: &Candidate<'_>,
        uses: &Uses<'_>,
        options: &DeprecateOptions,
        dates: &mut Dates<'_>,
        report: &mut DeprecateReport,
    ) -> Result<()> {
        let Candidate {
            index,
            package,
            release,
        } = candidate;
        let (repo, version) = (index.repo.as_str(), &release.version);
        let published = dates.of(repo, package, version)?;
        let mut last_used = None;
        for (repo, package, version) in uses.built_with(release) {
            last_used = last_used.max(dates.of(repo, package, version)?);
        }
        let users = uses.now(package, release);
        if let Some(age) = options.unused_for {
            let since = self.context().now().before(age);
            if published.is_some_and(|at| at > since) || last_used.is_some_and(|at| at > since) {
                return Ok(());
            }
            let stays = match (published, users.first()) {
                (None, _) => Some("its date of publication is unknown".to_owned()),
                (_, Some(user)) => Some(format!("it is used by {user}")),
                _ if is_newest(&index.packages[*package], release) => Some("it is the newest one".to_owned()),
                _ => self.label_at(repo, package, version)?,
            };
            if let Some(reason) = stays {
                report.kept.push(KeptRelease {
                    repo: repo.to_owned(),
                    package: (*package).clone(),
                    version: version.clone(),
                    reason,
                });
                return Ok(());
            }
        }
        report.releases.push(DeprecatedRelease {
            repo: repo.to_owned(),
            package: (*package).clone(),
            version: version.clone(),
            published,
            last_used,
            users,
        });
        Ok(())
    }

    /// That a label is at a release.
    fn label_at(&self, repo: &str, package: &PackageName, version: &Version) -> Result<Option<String>> {
        let labels = self.labels(package.as_str(), Some(repo))?;
        let label = labels.into_iter().find(|row| row.version == *version);
        Ok(label.map(|row| format!("the label {} is at it", row.label)))
    }
}

/// An error if no release of a package would be left.
fn check_rest(studio: &Studio, package: &PackageName, below: &Specifiers) -> Result<()> {
    let packages = studio
        .releases
        .indexes
        .iter()
        .filter_map(|index| index.packages.get(package));
    let mut live = packages
        .flat_map(|indexed| &indexed.releases)
        .filter(|release| is_live(release));
    if live.clone().next().is_some() && live.all(|release| below.contains(&release.version)) {
        return Err(EditError::NothingLeft {
            package: package.clone(),
        }
        .into());
    }
    Ok(())
}

fn is_live(release: &IndexedRelease) -> bool {
    release.yanked.is_none() && release.deprecated.is_none()
}

/// Whether people mean a release by its package: the newest, or the newest that is no pre-release.
fn is_newest(package: &IndexedPackage, release: &IndexedRelease) -> bool {
    let live = package.releases.iter().filter(|release| is_live(release));
    let any = live.clone().map(|release| &release.version).max();
    let finals = live.filter(|release| !release.version.is_prerelease());
    let newest = finals.map(|release| &release.version).max();
    [any, newest].contains(&Some(&release.version))
}

/// A release, by repo, package and version.
type Name<'a> = (&'a str, &'a PackageName, &'a Version);

/// Who uses what, over all repos.
struct Uses<'a> {
    /// By the digest of an input, the releases that record it.
    recorded: BTreeMap<Sha256, Vec<Name<'a>>>,
    /// By the digest of an input, the newest releases that record it.
    newest: BTreeMap<Sha256, BTreeSet<String>>,
    /// By package, the newest version that a requirement of a newest release admits, and by whom; of one whose inputs are not known, all that it admits.
    required: BTreeMap<(&'a PackageName, Version), BTreeSet<String>>,
}

impl<'a> Uses<'a> {
    fn of(studio: &'a Studio) -> Self {
        let mut uses = Self {
            recorded: BTreeMap::new(),
            newest: BTreeMap::new(),
            required: BTreeMap::new(),
        };
        let mut live: BTreeMap<&PackageName, BTreeSet<&Version>> = BTreeMap::new();
        for index in &studio.releases.indexes {
            for (package, indexed) in &index.packages {
                let releases = indexed.releases.iter().filter(|release| is_live(release));
                let versions = releases.map(|release| &release.version);
                live.entry(package).or_default().extend(versions);
            }
        }
        for index in &studio.releases.indexes {
            for (package, indexed) in &index.packages {
                for release in &indexed.releases {
                    let record = release.about().record.iter();
                    for input in record.flat_map(|record| &record.inputs) {
                        let name = (index.repo.as_str(), package, &release.version);
                        if let Some(sha256) = input.sha256.filter(|_| input.package != *package) {
                            uses.recorded.entry(sha256).or_default().push(name);
                        }
                    }
                }
                let newest = indexed
                    .releases
                    .iter()
                    .filter(|release| is_newest(indexed, release));
                for release in newest {
                    uses.add_newest(&index.repo, package, release, &live);
                }
            }
        }
        uses
    }

    /// What a newest release uses.
    fn add_newest(
        &mut self,
        repo: &str,
        package: &PackageName,
        release: &'a IndexedRelease,
        live: &BTreeMap<&'a PackageName, BTreeSet<&'a Version>>,
    ) {
        let user = format!("{repo}/{package} {}", release.version);
        let record = release.about().record.as_ref();
        for input in record.iter().flat_map(|record| &record.inputs) {
            if let Some(sha256) = input.sha256.filter(|_| input.package != *package) {
                self.newest.entry(sha256).or_default().insert(user.clone());
            }
        }
        for requirement in release.requirements() {
            let Some((required, versions)) = live.get_key_value(requirement.name()) else {
                continue;
            };
            let admitted = versions
                .iter()
                .rev()
                .filter(|version| requirement.specifiers().contains(version));
            let finals = admitted.clone().find(|version| !version.is_prerelease());
            let counts: Vec<&&Version> = match (record, finals) {
                // An asset of before records were kept may have been built with any of them.
                (None, _) if release.about().asset.is_some() => admitted.collect(),
                (_, Some(newest)) => vec![newest],
                (_, None) => admitted.take(1).collect(),
            };
            for version in counts {
                let users = self.required.entry((*required, (**version).clone()));
                users.or_default().insert(user.clone());
            }
        }
    }

    /// The releases that were built with one.
    fn built_with(&self, release: &IndexedRelease) -> Vec<Name<'a>> {
        let digests = std::iter::once(&release.sha256).chain(&release.others);
        let found = digests.filter_map(|digest| self.recorded.get(digest));
        found.flatten().copied().collect()
    }

    /// The newest releases that need one.
    fn now(&self, package: &'a PackageName, release: &IndexedRelease) -> Vec<String> {
        let digests = std::iter::once(&release.sha256).chain(&release.others);
        let recorded = digests.filter_map(|digest| self.newest.get(digest)).flatten();
        let required = self.required.get(&(package, release.version.clone()));
        let all: BTreeSet<&String> = recorded.chain(required.into_iter().flatten()).collect();
        all.into_iter().cloned().collect()
    }
}

/// When releases were published, each package listed once.
struct Dates<'a> {
    opened: &'a Opened,
    repos: BTreeMap<String, Repo>,
    listed: BTreeMap<(String, PackageName), Vec<ReleaseFile>>,
    known: BTreeMap<(String, PackageName, Version), Option<Timestamp>>,
}

impl<'a> Dates<'a> {
    fn new(opened: &'a Opened) -> Self {
        Self {
            opened,
            repos: BTreeMap::new(),
            listed: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    fn of(&mut self, repo: &str, package: &PackageName, version: &Version) -> Result<Option<Timestamp>> {
        let key = (repo.to_owned(), package.clone(), version.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let opened = match self.repos.entry(repo.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.opened.open_repo(self.opened.repo_entry(repo)?)?),
        };
        let listed = match self.listed.entry((repo.to_owned(), package.clone())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(opened.releases(package, self.opened.context())?),
        };
        let mut releases = listed.iter();
        let at = match releases.find(|release| release.version == *version) {
            Some(release) => {
                let published = opened.status(release)?.published.map(|fact| fact.at);
                published.or(release.published_at)
            }
            None => None,
        };
        self.known.insert(key, at);
        Ok(at)
    }
}
