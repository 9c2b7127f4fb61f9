//! Arguments of `repo`, `remote` and `input`.

use clap::{Args, Subcommand};

use super::DryRun;

/// Options for accessing an object store.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The server of an s3:// bucket, if it is not AWS
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The region of an s3:// bucket [default: as for AWS's tools]
    #[arg(long)]
    region: Option<String>,
    /// Access a bucket without credentials, unless some are configured for its name
    #[arg(long)]
    anonymous: bool,
    /// The folder of a site cache to read through, shared by the machines of a site [env: `BACKLOT_SITE_CACHE`]
    #[arg(long, value_name = "FOLDER")]
    via: Option<String>,
}

impl Store {
    pub(crate) fn options(&self) -> backlot::StoreOptions {
        backlot::StoreOptions::new()
            .endpoint(self.endpoint.clone())
            .region(self.region.clone())
            .anonymous(self.anonymous)
            .via(self.via.clone())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Repo {
    /// Add a repo: a folder, a package index or an object store
    #[command(
        after_help = "A repo named `blessed` becomes the preferred source, one named `review` the publish target.\n\nExamples:\n  backlot repo add blessed /studio/repos/blessed\n  backlot repo add review ../repos/review\n  backlot repo add wip ../wip --publish\n  backlot repo add studio https://index.studio.lan/team/dev\n  backlot repo add dev https://index.studio.lan/ana/dev --create --base studio/prod\n  backlot repo add site s3://assets/repo --endpoint https://s3.studio.lan --region eu-west-1\n  backlot repo add home webdav+https://files.studio.lan/repo\n  backlot repo add farm sftp://ana@farm.studio.lan/srv/repo\n  backlot repo add outside https://index.example/simple --public --allow numpy --allow \"opencolorio-*\"\n\nCredentials come from BACKLOT_REPO_<NAME>_TOKEN, or _USERNAME and _PASSWORD, for the server in _HOST, from a helper,\nfrom `backlot auth login`, or from ~/.netrc.\nFor a bucket these are a key ID and a secret key; without them, those of AWS's own tools are used.\nFor an SFTP server, they are the key in BACKLOT_REPO_<NAME>_KEY, the password in\nBACKLOT_REPO_<NAME>_PASSWORD, ssh-agent, ~/.ssh/id_ed25519 or id_rsa; its host key must be in ~/.ssh/known_hosts (or BACKLOT_KNOWN_HOSTS)."
    )]
    Add {
        /// Its name in this workspace
        name: String,
        /// A folder, which is created if absent; or the URL of a package index, as for pip and uv, of a bucket, or of a
        /// `WebDAV` or SFTP folder
        place: String,
        /// Prefer it for installs
        #[arg(long)]
        blessed: bool,
        /// Publish to it by default
        #[arg(long)]
        publish: bool,
        /// The upload URL of an index, if it does not follow from its URL
        #[arg(long, value_name = "URL")]
        upload: Option<String>,
        #[command(flatten)]
        store: Store,
        /// The index is outside the studio: only packages named by --allow or `[sources]` are requested from it
        #[arg(long, conflicts_with = "blessed")]
        public: bool,
        /// A package that may come from a public repo; `*` at the end matches any ending, alone all packages
        #[arg(long, value_name = "PACKAGE", requires = "public")]
        allow: Vec<String>,
        /// Create the index on a devpi server if it does not exist, with releases that cannot be replaced
        #[arg(long, conflicts_with_all = ["public", "upload"])]
        create: bool,
        /// An index that the new one inherits from, in order of preference
        #[arg(long, value_name = "USER/INDEX", requires = "create")]
        base: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List the repos in order of preference
    List,
    /// Allow packages from a public repo
    #[command(
        after_help = "Their requirements from the same repo must be allowed as well: no other name is sent to a public repo.\n\nExamples:\n  backlot repo allow outside numpy pillow\n  backlot repo allow outside \"opencolorio-*\"     all names with this prefix\n  backlot repo allow outside pillow --remove"
    )]
    Allow {
        /// The repo
        name: String,
        /// Names of packages; `*` at the end matches any ending, alone all packages
        #[arg(required = true, value_name = "PACKAGE")]
        packages: Vec<String>,
        /// Remove them from the list
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Rebuild the index of a repo in a folder or object store
    #[command(
        after_help = "Publishing keeps the index up to date. Run this after wheels were copied there by other means, or pages, records or sidecars\nwere damaged or lost. Others may publish meanwhile.\n\nExamples:\n  backlot repo reindex review\n  backlot repo reindex review --dry-run"
    )]
    Reindex {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Remove a repo from the workspace; its folder stays
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// Add a remote
    #[command(
        after_help = "Layout `chunked` stores chunks in packs, so a new version only adds its changes; layout `dvc` is DVC's own, for\nusing dvc on the same files.\n\nExamples:\n  backlot remote add main /studio/files\n  backlot remote add site file:///mnt/site/files --default\n  backlot remote add old /studio/dvc-files --layout dvc\n  backlot remote add cloud s3://assets/files --endpoint https://s3.studio.lan --region eu-west-1\n  backlot remote add home webdav+https://files.studio.lan/files\n  backlot remote add farm sftp://ana@farm.studio.lan/srv/files\n\nCredentials come from BACKLOT_REMOTE_<NAME>_TOKEN, or _USERNAME and _PASSWORD, for the server in _HOST, from _KEY for SSH,\nfrom a helper, `backlot auth login`, or ~/.netrc, as for repos; see `backlot repo add --help`."
    )]
    Add {
        /// Its name in this workspace
        name: String,
        /// A folder, a file:// URL, or the URL of a bucket or of a `WebDAV` or SFTP folder
        url: String,
        /// The layout: chunked or dvc [default: that of existing content, else chunked]
        #[arg(long, value_name = "LAYOUT")]
        layout: Option<backlot::RemoteLayout>,
        #[command(flatten)]
        store: Store,
        /// Make it the default
        #[arg(long)]
        default: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List the remotes
    List,
    /// Remove a remote from the workspace; its content stays
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Copy files from one remote to another, of any layout
    #[command(
        after_help = "Between chunked remotes only missing chunks are sent.\n\nExamples:\n  backlot remote copy main site                         everything\n  backlot remote copy main site Shot010 \"Table==1.2.0\"   the files of these releases\n  backlot remote copy old main --dry-run                from layout `dvc` to `chunked`"
    )]
    Copy {
        /// The remote to copy from
        from: String,
        /// The remote to copy to
        to: String,
        /// Packages or releases [default: all files]
        releases: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Set the remote that push and pull use
    Default {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Input {
    /// Add requirements
    #[command(
        after_help = "`Table` tracks every new release, `Table>=1.0,<2.0` only those in range; `Table==1.2.0` is pinned.\n\nExamples:\n  backlot input add KitchenSet \"Table>=1.0,<2.0\"\n  backlot input add KitchenSet Lamp --group build\n  backlot input add KitchenSet \"Rug @ https://host/rug-1.0-py3-none-any.whl#sha256=...\"\n\nA URL must be that of a wheel, or of a source distribution built with hatchling; every workspace that installs the asset has to\nrequire it as well."
    )]
    Add {
        /// The asset
        asset: String,
        /// Requirements
        #[arg(required = true)]
        requirements: Vec<String>,
        /// The group: build, edit, export, or any name
        #[arg(long)]
        group: Option<String>,
        /// Do not check that a release satisfies them
        #[arg(long)]
        no_check: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Remove requirements
    #[command(
        after_help = "Examples:\n  backlot input remove KitchenSet Table\n  backlot input remove KitchenSet Lamp --group build"
    )]
    Remove {
        /// The asset
        asset: String,
        /// Package names
        #[arg(required = true)]
        names: Vec<String>,
        /// The group
        #[arg(long)]
        group: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
}
