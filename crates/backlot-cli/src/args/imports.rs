//! The arguments of imports: taking files from elsewhere, and following where they are from.

use std::path::PathBuf;

use clap::Args;

use super::DryRun;

/// Where content goes, if not into place.
#[derive(Debug, Args)]
pub(crate) struct ContentArgs {
    /// Fetch no content: the pointer says what the source has
    #[arg(long, conflicts_with = "to_remote")]
    pub(crate) no_download: bool,
    /// Send the content to a remote, and keep no copy here
    #[arg(long)]
    pub(crate) to_remote: bool,
    /// The remote to send to [default: the default one]
    #[arg(long, value_name = "NAME", requires = "to_remote")]
    pub(crate) remote: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A source is a file or folder, a file of a web server, or a file or folder of a store: s3://, gs://, azure://, oss://, gdrive://,\nsftp:// (or ssh://), webdav+https:// (or webdavs://), remote://NAME/path. Credentials are those of `backlot auth`, or of a\nremote or repo of this workspace that the source lies below. The pointer is the one that `dvc import-url` writes.\n\nExamples:\n  backlot import-url https://plates.example/hdri/studio.exr outputs/light/src/light/studio.exr\n  backlot import-url /mnt/library/trees --asset Forest                  a folder, as `trees`\n  backlot import-url s3://plates/shot010 --asset Shot010 --endpoint https://s3.studio.lan --region eu-west-1\n  backlot import-url https://plates.example/big.exr --asset Shot010 --to-remote    nothing stays here but the pointer\n  backlot import-url sftp://ana@vendor.example/out/plate --asset Shot010 --license CC-BY-4.0 --dry-run\nThen `backlot status --imports` asks the sources, and `backlot update PATH.dvc` takes what changed."
)]
pub(crate) struct ImportUrlArgs {
    /// The source: a path or a URL
    pub(crate) url: String,
    /// The path that it gets [default: the last name of the source]
    pub(crate) path: Option<String>,
    /// The asset that tracks it; PATH then begins in its package
    #[arg(long, value_name = "NAME")]
    pub(crate) asset: Option<String>,
    #[command(flatten)]
    pub(crate) content: ContentArgs,
    /// The licence of the source, which the release will say
    #[arg(long, value_name = "LICENCE")]
    pub(crate) license: Option<String>,
    /// The server of a bucket, if it is not the service's own
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The region of an s3:// bucket [default: as for AWS's tools]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Ask a bucket without credentials
    #[arg(long)]
    pub(crate) anonymous: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

#[derive(Debug, Args)]
#[command(
    after_help = "PATH is seen from the package of the asset. Tracked files come from the remote of this workspace, packaged ones out of the\nwheel; the asset is not installed. The release, its digest and its licence stand in the pointer, and in the releases made of it.\n\nExamples:\n  backlot import library Table==1.2.0 frames --asset Shot010\n  backlot import /studio/repos/library \"Trees>=2,<3\" leaves/oak.abc outputs/forest/src/forest/oak.abc\n  backlot import https://repo.example/simple/ Lamp==1.0 shade.exr --asset Shot010 --dry-run\n  backlot import --git https://git.example/sets.git trees --rev v2 --asset Forest      a path of a git repository, or of DVC there\nThen `backlot status --imports` tells of newer releases that the range admits, and newer commits, and `backlot update PATH.dvc` takes them."
)]
pub(crate) struct ImportArgs {
    /// Import from a git repository: REPO is its URL or folder, and PATH follows it
    #[arg(long)]
    pub(crate) git: bool,
    /// A repo of the workspace, or the folder or URL of one
    pub(crate) repo: String,
    /// The release, or a range of releases; with --git, the path in the repository
    #[arg(value_name = "NAME==VERSION")]
    pub(crate) release: String,
    /// What of it: a file or folder of its package; with --git, the path that it gets
    #[arg(value_name = "PATH", required_unless_present = "git")]
    pub(crate) inside: Option<String>,
    /// The path that it gets [default: the last name of PATH]
    #[arg(value_name = "TO", conflicts_with = "git")]
    pub(crate) path: Option<String>,
    /// The branch, tag or commit of a git repository [default: its default branch]
    #[arg(long, value_name = "REV", requires = "git")]
    pub(crate) rev: Option<String>,
    /// The asset that tracks it; TO then begins in its package
    #[arg(long, value_name = "NAME")]
    pub(crate) asset: Option<String>,
    /// The remote that has the tracked files [default: the default one]
    #[arg(long, value_name = "NAME", conflicts_with = "git")]
    pub(crate) remote: Option<String>,
    /// The licence, if the release does not say it
    #[arg(long, value_name = "LICENCE")]
    pub(crate) license: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// A rez package to make an asset of.
#[derive(Debug, Args)]
#[command(
    after_help = "The package.py is read and not run. Requirements become inputs, `table-1.2+<2` as `table>=1.2,<2`; those for a build go into the group\n`build`. What cannot be taken over is listed. Files are not copied: track them with `backlot add`.\n\nExamples:\n  backlot import-rez /rez/packages/table/1.2.0 --dry-run\n  backlot import-rez /rez/packages/table/1.2.0 --name Table --type Prop\n  backlot add /rez/packages/table/1.2.0/python --asset Table"
)]
pub(crate) struct ImportRezArgs {
    /// The package.py, or the folder that has it
    pub(crate) path: PathBuf,
    /// The name of the asset [default: that of the package]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The type of the asset
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) asset_type: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// A tree of versions to make releases of.
#[derive(Debug, Args)]
#[command(
    after_help = "Each version becomes a release, oldest first: table_v003 is 3.0.0. The content of its folder and its files, without the version in\ntheir names, are tracked as one folder. {name} stands for any text, {version} for a number, {minor} and {micro} for more of them,\n* for anything; `/` divides folders. Releases that the repo has are passed over, so it can be run again. The files stay where\nthey are.\n\nExamples:\n  backlot import-folder /studio/assets --dry-run\n  backlot import-folder /studio/assets --type Prop                         table_v001/, table_v002/, lamp_v001.abc\n  backlot import-folder /studio/assets --pattern \"{name}/publish/v{version}\"\n  backlot import-folder /studio/cache --pattern \"{name}_v{version}.*\" --as frames   fire_v001.1001.exr, fire_v001.1002.exr\n  backlot import-folder /studio/assets/table --name Table --pattern \"v{version}\""
)]
pub(crate) struct ImportFolderArgs {
    /// The folder that has the versions
    pub(crate) path: PathBuf,
    /// How they are named
    #[arg(long, value_name = "PATTERN", default_value = "{name}_v{version}")]
    pub(crate) pattern: String,
    /// The name of the asset, where the pattern has no {name}
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The type of new assets
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) asset_type: Option<String>,
    /// The name of the tracked folder [default: files]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) rename: Option<String>,
    /// The repo to publish to
    #[arg(long, value_name = "REPO")]
    pub(crate) to: Option<String>,
    /// The remote for the files
    #[arg(long, value_name = "NAME")]
    pub(crate) remote: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Inputs never move to a deprecated release, and to an older one only if the installed one is no longer allowed, which is\nreported. `backlot outdated` shows which requirement holds a package back.\n\nA name that ends in .dvc is the pointer of an import: its source is asked, and what changed is put into place when all of it\nis here. If the source is gone or away, nothing changes.\n\nExamples:\n  backlot update                   all inputs\n  backlot update Table --dry-run   this one, and others only if they must move; change nothing\n  backlot update Table --only      this one, with all others pinned\n  backlot update outputs/light/src/light/studio.exr.dvc"
)]
pub(crate) struct UpdateArgs {
    /// Packages, or pointers of imports (PATH.dvc) [default: all packages]
    #[arg(value_name = "NAME|PATH.dvc")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) content: ContentArgs,
    /// Replace imported files that were changed here; `backlot pull --undo` brings them back
    #[arg(long)]
    pub(crate) force: bool,
    /// Leave all packages that are not named at their versions
    #[arg(long, requires = "names")]
    pub(crate) only: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

impl UpdateArgs {
    /// The pointers of imports among the names.
    pub(crate) fn pointers(&self) -> Vec<PathBuf> {
        let pointers = self.names.iter().filter(|name| name.ends_with(".dvc"));
        pointers.map(PathBuf::from).collect()
    }
}
