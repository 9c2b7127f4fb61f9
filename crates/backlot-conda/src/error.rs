//! What can go wrong with conda packages.
//!
//! Invariant: the channel, spec or package that is meant is named; no URL in a message holds a secret.

use std::error::Error as StdError;
use std::path::PathBuf;

use backlot_core::{Cancelled, Class, FileError, Sha256};

/// Result of a conda operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A place that cannot be a channel.
    #[error("`{channel}` is not a channel: {reason}")]
    BadChannel {
        /// As written, without secrets.
        channel: String,
        /// Why.
        reason: String,
    },
    /// Nobody said where conda packages come from.
    #[error("no conda channel is configured")]
    NoChannel,
    /// A spec that cannot be read.
    #[error("`{spec}` is not a conda requirement: {reason}")]
    BadSpec {
        /// As written.
        spec: String,
        /// Why.
        reason: String,
    },
    /// A channel that does not answer, or whose index cannot be read.
    #[error("the conda packages of {channel} cannot be listed: {reason}")]
    ChannelUnreadable {
        /// The channels that were asked.
        channel: String,
        /// Why.
        reason: String,
        /// Whether it may pass.
        retry: bool,
    },
    /// Something that is not cached, and nobody may be asked.
    #[error("{what} is not in the cache, and the network is not to be used")]
    Offline {
        /// What is missing.
        what: String,
    },
    /// Specs exclude each other, or ask for what is nowhere.
    #[error("no choice of conda packages satisfies every requirement\n{explanation}")]
    Unsolvable {
        /// What excludes what, one a line.
        explanation: String,
        /// Where it was looked for.
        channels: Vec<String>,
    },
    /// The solver gave up for a reason of its own.
    #[error("conda packages cannot be chosen: {reason}")]
    Solver {
        /// Why.
        reason: String,
    },
    /// A package whose channel states no digest.
    #[error("the channel states no SHA-256 of {package}")]
    NoDigest {
        /// The package.
        package: String,
    },
    /// A package that is not what its channel or the lock says.
    #[error("{package} is not what was promised: `{url}` has SHA-256 {found}, not {expected}")]
    WrongDigest {
        /// The package.
        package: String,
        /// Where it lies.
        url: String,
        /// What was promised.
        expected: Sha256,
        /// What is there.
        found: Sha256,
    },
    /// A package that is damaged, hostile or another one.
    #[error("the conda package {package} is refused: {reason}")]
    BadPackage {
        /// The package.
        package: String,
        /// Why.
        reason: String,
    },
    /// A package that cannot be fetched.
    #[error("the conda package {package} cannot be fetched: {reason}")]
    FetchFailed {
        /// The package.
        package: String,
        /// Why.
        reason: String,
        /// Whether it may pass.
        retry: bool,
    },
    /// Installing failed; what was there before is still there.
    #[error("`{}` cannot be made: {reason}", prefix.display())]
    InstallFailed {
        /// The prefix.
        prefix: PathBuf,
        /// Why.
        reason: String,
    },
    /// Something else is where the prefix shall be.
    #[error("`{}` was not made by backlot", prefix.display())]
    ForeignPrefix {
        /// The folder.
        prefix: PathBuf,
    },
    /// A machine that conda has no packages for.
    #[error("conda has no name for this kind of machine")]
    NoPlatform,
    /// The runtime, the HTTP client or the cache does not start.
    #[error("conda cannot be set up: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// An error of another crate with its causes, in one sentence.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        // Many say their cause themselves.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

backlot_core::coded! {
    Error as File | Cancelled {
        Self::BadChannel { .. } => "conda::bad_channel", Class::User,
            "give a folder or a URL like https://conda.studio.example/main, without secrets";
        Self::NoChannel => "conda::no_channel", Class::Config,
            "name where conda packages come from with `channel add FOLDER-OR-URL`";
        Self::BadSpec { .. } => "conda::bad_spec", Class::User,
            "write a name and versions, as in `numpy >=1.26,<2` or `python 3.12.*`";
        Self::ChannelUnreadable { retry, .. } => "conda::channel_unreadable", Class::Environment,
            "see that it is there and has a noarch/repodata.json; `channel list` shows all",
            retry *retry;
        Self::Offline { .. } => "conda::offline", Class::Environment,
            "run it once with the network, or bring the cache from a machine that has it";
        Self::Unsolvable { channels, .. } => "conda::unsolvable", Class::Conflict,
            format!(
                "loosen a requirement, or add the channel that has it; looked in {}",
                channels.join(", ")
            );
        Self::Solver { .. } => "conda::solver", Class::Conflict,
            "see whether the index of the channel is sound";
        Self::NoDigest { .. } => "conda::no_digest", Class::Integrity,
            "index the channel again with a tool that writes digests";
        Self::WrongDigest { .. } => "conda::wrong_digest", Class::Integrity,
            "do not use that file; ask the maintainer of the channel, or index the channel again if you replaced the file";
        Self::BadPackage { .. } => "conda::bad_package", Class::Integrity,
            "do not use that package; tell the maintainer of the channel";
        Self::FetchFailed { retry, .. } => "conda::fetch_failed", Class::Environment,
            "see that the channel is there, then run it again",
            retry *retry;
        Self::InstallFailed { .. } => "conda::install_failed", Class::Environment,
            "what was there before is still there; see to the cause, then run it again";
        Self::ForeignPrefix { .. } => "conda::foreign_prefix", Class::Conflict,
            "move it away; it is made anew";
        Self::NoPlatform => "conda::no_platform", Class::Environment,
            "use an interpreter of the system: `init --python PATH`";
        Self::Setup { .. } => "conda::setup", Class::Environment,
            "see to the cause, then run it again";
    }
}
