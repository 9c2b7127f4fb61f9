//! Backlot for programs: workspaces, assets, publishing, installing, files.
//!
//! Everything the command line does is a method of [`Workspace`]; it returns a report that serialises to what `--json`
//! prints. An embedding program says who and where it is by a [`Host`], and watches and stops work by a [`Context`].
//!
//! Deliberately absent: terminals, environment variables, globals, signal handlers.

mod adding;
mod allow;
mod answers;
mod apart;
mod auth;
mod base;
mod browse;
mod build;
mod bundle;
mod conda;
mod config;
mod connect;
mod copy;
mod direct;
mod edit;
mod editable;
mod environment;
mod environment_plan;
mod error;
mod export;
mod external;
mod files;
mod foreign;
mod from_parts;
mod graph;
mod held;
mod holdings;
mod inputs;
mod install;
mod installable;
mod known_outs;
mod local_cache;
mod localize;
mod lockfile;
mod mirror;
mod movers;
mod named_output;
mod outdated;
mod outputs;
mod parts;
mod pins;
mod place;
mod places;
mod pool;
mod prefetch;
mod problems;
mod promised;
mod publish;
mod pull;
mod pylock;
mod python;
mod rebase;
mod remotes;
mod repair;
mod repair_remote;
mod repair_repo;
mod resolution;
mod rules;
mod run;
mod sequences;
mod set_aside;
mod settings;
mod stamp;
mod standard_library;
mod to_remote;
mod tracked;
mod unpacked;
mod untracked;
mod usage;
mod user_file;
mod users;
mod verdicts;
mod verify;
mod verify_repo;
mod workspace;

pub use allow::AllowReport;
pub use auth::{Auth, AuthList, AuthTarget, AuthTest, LoginOptions, LoginReport, LogoutReport};
pub use backlot_backend::StoreOptions;
pub use backlot_core::web::is_loopback;
pub use backlot_core::{
    AssetName, BumpStep, Cancel, Cancelled, Class, Clock, Coded, Context, Event, FixedClock, LinkMode,
    Observer, Operation, PackageName, Requirement, RequirementKind, Timestamp, Version, Warning, bump, text,
};
pub use backlot_dvc::{Change, FileChanges, MissingFrames, PartsError};
pub use backlot_net::{
    Credential, CredentialChain, CredentialRequest, CredentialSource, FoundCredential, FromVariables,
    ListedCredential, Netrc, NetworkOptions, PlaceName, Proxies, SourceKind, SshOptions,
};
pub use backlot_repo::AllowedName;
pub use backlot_repo::{Fact, FactKind, Place, Query, ReindexReport, Verdict, VerdictReport};
pub use backlot_resolve::Preference;
pub use backlot_store::{
    CollectOptions, CollectReport, Collected, DamagedPack, RemoteLayout, RestoreReport, Usage,
};
pub use backlot_store::{DamagedPart, DroppedPart, JobId, JobRelease, PartHead, StoredName};
pub use base::{BaseState, BaseStatus, NewerRelease};
pub use browse::{
    InputStatus, OutStatus, OutputStatus, PackageRow, ReleaseDetail, RequirementRow, StatusReport,
};
pub use build::{BuildReport, OutRecord, Provenance, TOOL};
pub use bundle::{
    BundleFile, BundleManifest, BundleOptions, BundlePlatform, BundleReport, BundledPackage, UnbundleOptions,
    UnbundleReport, UnbundledFiles, UnbundledPackage, UnbundledState,
};
pub use config::{Config, Localize, PublishLimits, RemoteEntry, RepoEntry, RepoPlace};
pub use copy::{CopiedFile, CopiedRelease, CopyOptions, CopyReport, CopyState};
pub use edit::EditReport;
pub use environment::DEFAULT_PYTHON;
pub use environment_plan::{INSTALLER, PackageChange};
pub use error::{
    AuthError, BundleError, CacheError, EditError, Error, GcError, OutsError, PartError, Result,
    WorkspaceError,
};
pub use export::{ExportFormat, ExportOptions, ExportReport};
pub use external::{ChannelStatus, CondaChange, ExternalReport, ExternalStatus};
pub use files::{AddFiles, AddReport, MoveReport, MovedFiles};
pub use graph::{ChainLink, TreeEdge, TreeNode, TreeReport, WhyReport};
pub use holdings::PassedOver;
pub use inputs::{BumpReport, InputChange, InputReport};
pub use install::{InstallReport, InstallRequest};
pub use local_cache::{
    CachePart, CacheStatus, CacheUser, CacheUserState, CleanOptions, CleanReport, GcReport, Unreferenced,
};
pub use localize::LocalizedAsset;
pub use lockfile::{Lock, LockedConda, LockedPackage};
pub use mirror::{MirrorConflict, MirrorOptions, MirrorReport, ReposDiffer};
pub use outdated::{NewestIn, OutdatedRow};
pub use outputs::{NewAsset, NewReport, Output};
pub use parts::{DropChoice, DroppedParts, PartList, PartRow, PartState, Parts, PushPart, PushedPart};
pub use places::{AddRemote, AddRepo, PlaceProblem, RemoteStatus, RepoStatus};
pub use problems::{AssetProblem, AssetsLeftOut};
pub use publish::{FromParts, PartsUsed, PathChanges, PublishOptions, PublishReport};
pub use pylock::Pylock;
pub use python::{InstalledPython, PythonReport, RemovedPythons, installed_pythons, remove_python};
pub use rebase::RebaseReport;
pub use remotes::{CollectedRemote, CopyFilesReport, LostObject, RepairReport};
pub use repair_repo::{RepoRepairReport, RestoredFile};
pub use resolution::Upgrade;
pub use rules::{RuleChanges, Rules};
pub use run::RunEnvironment;
pub use sequences::SequenceGap;
pub use set_aside::UndoReport;
pub use settings::{Host, Origin, Overrides, Setting, Settings};
pub use tracked::AddedFiles;
pub use unpacked::UnpackedReport;
pub use untracked::UntrackedFiles;
pub use usage::ReleaseUsage;
pub use verdicts::JudgeReport;
pub use verify::{DamageFound, ObjectDamage, ObjectReport, PackageDamage, VerifyOptions, VerifyReport};
pub use verify_repo::{DamagedFile, RepoReport};
pub use workspace::{InitOptions, InitReport, Workspace};
