//! Backlot for programs: workspaces, assets, publishing, installing, files.
//!
//! Everything the command line does is a method of [`Workspace`], or a function of [`media`], which needs none; it returns a report that
//! serialises to what `--json` prints. An embedding program says who and where it is by a [`Host`], and watches and stops work by a [`Context`].
//!
//! ```
//! use backlot::{
//!     AddFiles, AddRemote, AddRepo, Context, Host, InitOptions, InstallRequest, NewAsset, PublishOptions, PullOptions, Workspace,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let top = tempfile::tempdir()?;
//! # let top = top.path();
//! # fs_err::write(top.join("table.usda"), "#usda 1.0\n")?;
//! // One host for all workspaces of a program; `Host::from_env` is the one that the command has.
//! let host = Host::new(top.join("cache"));
//! let context = Context::default();
//! let workspace = |name: &str| -> Result<Workspace, backlot::Error> {
//!     let options = InitOptions::new().python(Some("none".to_owned()));
//!     Workspace::init(&top.join(name), &options, &host, &context)?;
//!     let workspace = Workspace::open(&top.join(name), &host)?;
//!     workspace.add_repo("review", "../review", &AddRepo::default(), &context)?;
//!     workspace.add_remote("files", "../files", &AddRemote::new().as_default(true), &context)?;
//!     Ok(workspace)
//! };
//!
//! // An artist: an asset of one file, published.
//! let ana = workspace("ana")?;
//! ana.new_asset("Table", &NewAsset::default(), &context)?;
//! let into = AddFiles::new().asset(Some("Table".to_owned()));
//! ana.add(&[top.join("table.usda")], &into, &context)?;
//! ana.publish("Table", &PublishOptions::default(), &context)?;
//!
//! // Somebody else: the release and its file.
//! let bob = workspace("bob")?;
//! bob.install(&["Table".to_owned()], &InstallRequest::default(), &context)?;
//! let pulled = bob.pull(&[], &PullOptions::new(), &context)?;
//! assert_eq!((pulled.assets.len(), pulled.assets[0].files), (1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # Threads, async, cancellation, cost, locks
//!
//! A [`Workspace`] is a handle: cheap to clone, shared by threads freely. A call blocks until it is done and may be made on any thread; on one of a pool or of
//! an asynchronous runtime it does its work on a thread of its own. [`aio::run`] makes a future of a call, and dropping that cancels it. A call stops when its [`Context`] is
//! cancelled or its time is over, between two small steps; files, releases and the environment are then as before or as after, never between. All computing is done
//! by the [`Pool`] of the host, all requests in its [`Runtime`]. Memory does not grow with the size of files; transfers stay below 256 MiB. A change of a workspace
//! holds its lock while its own files are written, and not while bytes move; how long a call waits for it is the caller's ([`Context::with_lock_timeout`]).
//!
//! Deliberately absent: terminals, environment variables (unless a program asks for them by [`Host::from_env`]), globals, signal handlers.

pub mod aio;
mod bundle;
mod cascade;
pub mod codes;
mod environment;
mod error;
mod feed;
mod files;
mod handle;
mod imports;
mod pipelines;
mod project;
mod releases;
mod toolchain;
mod validate;
mod workspace;

pub use backlot_backend::StoreOptions;
pub use backlot_cascade::render::{Picture, PictureNode, Tone as PictureTone};
pub use backlot_cascade::{
    AttemptBatch, CascadeId, Decision, DirtyNode, DirtyReport, Ending, Entry as CascadeEntry,
    Failure as CascadeFailure, Hold, JournalEvent, NodeEvent, NodeId, NodeStatus, NodeSummary,
    Plan as CascadePlan, RepoName, RevertPlan, RevertStep, Settings as CascadeSettings,
    Summary as CascadeSummary, Unchanged,
};
pub use backlot_core::web::is_loopback;
pub use backlot_core::{
    Cancel, CancelOnDrop, Cancelled, Class, Clock, Context, Diagnostic, Event, EventKind, FixedClock,
    LinkMode, Observer, Operation, OperationId, OperationState, Pool, Progress, Subject, Timestamp, Warning,
    platform, text,
};
pub use backlot_dvc::pipeline::PipelineError;
pub use backlot_dvc::pipeline::run::{
    Exit as StageExit, Outcome as StageOutcome, Plan as ReproPlan, Planned as PlannedAction, PlannedStage,
    Recovered as RecoveredStage, StageError, StageReport, supervise,
};
pub use backlot_dvc::{Change, FileChanges, MissingFrames, PartsError};
pub use backlot_media as media;
pub use backlot_net::{
    Credential, CredentialChain, CredentialRequest, CredentialSource, FoundCredential, FromVariables,
    ListedCredential, Netrc, NetworkOptions, PlaceName, Proxies, Runtime, SourceKind, SshOptions,
};
pub use backlot_pep::{
    AssetName, BumpStep, PackageName, Requirement, RequirementKind, Version, VersionChange, bump,
};
pub use backlot_repo::AllowedName;
pub use backlot_repo::{BadFeedPosition, FeedEvent, FeedPosition};
pub use backlot_repo::{
    LabelEvent, Location, Query, QueryError, RecordedCheck, RecordedWaiver, ReindexReport, ReleaseEvent,
    ReleaseEventKind, ReleaseRemote, StatusChange, StatusChangeReport,
};
pub use backlot_resolve::{Preference, PrereleasePolicy};
pub use backlot_store::{
    CollectOptions, CollectReport, Collected, DamagedPack, RemoteLayout, RestoreReport, Usage,
};
pub use backlot_store::{DamagedPart, DroppedPart, JobId, JobRelease, PartHead, StoredName};
pub use bundle::{
    BundleFile, BundleManifest, BundleOptions, BundlePlatform, BundleReport, BundledPackage, UnbundleOptions,
    UnbundleReport, UnbundledFiles, UnbundledPackage, UnbundledState,
};
pub use cascade::background::BackgroundRunner;
pub use cascade::clean::{CleanCascadesOptions, CleanCascadesReport, CleanedCascade};
pub use cascade::control::{CascadeRequest, CascadeRow, CascadeStatus, NodeExplained};
pub use cascade::dependents::{Dependent, DependentsReport};
pub use cascade::executors::kind::{ExecutorKind, ExecutorOptions};
pub use cascade::executors::launch::AttemptRow;
pub use cascade::export::{CascadeExport, JobFormat};
pub use cascade::ledger::Watch as CascadeWatch;
pub use cascade::revert::{RevertOptions, RevertReport};
pub use cascade::run::{AttemptOptions, CascadeOptions, CascadeReport, NodeReport};
pub use environment::DEFAULT_PYTHON;
pub use environment::cached::{CachedEnvironment, EnvironmentOptions, EnvironmentPackage, EnvironmentReport};
pub use environment::damage::PackageDamage;
pub use environment::export::{ExportFormat, ExportOptions, ExportReport};
pub use environment::get::{GetOptions, GetReport};
pub use environment::graph::{ChainLink, TreeEdge, TreeNode, TreeReport, WhyReport};
pub use environment::hooks::Hook;
pub use environment::input_table::{InputAction, InputRow};
pub use environment::install::{InstallReport, InstallRequest};
pub use environment::lockfile::{Lock, LockedConda, LockedPackage, WrittenLock};
pub use environment::outdated::{NewestIn, OutdatedRow};
pub use environment::plan::{INSTALLER, PackageChange};
pub use environment::pylock::Pylock;
pub use environment::resolve_request::Upgrade;
pub use environment::run::RunEnvironment;
pub use environment::unpacked::UnpackedReport;
pub use error::{
    AuthError, BundleError, CacheError, CascadeError, EditError, Error, EventsError, GcError, GetError,
    ImportError, OutsError, PartError, PipelinesError, Result, ValidateError, WorkspaceError,
};
pub use feed::cursor::EventCursor;
pub use feed::events::{EventOptions, EventsReport, RepoEvent};
pub use feed::hook::HookRow;
pub use feed::inbox::{InboxOptions, InboxReport, Notice};
pub use feed::running::{Delivery, HookOptions, HookRun, HooksReport};
pub use files::add::{AddFiles, AddReport};
pub use files::drops::{DropOptions, DroppedRelease};
pub use files::folding::fold_names;
pub use files::localize::LocalizedAsset;
pub use files::moved::{MoveReport, MovedFiles};
pub use files::put_back::{KeptCopy, PutBackPath, PutBackReport, RestoreOptions};
pub use files::references::PassedOver;
pub use files::remotes::{CollectedRemote, CopyFilesReport, LostObject, RepairReport};
pub use files::sequences::SequenceGap;
pub use files::set_aside::UndoReport;
pub use files::some_files::SomeFiles;
pub use files::tracked::AddedFiles;
pub use files::untrack::{UntrackReport, UntrackedPath};
pub use files::usage::ReleaseUsage;
pub use files::verify::{DamageFound, ObjectDamage, ObjectReport, VerifyOptions, VerifyReport};
pub use handle::Workspace;
pub use handle::options::{
    ChangeOptions, DiscardOptions, InputOptions, JudgeOptions, PullOptions, PushOptions, RepairOptions,
    SettingOptions, TreeOptions, UpdateOptions,
};
pub use imports::import_url::ImportUrl;
pub use imports::release::ImportRelease;
pub use imports::report::{
    ImportOutcome, ImportProblem, ImportReport, ImportState, ImportStatus, ImportedPath,
};
pub use imports::repository::ImportGit;
pub use imports::update::UpdateImports;
pub use pipelines::chart::{Chart, Line as ChartLine, charts_as_html, charts_as_svg};
pub use pipelines::edited::{EditedStage, NewStage, StageEditReport};
pub use pipelines::figures::{
    Figure, FigureChange, FigureEnd, FigureKind, FiguresDiff, FiguresReport, PlotsReport,
};
pub use pipelines::graph::StageNode;
pub use pipelines::repro::{ReproOptions, ReproReport};
pub use pipelines::shared::ResultsReport;
pub use pipelines::stale::{StageState, StageStatus};
pub use project::base::{BaseState, BaseStatus, NewerRelease};
pub use project::build::BuildReport;
pub use project::edit::EditReport;
pub use project::inputs::{BumpReport, InputChange, InputReport};
pub use project::new_asset::{NewAsset, NewReport};
pub use project::output::Output;
pub use project::provenance::{
    BuildRecord, ExactInput, ImportRecord, MadeRecord, OutRecord, Provenance, TOOL,
};
pub use project::rebase::RebaseReport;
pub use project::rename::{MovedFolder, RenameReport, RenamedRequirement};
pub use project::rez::{ImportRez, RezInput, RezReport};
pub use project::untracked::UntrackedFiles;
pub use releases::allow::AllowReport;
pub use releases::browse::{
    InputStatus, OutStatus, OutputStatus, PackageRow, ReleaseDetail, RequirementRow, StatusReport,
};
pub use releases::copy::{CopiedFile, CopiedRelease, CopyOptions, CopyReport, CopyState};
pub use releases::deprecate::{DeprecateOptions, DeprecateReport, DeprecatedRelease, KeptRelease};
pub use releases::diff::{DiffEnd, DiffReport, NameDiff, OutDiff, TextDiff};
pub use releases::from_parts::{FromParts, PartsUsed};
pub use releases::import_folder::{
    FolderAsset, FolderRelease, FolderReleaseState, FolderReport, ImportFolder, NotImported,
};
pub use releases::labels::{LabelOptions, LabelReport, LabelRow};
pub use releases::log::{LogEntry, LogEvent, LogOptions};
pub use releases::mirror::{MirrorConflict, MirrorOptions, MirrorReport, ReposDiffer};
pub use releases::parts::{
    DropChoice, DroppedParts, PartList, PartRow, PartState, Parts, PushPart, PushedPart,
};
pub use releases::publish::{PathChanges, PublishOptions, PublishReport};
pub use releases::repair_repo::{RepoRepairReport, RestoredFile};
pub use releases::status::JudgeReport;
pub use releases::verify_repo::{DamagedFile, RepoReport};
pub use toolchain::external::{ChannelStatus, CondaChange, ExternalReport, ExternalStatus};
pub use toolchain::python::{
    InstalledPython, PythonReport, RemovedPythons, installed_pythons, remove_python,
};
pub use validate::found::{CheckItem, Outcome as CheckOutcome, Waiver, WaiverState};
pub use validate::repair::{RepairPlan, RepairRun};
pub use validate::report::{CheckResult, ValidateOptions, ValidateReport};
pub use validate::{CheckLevel, Occasion as CheckOccasion, RepairChange, RepairKind};
pub use workspace::auth::{Auth, AuthList, AuthTarget, AuthTest, LoginOptions, LoginReport, LogoutReport};
pub use workspace::cascade_section::parse_time;
pub use workspace::config::{Config, Localize, PublishLimits, RemoteEntry, RepoEntry, RepoPlace};
pub use workspace::doctor::{HealthCheck, HealthState, ProblemsFound};
pub use workspace::init::{InitOptions, InitReport};
pub use workspace::keys::{ConfigChange, ConfigValue, setting_names};
pub use workspace::known_names::KnownNames;
pub use workspace::local_cache::{
    CachePart, CacheStatus, CacheUser, CacheUserState, CleanOptions, CleanReport, GcReport, Unreferenced,
};
pub use workspace::places::{AddRemote, AddRepo, PlaceProblem, RemoteStatus, RepoStatus};
pub use workspace::policies::{AssetPolicy, Policies, RequiredStatus};
pub use workspace::problems::{AssetProblem, AssetsLeftOut};
pub use workspace::rules::{RuleChanges, Rules};
pub use workspace::set_policy::{PolicyChange, PolicyRow, PolicyScope};
pub use workspace::settings::{CommandVariables, Host, Origin, Overrides, Setting, Settings};
