//! Arguments of `part`, and of `publish --from-parts`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DryRun;

/// The remote that stores the parts.
#[derive(Debug, Args)]
pub(crate) struct AtRemote {
    /// The remote: a path, a file:// address, the URL of a bucket, `WebDAV` or SFTP folder, or a name in this workspace
    /// [env: `BACKLOT_PART_REMOTE`]
    /// [default: the default one of this workspace]
    #[arg(long, value_name = "PLACE")]
    pub(crate) remote: Option<String>,
    #[command(flatten)]
    pub(crate) store: super::places::Store,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Store rendered files as a part of a job; needs a remote, but no workspace
    #[command(
        after_help = "Files are read once: hashed, chunked and sent at the same time. A part becomes visible when all its files are stored, so a node that\nfails leaves none; push the same frames again from any node. `backlot publish --from-parts` creates a release from all parts.\n\nExamples:\n  backlot part push render/f.00*.exr --job 5f3e91 --as frames --remote /studio/files\n  backlot part push render --job 5f3e91 --as frames          all files in the folder\n  export BACKLOT_PART_REMOTE=/studio/files                   for all commands of a node\n  export BACKLOT_PART_REMOTE=s3://assets/files BACKLOT_PART_ENDPOINT=https://s3.studio.lan BACKLOT_PART_REGION=eu-west-1\n\nCredentials for a URL come from BACKLOT_REMOTE_PART_TOKEN, or _USERNAME and _PASSWORD, for the server in _HOST, from _KEY for SSH,\nor from ~/.netrc."
    )]
    Push {
        /// Files or folders
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The ID of the farm's job, the same on all nodes
        #[arg(long, value_name = "ID")]
        job: String,
        /// The tracked folder that the files belong to, relative to the asset's module
        #[arg(long = "as", value_name = "FOLDER")]
        folder: String,
        /// The name of this node [default: the host name]
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
        #[command(flatten)]
        at: AtRemote,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List parts with their node, number of files and state
    #[command(
        after_help = "States: waiting (in no release), released, late (its job was released without it). Times are those of the remote.\n\nExamples:\n  backlot part list --job 5f3e91\n  backlot part list --json | jq '.parts[] | select(.state == \"late\")'"
    )]
    List {
        /// Only parts of this job
        #[arg(long, value_name = "ID")]
        job: Option<String>,
        #[command(flatten)]
        at: AtRemote,
    },
    /// Drop the parts of a job; a release made from them is kept
    #[command(
        after_help = "Files that nothing else needs are collected by `backlot gc --remote`.\n\nExamples:\n  backlot part drop --job 5f3e91 --dry-run\n  backlot part drop --job 5f3e91 --node render12\n  backlot part drop --job 5f3e91 --part 0199f3a1c2d34e5f60718293a4b5c6d7   one part, by its name in `part list`"
    )]
    Drop {
        /// The ID of the job
        #[arg(long, value_name = "ID")]
        job: String,
        /// Only parts of this node
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
        /// Only the part with this name, as `part list` shows it
        #[arg(long, value_name = "NAME", conflicts_with = "node")]
        part: Option<String>,
        #[command(flatten)]
        at: AtRemote,
        #[command(flatten)]
        dry: DryRun,
    },
}

/// Options for a release made from parts.
#[derive(Debug, Args)]
pub(crate) struct FromPartsArgs {
    /// Use the parts of a farm job as the files of their folders
    #[arg(long, value_name = "ID", requires = "expect", conflicts_with = "remove")]
    from_parts: Option<String>,
    /// The frames that each sequence in a folder must have, as frames=1-100 or frames=1001-1100x2,1105
    #[arg(long, value_name = "FOLDER=FRAMES", requires = "from_parts")]
    expect: Vec<String>,
    /// Publish although frames are missing; they are listed
    #[arg(long, requires = "from_parts")]
    allow_missing: bool,
    /// If nodes stored different contents of a file, use the part that the remote received last
    #[arg(long, requires = "from_parts")]
    newest: bool,
}

impl FromPartsArgs {
    /// The same for the facade.
    pub(crate) fn options(&self) -> Option<backlot::FromParts> {
        let job = self.from_parts.clone()?;
        Some(
            backlot::FromParts::new()
                .job(job)
                .expect(self.expect.clone())
                .allow_missing(self.allow_missing)
                .newest(self.newest),
        )
    }
}
