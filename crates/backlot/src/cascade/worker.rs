//! Builds one asset of a cascade on this machine: a private workspace, its stages, a release.
//!
//! Invariants: nothing outside the private workspace is written but the cache, the remote and, last, the release; a release is created only while the
//! lease is held, no input is yanked, and the newest release was built otherwise, looked at right before. No repo can do all that in one step: the
//! version is what is exclusive, and an input that was yanked in the moment between makes the release yanked, too. Deliberately absent: the order of steps (`backlot-cascade`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use backlot_cascade::{
    Built, CascadeId, Committed, Failure, FailureKind, Job, LeaseStore as _, NodeId, Worker,
};
use backlot_core::{Class, Context, Diagnostic as _, Observer, file};
use backlot_pep::Version;
use backlot_repo::StatusChange;

use crate::cascade::ledger::RepoLeases;
use crate::cascade::live::LiveStudio;
use crate::cascade::private::Rebuild;
use crate::cascade::studio::Studio;
use crate::error::{CascadeError, Error, Result, ValidateError};
use crate::pipelines::repro::{ReproOptions, ReproReport};
use crate::project::output::Output;
use crate::releases::copy::CopyOptions;
use crate::releases::publish::PublishOptions;
use crate::validate::Occasion;
use crate::validate::report::ValidateOptions;
use crate::validate::run::Purpose;
use crate::workspace::{Opened, Shared};

/// How much of the output of a failed command is kept with the failure.
const LAST_LINES: usize = 20;

/// Builds on this machine.
#[derive(Debug)]
pub(crate) struct StudioWorker<'a> {
    /// The workspace that the cascade is run from.
    opened: &'a Opened,
    live: &'a LiveStudio,
    leases: &'a RepoLeases,
    /// Leave the workspaces of failed builds.
    keep: bool,
    /// Who is told of what it does.
    observer: Option<Arc<dyn Observer>>,
    /// Repair what checks refuse, where they declare that this may be done.
    auto_repair: bool,
    /// Where private workspaces are made, if not in the cache.
    scratch: Option<PathBuf>,
    private: Mutex<BTreeMap<NodeId, Arc<Shared>>>,
}

impl<'a> StudioWorker<'a> {
    pub(crate) fn new(opened: &'a Opened, live: &'a LiveStudio, leases: &'a RepoLeases, keep: bool) -> Self {
        Self {
            opened,
            live,
            leases,
            keep,
            observer: None,
            auto_repair: false,
            scratch: None,
            private: Mutex::default(),
        }
    }

    /// The same, telling somebody of all that it does.
    pub(crate) fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// A context of the private workspace, whose work is not that of the workspace that the cascade is run from.
    fn apart(&self, context: &Context) -> Context {
        let silent = context.clone().silent();
        match &self.observer {
            Some(observer) => silent.with_observer(Arc::clone(observer)),
            None => silent,
        }
    }

    /// The same, which repairs what checks refuse, or does not.
    pub(crate) fn with_auto_repair(self, auto_repair: bool) -> Self {
        Self { auto_repair, ..self }
    }

    /// The same, with private workspaces in another folder than the cache.
    pub(crate) fn with_scratch(self, scratch: Option<PathBuf>) -> Self {
        Self { scratch, ..self }
    }

    /// The folder of the private workspaces of a cascade.
    pub(crate) fn root(&self, cascade: &CascadeId) -> PathBuf {
        match &self.scratch {
            Some(scratch) => scratch.join(format!("bl-{cascade}")),
            None => self.opened.cascade_folder(cascade),
        }
    }

    fn folder(&self, job: &Job) -> PathBuf {
        let name = format!("{}-{}-{}", job.node.repo, job.node.package, job.token);
        self.root(&job.cascade).join(name)
    }

    /// The private workspace of a job.
    fn at(&self, job: &Job, context: &Context) -> Result<Opened> {
        let shared = {
            let private = self.private.lock().unwrap_or_else(PoisonError::into_inner);
            private.get(&job.node).cloned()
        };
        let shared =
            shared.unwrap_or_else(|| Shared::of_cascade(self.folder(job), self.opened.host(), &job.cascade));
        shared.set_blessed(self.opened.blessed());
        Opened::now(&shared, &self.apart(context))
    }

    /// The release in another repo whose content is taken, if it can take the place of a build.
    fn copied<'j>(job: &'j Job, studio: &Studio) -> Option<(&'j NodeId, &'j Version)> {
        let (node, version) = job.copy_of.as_ref()?;
        let there = studio.catalog.release(&job.node, version).is_some();
        (node.repo != job.node.repo && *version > job.base && !there).then_some((node, version))
    }

    /// Remove the workspaces of attempts that were overtaken: of processes that died, mostly.
    fn remove_before(&self, job: &Job) {
        let prefix = format!("{}-{}-", job.node.repo, job.node.package);
        let entries = fs_err::read_dir(self.root(&job.cascade));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let token = name
                .strip_prefix(&prefix)
                .and_then(|token| token.parse::<u64>().ok());
            if token.is_some_and(|token| token < job.token) && !self.keep {
                self.remove(&entry.path());
            }
        }
    }

    /// Remove a private workspace. What cannot be removed is left to a cleaning of the cache.
    fn remove(&self, folder: &Path) {
        file::remove(folder).ok();
        crate::workspace::local_cache::used::forget(self.opened.cache_dir(), folder);
    }

    fn make(&self, job: &Job, context: &Context) -> Result<()> {
        let studio = self.live.recent()?;
        if Self::copied(job, &studio).is_some() {
            return Ok(());
        }
        let groups = generative_groups(&job.node, &job.base, &studio);
        let folder = self.folder(job);
        self.remove_before(job);
        // Of an attempt that ended in the middle of this.
        file::remove(&folder)?;
        fs_err::create_dir_all(&folder)?;
        let rebuild = Rebuild {
            cascade: &job.cascade,
            node: &job.node,
            base: &job.base,
            groups: &groups,
            inputs: &job.record.inputs,
            studio: &studio,
            version: &job.version,
        };
        let shared = self
            .opened
            .make_private(&folder, &rebuild, &self.apart(context))?;
        self.private
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(job.node.clone(), shared);
        let private = self.at(job, context)?;
        let output = private.output(job.node.package.as_str())?;
        private.check_whole(job, &output, &studio)?;
        // Checks look at files, too.
        let purpose = Purpose {
            occasion: Occasion::Automatic,
            target: Some(job.node.repo.to_string()),
            ..Purpose::default()
        };
        if Opened::has_stages(&output) || private.has_checks_of_files(&output, &purpose)? {
            let pulled = private.pull(&[], None, false, false)?;
            if let Some(problem) = pulled.problems.first() {
                return Err(CascadeError::NoFiles {
                    package: job.node.package.to_string(),
                    reason: format!("{}: {}", problem.asset, problem.message),
                }
                .into());
            }
        }
        Ok(())
    }

    fn run(&self, job: &Job, context: &Context) -> Result<Built, Failure> {
        let begun = Instant::now();
        let studio = self.live.recent().map_err(Failure::from)?;
        if let Some((node, version)) = Self::copied(job, &studio) {
            let release = studio.catalog.release(node, version);
            let release = release.ok_or_else(|| {
                Failure::new(FailureKind::Environment, "the release to copy no longer exists")
            })?;
            let files = release.files;
            return Ok(Built {
                files,
                build_ms: 0,
                repaired: Vec::new(),
            });
        }
        let private = self.at(job, context).map_err(Failure::from)?;
        let package = job.node.package.as_str();
        let options = ReproOptions {
            targets: vec![package.to_owned()],
            keep_going: false,
            ..ReproOptions::default()
        };
        let report = private.reproduce(&options).map_err(Failure::from)?;
        context
            .check()
            .map_err(|stopped| Failure::new(FailureKind::Environment, stopped.to_string()))?;
        if let Some(failed) = failed_stages(&report) {
            return Err(failed);
        }
        let mut repaired = Vec::new();
        if self.auto_repair {
            repaired = private.repair_automatically(package).map_err(Failure::from)?;
        }
        if !repaired.is_empty() {
            // What a repair changed may be what other stages read.
            let report = private.reproduce(&options).map_err(Failure::from)?;
            if let Some(failed) = failed_stages(&report) {
                return Err(failed);
            }
        }
        let content = || -> Result<_> {
            let output = private.output(package)?;
            let tracked = private.tracked_of_output(&output)?;
            let (provenance, _) = private.provenance(&output, &tracked)?;
            Ok(provenance.record.map(|record| record.content))
        };
        let files = content().map_err(Failure::from)?;
        Ok(Built {
            files: files.ok_or_else(|| Failure::new(FailureKind::Build, "it has no record"))?,
            build_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            repaired,
        })
    }

    /// Create the release, unless something that speaks against it is seen right before.
    fn commit(&self, job: &Job, context: &Context) -> Result<Committed> {
        let newest = self
            .leases
            .newest(&job.node)
            .map_err(backlot_cascade::Error::from)?;
        if newest.is_none_or(|lease| lease.token > job.token) {
            return Ok(Committed::Fenced);
        }
        let studio = self.live.now()?;
        if let Some(asset) = studio.catalog.asset(&job.node)
            && let Some(newest) = asset.newest()
        {
            let record = newest.record();
            if record.is_some_and(|record| record.key(&job.node.package) == job.key) {
                return Ok(Committed::AlreadyReleased(newest.version.clone()));
            }
        }
        if let Some(withdrawn) = yanked_input(job, &studio) {
            return Ok(withdrawn);
        }
        let version = match Self::copied(job, &studio) {
            Some((node, version)) => self.copy(job, (node, version), context)?,
            None if studio.catalog.release(&job.node, &job.version).is_some() => {
                return Ok(Committed::VersionTaken);
            }
            None => match self.publish(job, context) {
                Err(Error::Repo(backlot_repo::Error::ReleaseExists { .. })) => {
                    self.live.forget();
                    return Ok(Committed::VersionTaken);
                }
                published => published?,
            },
        };
        self.live.forget();
        // Somebody may have yanked an input since it was looked at.
        let studio = self.live.now()?;
        if let Some(withdrawn) = yanked_input(job, &studio) {
            let release = format!("{}=={version}", job.node.package);
            let reason = format!("an input was yanked while cascade {} released it", job.cascade);
            let repo = Some(job.node.repo.as_str());
            let opened = Opened::now(&self.opened.shared(), &context.clone().silent())?;
            opened.set_status(&release, repo, StatusChange::Yank, &reason, false)?;
            self.live.forget();
            return Ok(withdrawn);
        }
        Ok(Committed::Released(version))
    }

    fn publish(&self, job: &Job, context: &Context) -> Result<Version> {
        let options = PublishOptions {
            to: Some(job.node.repo.to_string()),
            message: Some(format!("cascade {}", job.cascade)),
            // What it requires, the release before required; and whether there is a newer one was looked at.
            force: true,
            no_dirty: true,
            ..PublishOptions::default()
        };
        let report = self
            .at(job, context)?
            .publish(job.node.package.as_str(), &options)?;
        Ok(report.version)
    }

    fn copy(&self, job: &Job, (node, version): (&NodeId, &Version), context: &Context) -> Result<Version> {
        let options = CopyOptions {
            from: node.repo.to_string(),
            to: job.node.repo.to_string(),
            message: Some(format!("cascade {}", job.cascade)),
            ..CopyOptions::default()
        };
        let opened = Opened::now(&self.opened.shared(), &context.clone().silent())?;
        let report = opened.copy_release(&format!("{}=={version}", node.package), &options)?;
        Ok(report.version)
    }
}

impl Opened {
    /// An error if the release has not all that it was made from, as where a pipeline lies beside its package: a build would make something else.
    fn check_whole(&self, job: &Job, output: &Output, studio: &Studio) -> Result<()> {
        let base = studio.catalog.release(&job.node, &job.base);
        let Some(recorded) = base.and_then(|base| base.record()) else {
            return Ok(());
        };
        let tracked = self.tracked_of_output(output)?;
        let (provenance, _) = self.provenance(output, &tracked)?;
        if provenance
            .record
            .is_none_or(|record| record.recipe == recorded.recipe.0)
        {
            return Ok(());
        }
        Err(CascadeError::NotWhole {
            package: job.node.package.to_string(),
            version: job.base.to_string(),
        }
        .into())
    }
}

/// The groups of an asset that its content is made with, of those that its release has.
pub(crate) fn generative_groups(node: &NodeId, base: &Version, studio: &Studio) -> Vec<String> {
    let Some(asset) = studio.catalog.asset(node) else {
        return Vec::new();
    };
    let release = asset.releases.get(base);
    let groups = release.iter().flat_map(|release| release.requirements());
    let mut groups: Vec<String> = groups
        .filter_map(|grouped| grouped.group.as_ref())
        .filter(|group| asset.settings.generative.contains(*group))
        .map(ToString::to_string)
        .collect();
    groups.sort();
    groups.dedup();
    groups
}

/// The first input that is yanked now.
fn yanked_input(job: &Job, studio: &Studio) -> Option<Committed> {
    let is_yanked = |input: &&backlot_cascade::Input| {
        let node = NodeId::new(&input.repo, &input.package);
        let release = studio.catalog.release(&node, &input.version);
        release.is_some_and(|release| release.yanked.is_some())
    };
    let input = job.record.inputs.iter().find(is_yanked)?;
    Some(Committed::Withdrawn {
        package: input.package.clone(),
        version: input.version.clone(),
    })
}

impl From<Error> for Failure {
    /// The class of an error says whose fault it is.
    fn from(error: Error) -> Self {
        let kind = match error.class() {
            _ if error.retry() => FailureKind::Environment,
            // Another attempt would find the same.
            _ if matches!(error, Error::CascadeRun(CascadeError::NotWhole { .. })) => FailureKind::Invalid,
            Class::Integrity => FailureKind::Integrity,
            Class::Environment | Class::Cancelled => FailureKind::Environment,
            _ => FailureKind::Build,
        };
        let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
        Self::new(kind, format!("{error}{help}"))
    }
}

/// The failure of a run whose stages failed, with the last lines that the first of them printed.
fn failed_stages(report: &ReproReport) -> Option<Failure> {
    let failed = report.failure()?;
    let first = report.stages.iter().find(|stage| stage.error.is_some());
    let mut message = failed.to_string();
    if let Some(error) = first.and_then(|stage| stage.error.as_ref()) {
        message.clone_from(&error.message);
    }
    let log = first.and_then(|stage| stage.log.as_ref());
    let text = log.and_then(|log| fs_err::read(log).ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
        message.push('\n');
        message.push_str(line);
    }
    Some(Failure::new(FailureKind::Build, message))
}

impl Worker for StudioWorker<'_> {
    fn prepare(&self, job: &Job, context: &Context) -> Result<(), Failure> {
        self.make(job, context).map_err(Failure::from)
    }

    fn build(&self, job: &Job, context: &Context) -> Result<Built, Failure> {
        self.run(job, context)
    }

    fn validate(&self, job: &Job, _built: &Built, context: &Context) -> Result<(), Failure> {
        let studio = self.live.recent().map_err(Failure::from)?;
        if Self::copied(job, &studio).is_some() {
            return Ok(());
        }
        let private = self.at(job, context).map_err(Failure::from)?;
        let options = ValidateOptions::new().automatic(true);
        let report = private
            .validate(job.node.package.as_str(), &options)
            .map_err(Failure::from)?;
        match report.failure() {
            None => {
                private.keep_checks(report.recorded());
                Ok(())
            }
            Some(refused) => {
                let is_crash = matches!(refused, ValidateError::Crashed { .. });
                let kind = if is_crash {
                    FailureKind::Crash
                } else {
                    FailureKind::Invalid
                };
                Err(Failure::new(kind, refused.to_string()))
            }
        }
    }

    fn push(&self, job: &Job, _built: &Built, context: &Context) -> Result<(), Failure> {
        let studio = self.live.recent().map_err(Failure::from)?;
        if Self::copied(job, &studio).is_some() {
            return Ok(());
        }
        let private = self.at(job, context).map_err(Failure::from)?;
        let name = job.node.package.to_string();
        private
            .push(&[name], None, false)
            .map(drop)
            .map_err(Failure::from)
    }

    fn release(&self, job: &Job, _built: &Built, context: &Context) -> Result<Committed, Failure> {
        self.commit(job, context).map_err(Failure::from)
    }

    fn discard(&self, job: &Job, keep: bool, _context: &Context) {
        self.private
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&job.node);
        if keep && self.keep {
            return;
        }
        self.remove(&self.folder(job));
    }
}
