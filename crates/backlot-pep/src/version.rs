//! Versions and version ranges: PEP 440 inside, with SemVer's spelling accepted at the surface.
//!
//! Invariant: printing gives the normalised PEP 440 form, so equal versions print equally enough for file names.
//! `1.2.3-rc.1` (SemVer) and `1.2.3rc1` (PEP 440) are the same version. The parser is uv's, hidden behind these types.

use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use backlot_core::error::{Class, Diagnostic};

/// A PEP 440 version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(pub(crate) uv_pep440::Version);

/// A set of PEP 440 specifiers such as `>=1.2.3,<2.0`; empty means any version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Specifiers(pub(crate) uv_pep440::VersionSpecifiers);

/// A text that is not a valid version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid version `{text}`: {reason}")]
pub struct VersionError {
    /// The given text.
    pub text: String,
    /// The parser's message.
    pub reason: String,
}

impl Diagnostic for VersionError {
    fn code(&self) -> &'static str {
        "version::invalid"
    }
    fn class(&self) -> Class {
        Class::User
    }
    fn help(&self) -> Option<String> {
        Some(
            "use major.minor.micro with an optional suffix, as in `1.2.3`, `1.2.3rc1` or `1.2.3-rc.1`"
                .to_owned(),
        )
    }
}

impl Version {
    /// Parse PEP 440, or SemVer with a pre-release that PEP 440 can express.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let text = text.trim();
        match uv_pep440::Version::from_str(text) {
            Ok(version) => Ok(Self(version)),
            Err(source) => from_semver(text).ok_or_else(|| VersionError {
                text: text.to_owned(),
                reason: source.to_string(),
            }),
        }
    }
    /// The numbers of the release part: `[1, 2, 3]`.
    pub fn release(&self) -> Vec<u64> {
        self.0.release().to_vec()
    }
    /// Whether it is a pre-release or development release, which ranges do not match unless asked to.
    pub fn is_prerelease(&self) -> bool {
        self.0.any_prerelease()
    }
    /// Whether it has a local part (`+studio.1`), which no published release may have.
    pub fn is_local(&self) -> bool {
        self.0.is_local()
    }
}

/// `1.2.3-alpha.1` as `1.2.3a1`; `None` where PEP 440 has no such version. PEP 440 itself reads most spellings.
fn from_semver(text: &str) -> Option<Version> {
    let parsed = semver::Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()?;
    let (kind, number) = match parsed.pre.split_once('.') {
        Some((kind, number)) => (kind, number),
        None => (parsed.pre.as_str(), "0"),
    };
    number.parse::<u64>().ok()?;
    let local = if parsed.build.is_empty() {
        String::new()
    } else {
        format!("+{}", parsed.build)
    };
    let base = format!("{}.{}.{}", parsed.major, parsed.minor, parsed.patch);
    uv_pep440::Version::from_str(&format!("{base}{kind}{number}{local}"))
        .ok()
        .map(Version)
}

impl Specifiers {
    /// Any version.
    pub fn any() -> Self {
        Self(uv_pep440::VersionSpecifiers::empty())
    }
    /// Exactly one version.
    pub fn exactly(version: &Version) -> Self {
        Self(uv_pep440::VersionSpecifiers::from(
            uv_pep440::VersionSpecifier::equals_version(version.0.clone()),
        ))
    }
    /// Parse a comma-separated list; empty means any version.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        uv_pep440::VersionSpecifiers::from_str(text)
            .map(Self)
            .map_err(|e| VersionError {
                text: text.to_owned(),
                reason: e.to_string(),
            })
    }
    /// Parse a version in package metadata or on an index page: PEP 440, and unambiguous mistakes of old packages.
    pub fn parse_repaired(text: &str) -> Result<Self, VersionError> {
        Self::parse(text).or_else(|error| {
            let repaired = crate::lenient::repair_range(text.trim()).map(|repaired| Self::parse(&repaired));
            repaired.and_then(Result::ok).ok_or(error)
        })
    }
    /// Whether every specifier admits the version (PEP 440; pre-releases are the caller's business).
    pub fn contains(&self, version: &Version) -> bool {
        self.0.contains(&version.0)
    }
    /// Whether any version is admitted.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether a specifier names a pre-release itself, which permits pre-releases (PEP 440).
    pub fn names_prerelease(&self) -> bool {
        self.0.iter().any(uv_pep440::VersionSpecifier::any_prerelease)
    }
    /// The one version it pins (`==1.2.3` or `===1.2.3`, without a wildcard), if it does.
    pub fn pinned(&self) -> Option<Version> {
        let mut all = self.0.iter();
        let only = all.next().filter(|_| all.next().is_none())?;
        matches!(
            only.operator(),
            uv_pep440::Operator::Equal | uv_pep440::Operator::ExactEqual
        )
        .then(|| Version(only.version().clone()))
    }
    /// Whether the range begins at this version or before. This is how `Requires-Python` is judged, as uv does: upper
    /// bounds are guesses about the future, and only the numbers count (`3.13.0b1` will do for `>=3.13`).
    pub fn starts_at_most_at(&self, version: &Version) -> bool {
        let range = uv_pep440::release_specifiers_to_ranges(self.0.clone());
        match range.bounding_range().map(|(lower, _)| lower) {
            Some(Bound::Included(lower)) => *lower <= version.0.only_release(),
            Some(Bound::Excluded(lower)) => *lower < version.0.only_release(),
            Some(Bound::Unbounded) => true,
            None => false,
        }
    }
    /// The lowest numbers in the range, if it has a lower end: 3.12 of `>=3.12`.
    pub fn lower_bound(&self) -> Option<Version> {
        let range = uv_pep440::release_specifiers_to_ranges(self.0.clone());
        match range.bounding_range()?.0 {
            Bound::Included(lower) | Bound::Excluded(lower) => Some(Version(lower.clone())),
            Bound::Unbounded => None,
        }
    }
    /// Whether a version may be in both ranges.
    pub fn overlaps(&self, other: &Self) -> bool {
        let all = self.0.iter().chain(other.0.iter()).cloned();
        let both: uv_pep440::VersionSpecifiers = all.collect();
        !uv_pep440::release_specifiers_to_ranges(both).is_empty()
    }
    /// How many specifiers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there are none, which admits any version.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The same without the specifier at an index.
    #[must_use]
    pub fn without(&self, index: usize) -> Self {
        let kept = self.0.iter().enumerate().filter(|(at, _)| *at != index);
        Self(kept.map(|(_, specifier)| specifier.clone()).collect())
    }
    /// Whether the specifier at an index is an upper bound.
    pub fn is_upper_bound(&self, index: usize) -> bool {
        use uv_pep440::Operator::{LessThan, LessThanEqual};
        matches!(self.0[index].operator(), LessThan | LessThanEqual)
    }
    /// The same with the specifier at an index moved just so far that it admits a version: `>=2,<5` with 1.5 for the first
    /// is `>=1.5,<5`. A pin (`==`, `~=`) becomes a pin of that version, an exclusion (`!=`) is dropped.
    #[must_use]
    pub fn moved(&self, index: usize, to: &Version) -> Self {
        use uv_pep440::{Operator, VersionSpecifier};
        let specifiers = self.0.iter().enumerate().filter_map(|(at, specifier)| {
            if at != index {
                return Some(specifier.clone());
            }
            let to = to.0.clone();
            match specifier.operator() {
                Operator::GreaterThan | Operator::GreaterThanEqual => {
                    Some(VersionSpecifier::greater_than_equal_version(to))
                }
                Operator::LessThan | Operator::LessThanEqual => {
                    Some(VersionSpecifier::less_than_equal_version(to))
                }
                Operator::NotEqual | Operator::NotEqualStar => None,
                Operator::Equal | Operator::EqualStar | Operator::ExactEqual | Operator::TildeEqual => {
                    Some(VersionSpecifier::equals_version(to))
                }
            }
        });
        Self(specifiers.collect())
    }
    /// All of this and all of the other.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(other.0.iter()).cloned().collect())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl FromStr for Version {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse(text)
    }
}
impl TryFrom<String> for Version {
    type Error = VersionError;
    fn try_from(text: String) -> Result<Self, VersionError> {
        Self::parse(&text)
    }
}
impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}
impl fmt::Display for Specifiers {
    /// Comma-separated without spaces: `>=1.2.3,<2.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, specifier) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            specifier.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Specifiers, Version};

    #[test]
    fn semver_spellings_become_pep_440() {
        for (semver, pep440) in [
            ("1.2.3-rc.1", "1.2.3rc1"),
            ("1.2.3-alpha.2", "1.2.3a2"),
            ("v1.2.3", "1.2.3"),
            ("1.2.3-beta", "1.2.3b0"),
            ("1.2.3+studio.4", "1.2.3+studio.4"),
        ] {
            assert_eq!(Version::parse(semver).expect(semver).to_string(), pep440);
        }
        assert!(Version::parse("1.2.3-final.x").is_err());
    }

    #[test]
    fn of_a_python_range_only_the_lower_bound_counts() {
        let fits = |range: &str, python: &str| {
            let python = Version::parse(python).expect("valid");
            Specifiers::parse(range)
                .expect("valid")
                .starts_at_most_at(&python)
        };
        assert!(fits(">=3.8,<3.10", "3.11.2"));
        assert!(fits("!=3.11.*", "3.11.2"));
        assert!(fits("==3.8.*", "3.11.2"));
        assert!(fits("<3", "3.11.2"));
        assert!(fits(">=3.13", "3.13.0b1"));
        assert!(!fits(">=3.12", "3.11.2"));
        assert!(!fits(">3.11.2", "3.11.2"));
        assert!(!fits("~=3.12", "3.11.2"));
    }

    #[test]
    fn a_specifier_moves_just_so_far_that_it_admits_a_version() {
        let moved = |range: &str, index: usize, to: &str| {
            let range = Specifiers::parse(range).expect("valid");
            range
                .moved(index, &Version::parse(to).expect("valid"))
                .to_string()
        };
        assert_eq!(moved(">=2,<5", 0, "1.5"), ">=1.5,<5");
        assert_eq!(moved(">=2,<5", 1, "6.1"), ">=2,<=6.1");
        assert_eq!(moved("==1.0", 0, "1.1"), "==1.1");
        assert_eq!(moved("~=1.4.2", 0, "1.5"), "==1.5");
        assert_eq!(moved(">1,!=1.5", 1, "1.5"), ">1");
    }

    #[test]
    fn pins_are_recognised() {
        let pinned = Specifiers::parse("==1.2.3").expect("valid").pinned();
        assert_eq!(pinned.map(|v| v.to_string()).as_deref(), Some("1.2.3"));
        assert_eq!(Specifiers::parse("==1.2.*").expect("valid").pinned(), None);
        assert_eq!(Specifiers::parse(">=1").expect("valid").pinned(), None);
    }
}
