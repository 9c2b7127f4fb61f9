//! Errors of conda packages.
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
    #[error("invalid channel `{channel}`: {reason}")]
    BadChannel {
        /// As written, without secrets.
        channel: String,
        /// Why.
        reason: String,
    },
    /// No source of conda packages is configured.
    #[error("no conda channel is configured")]
    NoChannel,
    /// A spec that cannot be read.
    #[error("invalid conda requirement `{spec}`: {reason}")]
    BadSpec {
        /// As written.
        spec: String,
        /// Why.
        reason: String,
    },
    /// A channel that does not answer, or whose index cannot be read.
    #[error("cannot list the conda packages of {channel}: {reason}")]
    ChannelUnreadable {
        /// The channels that were asked.
        channel: String,
        /// Why.
        reason: String,
        /// Whether it may pass.
        retry: bool,
    },
    /// Something is not cached, and the network is disabled.
    #[error("{what} is not cached, and the network is disabled")]
    Offline {
        /// The missing object.
        what: String,
    },
    /// Specs conflict, or require packages that do not exist.
    #[error("no combination of conda packages satisfies all requirements\n{explanation}")]
    Unsolvable {
        /// The conflicts, one per line.
        explanation: String,
        /// Where it was looked for.
        channels: Vec<String>,
    },
    /// The solver gave up for a reason of its own.
    #[error("cannot resolve conda packages: {reason}")]
    Solver {
        /// Why.
        reason: String,
    },
    /// A package whose channel states no digest.
    #[error("the channel does not give a SHA-256 for {package}")]
    NoDigest {
        /// The package.
        package: String,
    },
    /// A package that is not what its channel or the lock says.
    #[error("checksum mismatch for {package}: `{url}` has SHA-256 {found}, not {expected}")]
    WrongDigest {
        /// The package.
        package: String,
        /// Its URL.
        url: String,
        /// The expected digest.
        expected: Sha256,
        /// The actual digest.
        found: Sha256,
    },
    /// A package that is damaged, hostile or another one.
    #[error("refusing the conda package {package}: {reason}")]
    BadPackage {
        /// The package.
        package: String,
        /// Why.
        reason: String,
    },
    /// A package that cannot be fetched.
    #[error("cannot fetch the conda package {package}: {reason}")]
    FetchFailed {
        /// The package.
        package: String,
        /// Why.
        reason: String,
        /// Whether it may pass.
        retry: bool,
    },
    /// Installing failed; the previous state is unchanged.
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
    #[error("conda does not support this platform")]
    NoPlatform,
    /// The runtime, the HTTP client or the cache does not start.
    #[error("cannot set up conda: {reason}")]
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
            "use a folder or a URL such as https://conda.studio.example/main, without secrets";
        Self::NoChannel => "conda::no_channel", Class::Config,
            "add a channel with `channel add FOLDER-OR-URL`";
        Self::BadSpec { .. } => "conda::bad_spec", Class::User,
            "use a name and versions, as in `numpy >=1.26,<2` or `python 3.12.*`";
        Self::ChannelUnreadable { retry, .. } => "conda::channel_unreadable", Class::Environment,
            "check that it exists and has a noarch/repodata.json; `channel list` lists all channels",
            retry *retry;
        Self::Offline { .. } => "conda::offline", Class::Environment,
            "run it once with network access, or copy the cache from a machine that has it";
        Self::Unsolvable { channels, .. } => "conda::unsolvable", Class::Conflict,
            format!(
                "relax a requirement, or add the channel that has it; searched {}",
                channels.join(", ")
            );
        Self::Solver { .. } => "conda::solver", Class::Conflict,
            "check the index of the channel";
        Self::NoDigest { .. } => "conda::no_digest", Class::Integrity,
            "reindex the channel with a tool that writes digests";
        Self::WrongDigest { .. } => "conda::wrong_digest", Class::Integrity,
            "do not use this file; ask the maintainer of the channel, or reindex the channel if you replaced the file";
        Self::BadPackage { .. } => "conda::bad_package", Class::Integrity,
            "do not use this package; notify the maintainer of the channel";
        Self::FetchFailed { retry, .. } => "conda::fetch_failed", Class::Environment,
            "check that the channel is reachable, then retry",
            retry *retry;
        Self::InstallFailed { .. } => "conda::install_failed", Class::Environment,
            "the previous state is unchanged; fix the cause, then retry";
        Self::ForeignPrefix { .. } => "conda::foreign_prefix", Class::Conflict,
            "move it aside; it is recreated";
        Self::NoPlatform => "conda::no_platform", Class::Environment,
            "use an interpreter of the system: `init --python PATH`";
        Self::Setup { .. } => "conda::setup", Class::Environment,
            "fix the cause, then retry";
    }
}
