//! Errors of version resolution.
//!
//! Invariant: a conflict has an explanation in sentences, which names the origin of each requirement.

use std::error::Error as StdError;
use std::fmt;

use backlot_core::{Cancelled, Class, Diagnostic};
use backlot_pep::{DirectUrlError, PackageName};

use crate::problem::Remark;

/// Result of choosing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why no choice was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Requirements exclude each other.
    #[error("no combination of versions satisfies all requirements\n{explanation}")]
    Conflict {
        /// Sentences, one a line.
        explanation: String,
        /// Suggested changes, each verified by a search, the smallest first.
        proposals: Vec<String>,
    },
    /// A package that no source has.
    #[error("there is no package `{name}`, which {asked_by}{looked_in}{}", fact(remark.as_deref()))]
    UnknownPackage {
        /// The package.
        name: PackageName,
        /// The origin of the requirement, as a clause: `the workspace asks for`.
        asked_by: String,
        /// Where it was looked for, in brackets; may be empty.
        looked_in: String,
        /// Names like it.
        near: Vec<String>,
        /// Remarks of the sources about it, and about the other missing packages.
        remark: Option<Box<Remark>>,
    },
    /// A requirement by a URL that cannot be followed.
    #[error("{asked_by} `{requirement}`: {source}")]
    DirectUrl {
        /// The origin of the requirement, as a clause: `the workspace asks for`.
        asked_by: String,
        /// The requirement, without its URL.
        requirement: String,
        /// Why not.
        source: DirectUrlError,
    },
    /// The search took too long.
    #[error("resolution was undecided after {seconds} s")]
    TooHard {
        /// How long it was allowed to take.
        seconds: u64,
    },
    /// Reading candidates failed.
    #[error(transparent)]
    Candidates(Cause),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A remark's fact on a line of its own.
fn fact(remark: Option<&Remark>) -> String {
    remark
        .map(|remark| format!("\n  {}", remark.fact))
        .unwrap_or_default()
}

/// An error of the candidate provider, passed through.
#[derive(Debug)]
pub struct Cause(pub Box<dyn Diagnostic>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

backlot_core::coded! {
    Error as Cancelled {
        Self::Conflict { proposals, .. } if proposals.is_empty() => "resolve::conflict", Class::Conflict,
            "relax one of these requirements, or publish a release that satisfies them";
        Self::Conflict { proposals, .. } => "resolve::conflict", Class::Conflict,
            proposals.join("\nor ");
        Self::UnknownPackage { near, remark, .. } => "resolve::unknown_package", Class::NotFound,
            {
        let near = (!near.is_empty()).then(|| format!("did you mean `{}`?", near.join("` or `")));
        match (near, remark) {
            (Some(near), Some(remark)) => Some(format!("{near}\nor {}", remark.help)),
            (Some(near), None) => Some(near),
            (None, Some(remark)) => Some(remark.help.clone()),
            (None, None) => {
                Some("publish it, or add the repo that has it with `repo add`".to_owned())
            }
                }
            };
        Self::DirectUrl { source, .. } => source.code(), source.class(),
            source.help();
        Self::TooHard { .. } => "resolve::too_hard", Class::Conflict,
            "narrow the requirements: request exact versions of the most important packages";
        Self::Candidates(cause) => cause.0.code(), cause.0.class(),
            cause.0.help(),
            retry cause.0.retry();
    }
}
