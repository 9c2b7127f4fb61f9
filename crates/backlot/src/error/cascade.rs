//! What is wrong with running a cascade as a whole. What fails at one asset is in the report, and the error here says that something did.

use backlot_core::{Class, text};

/// A cascade that cannot be run, found, or that did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CascadeError {
    /// A repo that keeps no records.
    #[error("`{repo}` keeps no records of cascades: it is a package index or public")]
    NoRecords {
        /// The repo.
        repo: String,
    },
    /// A release that does not exist yet.
    #[error("{package} {version} is not published yet")]
    NotPublished {
        /// The package.
        package: String,
        /// The version.
        version: String,
    },
    /// No cascade has this id.
    #[error("no repo of this workspace has a cascade `{id}`")]
    Unknown {
        /// What was given.
        id: String,
    },
    /// Several cascades have an id that begins so.
    #[error("`{id}` is the beginning of several cascades: {}", found.join(", "))]
    Ambiguous {
        /// What was given.
        id: String,
        /// Their ids.
        found: Vec<String>,
    },
    /// Steps that failed.
    #[error("{} of cascade {cascade} failed: {}", text::count(failed.len() as u64, "asset"), failed.join("; "))]
    Failed {
        /// The cascade.
        cascade: String,
        /// Each with the reason.
        failed: Vec<String>,
    },
    /// More assets than were admitted, and nobody confirmed them.
    #[error("cascade {cascade} would build more assets than its limit, and nobody confirmed that")]
    Unconfirmed {
        /// The cascade.
        cascade: String,
    },
    /// Another process of this machine runs it in the background.
    #[error("process {process} runs cascade {cascade} in the background")]
    InBackground {
        /// The cascade.
        cascade: String,
        /// The process.
        process: u32,
    },
    /// A process for the background that did not begin.
    #[error(
        "the process that was to run cascade {cascade} in the background ended before it began: {reason}"
    )]
    NotInBackground {
        /// The cascade.
        cascade: String,
        /// Why, as far as it said.
        reason: String,
    },
    /// It was cancelled.
    #[error("cascade {cascade} was cancelled: {reason}")]
    Cancelled {
        /// The cascade.
        cascade: String,
        /// Why.
        reason: String,
    },
    /// A release that has not all it was made from.
    #[error("{package} {version} does not contain all that it was made from")]
    NotWhole {
        /// The package.
        package: String,
        /// The release.
        version: String,
    },
    /// A release that does not give the same content again.
    #[error(
        "the content of {package} {version} cannot be published again: what its release has here is not what it records"
    )]
    OtherContent {
        /// The package.
        package: String,
        /// The release.
        version: String,
    },
    /// Inputs that are not those of the plan.
    #[error("{package} was to be built with {expected}, and {found} was installed")]
    OtherInput {
        /// The asset.
        package: String,
        /// The input that was planned.
        expected: String,
        /// What was there.
        found: String,
    },
    /// Files that a build needs and that did not come.
    #[error("files that the build of {package} needs cannot be pulled: {reason}")]
    NoFiles {
        /// The asset.
        package: String,
        /// Why.
        reason: String,
    },
}

backlot_core::coded! {
    CascadeError {
        Self::NoRecords { .. } => "cascade::no_records", Class::Config,
            "use a repo in a folder or a store of objects (S3, Azure, Google, WebDAV, SFTP)";
        Self::NotPublished { package, .. } => "cascade::not_published", Class::NotFound,
            format!("`publish {package} --push` publishes it first; `--dry-run` shows the plan before");
        Self::Unknown { .. } => "cascade::unknown", Class::NotFound,
            "list cascades with `cascade list`";
        Self::Ambiguous { .. } => "cascade::ambiguous", Class::User,
            "give more of the id";
        Self::Failed { cascade, .. } => "cascade::failed", Class::Conflict,
            format!("`cascade explain {cascade} ASSET` says more; correct the cause, then `cascade resume {cascade}`");
        Self::Unconfirmed { cascade } => "cascade::unconfirmed", Class::Conflict,
            format!("look at it with `cascade status {cascade}`, then `cascade resume {cascade} --yes`");
        Self::InBackground { cascade, .. } => "cascade::in_background", Class::Conflict,
            format!("follow it with `cascade status {cascade}`");
        Self::NotInBackground { cascade, .. } => "cascade::not_in_background", Class::Environment,
            format!("run it here with `cascade resume {cascade}`");
        Self::Cancelled { .. } => "cascade::cancelled", Class::Conflict,
            "what it released stays; `cascade run` begins another one, `cascade revert` undoes it";
        Self::NotWhole { package, .. } => "cascade::not_whole", Class::Conflict,
            format!("keep dvc.yaml and params.yaml inside the package of {package}, so that releases have them, and publish it once more");
        Self::OtherContent { package, version } => "cascade::other_content", Class::Conflict,
            format!("compare them with `diff {package}=={version}`; publish it by hand with `edit {package}=={version}`, or leave out `--forward`");
        Self::OtherInput { .. } => "cascade::other_input", Class::Environment,
            "try again; if it stays so, look whether two repos have different releases of one version", retry true;
        Self::NoFiles { .. } => "cascade::no_files", Class::Environment,
            "push them to a remote of this workspace, or wait until they have arrived at this site", retry true;
    }
}
