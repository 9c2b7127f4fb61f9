//! Bumping versions: hatch's step names and results, without its ability to go backwards.
//!
//! A bump is a list of steps (`patch,a`). Invariant: the result is greater than the version it came from, or the bump is
//! refused. A bare `a`, `b` or `rc` on a final version gives a smaller version in hatch (`1.2.3` to `1.2.3a0`); here it
//! is refused with the form that was probably meant (`micro,a`). A version may be given instead of steps; it is not lower either.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uv_pep440::{Prerelease, PrereleaseKind};

use crate::version::Version;
use backlot_core::error::Class;

/// One step of a bump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BumpStep {
    /// First number of the release, the others zero.
    Major,
    /// Second number, the third zero.
    Minor,
    /// Third number.
    Micro,
    /// Alpha pre-release.
    Alpha,
    /// Beta pre-release.
    Beta,
    /// Release candidate.
    Candidate,
    /// Post-release.
    Post,
    /// Development release.
    Dev,
    /// Drop pre, post and dev parts: `1.2.3rc2` becomes `1.2.3`.
    Release,
}

/// How a version changes: by steps (`patch,a`), or to a version (`2.0.0`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum VersionChange {
    /// By steps, in order.
    Steps(Vec<BumpStep>),
    /// To this version, which may be the one that it is already.
    Exact(Version),
}

/// A bump that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BumpError {
    /// An unknown step.
    #[error("`{step}` is neither a version nor a version step")]
    UnknownStep {
        /// The given text.
        step: String,
    },
    /// The result would not be greater.
    #[error("bumping {from} by `{steps}` gives {to}, which is not a later version")]
    Backwards {
        /// The version it started from.
        from: Version,
        /// The version it would give.
        to: Version,
        /// The steps asked for.
        steps: String,
    },
    /// The version asked for is lower.
    #[error("{to} is lower than {from}")]
    Lower {
        /// The version it started from.
        from: Version,
        /// The version asked for.
        to: Version,
    },
}

backlot_core::coded! {
    BumpError {
        Self::UnknownStep { .. } => "version::unknown_step", Class::User,
            "use a version such as `2.0.0`, or major, minor, micro (patch, fix), a, b, rc, post, dev, release, or a list such as `minor,rc`";
        Self::Backwards { steps, .. } => "version::backwards", Class::User,
            format!("bump a release number in the same command, for example `micro,{steps}`");
        Self::Lower { from, .. } => "version::lower", Class::User,
            format!("give a version above {from}, or a step such as `minor`");
    }
}

impl FromStr for BumpStep {
    type Err = BumpError;
    fn from_str(step: &str) -> Result<Self, BumpError> {
        Ok(match step.trim().to_ascii_lowercase().as_str() {
            "major" => Self::Major,
            "minor" => Self::Minor,
            "micro" | "patch" | "fix" => Self::Micro,
            "a" | "alpha" => Self::Alpha,
            "b" | "beta" => Self::Beta,
            "c" | "rc" | "pre" | "preview" => Self::Candidate,
            "post" | "rev" | "r" => Self::Post,
            "dev" => Self::Dev,
            "release" | "final" => Self::Release,
            other => {
                return Err(BumpError::UnknownStep {
                    step: other.to_owned(),
                });
            }
        })
    }
}

impl fmt::Display for BumpStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Major => "major",
            Self::Minor => "minor",
            Self::Micro => "micro",
            Self::Alpha => "a",
            Self::Beta => "b",
            Self::Candidate => "rc",
            Self::Post => "post",
            Self::Dev => "dev",
            Self::Release => "release",
        })
    }
}

/// Parse a comma-separated list of steps: `patch,a`.
pub fn parse_steps(steps: &str) -> Result<Vec<BumpStep>, BumpError> {
    steps.split(',').map(str::parse).collect()
}

impl FromStr for VersionChange {
    type Err = BumpError;
    fn from_str(text: &str) -> Result<Self, BumpError> {
        // Every version begins with a number, perhaps behind a `v`; no step does.
        let plain = text.trim().strip_prefix('v').unwrap_or(text.trim());
        if plain.starts_with(|c: char| c.is_ascii_digit()) {
            let exact = Version::parse(text).map(Self::Exact);
            return exact.map_err(|_| BumpError::UnknownStep {
                step: text.to_owned(),
            });
        }
        parse_steps(text).map(Self::Steps)
    }
}

impl TryFrom<String> for VersionChange {
    type Error = BumpError;
    fn try_from(text: String) -> Result<Self, BumpError> {
        text.parse()
    }
}

impl From<VersionChange> for String {
    fn from(change: VersionChange) -> Self {
        match change {
            VersionChange::Steps(steps) => shown(&steps),
            VersionChange::Exact(version) => version.to_string(),
        }
    }
}

/// Steps as people write them.
fn shown(steps: &[BumpStep]) -> String {
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    steps.join(",")
}

impl Version {
    /// The version after a change.
    pub fn changed(&self, change: &VersionChange) -> Result<Self, BumpError> {
        match change {
            VersionChange::Steps(steps) => self.bump(steps),
            VersionChange::Exact(to) if to >= self => Ok(to.clone()),
            VersionChange::Exact(to) => Err(BumpError::Lower {
                from: self.clone(),
                to: to.clone(),
            }),
        }
    }

    /// Apply the steps in order. The result is always greater than `self`.
    pub fn bump(&self, steps: &[BumpStep]) -> Result<Self, BumpError> {
        let mut parts = Parts::of(self);
        for step in steps {
            parts.apply(*step);
        }
        let bumped = parts.version();
        if bumped > *self {
            return Ok(bumped);
        }
        let steps = shown(steps);
        Err(BumpError::Backwards {
            from: self.clone(),
            to: bumped,
            steps,
        })
    }
}

/// A version taken apart; the local part does not survive a bump.
struct Parts {
    epoch: u64,
    release: Vec<u64>,
    pre: Option<Prerelease>,
    post: Option<u64>,
    dev: Option<u64>,
}

impl Parts {
    fn of(version: &Version) -> Self {
        Self {
            epoch: version.0.epoch(),
            release: version.release(),
            pre: version.0.pre(),
            post: version.0.post(),
            dev: version.0.dev(),
        }
    }

    fn version(self) -> Version {
        let mut version = uv_pep440::Version::new(self.release)
            .with_pre(self.pre)
            .with_post(self.post);
        if self.epoch != 0 || self.dev.is_some() {
            let epoch = self.epoch;
            let dev = self.dev.map(|n| format!(".dev{n}")).unwrap_or_default();
            // The parser is the only public way to these two parts; its own output with two numbers added is valid.
            version = format!("{epoch}!{version}{dev}").parse().unwrap_or(version);
        }
        Version(version)
    }

    fn apply(&mut self, step: BumpStep) {
        match step {
            BumpStep::Major => self.next_release(0),
            BumpStep::Minor => self.next_release(1),
            BumpStep::Micro => self.next_release(2),
            BumpStep::Alpha => self.next_pre(PrereleaseKind::Alpha),
            BumpStep::Beta => self.next_pre(PrereleaseKind::Beta),
            BumpStep::Candidate => self.next_pre(PrereleaseKind::Rc),
            BumpStep::Post => {
                self.post = Some(self.post.map_or(0, |n| n + 1));
                self.dev = None;
            }
            BumpStep::Dev => self.dev = Some(self.dev.map_or(0, |n| n + 1)),
            BumpStep::Release => self.drop_suffixes(),
        }
    }

    /// Hatch drops every suffix when a release number moves, also from `1.0rc1`: `micro` gives `1.0.1`.
    fn next_release(&mut self, index: usize) {
        self.release.resize(self.release.len().max(3), 0);
        self.release[index] += 1;
        self.release[index + 1..].fill(0);
        self.drop_suffixes();
    }

    fn next_pre(&mut self, kind: PrereleaseKind) {
        let number = match self.pre {
            Some(pre) if pre.kind == kind => pre.number + 1,
            _ => 0,
        };
        self.drop_suffixes();
        self.pre = Some(Prerelease { kind, number });
    }

    fn drop_suffixes(&mut self) {
        (self.pre, self.post, self.dev) = (None, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::{BumpError, VersionChange, parse_steps};
    use crate::version::Version;

    fn bump(from: &str, steps: &str) -> Result<String, BumpError> {
        let version = Version::parse(from).expect("a version");
        version.bump(&parse_steps(steps)?).map(|v| v.to_string())
    }

    #[test]
    fn the_measured_table_of_hatch_holds() {
        for (from, steps, to) in [
            ("1.2.3", "major", "2.0.0"),
            ("1.2.3", "minor", "1.3.0"),
            ("1.2.3", "micro", "1.2.4"),
            ("1.2.3", "patch", "1.2.4"),
            ("1.2.3", "fix", "1.2.4"),
            ("1.2.3", "post", "1.2.3.post0"),
            ("1.2.3", "rev", "1.2.3.post0"),
            ("1.2.3.post0", "r", "1.2.3.post1"),
            ("1.2.3", "patch,a", "1.2.4a0"),
            ("1.2.3", "minor,rc", "1.3.0rc0"),
            ("1.2.3", "minor,preview", "1.3.0rc0"),
            ("1.2.3", "major,alpha,dev", "2.0.0a0.dev0"),
            ("0.1.1a0", "a", "0.1.1a1"),
            ("0.1.1a0", "b", "0.1.1b0"),
            ("0.1.1a0", "patch", "0.1.2"),
            ("0.1.1a0", "patch,a", "0.1.2a0"),
            ("1.0rc1", "rc", "1.0rc2"),
            ("1.0rc1", "release", "1.0"),
            ("2.0.0a0.dev0", "dev", "2.0.0a0.dev1"),
            ("2.0.0a0.dev1", "release", "2.0.0"),
            ("1.2", "micro", "1.2.1"),
        ] {
            assert_eq!(bump(from, steps).as_deref(), Ok(to), "{from} by {steps}");
        }
    }

    #[test]
    fn a_version_is_given_by_steps_or_as_it_shall_be_and_never_lower() {
        let changed = |from: &str, change: &str| {
            let change: VersionChange = change.parse()?;
            let version = Version::parse(from).expect("a version");
            version.changed(&change).map(|v| v.to_string())
        };
        for (from, change, to) in [
            ("1.2.3", "2.0.0", "2.0.0"),
            ("1.2.3", "v2.0", "2.0"),
            ("1.2.3", "1.2.3", "1.2.3"),
            ("1.2.3", "1!0.1", "1!0.1"),
            ("1.2.3", "2.0.0-rc.1", "2.0.0rc1"),
            ("1.2.3", "minor", "1.3.0"),
        ] {
            assert_eq!(changed(from, change).as_deref(), Ok(to), "{from} to {change}");
        }
        assert!(matches!(changed("1.2.3", "1.2.2"), Err(BumpError::Lower { .. })));
        for wrong in ["1.x", "v", "bigger", ""] {
            let refused = changed("1.2.3", wrong);
            assert!(matches!(refused, Err(BumpError::UnknownStep { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_bump_never_goes_backwards() {
        for (from, steps) in [
            ("1.0rc1", "a"),
            ("1.2.3", "a"),
            ("1.2.3", "rc"),
            ("1.2.3", "dev"),
            ("1.2.3", "release"),
        ] {
            assert!(
                matches!(bump(from, steps), Err(BumpError::Backwards { .. })),
                "{from} by {steps}"
            );
        }
        assert!(matches!(
            bump("1.0", "bigger"),
            Err(BumpError::UnknownStep { .. })
        ));
    }
}
