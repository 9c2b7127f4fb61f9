//! Errors of running a cascade as a whole. Failures of single assets are in the report, and the error here summarises them.

use backlot_core::{Class, text};

/// A cascade that cannot be run, found, or that did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CascadeError {
    /// A repo that keeps no records.
    #[error("`{repo}` does not record cascades: it is a package index or public")]
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
        /// The given ID.
        id: String,
    },
    /// Several cascades have an id that begins so.
    #[error("`{id}` matches several cascades: {}", found.join(", "))]
    Ambiguous {
        /// The given ID.
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
    /// More assets than the limit, without confirmation.
    #[error("cascade {cascade} would build more assets than its limit and was not confirmed")]
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
    #[error("{package} {version} does not contain everything that it was built from")]
    NotWhole {
        /// The package.
        package: String,
        /// The release.
        version: String,
    },
    /// A release that does not give the same content again.
    #[error(
        "the content of {package} {version} cannot be published again: its release here differs from its record"
    )]
    OtherContent {
        /// The package.
        package: String,
        /// The release.
        version: String,
    },
    /// Inputs that are not those of the plan.
    #[error("{package} has to be built with {expected}, but {found} was installed")]
    OtherInput {
        /// The asset.
        package: String,
        /// The input that was planned.
        expected: String,
        /// The installed version.
        found: String,
    },
    /// The command that attempts are made with is not known.
    #[error("cannot determine the command that builds assets in separate processes")]
    NoProgram,
    /// A process that cannot be started.
    #[error("`{program}` cannot be started: {reason}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// A scheduler that does not take jobs.
    #[error("{scheduler} does not take the jobs of the cascade: {reason}")]
    Scheduler {
        /// The scheduler.
        scheduler: &'static str,
        /// Why.
        reason: String,
    },
    /// A disk without space for a build.
    #[error("the disk of `{}` has {free} bytes free, too few for a build", folder.display())]
    NoSpace {
        /// The cache.
        folder: std::path::PathBuf,
        /// How much is free.
        free: u64,
    },
    /// A plan that a format of jobs cannot hold.
    #[error("cascade {cascade} does not fit into a job of {format}: {reason}")]
    NotExported {
        /// The cascade.
        cascade: String,
        /// The format.
        format: &'static str,
        /// Why.
        reason: String,
    },
    /// Files that a build needs and that did not come.
    #[error("cannot pull the files that the build of {package} needs: {reason}")]
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
            "use a repo in a folder or an object store (S3, Azure, Google, WebDAV, SFTP)";
        Self::NotPublished { package, .. } => "cascade::not_published", Class::NotFound,
            format!("`publish {package} --push` publishes it first; `--dry-run` shows the plan before");
        Self::Unknown { .. } => "cascade::unknown", Class::NotFound,
            "list cascades with `cascade list`";
        Self::Ambiguous { .. } => "cascade::ambiguous", Class::User,
            "give more characters of the ID";
        Self::Failed { cascade, .. } => "cascade::failed", Class::Conflict,
            format!("run `cascade explain {cascade} ASSET` for details, fix the cause, then run `cascade resume {cascade}`");
        Self::Unconfirmed { cascade } => "cascade::unconfirmed", Class::Conflict,
            format!("review it with `cascade status {cascade}`, then run `cascade resume {cascade} --yes`");
        Self::InBackground { cascade, .. } => "cascade::in_background", Class::Conflict,
            format!("follow it with `cascade status {cascade}`");
        Self::NotInBackground { cascade, .. } => "cascade::not_in_background", Class::Environment,
            format!("run it here with `cascade resume {cascade}`");
        Self::Cancelled { .. } => "cascade::cancelled", Class::Conflict,
            "its releases remain; `cascade run` starts another, `cascade revert` undoes it";
        Self::NotWhole { package, .. } => "cascade::not_whole", Class::Conflict,
            format!("keep dvc.yaml and params.yaml inside the package of {package}, so that releases include them, and publish it again");
        Self::OtherContent { package, version } => "cascade::other_content", Class::Conflict,
            format!("compare them with `diff {package}=={version}`; publish it by hand with `edit {package}=={version}`, or leave out `--forward`");
        Self::OtherInput { .. } => "cascade::other_input", Class::Environment,
            "try again; if it persists, check whether two repos have different releases of one version", retry true;
        Self::NoProgram => "cascade::no_program", Class::Config,
            "set `program` in `[cascade]` to the path of the command `backlot`";
        Self::NotStarted { .. } => "cascade::not_started", Class::Config,
            "set `program` in `[cascade]` to the path of the command `backlot`";
        Self::Scheduler { .. } => "cascade::scheduler", Class::Environment,
            "correct `[cascade.slurm]` or wait until it is there, then `cascade resume`; jobs that it has go on", retry true;
        Self::NoSpace { .. } => "cascade::no_space", Class::Environment,
            "free space with `cache clean`, or name another cache", retry true;
        Self::NotExported { .. } => "cascade::not_exported", Class::User,
            "build fewer assets at once: name a release or a repo";
        Self::NoFiles { .. } => "cascade::no_files", Class::Environment,
            "push them to a remote of this workspace, or wait until they are available at this site", retry true;
    }
}
