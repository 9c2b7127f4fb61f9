//! The arguments of `repo`, `remote` and `input`: where things are published and stored, and what assets require.

use clap::{Args, Subcommand};

use super::DryRun;

/// How a store of objects is reached.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The server of an s3:// bucket, if it is not AWS
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The region of an s3:// bucket [default: as for AWS's tools]
    #[arg(long)]
    region: Option<String>,
    /// Ask an s3:// bucket without credentials, unless there are some for its name
    #[arg(long)]
    anonymous: bool,
    /// A folder of this site that it is read through, filled once for all machines [env: `BACKLOT_SITE_CACHE`]
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
    /// Name a folder, a package index or a store of objects as a repo
    #[command(
        after_help = "A repo named `blessed` becomes the preferred source, one named `review` the publish target.\n\nExamples:\n  backlot repo add blessed /studio/repos/blessed\n  backlot repo add review ../repos/review\n  backlot repo add wip ../wip --publish\n  backlot repo add studio https://index.studio.lan/team/dev\n  backlot repo add dev https://index.studio.lan/ana/dev --create --base studio/prod\n  backlot repo add site s3://assets/repo --endpoint https://s3.studio.lan --region eu-west-1\n  backlot repo add home webdav+https://files.studio.lan/repo\n  backlot repo add farm sftp://ana@farm.studio.lan/srv/repo\n  backlot repo add outside https://index.example/simple --public --allow numpy --allow \"opencolorio-*\"\n\nCredentials come from BACKLOT_REPO_<NAME>_TOKEN, or _USERNAME and _PASSWORD, for the server in _HOST, from a helper,\nfrom `backlot auth login`, or from ~/.netrc.\nA bucket's are a key id and a secret key; without them, what AWS's own tools use.\nAn SFTP server is signed in to with the key in BACKLOT_REPO_<NAME>_KEY, the password in\nBACKLOT_REPO_<NAME>_PASSWORD, ssh-agent, ~/.ssh/id_ed25519 or id_rsa; its host key must be in ~/.ssh/known_hosts (or BACKLOT_KNOWN_HOSTS)."
    )]
    Add {
        /// Its name in this workspace
        name: String,
        /// The folder, made if absent; or the URL of a package index, as pip or uv are given it; or that
        /// of a bucket, or of a folder behind `WebDAV` or SFTP
        place: String,
        /// Make it the preferred source of installs
        #[arg(long)]
        blessed: bool,
        /// Make it the target of publishes
        #[arg(long)]
        publish: bool,
        /// Where an index takes uploads, if that is not beside its pages
        #[arg(long, value_name = "URL")]
        upload: Option<String>,
        #[command(flatten)]
        store: Store,
        /// It is outside the studio: it is asked only for what --allow or `[sources]` names
        #[arg(long, conflicts_with = "blessed")]
        public: bool,
        /// A package that may come from a public repo; `*` at the end stands for more, alone for all
        #[arg(long, value_name = "PACKAGE", requires = "public")]
        allow: Vec<String>,
        /// Make the index of a devpi server if it is not there; it never lets a release be replaced
        #[arg(long, conflicts_with_all = ["public", "upload"])]
        create: bool,
        /// An index that a new one inherits from, best first
        #[arg(long, value_name = "USER/INDEX", requires = "create")]
        base: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// The repos in order of preference
    List,
    /// Let packages come from a public repo
    #[command(
        after_help = "What these need from there has to be named too: a public repo never sees another name.\n\nExamples:\n  backlot repo allow outside numpy pillow\n  backlot repo allow outside \"opencolorio-*\"     all that begin so\n  backlot repo allow outside pillow --remove"
    )]
    Allow {
        /// The repo
        name: String,
        /// Names of packages; `*` at the end stands for more, alone for all
        #[arg(required = true, value_name = "PACKAGE")]
        packages: Vec<String>,
        /// Take them off the list
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Make the index of a repo in a folder or store again from its releases
    #[command(
        after_help = "Publishing keeps the index right. This is for wheels that were laid there by other means, and for pages,\nrecords or sidecars that were damaged or lost. Safe beside publishers.\n\nExamples:\n  backlot repo reindex review\n  backlot repo reindex review --dry-run"
    )]
    Reindex {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Forget a repo; its folder stays
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// Name a place as a remote
    #[command(
        after_help = "Layout `chunked` stores chunks in packs, so a new version costs what changed; layout `dvc` is DVC's own, for\npeople who use dvc on the same files.\n\nExamples:\n  backlot remote add main /studio/files\n  backlot remote add site file:///mnt/site/files --default\n  backlot remote add old /studio/dvc-files --layout dvc\n  backlot remote add cloud s3://assets/files --endpoint https://s3.studio.lan --region eu-west-1\n  backlot remote add home webdav+https://files.studio.lan/files\n  backlot remote add farm sftp://ana@farm.studio.lan/srv/files\n\nCredentials come from BACKLOT_REMOTE_<NAME>_TOKEN, or _USERNAME and _PASSWORD, for the server in _HOST, from _KEY for SSH,\nfrom a helper, `backlot auth login`, or ~/.netrc, as they do for repos; see `backlot repo add --help`."
    )]
    Add {
        /// Its name in this workspace
        name: String,
        /// A folder, a file:// address, or the URL of a bucket, or of a folder behind `WebDAV` or SFTP
        url: String,
        /// How content lies there: chunked or dvc [default: what is there, else chunked]
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
    /// The remotes
    List,
    /// Forget a remote; its content stays
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Copy files from one remote to another, of whatever layout
    #[command(
        after_help = "Between chunked remotes only missing chunks are sent.\n\nExamples:\n  backlot remote copy main site                         everything\n  backlot remote copy main site Shot010 \"Table==1.2.0\"   what these releases need\n  backlot remote copy old main --dry-run                from DVC's layout to ours"
    )]
    Copy {
        /// The remote they come from
        from: String,
        /// The remote they go to
        to: String,
        /// Packages or releases [default: all files]
        releases: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Choose the remote that push and pull use
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
        after_help = "Abstract (Table) follows every release, bounded (Table>=1.0,<2.0) those in the range,\nconcrete (Table==1.2.0) none.\n\nExamples:\n  backlot input add KitchenSet \"Table>=1.0,<2.0\"\n  backlot input add KitchenSet Lamp --group build\n  backlot input add KitchenSet \"Rug @ https://host/rug-1.0-py3-none-any.whl#sha256=...\"\n\nA URL leads to a wheel, or to a source distribution of hatchling; whoever installs the asset elsewhere names it, too."
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
        /// Do not look whether anything satisfies them
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
