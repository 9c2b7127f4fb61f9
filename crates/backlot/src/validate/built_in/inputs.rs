//! Checks of what an asset is built from: against its own record, and against what repos say of its inputs now.
//!
//! Deliberately absent: choosing other inputs, which `update` does.

use backlot_pep::{PackageName, Version};
use backlot_repo::{ReleaseFile, ReleaseStatus};

use super::{Params, Subject};
use crate::environment::candidate_sources::CandidateSources;
use crate::error::Result;
use crate::project::provenance::{BuildRecord, ExactInput};
use crate::validate::found::{CheckItem, Findings, NotRun};

const NO_RECORD: &str = "it has no record of its inputs";

/// Every input a release, and a final one.
pub(super) fn released(subject: &Subject<'_>) -> Vec<CheckItem> {
    let Some(record) = subject.record else {
        return vec![CheckItem::of_all(NO_RECORD)];
    };
    let mut items = Vec::new();
    for input in &record.inputs {
        let named = named(input);
        if input.editable {
            items.push(CheckItem::of_all(format!(
                "the input {named} is an output, not a release"
            )));
        } else if input.version.is_prerelease() && !subject.version.is_prerelease() {
            items.push(CheckItem::of_all(format!("the input {named} is a pre-release")));
        }
    }
    items.extend(
        record
            .missing
            .iter()
            .map(|missing| CheckItem::of_all(format!("nothing is installed for {missing}"))),
    );
    items
}

fn named(input: &ExactInput) -> String {
    format!("{} {}", input.package, input.version)
}

/// The repos in which inputs are looked for: those that the target of a publish may take its inputs from.
fn pool<'a>(subject: &Subject<'a>) -> Result<CandidateSources<'a>> {
    let opened = subject.opened;
    let entries = match subject.target {
        Some(target) => opened.reach_of(opened.repo_entry(target)?),
        None => opened.repos(),
    };
    CandidateSources::of(opened, entries, &[])
}

/// The inputs that are releases.
fn releases_of(record: &BuildRecord) -> impl Iterator<Item = &ExactInput> {
    record.inputs.iter().filter(|input| !input.editable)
}

/// What each repo that has an input says of it.
fn statuses(pool: &CandidateSources<'_>, input: &ExactInput) -> Result<Vec<(String, ReleaseStatus)>> {
    let mut found = Vec::new();
    for (rank, release) in pool.releases(&input.package)? {
        let (name, repo) = pool.repo(rank);
        if release.version != input.version {
            continue;
        }
        if let Some(sha256) = input.sha256
            && repo.digest(&release)? != sha256
        {
            continue;
        }
        found.push((name.to_owned(), repo.status(&release)?));
    }
    Ok(found)
}

/// Every input approved, in one repo at least.
pub(super) fn approved(params: Params<'_>, subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let by = params.list("by")?;
    let Some(record) = subject.record else {
        return Ok(vec![CheckItem::of_all(NO_RECORD)].into());
    };
    let pool = pool(subject)?;
    let mut items = Vec::new();
    for input in releases_of(record) {
        let found = statuses(&pool, input)?;
        let mut approvals = found.iter().flat_map(|(_, status)| &status.approved);
        let counts = |author: &String| by.as_ref().is_none_or(|by| by.contains(author));
        if approvals.any(|fact| counts(&fact.author)) {
            continue;
        }
        let named = named(input);
        let message = if found.is_empty() {
            format!("the input {named} is in no repo")
        } else {
            format!("the input {named} is not approved")
        };
        items.push(CheckItem::of_all(message));
    }
    Ok(items.into())
}

/// No input that was deprecated or yanked since.
pub(super) fn not_deprecated(subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let Some(record) = subject.record else {
        return Ok(vec![CheckItem::of_all(NO_RECORD)].into());
    };
    let pool = pool(subject)?;
    let mut items = Vec::new();
    for input in releases_of(record) {
        for (repo, status) in statuses(&pool, input)? {
            let said = [("yanked", status.yanked), ("deprecated", status.deprecated)];
            for (word, fact) in said {
                let Some(fact) = fact else { continue };
                let (named, author, reason) = (named(input), fact.author, fact.reason);
                let message = format!("the input {named} is {word} in `{repo}` by {author}: {reason}");
                items.push(CheckItem::of_all(message));
            }
        }
    }
    Ok(items.into())
}

/// No direct input of which there is a newer release that the asset admits; with `beyond`, also one that it does not admit.
pub(super) fn current(params: Params<'_>, subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let beyond = params.flag("beyond")?;
    let Some(record) = subject.record else {
        return Ok(vec![CheckItem::of_all(NO_RECORD)].into());
    };
    let pool = pool(subject)?;
    let mut items = Vec::new();
    for input in releases_of(record) {
        let asks: Vec<_> = subject
            .requires
            .iter()
            .filter(|requirement| requirement.name() == &input.package)
            .collect();
        if asks.is_empty() {
            continue;
        }
        let admits = |version: &Version| beyond || asks.iter().all(|ask| ask.specifiers().contains(version));
        if let Some((repo, newest)) = newest(&pool, &input.package, input.version.is_prerelease(), &admits)?
            && newest > input.version
        {
            let named = named(input);
            let message = format!("the input {named} is behind: {newest} is in `{repo}`");
            items.push(CheckItem::of_all(message).compared(newest, &input.version));
        }
    }
    Ok(items.into())
}

/// The newest good release of a package, with its repo.
fn newest(
    pool: &CandidateSources<'_>,
    package: &PackageName,
    prereleases: bool,
    admits: &dyn Fn(&Version) -> bool,
) -> Result<Option<(String, Version)>> {
    let is_good = |release: &ReleaseFile| {
        let is_final = prereleases || !release.version.is_prerelease();
        release.yanked.is_none() && release.deprecated.is_none() && is_final && admits(&release.version)
    };
    let releases = pool.releases(package)?.into_iter();
    let newest = releases
        .filter(|(_, release)| is_good(release))
        .max_by(|(_, a), (_, b)| a.version.cmp(&b.version));
    Ok(newest.map(|(rank, release)| (pool.repo(rank).0.to_owned(), release.version)))
}
