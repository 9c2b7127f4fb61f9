//! The version of an automatic release (rule R8).
//!
//! Invariant: a rebuild is never bumped above the level of the change that caused it, never major, and never to a version
//! that exists, yanked ones included. A pre-release among the inputs makes the result a pre-release. Deliberately absent:
//! bumps that a person asks for.

use std::collections::BTreeSet;

use backlot_pep::bump::BumpError;
use backlot_pep::{BumpStep, Version};
use serde::{Deserialize, Serialize};

/// The highest step an automatic rebuild of an asset may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BumpPolicy {
    /// `1.2.3` becomes `1.2.3.post0`.
    Post,
    /// `1.2.3` becomes `1.2.4`.
    #[default]
    Micro,
    /// As high as the change that caused it, at most `1.3.0`.
    Minor,
}

impl BumpPolicy {
    /// The word in configuration and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Micro => "micro",
            Self::Minor => "minor",
        }
    }
}

/// How far apart two versions of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeLevel {
    /// Only suffixes differ: post, pre or development releases.
    Suffix,
    /// The third number or a later one.
    Micro,
    /// The second number.
    Minor,
    /// The first number.
    Major,
}

impl ChangeLevel {
    /// The level of a change from one version to another.
    pub fn between(old: &Version, new: &Version) -> Self {
        let number = |version: &Version, at: usize| version.release().get(at).copied().unwrap_or(0);
        let longest = old.release().len().max(new.release().len());
        match (0..longest).find(|at| number(old, *at) != number(new, *at)) {
            None => Self::Suffix,
            Some(0) => Self::Major,
            Some(1) => Self::Minor,
            Some(_) => Self::Micro,
        }
    }
}

/// What a bump starts from.
#[derive(Clone, Copy, Debug)]
pub struct BumpRequest<'a> {
    /// The release that is rebuilt.
    pub newest: &'a Version,
    /// All versions that exist, yanked ones included.
    pub taken: &'a BTreeSet<Version>,
    /// The highest change among the inputs; `None` where the old inputs are not known.
    pub trigger: Option<ChangeLevel>,
    /// What the asset permits.
    pub policy: BumpPolicy,
    /// Whether an input is a pre-release.
    pub prerelease: bool,
    /// Whether a pre-release that was one only because of its inputs becomes final.
    pub promote: bool,
}

/// The version of the next automatic release.
pub fn next_version(request: &BumpRequest<'_>) -> Result<Version, BumpError> {
    let steps = first_steps(request);
    let mut version = request.newest.bump(&steps)?;
    while request.taken.contains(&version) {
        let prerelease = version.is_prerelease();
        version = match prerelease_step(&version) {
            Some(step) if prerelease => version.bump(&[step])?,
            _ if steps.contains(&BumpStep::Post) => version.bump(&[BumpStep::Post])?,
            _ => version.bump(&[BumpStep::Micro])?,
        };
    }
    Ok(version)
}

fn first_steps(request: &BumpRequest<'_>) -> Vec<BumpStep> {
    if let Some(step) = prerelease_step(request.newest) {
        // A pre-release made by hand stays one: only its author makes it final.
        let step = if request.promote { BumpStep::Release } else { step };
        return vec![step];
    }
    let step = match (request.policy, request.trigger) {
        (BumpPolicy::Post, _) | (_, Some(ChangeLevel::Suffix)) if !request.prerelease => BumpStep::Post,
        (BumpPolicy::Minor, Some(ChangeLevel::Minor | ChangeLevel::Major)) => BumpStep::Minor,
        _ => BumpStep::Micro,
    };
    if request.prerelease {
        vec![step, BumpStep::Candidate]
    } else {
        vec![step]
    }
}

/// The step that makes the next pre-release of the same kind; `None` for a final version.
pub(crate) fn prerelease_step(version: &Version) -> Option<BumpStep> {
    if !version.is_prerelease() {
        return None;
    }
    let text = version.to_string();
    Some(if text.contains("dev") {
        BumpStep::Dev
    } else if text.contains("rc") {
        BumpStep::Candidate
    } else if text.contains('b') {
        BumpStep::Beta
    } else {
        BumpStep::Alpha
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use backlot_pep::Version;

    use super::{BumpPolicy, BumpRequest, ChangeLevel, next_version};

    fn version(text: &str) -> Version {
        Version::parse(text).expect("valid")
    }

    fn next(newest: &str, taken: &[&str], change: (&str, &str), policy: BumpPolicy, promote: bool) -> String {
        let taken: BTreeSet<Version> = taken.iter().map(|text| version(text)).collect();
        let (old, new) = (version(change.0), version(change.1));
        let request = BumpRequest {
            newest: &version(newest),
            taken: &taken,
            trigger: Some(ChangeLevel::between(&old, &new)),
            policy,
            prerelease: new.is_prerelease(),
            promote,
        };
        next_version(&request).expect("a version").to_string()
    }

    #[test]
    fn a_rebuild_is_a_micro_and_never_above_its_trigger() {
        use BumpPolicy::{Micro, Minor, Post};
        for (newest, change, policy, expected) in [
            ("1.2.3", ("1.0", "1.1"), Micro, "1.2.4"),
            ("1.2.3", ("1.0", "2.0"), Micro, "1.2.4"),
            ("1.2.3", ("1.0", "2.0"), Minor, "1.3.0"),
            ("1.2.3", ("1.0", "1.1"), Minor, "1.3.0"),
            ("1.2.3", ("1.0", "1.0.1"), Minor, "1.2.4"),
            ("1.2.3", ("1.0", "1.0.post1"), Micro, "1.2.3.post0"),
            ("1.2.3", ("1.0", "1.1"), Post, "1.2.3.post0"),
            ("1.2.3", ("1.0", "1.1rc1"), Micro, "1.2.4rc0"),
            ("1.2.4rc0", ("1.1rc1", "1.1rc2"), Micro, "1.2.4rc1"),
            ("2.0b1", ("1.0", "1.1"), Micro, "2.0b2"),
        ] {
            assert_eq!(
                next(newest, &[], change, policy, false),
                expected,
                "{newest} {change:?}"
            );
        }
    }

    #[test]
    fn a_version_that_exists_is_never_given_again() {
        let micro = BumpPolicy::Micro;
        assert_eq!(
            next("1.0.0", &["1.0.1", "1.0.2"], ("1.0", "1.1"), micro, false),
            "1.0.3"
        );
        assert_eq!(
            next("1.0", &["1.0.1rc0"], ("1.0", "1.1rc1"), micro, false),
            "1.0.1rc1"
        );
        assert_eq!(
            next("1.0", &["1.0.post0"], ("1.0", "1.0.post1"), micro, false),
            "1.0.post1"
        );
    }

    #[test]
    fn a_prerelease_of_a_cascade_becomes_final_with_its_inputs() {
        assert_eq!(
            next("1.0.1rc1", &[], ("2.1.0rc1", "2.1.0"), BumpPolicy::Micro, true),
            "1.0.1"
        );
        assert_eq!(
            next(
                "1.0.1rc1",
                &["1.0.1"],
                ("2.1.0rc1", "2.1.0"),
                BumpPolicy::Micro,
                true
            ),
            "1.0.2"
        );
    }
}
