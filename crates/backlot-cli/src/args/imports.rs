//! Arguments of imports: `import-url`, `import`, `import-rez`, `import-folder` and `update`.

use std::path::PathBuf;

use clap::Args;

use super::DryRun;

/// Where the content of an import is stored.
#[derive(Debug, Args)]
pub(crate) struct ContentArgs {
    /// Do not download the content; record only the state of the source in the pointer
    #[arg(long, conflicts_with = "to_remote")]
    pub(crate) no_download: bool,
    /// Send the content to a remote, without keeping a local copy
    #[arg(long)]
    pub(crate) to_remote: bool,
    /// The remote to send to [default: the default one]
    #[arg(long, value_name = "NAME", requires = "to_remote")]
    pub(crate) remote: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A source is a file or folder, a file on a web server, or a file or folder in a store: s3://, gs://, azure://, oss://, gdrive://,\nsftp:// (or ssh://), webdav+https:// (or webdavs://), remote://NAME/path. Credentials are those of `backlot auth`, or of a\nremote or repo of this workspace that contains the source. The pointer is the same as that of `dvc import-url`.\n\nExamples:\n  backlot import-url https://plates.example/hdri/studio.exr outputs/light/src/light/studio.exr\n  backlot import-url /mnt/library/trees --asset Forest                  a folder, as `trees`\n  backlot import-url s3://plates/shot010 --asset Shot010 --endpoint https://s3.studio.lan --region eu-west-1\n  backlot import-url https://plates.example/big.exr --asset Shot010 --to-remote    keep only the pointer here\n  backlot import-url sftp://ana@vendor.example/out/plate --asset Shot010 --license CC-BY-4.0 --dry-run\nAfterwards, `backlot status --imports` checks the sources, and `backlot update PATH.dvc` applies the changes."
)]
pub(crate) struct ImportUrlArgs {
    /// The source: a path or a URL
    pub(crate) url: String,
    /// The local path [default: the last path component of the source]
    pub(crate) path: Option<String>,
    /// The asset that tracks it; PATH is then relative to its package
    #[arg(long, value_name = "NAME")]
    pub(crate) asset: Option<String>,
    #[command(flatten)]
    pub(crate) content: ContentArgs,
    /// The licence of the source, recorded in releases
    #[arg(long, value_name = "LICENCE")]
    pub(crate) license: Option<String>,
    /// The server of a bucket, if it is not the service's own
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The region of an s3:// bucket [default: as for AWS's tools]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Access a bucket without credentials
    #[arg(long)]
    pub(crate) anonymous: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

#[derive(Debug, Args)]
#[command(
    after_help = "PATH is relative to the package of the asset. Tracked files are fetched from the remote of this workspace, packaged files from the\nwheel; the asset is not installed. The release, its digest and its licence are recorded in the pointer and in later releases.\n\nExamples:\n  backlot import library Table==1.2.0 frames --asset Shot010\n  backlot import /studio/repos/library \"Trees>=2,<3\" leaves/oak.abc outputs/forest/src/forest/oak.abc\n  backlot import https://repo.example/simple/ Lamp==1.0 shade.exr --asset Shot010 --dry-run\n  backlot import --git https://git.example/sets.git trees --rev v2 --asset Forest      a path in a git repository, or tracked by DVC there\nAfterwards, `backlot status --imports` shows newer releases in the range and newer commits; `backlot update PATH.dvc` applies them."
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
    /// The file or folder in its package; with --git, the local path
    #[arg(value_name = "PATH", required_unless_present = "git")]
    pub(crate) inside: Option<String>,
    /// The local path [default: the last path component of PATH]
    #[arg(value_name = "TO", conflicts_with = "git")]
    pub(crate) path: Option<String>,
    /// The branch, tag or commit of a git repository [default: its default branch]
    #[arg(long, value_name = "REV", requires = "git")]
    pub(crate) rev: Option<String>,
    /// The asset that tracks it; TO is then relative to its package
    #[arg(long, value_name = "NAME")]
    pub(crate) asset: Option<String>,
    /// The remote that has the tracked files [default: the default one]
    #[arg(long, value_name = "NAME", conflicts_with = "git")]
    pub(crate) remote: Option<String>,
    /// The licence, if the release does not declare one
    #[arg(long, value_name = "LICENCE")]
    pub(crate) license: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `import-rez`.
#[derive(Debug, Args)]
#[command(
    after_help = "The package.py is parsed, not run. Requirements become inputs, `table-1.2+<2` as `table>=1.2,<2`; build requirements go into\nthe group `build`. Anything that cannot be converted is listed. Files are not copied: track them with `backlot add`.\n\nExamples:\n  backlot import-rez /rez/packages/table/1.2.0 --dry-run\n  backlot import-rez /rez/packages/table/1.2.0 --name Table --type Prop\n  backlot add /rez/packages/table/1.2.0/python --asset Table"
)]
pub(crate) struct ImportRezArgs {
    /// The package.py, or its folder
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

/// Arguments of `import-folder`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each version becomes a release, oldest first: table_v003 is 3.0.0. The content of its folder and its files, without the version in\ntheir names, are tracked as one folder. {name} matches any text, {version}, {minor} and {micro} match numbers, and * matches\nanything; `/` separates folders. Existing releases are skipped, so the command can be repeated. The source files are not changed.\n\nExamples:\n  backlot import-folder /studio/assets --dry-run\n  backlot import-folder /studio/assets --type Prop                         table_v001/, table_v002/, lamp_v001.abc\n  backlot import-folder /studio/assets --pattern \"{name}/publish/v{version}\"\n  backlot import-folder /studio/cache --pattern \"{name}_v{version}.*\" --as frames   fire_v001.1001.exr, fire_v001.1002.exr\n  backlot import-folder /studio/assets/table --name Table --pattern \"v{version}\""
)]
pub(crate) struct ImportFolderArgs {
    /// The folder that contains the versions
    pub(crate) path: PathBuf,
    /// The pattern of their names
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
    after_help = "Inputs are never updated to a deprecated release, and only moved to an older one, with a report, if the installed one is no longer\nallowed. `backlot outdated` shows which requirement holds a package back.\n\nA name that ends in .dvc is the pointer of an import: its source is checked, and changes are applied once they are completely\ndownloaded. If the source is missing or unreachable, nothing changes.\n\nExamples:\n  backlot update                   all inputs\n  backlot update Table --dry-run   show the update of Table, and of others where necessary\n  backlot update Table --only      only Table, with all others pinned\n  backlot update outputs/light/src/light/studio.exr.dvc"
)]
pub(crate) struct UpdateArgs {
    /// Packages, or pointers of imports (PATH.dvc) [default: all packages]
    #[arg(value_name = "NAME|PATH.dvc")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) content: ContentArgs,
    /// Replace imported files that were changed locally; `backlot pull --undo` restores them
    #[arg(long)]
    pub(crate) force: bool,
    /// Keep all other packages at their versions
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
