//! Command-line arguments: all commands with their options, help texts and examples.

mod auth;
mod browse;
mod bundles;
mod cache;
mod cascade;
mod config;
mod daily;
mod executor;
mod external;
mod feed;
mod figures;
mod graphs;
mod imports;
mod parts;
mod pipelines;
mod places;
mod releases;
mod rules;
mod run;
mod steps;
mod values;
mod verify;

use backlot::ChangeOptions;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use auth::{Auth, LoginArgs};
pub(crate) use browse::{DuArgs, SearchArgs, UsageOrder};
pub(crate) use bundles::{BundleArgs, UnbundleArgs};
pub(crate) use cache::Cache;
pub(crate) use cascade::{CascadeCommand, DependentsArgs, DirtyArgs, PushArgs, RunNodeArgs, ValidateArgs};
pub(crate) use config::{ConfigCommand, PageFormat, SelfCommand};
pub(crate) use daily::{DiffArgs, DiscardArgs, GetArgs, LogArgs, NewArgs, RestoreArgs, UntrackArgs};
pub(crate) use executor::{ExecutorArgs, JobArgs};
pub(crate) use external::{Channel, External, Python};
pub(crate) use feed::{EventsArgs, HooksCommand, InboxArgs, InputsArgs};
pub(crate) use figures::{CompareArgs, Metrics, Params, Plots};
pub(crate) use graphs::GraphForm;
pub(crate) use imports::{ImportArgs, ImportFolderArgs, ImportRezArgs, ImportUrlArgs, UpdateArgs};
pub(crate) use parts::{AtRemote, FromPartsArgs, Part};
pub(crate) use pipelines::{DagArgs, ReproArgs, ResultArgs, RunStageArgs, Stage, StageAddArgs, StageTargets};
pub(crate) use places::{Input, Remote, Repo};
pub(crate) use releases::{CopyArgs, DeprecateArgs, Label, MirrorArgs, PolicyArgs, VerdictArgs};
pub(crate) use rules::RuleArgs;
pub(crate) use run::{EnvArgs, RunArgs, ShellArgs, ShellSyntax, WithArgs};
pub(crate) use steps::{
    AlphaMode, ChecksumArgs, FramesCheckArgs, ImageFormat, Look, ProxyArgs, SheetArgs, Step, SumFormat,
};
use values::parse_age;
pub(crate) use values::{DropArgs, ExportFormat, LocalizeArg};
pub(crate) use verify::VerifyArgs;

/// Asset pipeline engine: assets are packages, files are content-addressed.
#[derive(Debug, Parser)]
#[command(name = "backlot", version, max_term_width = 100)]
#[command(
    after_help = "First steps:\n  backlot demo                 the main workflow in a new folder, printing each command\n  backlot init && backlot repo add review ../repos/review\n  backlot help COMMAND         examples for each command\n\nExit codes: 0 done, 1 internal, 2 usage, 3 configuration, 4 not found, 5 conflict, 6 environment,\n7 integrity, 130 interrupted."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The workspace, or a folder inside it [default: the one this folder is in]
    #[arg(long, short = 'w', global = true, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Print the report as one JSON object on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Show every warning, even many of the same kind
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// Do not contact package indexes; use cached pages and files only
    #[arg(long, global = true)]
    pub(crate) offline: bool,
}

/// The option of commands that change something.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DryRun {
    /// Show what would be done, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl DryRun {
    pub(crate) fn changes(self) -> ChangeOptions {
        ChangeOptions::new().dry_run(self.dry_run)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a workspace
    #[command(
        after_help = "Examples:\n  backlot init                      here\n  backlot init shots/sh010          in a new folder\n  backlot init --python none        without an interpreter: inputs is a plain folder tree\n  backlot init --cache /fast/cache  with a cache of its own"
    )]
    Init {
        /// The folder [default: this one]
        dir: Option<PathBuf>,
        /// Python version, path of an interpreter, or `none`
        #[arg(long)]
        python: Option<String>,
        /// Cache folder for this workspace
        #[arg(long, value_name = "DIR", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        cache: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Manage repos, where releases are published
    #[command(subcommand)]
    Repo(Repo),
    /// Manage remotes, where file content is stored
    #[command(subcommand)]
    Remote(Remote),
    /// Store, list and test the credentials of servers
    #[command(subcommand)]
    Auth(Auth),
    /// Manage the file cache of this machine
    #[command(subcommand)]
    Cache(Cache),
    /// Show and change settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check this machine and workspace for problems
    #[command(
        after_help = "Checks disks, links between cache and workspace, file modes, the clock, Python, repos, remotes, servers and credentials, and\nsays how to fix problems. `backlot verify` checks content. The exit code is 6 if something does not work.\n\nExamples:\n  backlot doctor\n  backlot doctor --json | jq '.checks[] | select(.state != \"ok\")'"
    )]
    Doctor,
    /// Manage Python interpreters, for machines without Python
    #[command(subcommand)]
    Python(Python),
    /// Manage the channels for conda packages
    #[command(subcommand)]
    Channel(Channel),
    /// Manage conda packages beside the inputs
    #[command(subcommand)]
    External(External),
    /// Create an asset
    #[command(
        after_help = "Examples:\n  backlot new Table --type Prop\n  backlot new \"Kitchen Set\" --type Set --tag hero --tag interior"
    )]
    New(NewArgs),
    /// Track files or folders of an asset
    #[command(
        after_help = "Examples:\n  backlot add outputs/table/src/table/frames          a folder inside an asset\n  backlot add ~/renders/turntable --asset Table       copy a folder into the asset and track it; repeat to update it\n  backlot add ~/tmp/v3.abc --asset Table --as model.abc\n  backlot add outputs/table/src/table/frames --push   add and push in one pass\n  backlot add /scratch/renders --asset Table --to-remote           send the files, keep only their pointer here\n  backlot add outputs/table/src/table/frames/f.0004.exr            only this frame of a tracked folder\n  backlot add --remove outputs/table/src/table/frames/f.0004.exr   the folder without this frame\nFiles of a tracked folder that were never pulled here stay as they are."
    )]
    Add {
        /// Files or folders
        #[arg(required_unless_present = "remove")]
        paths: Vec<PathBuf>,
        /// Remove a file or folder from its tracked folder, even if it was never pulled
        #[arg(long, value_name = "PATH")]
        remove: Vec<PathBuf>,
        /// The asset to copy files from outside into
        #[arg(long, value_name = "NAME")]
        asset: Option<String>,
        /// The name in the asset for a file or folder from outside
        #[arg(long = "as", value_name = "NAME")]
        rename: Option<String>,
        /// Keep files of the tracked folder that are no longer in PATH
        #[arg(long, requires = "asset")]
        keep_gone: bool,
        /// Push the asset's files as well, sending new files while they are read
        #[arg(long, group = "sending")]
        push: bool,
        /// Send the files in one pass, without a copy in the cache or, for files from outside, in the asset
        #[arg(long, group = "sending")]
        to_remote: bool,
        /// The remote to push to [default: the default one]
        #[arg(long, value_name = "NAME", requires = "sending")]
        remote: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Import a file or folder from a path or URL, and track its source
    ImportUrl(ImportUrlArgs),
    /// Import a file or folder from a release of another repo
    Import(ImportArgs),
    /// Convert a rez package to an asset
    ImportRez(ImportRezArgs),
    /// Publish the versions in a folder tree such as `table_v001`, `table_v002`
    ImportFolder(ImportFolderArgs),
    /// Stop tracking files or folders, without deleting them
    Untrack(UntrackArgs),
    /// Restore tracked files as they were added, or from a release
    Restore(RestoreArgs),
    /// Discard local changes of tracked files; copies are kept
    Discard(DiscardArgs),
    /// Show the state of files, versions and inputs
    #[command(
        after_help = "Examples:\n  backlot status\n  backlot status --short\n  backlot status --imports         check the sources of imports\n  backlot status --json | jq .outputs[].version"
    )]
    Status {
        /// Print one line per change, as `git status --short`
        #[arg(long, short)]
        short: bool,
        /// Check the sources of imports for changes
        #[arg(long, conflicts_with = "short")]
        imports: bool,
    },
    /// Show differences between an asset and a release, or two releases
    Diff(DiffArgs),
    /// Show the releases of an asset with author, time, reason and inputs
    Log(LogArgs),
    /// Add and remove requirements of an asset
    #[command(subcommand)]
    Input(Input),
    /// Raise an asset's version
    #[command(
        after_help = "Steps: major, minor, micro (patch, fix), a, b, rc, post, dev, release, or several separated by commas.\n\nExamples:\n  backlot bump Table minor          1.2.3 -> 1.3.0\n  backlot bump Table 2.0.0          1.2.3 -> 2.0.0\n  backlot bump Table patch,a        1.2.3 -> 1.2.4a0\n  backlot bump Table rc             1.2.4a0 -> 1.2.4rc0\n  backlot bump Table release        1.2.4rc0 -> 1.2.4\n  cd outputs/table && backlot bump micro"
    )]
    Bump {
        /// The asset, and the steps or version; inside an asset's folder, only the steps or version
        #[arg(required = true, num_args = 1..=2, value_names = ["ASSET", "STEPS|VERSION"])]
        words: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Build an asset's wheel
    #[command(
        after_help = "Examples:\n  backlot build Table               into build/table/\n  backlot build                     inside an asset's folder, or if there is only one"
    )]
    Build {
        /// The asset
        asset: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Run the checks declared by an asset and by the studio
    #[command(
        after_help = "Checks are declared in the asset.toml of an asset, and in that of the asset that `checks` in backlot.toml names. A publish runs them\nfirst, and fails if one fails. The exit code is 5 if a check fails, 6 if one cannot be run.\n\nExamples:\n  backlot validate Table\n  backlot validate Table --auto      as strictly as in a cascade\n  backlot validate Table --to blessed\n  backlot validate Table --repair         run the `repair` of failed checks, and apply it after confirmation\n  backlot validate Table --repair --yes\n\n  # src/table/asset.toml\n  [[backlot.validate]]\n  id = \"frames.complete\"\n  files = \"frames/*.exr\"\n  params = { first = 1001, last = 1100 }"
    )]
    Validate(ValidateArgs),
    /// Publish an asset: push its files, build its wheel, create the release
    #[command(
        after_help = "Changed files are added first; files of a tracked folder that were never pulled here stay as they are. Publishing a\nversion again is a conflict. With --bump, the asset gets its new version when the release is created.\n\nExamples:\n  backlot publish Table                     to the default repo of the workspace, often `review`\n  backlot publish Table --bump minor        1.2.3 -> 1.3.0; --bump 2.0.0 sets an exact version\n  backlot publish Table --skip-existing     for scripts that may run twice\n  backlot publish Table --to blessed -m \"approved by Ana\"\n  backlot publish Table --dry-run           show what would be pushed, and where\n  backlot publish Table --remove outputs/table/src/table/frames/f.0004.exr\n  backlot publish Table --no-cache          for machines with little disk space: send without a copy\n  backlot publish Shot010 --repro           run stages that are not up to date first\n  backlot publish Table --push              then rebuild and publish the assets built from it\n  backlot publish Table --push --background   the same in the background\n  backlot publish Shot010 --pull            update its inputs first\n  backlot publish Shot010 --from-parts 5f3e91 --expect frames=1-100       files that a farm job stored with `part push`"
    )]
    Publish {
        /// The asset
        asset: Option<String>,
        /// The repo
        #[arg(long, value_name = "REPO")]
        to: Option<String>,
        /// The remote for the files
        #[arg(long, value_name = "NAME")]
        remote: Option<String>,
        /// The reason, recorded with the release
        #[arg(long, short)]
        message: Option<String>,
        /// Raise the version first: steps as for `backlot bump`, or an exact version
        #[arg(long, value_name = "STEPS|VERSION")]
        bump: Option<String>,
        /// Succeed without publishing if this version is already in the repo
        #[arg(long)]
        skip_existing: bool,
        /// Remove a file or folder from its tracked folder, even if it was never pulled
        #[arg(long, value_name = "PATH")]
        remove: Vec<PathBuf>,
        /// Publish even if the release cannot be installed or lacks changes of a newer one; requires a reason (-m)
        #[arg(long, requires = "message")]
        force: bool,
        /// Publish even with pointers marked `push: false`, whose files cannot be pulled
        #[arg(long)]
        allow_unpushed: bool,
        /// First run the pipeline stages that are not up to date
        #[arg(long, conflicts_with = "dry_run")]
        repro: bool,
        /// Send changed files in one pass, without a copy in the cache
        #[arg(long, conflicts_with_all = ["from_parts", "allow_unpushed"])]
        no_cache: bool,
        /// Do not report the assets it affects
        #[arg(long)]
        no_dirty: bool,
        #[command(flatten)]
        cascade: PushArgs,
        #[command(flatten)]
        parts: FromPartsArgs,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Run the pipeline stages that are not up to date
    #[command(
        after_help = "Stages are defined in a dvc.yaml in the package of an asset, in DVC's format, and may write only there.\nCached results are restored instead of running the stage. Outputs are replaced only when\ntheir stage has succeeded. Commands get PATH, VIRTUAL_ENV and PYTHONPATH as with `backlot run`, and\nBACKLOT_ASSET, BACKLOT_VERSION, BACKLOT_WORKSPACE and BACKLOT_INPUTS.\n\nExamples:\n  backlot repro                    the dvc.yaml here, else this asset's, else all assets'\n  backlot repro Shot010            all stages of an asset, with their dependencies\n  backlot repro Shot010:movie -n   show what would run, and why\n  backlot repro -k -j 4            four at a time; continue after a failure\n  backlot repro -f -s movie        run one stage even if it is up to date\n  backlot repro --pull             fetch results from the remote instead of running stages"
    )]
    Repro(ReproArgs),
    /// Run one stage of a plan, for schedulers
    #[command(
        after_help = "The stages that it depends on are not checked. Several stages may run at the same time.\n\nExamples:\n  backlot repro --plan-json > plan.json\n  backlot run-stage outputs/shot010/src/shot010/dvc.yaml:movie --json"
    )]
    RunStage(RunStageArgs),
    /// List and edit pipeline stages
    #[command(subcommand)]
    Stage(Stage),
    /// Show the dependency graph of pipeline stages
    #[command(
        after_help = "Examples:\n  backlot dag\n  backlot dag Shot010 --svg > shot010.svg\n  backlot dag Shot010 --dot | dot -Tpdf > shot010.pdf\n  backlot dag --mermaid"
    )]
    Dag(DagArgs),
    /// Compare parameters of pipelines
    #[command(subcommand)]
    Params(Params),
    /// Show and compare metrics of pipelines
    #[command(subcommand)]
    Metrics(Metrics),
    /// Draw plots of pipelines
    #[command(subcommand)]
    Plots(Plots),
    /// Manage the parts of farm jobs: rendered files, stored until they are published
    #[command(subcommand)]
    Part(Part),
    /// Copy a release from one repo to another, byte for byte
    #[command(
        after_help = "Files are copied first, then required releases, then the release; a rerun copies what is missing. Approvals and yanks are\ncopied as well.\n\nExamples:\n  backlot copy Table==1.0.0 --from review --to blessed\n  backlot copy Table --from review --to blessed           the newest\n  backlot copy Shot010 --from review --to blessed --with-deps\n  backlot copy Table==1.0.0 --from review --to site --from-remote main --to-remote site"
    )]
    Copy(CopyArgs),
    /// Copy all releases of one repo to another
    #[command(
        after_help = "Only missing releases are copied, with approvals and yanks; nothing is removed from the other repo. An\ninterrupted run is continued by the next one.\n\nExamples:\n  backlot mirror blessed site\n  backlot mirror blessed site --name \"shot*\" --newest 3\n  backlot mirror blessed site --files --from-remote main --to-remote site"
    )]
    Mirror(MirrorArgs),
    /// Pack releases with everything they require into one file or folder
    #[command(
        after_help = "Wheels, files, a lock and a tree that runs without Backlot: `./activate python ...`, or env.json for launchers. The\nsame releases give the same bytes. A bundle contains no credentials and no paths of this machine.\n\nExamples:\n  backlot bundle Shot010==1.2 -o shot.tar.zst      one file\n  backlot bundle Shot010==1.2 Tools -o /media/usb/shot   a folder\n  backlot bundle -o everything.tar.zst            what is installed in this workspace\n  backlot bundle Shot010 -o shot.tar.zst --dry-run\nWithout Backlot: tar -xf shot.tar.zst --one-top-level=shot && shot/activate python -c \"import shot010\""
    )]
    Bundle(BundleArgs),
    /// Import a bundle into this workspace, a repo or a remote
    #[command(
        after_help = "The whole bundle is checked before any of it is used. Its files go into the cache. Without --into-repo and --push its releases\ngo to the repo `bundles` of this workspace, and are installed into `inputs`; no other repo or remote is contacted.\n\nExamples:\n  backlot unbundle shot.tar.zst                              install it here\n  backlot unbundle shot.tar.zst --into-repo site --push site  for all workspaces of this site\n  backlot unbundle /media/usb/shot --push site               only its files\n  backlot unbundle shot.tar.zst --dry-run                    check it"
    )]
    Unbundle(UnbundleArgs),
    /// Mark a release approved
    #[command(
        after_help = "Examples:\n  backlot approve Table==1.0.0 --repo review -m \"approved by the lead\""
    )]
    Approve(VerdictArgs),
    /// Mark a release deprecated
    #[command(
        after_help = "A deprecated release is chosen only if no other release fits, with a warning, and never by `backlot update`.\n\nA release is unused if it is not the newest of its asset, has no label, is older than the age, nothing was built with it since,\nand the newest releases of all assets, in all repos of the workspace, were not built with it and allow a newer one. --json lists\nthe kept releases with reasons.\n\nExamples:\n  backlot deprecate Table==1.0.0 -m \"use 2.0, its rig is faster\"\n  backlot deprecate Table --below 2.0 -m \"the old rig\"    all releases below it\n  backlot deprecate Table --below 2.0 -m \"the old rig\" --dry-run\n  backlot deprecate --unused-for 90d                     list unused releases\n  backlot deprecate --unused-for 90d --yes               deprecate them"
    )]
    Deprecate(DeprecateArgs),
    /// Mark a release yanked: it is kept, but no longer chosen
    #[command(
        after_help = "A yanked release is only installed by a pin (Table==1.0.0) or from a lock, by Backlot as well as by pip and uv.\n\nExamples:\n  backlot yank Table==1.0.0 --repo blessed -m \"wrong scale\""
    )]
    Yank(VerdictArgs),
    /// Unyank a release
    #[command(after_help = "Examples:\n  backlot unyank Table==1.0.0 -m \"the scale was right\"")]
    Unyank(VerdictArgs),
    /// Manage labels, movable names for releases of an asset
    #[command(subcommand)]
    Label(Label),
    /// Show and change the policies for choosing releases
    Policy(PolicyArgs),
    /// Search for packages in the repos
    Search(SearchArgs),
    /// List all packages in the repos
    #[command(after_help = "Examples:\n  backlot list\n  backlot list --repo blessed")]
    List {
        /// Only this repo
        #[arg(long, value_name = "REPO")]
        repo: Option<String>,
    },
    /// Show a release: requirements, size, files
    #[command(
        after_help = "Examples:\n  backlot show Table\n  backlot show Table==1.0.0\n  backlot show \"KitchenSet<2\""
    )]
    Show {
        /// A name, or a requirement
        release: String,
    },
    /// Install assets and pull their files, in a workspace or a new one
    Get(GetArgs),
    /// Install releases with their requirements
    #[command(
        after_help = "Examples:\n  backlot install Shot010                    and add it to backlot.toml\n  backlot install \"Table>=1.2,<2\" Lamp==1.0\n  backlot install                            update inputs to match backlot.toml\n  backlot install --upgrade                  also update to newer releases that fit\n  backlot install Table --from review        prefer a repo, this time only\n  backlot install Table@hero                 the release with a label, see `backlot label`\n  backlot install \"Rug @ https://host/rug-1.0-py3-none-any.whl\"   a file by its URL, locked with its digest\n  backlot install --locked                   exactly backlot.lock\n  backlot install --repair                   reinstall packages that `verify --inputs` reports as damaged\n  backlot install --from-lock pylock.toml    exactly the lock of another tool\n  backlot install Shot010 -c \"Table<2\"       keep Table below 2, whatever requires it\n  backlot install Shot010 --override \"Table==1.4\"\n  backlot install --resolution lowest --dry-run\n  backlot install Shot010 --pull             also pull the files of all inputs that are not on demand\nWithout --pull, run `backlot pull` for the files."
    )]
    Install {
        /// Requirements
        requirements: Vec<String>,
        /// Prefer this repo to all others
        #[arg(long, value_name = "REPO")]
        from: Option<String>,
        /// Update to newer releases that fit
        #[arg(long, short = 'U')]
        upgrade: bool,
        /// Allow pre-releases
        #[arg(long)]
        pre: bool,
        /// Install exactly the versions in backlot.lock
        #[arg(long, conflicts_with_all = ["upgrade", "pre", "from", "resolution", "constraints", "overrides", "exclude_newer"])]
        locked: bool,
        /// Reinstall damaged packages of the environment, and nothing else
        #[arg(long, conflicts_with_all = ["requirements", "upgrade", "pre", "from", "locked"])]
        repair: bool,
        /// Install exactly the versions in a pylock.toml, and require them from now on
        #[arg(long, value_name = "FILE", conflicts_with_all = ["requirements", "upgrade", "pre", "from", "locked"])]
        from_lock: Option<PathBuf>,
        /// Also pull the tracked files of all inputs that are not on demand (see `backlot localize`)
        #[arg(long, alias = "wait-local", conflicts_with = "repair")]
        pull: bool,
        #[command(flatten)]
        rules: RuleArgs,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Choose whether the files of an input are always pulled, or only on demand
    #[command(
        after_help = "Saved in `[localize]` of backlot.toml. Files that were already pulled are kept.\n\nExamples:\n  backlot localize                             the setting of each input\n  backlot localize Character01 on-demand       `backlot pull` skips its files\n  backlot pull Character01                     pulls them now\n  backlot localize Character01 always"
    )]
    Localize {
        /// The asset
        #[arg(requires = "when")]
        asset: Option<String>,
        /// When its files are pulled
        when: Option<LocalizeArg>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Update inputs to the newest releases that fit, or imports from their source
    Update(UpdateArgs),
    /// Show inputs with newer releases, and the requirements that exclude them
    #[command(
        after_help = "Columns: the installed version, the version that `backlot update` would install, the newest in each repo.\n\nExamples:\n  backlot outdated\n  backlot outdated --json | jq .outdated[].package"
    )]
    Outdated,
    /// Show the inputs as a tree of requirements
    #[command(
        after_help = "Examples:\n  backlot tree\n  backlot tree Shot010 --depth 1\n  backlot tree Table --invert        the packages that require Table\n  backlot tree --svg > inputs.svg"
    )]
    Tree {
        /// The root of the tree [default: the requirements of the workspace]
        name: Option<String>,
        /// Show the packages that require it instead
        #[arg(long)]
        invert: bool,
        /// The number of levels to show below the roots
        #[arg(long, short, value_name = "N")]
        depth: Option<usize>,
        #[command(flatten)]
        form: GraphForm,
    },
    /// Show every chain of requirements that leads to a package
    #[command(after_help = "Examples:\n  backlot why Table")]
    Why {
        /// The package
        name: String,
    },
    /// List the assets that require an asset, over whole repos
    #[command(
        after_help = "Only the newest release of each asset is considered. `backlot tree NAME --invert` shows the inputs of this workspace instead.\n\nExamples:\n  backlot dependents Table\n  backlot dependents Table --depth 2           and the assets that require those\n  backlot dependents Table --all --repo blessed\n  backlot dependents Table --all --svg > table.svg\n  backlot dependents Table --json | jq .dependents[].package"
    )]
    Dependents(DependentsArgs),
    /// Show the assets that a release affects, or that are not current
    #[command(
        after_help = "An asset is current if its newest release was built with the inputs that would be chosen now. All others have a decision: build,\nup to date (new versions of its inputs have the same files), held (by a bound, a pin, a conflict, or frozen), manual, outside,\nproposed or cycle.\n\nExamples:\n  backlot dirty                        all assets that are not current\n  backlot dirty Table==1.5.0           the assets that Table 1.5.0 affects, published or not\n  backlot dirty Table --repo review    of the output Table, or else of its newest release\n  backlot dirty Table --dot | dot -Tpdf > table.pdf"
    )]
    Dirty(DirtyArgs),
    /// Rebuild the assets that a release affects; watch, stop, resume and undo it
    #[command(subcommand)]
    Cascade(CascadeCommand),
    /// Run a command in the environment of the inputs, or of named releases
    Run(RunArgs),
    /// Start a shell in the environment of the inputs, or of named releases
    Shell(ShellArgs),
    /// Print the variables of the environment of the inputs, or of named releases
    Env(EnvArgs),
    /// Show release events: created, approved, deprecated, yanked, unyanked
    Events(EventsArgs),
    /// Run commands and webhooks on events
    #[command(subcommand)]
    Hooks(HooksCommand),
    /// Show each input: installed, newest and approved version, recommended action
    Inputs(InputsArgs),
    /// Show news about the inputs: new versions, yanks, deprecations, approvals
    Inbox(InboxArgs),
    /// Remove packages from the requirements of the workspace
    #[command(
        after_help = "Packages that nothing else requires are uninstalled.\n\nExamples:\n  backlot uninstall Shot010"
    )]
    Uninstall {
        /// Package names
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Choose releases and write backlot.lock, without installing
    #[command(
        after_help = "Examples:\n  backlot lock\n  backlot lock --upgrade --dry-run\n  backlot lock --constraint \"Table<2\"       keep Table below 2\n  backlot lock --exclude-newer 2026-01-31  with the releases up to that day"
    )]
    Lock {
        /// Ignore the existing lock
        #[arg(long, short = 'U')]
        upgrade: bool,
        /// Allow pre-releases
        #[arg(long)]
        pre: bool,
        #[command(flatten)]
        rules: RuleArgs,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Export the exact inputs as requirements.txt or pylock.toml, for pip and uv
    #[command(
        after_help = "Examples:\n  backlot export                        to standard output\n  backlot export -o requirements.txt\n  backlot export -o pylock.toml         PEP 751, chosen by the file name"
    )]
    Export {
        /// The file
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The format [default: from the file name, else requirements]
        #[arg(long, value_enum, value_name = "FORMAT")]
        format: Option<ExportFormat>,
        /// Omit the digests from requirements.txt
        #[arg(long)]
        no_hashes: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Pull the tracked files of inputs and outputs
    #[command(
        after_help = "Every file is verified before it appears. Files that --force overwrites are kept in the cache; --undo restores them.\nA name with `/` or a pattern is a path, relative to this folder or to the asset.\n\nExamples:\n  backlot pull\n  backlot pull Shot010 --remote site\n  backlot pull Shot010 --frames 1001-1010x2\n  backlot pull Shot010 \"frames/beauty.[1001-1010].exr\"\n  backlot pull outputs/table/src/table/frames/beauty.1001.exr"
    )]
    Pull {
        /// Assets, and paths or patterns of files [default: all]
        #[arg(value_name = "ASSET|PATH")]
        names: Vec<String>,
        /// Only these frames of sequences, as 1001-1010 or 1001-1010x2
        #[arg(long, value_name = "FRAMES")]
        frames: Option<String>,
        /// The remote
        #[arg(long, value_name = "NAME")]
        remote: Option<String>,
        /// Overwrite or remove files that were changed, renamed or copied locally, keeping a copy in the cache
        #[arg(long)]
        force: bool,
        /// Restore the files that the last `pull --force` replaced
        #[arg(long, conflicts_with_all = ["names", "frames", "remote", "force"])]
        undo: bool,
        /// Also fetch stage results of other machines for these assets
        #[arg(long, conflicts_with_all = ["frames", "undo"])]
        run_cache: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Push the tracked files of outputs to a remote
    #[command(
        after_help = "`backlot publish` pushes as well; use this for files that others need before there is a release. With paths or frames, only the\nfiles are sent, not the manifest of their folder.\n\nExamples:\n  backlot push\n  backlot push Table --dry-run\n  backlot push Table --frames 1001-1010\n  backlot push Dailies --run-cache"
    )]
    Push {
        /// Assets, and paths or patterns of files [default: all]
        #[arg(value_name = "ASSET|PATH")]
        names: Vec<String>,
        /// Only these frames of sequences, as 1001-1010 or 1001-1010x2
        #[arg(long, value_name = "FRAMES")]
        frames: Option<String>,
        /// The remote
        #[arg(long, value_name = "NAME")]
        remote: Option<String>,
        /// Also push stage results of these assets, so that other machines need not run the stages
        #[arg(long, conflicts_with = "frames")]
        run_cache: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Turn an installed release into an editable output
    #[command(
        after_help = "The version is raised by a micro step; `backlot pull` then fetches the files. With --rebase, changes of a newer release are merged\ninto the output file by file; if both changed a file, this is a conflict and nothing is changed.\n\nExamples:\n  backlot edit Table\n  backlot edit Table --rebase"
    )]
    Edit {
        /// The package
        name: String,
        /// Merge the changes of the newest release into the output
        #[arg(long)]
        rebase: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Rename an output
    #[command(
        after_help = "Renames its folders, package, module and metadata, and updates the requirements of this workspace and its other outputs. Tracked\nfiles stay tracked. Releases of the old name are kept: publish the new name, then deprecate them. Code that imports the module is\nlisted, not changed.\n\nExamples:\n  backlot rename Table Desk --dry-run\n  backlot rename Table Desk\n  backlot publish Desk && backlot deprecate Table==1.2.0 -m \"renamed to Desk\""
    )]
    Rename {
        /// The asset
        asset: String,
        /// Its new name
        #[arg(value_name = "NEW")]
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Check the cache, the remote and installed files against their checksums
    Verify(VerifyArgs),
    /// Restore damaged or missing objects of a remote, or releases of a repo
    #[command(
        after_help = "Reads the whole remote or repo, and restores damaged or missing data from the cache, or from the other remotes or repos of this\nworkspace. Releases are only restored with the digest that they were published with.\n\nExamples:\n  backlot repair\n  backlot repair --remote site --from main --dry-run\n  backlot repair --repo review                 wheels, sidecars and pages of a repo in a folder or store\n  backlot repair --repo blessed --from review"
    )]
    Repair {
        /// The remote [default: the default one]
        #[arg(long, value_name = "NAME")]
        remote: Option<String>,
        /// A repo in a folder or store, instead of a remote
        #[arg(long, value_name = "NAME", conflicts_with = "remote")]
        repo: Option<String>,
        /// The only remote or repo to restore from
        #[arg(long, value_name = "NAME")]
        from: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Show the disk usage of releases on a remote
    Du(DuArgs),
    /// Collect garbage of a remote, or show that of the cache
    #[command(
        after_help = "Objects of a remote that are needed neither by a release in this workspace's repos, nor by one in other repos recorded on the\nremote, nor by a workspace of this cache, are marked first and deleted by a later collection, after the grace period. Others may\npush meanwhile. Of the cache, unneeded files are only listed; `backlot cache clean` removes them.\n\nWith --drop, files of deprecated or yanked releases are needed no longer, unless another release or a workspace of this cache uses\nthem. The repo records it, and a later pull of such a release says so. `backlot approve` and `backlot unyank` take it back until the\nfiles are deleted.\n\nExamples:\n  backlot gc --dry-run                      list unneeded files of the cache\n  backlot gc --remote --dry-run             show a collection of the default remote\n  backlot gc --remote site --grace 30d\n  backlot gc --remote --drop deprecated,yanked --drop-age 90d --dry-run\n  backlot gc --remote --forget-user ID      ignore the releases of a repo that no longer exists\n  backlot gc --remote --restore             undo a pending collection"
    )]
    Gc {
        /// Collect a remote [default: the default one]
        #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
        remote: Option<String>,
        /// How long marked objects are kept, as 90m, 12h or 14d
        #[arg(long, value_name = "AGE", default_value = "14d", requires = "remote", value_parser = parse_age)]
        grace: std::time::Duration,
        /// Objects younger than this are kept in any case
        #[arg(long, value_name = "AGE", default_value = "24h", requires = "remote", value_parser = parse_age)]
        young: std::time::Duration,
        /// Parts of farm jobs, with their files, are kept until they are older than this
        #[arg(long, value_name = "AGE", default_value = "30d", requires = "remote", value_parser = parse_age)]
        part_age: std::time::Duration,
        /// Allow `--young` and `--grace` below an hour; no one else may push, publish or collect meanwhile
        #[arg(long, requires = "remote")]
        no_other_writers: bool,
        /// Collect even if it is most of what the remote holds
        #[arg(long, requires = "remote")]
        allow_most: bool,
        /// Forget a repo that is recorded on the remote; files that only its releases need are collected
        #[arg(long, value_name = "ID", requires = "remote", conflicts_with = "restore")]
        forget_user: Vec<String>,
        #[command(flatten)]
        drops: DropArgs,
        /// Undo a pending collection
        #[arg(long, requires = "remote", conflicts_with = "allow_most")]
        restore: bool,
        /// Show what would be collected, change nothing
        #[arg(long, required_unless_present = "remote")]
        dry_run: bool,
    },
    /// Run a built-in step: proxies, contact sheets, checksums, frame checks
    #[command(subcommand)]
    Step(Step),
    /// Show information about this program
    #[command(name = "self", subcommand)]
    Program(SelfCommand),
    /// Print the completion script of a shell
    #[command(
        after_help = "In bash, zsh and fish, names of assets, releases, repos, remotes and settings are completed as well.\n\nExamples:\n  backlot completions bash > ~/.local/share/bash-completion/completions/backlot\n  backlot completions zsh > ~/.zfunc/_backlot             with ~/.zfunc in fpath\n  backlot completions fish > ~/.config/fish/completions/backlot.fish"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print completions of the last word, for completion scripts
    #[command(hide = true)]
    Complete {
        /// WORDS is one word, the command line up to the cursor
        #[arg(long)]
        line: bool,
        /// The words after the name of the program
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Run the main workflow in a new folder, printing each command
    #[command(after_help = "Examples:\n  backlot demo\n  backlot demo /tmp/backlot-demo --frames 100")]
    Demo {
        /// The folder, which must be new or empty [default: backlot-demo]
        dir: Option<PathBuf>,
        /// Frames of the sequence
        #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(8..=10_000))]
        frames: u32,
    },
}
