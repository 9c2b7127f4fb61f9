//! Environments of releases without a workspace: chosen as an install does, made in the cache, and used again while nothing that decides changes.
//!
//! An environment is a workspace in the cache, named by the digest of its repos and remotes, its lock, and its interpreter. Invariants: another choice is
//! another environment, so none changes under a command that runs in it; it is made as an install is, under the lock of its workspace, so who asks for
//! the same at once waits and finds it; it is held while a command runs in it (`local_cache/environments.rs`). Of the workspace that a caller is
//! in, repos, remotes, rules and settings count, and nothing that it has installed or makes. Deliberately absent: conda packages.

use std::path::{Path, PathBuf};

use backlot_core::{Context, FileLock, options};
use backlot_pep::{PackageName, Requirement, Version};
use serde::{Deserialize, Serialize};

use crate::environment::get::GetOptions;
use crate::environment::labelled::split_label;
use crate::environment::lockfile::Lock;
use crate::environment::resolve_request::ResolveRequest;
use crate::environment::run::RunEnvironment;
use crate::error::{Error, GetError, Result, WorkspaceError};
use crate::files::moved::MoveReport;
use crate::workspace::config::{Config, FILE_NAME};
use crate::workspace::local_cache::{environments, used};
use crate::workspace::settings::Host;
use crate::workspace::{Opened, Shared, absolute};

/// Raised when an environment of the same name would be made otherwise.
const FORMAT: u32 = 1;
/// Hexadecimal digits of the name of an environment.
const NAME_LENGTH: usize = 32;

options! {
    /// Which releases to make an environment of, and where they are found.
    #[derive(Default)]
    pub struct EnvironmentOptions {
        /// A repo of the workspace or of the user, or the place of one; preferred to all others.
        pub from: Option<String>,
        /// Pull the tracked files of the releases.
        pub pull: bool,
        /// A remote of the workspace or of the user, or the place of one, to pull from.
        pub remote: Option<String>,
        /// The folder that relative places are meant from.
        pub here: PathBuf,
        /// Admit pre-releases.
        pub prereleases: bool,
        /// Choose, and make nothing.
        pub dry_run: bool,
    }
}

/// An environment of releases.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EnvironmentReport {
    /// Its folder in the cache, which is a workspace.
    pub root: PathBuf,
    /// Whether it was made for this; otherwise it was there.
    pub made: bool,
    /// The releases in it, sorted by name.
    pub packages: Vec<EnvironmentPackage>,
    /// The pulled files; `None` if not requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<MoveReport>,
    /// Whether nothing was made.
    pub dry_run: bool,
}

/// A release in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EnvironmentPackage {
    /// The package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// Its repo; `None` for a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Whether it was requested by name.
    pub requested: bool,
}

/// An environment that is about to be used. As long as this lives, it is not cleaned away.
#[derive(Debug)]
#[non_exhaustive]
pub struct CachedEnvironment {
    /// The kind of source.
    pub report: EnvironmentReport,
    /// The variables for running a command in it; `None` in a dry run.
    pub run: Option<RunEnvironment>,
    held: Option<FileLock>,
}

impl CachedEnvironment {
    /// Transfer the lock on it from this process to the command that replaces it, and to all processes that the command starts.
    pub fn pass_on(&self) -> Result<()> {
        Ok(self.held.as_ref().map_or(Ok(()), FileLock::pass_on)?)
    }
}

/// Where an environment is made, and of what.
struct Plan {
    config: Config,
    lock: Lock,
    inputs: Vec<Requirement>,
}

impl Opened {
    pub(crate) fn cached_environment(
        start: &Path,
        requirements: &[String],
        options: &EnvironmentOptions,
        host: &Host,
        context: &Context,
    ) -> Result<CachedEnvironment> {
        let source = Self::source_of_releases(start, host, context)?;
        let plan = source.plan_cached(requirements, options)?;
        let root = plan.config.root().to_path_buf();
        let environment = Self::with_config(Shared::new(root.clone(), host), plan.config, context)?;
        let mut report = EnvironmentReport {
            made: !environment.inputs_dir().is_dir(),
            root,
            packages: packages_of(&plan.lock),
            files: None,
            dry_run: options.dry_run,
        };
        if options.dry_run {
            return Ok(CachedEnvironment {
                report,
                run: None,
                held: None,
            });
        }
        let (environment, held) = environment.make_cached(plan.inputs, &plan.lock, &mut report.made)?;
        if options.pull {
            report.files = Some(environment.pull_local(&[], None, false)?);
        }
        let run = if report.made {
            environment.run_variables()?
        } else {
            environment.run_environment()?
        };
        Ok(CachedEnvironment {
            report,
            run: Some(run),
            held,
        })
    }

    /// The workspace that `start` is in; elsewhere what the user's file says, as a workspace that is on no disk.
    fn source_of_releases(start: &Path, host: &Host, context: &Context) -> Result<Self> {
        match Self::find(start, host) {
            Ok(shared) => return Self::now(&shared, context),
            Err(Error::Workspace(WorkspaceError::NoWorkspace { .. })) => {}
            Err(error) => return Err(error),
        }
        let (root, config) = match &host.user_config {
            Some(path) => {
                let folder = absolute(path.parent().unwrap_or(Path::new(".")))?;
                (folder, Config::of_user(path, context)?)
            }
            None => (absolute(start)?, Config::new(start)?),
        };
        Self::with_config(Shared::new(root, host), config, context)
    }

    /// Choose, and say where the environment of that choice lies.
    fn plan_cached(mut self, requirements: &[String], options: &EnvironmentOptions) -> Result<Plan> {
        let places = GetOptions::new().here(options.here.clone()).dry_run(true);
        let mut prefer = None;
        if let Some(from) = &options.from {
            prefer = Some(self.repo_to_get_from(from, &places)?.0);
        }
        if let Some(remote) = &options.remote {
            let (name, _) = self.remote_to_get_from(remote, requirements, &places)?;
            self.config.set_default_remote(Some(&name));
        }
        if self.config().repos.is_empty() {
            let user_config = self.host().user_config.clone();
            let user_config = user_config.unwrap_or_else(|| PathBuf::from("config.toml"));
            return Err(GetError::NoKnownRepo { user_config }.into());
        }
        let at = |name: &str| {
            let root = environments::root_of(self.cache_dir(), name);
            let mut config = self.config_elsewhere(&root, self.repos())?;
            config.rules.clone_from(&self.config().rules);
            config.policies.clone_from(&self.config().policies);
            Result::<Config>::Ok(config)
        };
        // With its own configuration, so that it is chosen for the Python that it gets.
        let nowhere = environments::root_of(self.cache_dir(), "new");
        let mut chosen_with = at("new")?;
        let mut inputs: Vec<Requirement> = Vec::new();
        for text in requirements {
            let (text, label) = split_label(text).map_or((text.as_str(), None), |(t, l)| (t, Some(l)));
            let requirement = self.parse_requirement(text)?;
            // Separate: the settings of the file determine the path of the environment.
            chosen_with.policies.follow(requirement.name(), label);
            inputs.push(requirement);
        }
        let chooser = Self::with_config(Shared::new(nowhere, self.host()), chosen_with, self.context())?;
        chooser.check_python()?;
        let wish = ResolveRequest {
            inputs: inputs.clone(),
            prefer,
            prereleases: options.prereleases,
            ..ResolveRequest::default()
        };
        let lock = chooser.choose(&wish, &[], None)?;
        let interpreter = chooser.interpreter()?;
        let interpreter =
            interpreter.map(|found| format!("{} {}", found.executable.display(), found.version));
        let decides = serde_json::json!([FORMAT, chooser.config().text(), lock.to_text(), interpreter]);
        let digest = backlot_store::digest_bytes(decides.to_string().as_bytes()).blake3;
        Ok(Plan {
            config: at(&digest.to_hex()[..NAME_LENGTH])?,
            lock,
            inputs,
        })
    }

    /// Make an environment, if it is not there yet, and hold it.
    fn make_cached(
        self,
        inputs: Vec<Requirement>,
        lock: &Lock,
        made: &mut bool,
    ) -> Result<(Self, Option<FileLock>)> {
        // So that there is a cache to hold.
        self.cache()?;
        let _cache = used::hold(self.cache_dir(), self.context())?;
        // Again, as a cleaning may have been in between.
        used::register_workspace(self.cache_dir(), self.root())?;
        if !self.root().join(FILE_NAME).is_file() {
            match self.make() {
                // Another process creates the same.
                Err(Error::Workspace(WorkspaceError::WorkspaceExists { .. })) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        let mut environment = Self::with_config(self.shared(), self.config.clone(), self.context())?;
        let held = environment.change(false, |workspace| {
            *made = !workspace.inputs_dir().is_dir();
            if workspace.known_to_be_installed()?.is_none() {
                let old = Lock::load(workspace.root())?;
                workspace.apply_lock(inputs, old.as_ref(), lock, &[], false)?;
            }
            environments::hold(workspace.root(), workspace.context())
        })?;
        Ok((environment, held))
    }
}

fn packages_of(lock: &Lock) -> Vec<EnvironmentPackage> {
    let packages = lock.packages.iter().map(|package| EnvironmentPackage {
        package: package.name.clone(),
        version: package.version.clone(),
        repo: package.repo.clone(),
        requested: package.requested,
    });
    packages.collect()
}
