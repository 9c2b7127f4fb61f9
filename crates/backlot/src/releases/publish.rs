//! Publishing: record what changed, push the files, build the wheel, create the release. In this order.
//!
//! Invariants: a release is created last, by one exclusive create, when its files are on the remote already; a version
//! that exists is a conflict, or skipped if requested. A kill anywhere leaves no release or a complete one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use backlot_cascade::DirtyReport;
use backlot_core::file;
use backlot_core::options;
use backlot_dvc::{AddedOut, Change, Destination, EarlyUpload, FileChanges, TrackedPointer};
use backlot_pep::{PackageName, Version, VersionChange};
use backlot_repo::{Checked, Publication, RecordedCheck, ReleaseFile, Repo};
use backlot_store::Remote;
use serde::{Deserialize, Serialize};

use crate::error::{Error, OutsError, Result, WorkspaceError};
use crate::files::additions::Additions;
use crate::files::moved::MoveReport;
use crate::files::sequences::SequenceGap;
use crate::files::tracked::Tracked;
use crate::pipelines::repro::{ReproOptions, check};
use crate::project::base::{BaseRelease, Newer};
use crate::project::build::BuildReport;
use crate::project::output::Output;
use crate::releases::from_parts::{FromParts, PartsUsed};
use crate::releases::next_version::NextVersion;
use crate::workspace::{Opened, absolute};

options! {
    /// How to publish.
    #[derive(Default)]
    pub struct PublishOptions {
        /// The repo, instead of the workspace's target.
        pub to: Option<String>,
        /// The remote for the files, instead of the default one.
        pub remote: Option<String>,
        /// Why, for the record.
        pub message: Option<String>,
        /// Give the output another version first. It is written into the project when the release is created.
        pub bump: Option<VersionChange>,
        /// Do nothing where the repo has a release of this version.
        pub skip_existing: bool,
        /// Files and folders to remove from tracked folders, even if they were never pulled.
        pub remove: Vec<PathBuf>,
        /// Take the files of some folders from the parts of a job, not from the workspace.
        pub parts: Option<FromParts>,
        /// Publish even if the release cannot be installed, or lacks changes of a newer release.
        pub force: bool,
        /// Also publish pointers with `push: false`, whose files cannot be pulled.
        pub allow_unpushed: bool,
        /// Send changed files in one pass, without a copy in the cache.
        pub no_cache: bool,
        /// Do not compute the affected assets.
        pub no_dirty: bool,
        /// Run the asset's stages that are not up to date first. Not in a dry run.
        pub repro: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// A published release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PublishReport {
    /// The asset.
    pub asset: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The repo.
    pub repo: String,
    /// Tracked paths whose changes were recorded first.
    pub added: Vec<String>,
    /// The changes in them.
    pub changes: Vec<PathChanges>,
    /// The parts that files are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<PartsUsed>,
    /// Gaps in numbered sequences of tracked files.
    pub gaps: Vec<SequenceGap>,
    /// The pushed files.
    pub files: MoveReport,
    /// The wheel; `None` if the release was skipped.
    pub wheel: Option<BuildReport>,
    /// Whether the repo had the release already, with the same bytes.
    pub already: bool,
    /// Whether nothing was published because the repo had a release of this version.
    pub skipped: bool,
    /// The results of its checks, as recorded in the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<RecordedCheck>,
    /// The affected assets; `None` if not requested, or if computing them would take long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dirtied: Option<DirtyReport>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The changes in a tracked file or folder since it was last added.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PathChanges {
    /// The path, relative to the workspace.
    pub path: String,
    /// The changes, with names.
    #[serde(flatten)]
    pub changes: FileChanges,
    /// Files that are not here, and are kept unchanged.
    pub kept: u64,
}

/// An output whose changes are recorded, and that is built from them; in a dry run, as it would be.
struct Prepared {
    parts: Option<PartsUsed>,
    recorded: Vec<AddedOut>,
    tracked: [Tracked; 1],
    wheel: BuildReport,
}

impl Prepared {
    fn ready<'a>(
        &'a self,
        output: &'a Output,
        repo: &'a Repo,
        base: Option<BaseRelease>,
        newer: Option<&'a Newer<'a>>,
    ) -> Ready<'a> {
        Ready {
            output,
            repo,
            base,
            newer,
            recorded: &self.recorded,
            tracked: &self.tracked,
            wheel: &self.wheel,
        }
    }
}

/// An output that is built and about to be published.
struct Ready<'a> {
    output: &'a Output,
    repo: &'a Repo,
    /// The release it was edited from.
    base: Option<BaseRelease>,
    /// A newer one, unless that does not matter.
    newer: Option<&'a Newer<'a>>,
    recorded: &'a [AddedOut],
    tracked: &'a [Tracked; 1],
    wheel: &'a BuildReport,
}

/// How publishing ended.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// There is a new release.
    Created,
    /// The repo had it already, with the same bytes.
    Identical,
    /// The repo had one of this version, and that is all that was wanted.
    Skipped,
}

impl Opened {
    pub(crate) fn publish(&self, asset: &str, options: &PublishOptions) -> Result<PublishReport> {
        if options.repro && !options.dry_run {
            let stages = ReproOptions {
                targets: vec![asset.to_owned()],
                ..ReproOptions::default()
            };
            check(&self.reproduce(&stages)?)?;
        }
        let output = self.output(asset)?;
        let version = self.planned_version(&output, options)?;
        let checks = self.pass_checks(&output, options.to.as_deref(), version)?;
        let held = self.hold()?;
        held.publish_output(&held.output_to_change(asset)?, options, checks)
    }

    /// The version that a publish will give, where it gives another one.
    fn planned_version(&self, output: &Output, options: &PublishOptions) -> Result<Option<Version>> {
        let Some(change) = &options.bump else {
            return Ok(None);
        };
        let known = self.known_releases(&output.package(), &mut BTreeSet::new());
        let base = self.base_of(output, &known)?;
        let next = self.next_version(output, change, base.as_ref())?;
        Ok(Some(next.output.project.metadata.version))
    }

    fn publish_output(
        &self,
        project: &Output,
        options: &PublishOptions,
        checks: Vec<RecordedCheck>,
    ) -> Result<PublishReport> {
        let entry = self.publish_target(options.to.as_deref())?.clone();
        let repo = self.open_repo(&entry)?;
        let package = project.package();
        let known = self.known_releases(&package, &mut BTreeSet::new());
        let base = self.base_of(project, &known)?;
        let next = match &options.bump {
            Some(change) => self.next_version(project, change, base.as_ref())?,
            None => NextVersion::unchanged(project),
        };
        let (output, version) = (&next.output, next.output.project.metadata.version.clone());
        if options.skip_existing && self.own_release(&repo, &package, &version)?.is_some() {
            return Ok(skipped(output, &entry.name, options.dry_run));
        }
        let newer = Self::newer_release(base.as_ref(), &known)?.filter(|_| !options.force);
        // Of the very version, the bytes decide, which are not known yet.
        if let Some(newer) = newer.as_ref().filter(|newer| newer.release.version != version) {
            return Err(newer.refusal(&output.name, base.as_ref())?.into());
        }
        repo.check_admits(&package)?;
        self.check_urls(output)?;
        self.check_installable(output, &entry.name, options.force)?;
        if options.parts.is_some() && !options.dry_run {
            // The next publish would treat a pointer to unreleased parts as a local change.
            let plan = PublishOptions {
                dry_run: true,
                ..options.clone()
            };
            let quiet = self.silently()?;
            let planned = quiet.record_and_build(&next, &repo, &plan)?;
            let ready = planned.ready(output, &repo, base.clone(), newer.as_ref());
            quiet.create_release(ready, &plan, &checks)?;
        }
        let prepared = self.record_and_build(&next, &repo, options)?;
        let ready = prepared.ready(output, &repo, base, newer.as_ref());
        let (files, outcome) = self.create_release(ready, options, &checks)?;
        if !options.dry_run && outcome != Outcome::Skipped {
            self.write_next_version(project, &version)?;
        }
        let Prepared {
            parts,
            recorded,
            tracked,
            wheel,
        } = prepared;
        if let Some(used) = parts.as_ref().filter(|_| !options.dry_run) {
            self.note_parts(used, (&package, &version), &entry.name, options.remote.as_deref());
        }
        Ok(PublishReport {
            asset: output.name.clone(),
            package,
            version,
            repo: entry.name,
            added: recorded.iter().map(|out| self.display_path(&out.path)).collect(),
            changes: recorded.iter().map(|out| self.path_changes(out)).collect(),
            parts,
            gaps: self.gaps(&recorded, &tracked[0])?,
            files,
            wheel: Some(wheel),
            already: outcome == Outcome::Identical,
            skipped: outcome == Outcome::Skipped,
            checks,
            dirtied: None,
            dry_run: options.dry_run,
        })
    }

    /// Record what changed, or what parts have, and build the wheel.
    fn record_and_build(
        &self,
        next: &NextVersion,
        repo: &Repo,
        options: &PublishOptions,
    ) -> Result<Prepared> {
        let output = &next.output;
        let (parts, mut recorded) = match &options.parts {
            Some(parts) => {
                let (used, outs) =
                    self.record_parts(output, parts, options.remote.as_deref(), options.dry_run)?;
                (Some(used), outs)
            }
            None => (None, Vec::new()),
        };
        recorded.extend(self.record_changes(output, repo, &recorded, options)?);
        let tracked = [self.tracked_after(output, &recorded, options.dry_run)?];
        let mut planned = planned_pointers(&tracked[0], options.dry_run)?;
        planned.extend(next.planned.clone());
        let wheel = self.build_tracked(output, &tracked[0], planned, options.dry_run)?;
        if repo.is_public() && tracked.iter().any(|one| !one.pointers.is_empty()) {
            let (package, version) = (output.package(), &output.project.metadata.version);
            return Err(crate::files::references::files_in_public(&package, version, repo));
        }
        Ok(Prepared {
            parts,
            recorded,
            tracked,
            wheel,
        })
    }

    /// Push the files and create the release. Returns the pushed files, and whether the release already existed.
    fn create_release(
        &self,
        ready: Ready<'_>,
        options: &PublishOptions,
        checks: &[RecordedCheck],
    ) -> Result<(MoveReport, Outcome)> {
        let Ready {
            output,
            repo,
            base,
            tracked,
            wheel,
            ..
        } = ready;
        // Cheap and early; the exclusive create at the end is what decides.
        let checked = Checked::wheel(&wheel.built(), self.context())?;
        let existing = repo.plan_publish(&checked)?.existing;
        let identical = existing.as_ref().map(|existing| existing.identical);
        if identical == Some(false)
            && base.is_some()
            && let Some(newer) = ready.newer
        {
            return Err(newer.refusal(&output.name, base.as_ref())?.into());
        }
        if options.dry_run {
            if identical == Some(false) {
                self.refuse_existing(repo, &output.package(), &wheel.version)?;
            }
            let files = self.plan_files(tracked, ready.recorded, &[], options.remote.as_deref())?;
            let is_there = identical == Some(true);
            return Ok((
                files,
                if is_there {
                    Outcome::Identical
                } else {
                    Outcome::Created
                },
            ));
        }
        let (mut files, mut remotes) = (MoveReport::default(), Vec::new());
        if identical != Some(false) {
            let ahead = ahead_of(ready.recorded);
            files = self.push_tracked(tracked, options.remote.as_deref(), ahead, false)?;
            self.note_user_on_all(repo, tracked, options.remote.as_deref())?;
            remotes = self.remotes_to_record(tracked, options.remote.as_deref())?;
        }
        self.context().check()?;
        let next = wheel
            .sha256
            .map(|sha256| Self::as_base(output, wheel.content.clone(), sha256));
        let next = next.transpose()?;
        if let Some(next) = next.clone().filter(|_| identical.is_none()) {
            Self::note_pending(output, base, next)?;
        }
        let publication = Publication {
            remotes,
            checks: checks.to_vec(),
            ..self.publication(options.message.as_deref())
        };
        let mut outcome = Outcome::Created;
        match repo.publish(&checked, &publication, self.context()) {
            // A run that was repeated, by a farm or after its answer was lost.
            Err(backlot_repo::Error::ReleaseExists { identical: true, .. }) => outcome = Outcome::Identical,
            // Another publisher was first.
            Err(backlot_repo::Error::ReleaseExists { .. }) if options.skip_existing => {
                return Ok((files, Outcome::Skipped));
            }
            published => {
                published?;
            }
        }
        if let Some(next) = next {
            Self::note_base(&output.project.root, next)?;
        }
        Ok((files, outcome))
    }

    /// The effect of a requirement by URL for users of the release. A local file exists on this machine only.
    fn check_urls(&self, output: &Output) -> Result<()> {
        let metadata = &output.project.metadata;
        for requirement in metadata.requires_dist.iter().filter(|r| r.url().is_some()) {
            let told = requirement.told().into_owned();
            let url = requirement.direct_url().and_then(std::result::Result::ok);
            if url.is_some_and(|url| url.path().is_some()) {
                return Err(WorkspaceError::LocalRequirement {
                    asset: output.name.clone(),
                    requirement: told,
                }
                .into());
            }
            self.context().warn(
                "publish::direct_url",
                format!(
                    "{} needs `{told}`: every workspace that installs it has to specify that URL as well, and public indexes reject it",
                    output.name
                ),
            );
        }
        Ok(())
    }

    /// A file of a release that a repo has itself, if it has one.
    fn own_release(
        &self,
        repo: &Repo,
        package: &PackageName,
        version: &Version,
    ) -> Result<Option<ReleaseFile>> {
        let there = repo.own_files(package, self.context())?;
        Ok(there.into_iter().find(|release| &release.version == version))
    }

    /// A conflict if a repo has a release of this version.
    fn refuse_existing(&self, repo: &Repo, package: &PackageName, version: &Version) -> Result<()> {
        let Some(release) = self.own_release(repo, package, version)? else {
            return Ok(());
        };
        let published = repo.status(&release)?.published;
        Err(backlot_repo::Error::ReleaseExists {
            package: package.clone(),
            version: version.clone(),
            repo: repo.place(),
            files: Box::default(),
            author: published.as_ref().map(|f| f.author.clone().into()),
            at: published.map(|f| f.at),
            identical: false,
            complete: true,
        }
        .into())
    }

    /// Add what changed in tracked files since they were last added, and send it while it is read. What is `recorded` already
    /// is left as it is.
    fn record_changes(
        &self,
        output: &Output,
        repo: &Repo,
        recorded: &[AddedOut],
        options: &PublishOptions,
    ) -> Result<Vec<AddedOut>> {
        let tracked = self.tracked_of_output(output)?;
        self.refuse_stale(output, &tracked)?;
        self.refuse_unpushed(output, &tracked, options.allow_unpushed)?;
        let elsewhere = self.remote_elsewhere(options.remote.as_deref());
        if !tracked.pointers.is_empty() {
            match self.bring_manifests(&tracked, elsewhere.as_ref()) {
                // Lost before it was pushed, as by a power cut: adding makes it again from the files, if they are all here.
                Err(Error::Dvc(backlot_dvc::Error::Store(backlot_store::Error::Missing { .. }))) => {}
                brought => brought?,
            }
        }
        let mut targets = Vec::new();
        let (mut missing, mut empty) = (Vec::new(), Vec::new());
        // Outputs of a stage are recorded by its run.
        let states = self.out_states(&tracked)?.into_iter();
        let states = states.filter(|state| state.stage.is_none());
        for state in states.filter(|state| recorded.iter().all(|out| out.path != state.path)) {
            match state.change {
                Change::NoContent if state.path.exists() => targets.push(state.path),
                Change::NoContent => empty.push(self.display_path(&state.path)),
                Change::Missing => missing.push(self.display_path(&state.path)),
                Change::Modified { .. } | Change::NotInCache | Change::NoManifest => targets.push(state.path),
                Change::Unchanged | Change::NotPulled | Change::Partial { .. } => {}
            }
        }
        if !empty.is_empty() {
            return Err(OutsError::NoContent {
                asset: output.name.clone(),
                paths: empty,
            }
            .into());
        }
        if !missing.is_empty() {
            return Err(WorkspaceError::MissingFiles {
                asset: output.name.clone(),
                missing,
            }
            .into());
        }
        let removals: Result<Vec<PathBuf>> = options.remove.iter().map(|path| absolute(path)).collect();
        let additions = Additions {
            output: output.clone(),
            targets,
            removals: removals?,
        };
        if additions.targets.is_empty() && additions.removals.is_empty() {
            return Ok(Vec::new());
        }
        let remote = if options.no_cache {
            Some(self.open_remote(self.remote_entry(options.remote.as_deref(), "pushing files")?)?)
        } else if options.dry_run {
            None
        } else {
            self.remote_ahead(output, repo, options)?
        };
        let to = tracked.destination(Destination::of(remote.as_ref(), options.no_cache))?;
        self.add_in_place(&additions, options.dry_run, to, elsewhere.as_ref())
    }

    /// An error if there are outs that a push leaves out, unless that is meant.
    fn refuse_unpushed(&self, output: &Output, tracked: &Tracked, allowed: bool) -> Result<()> {
        let outs = tracked.pointers.iter().flat_map(TrackedPointer::located_outs);
        let unpushed = outs.filter(|(_, out)| out.cache && !out.push);
        let paths: Vec<String> = unpushed.map(|(path, _)| self.display_path(&path)).collect();
        if allowed || paths.is_empty() {
            return Ok(());
        }
        Err(OutsError::NotPushed {
            asset: output.name.clone(),
            paths,
        }
        .into())
    }

    /// Gaps in numbered tracked files of an output.
    fn gaps(&self, recorded: &[AddedOut], tracked: &Tracked) -> Result<Vec<SequenceGap>> {
        let cache = self.cache()?;
        let mut gaps = Vec::new();
        for out in recorded {
            gaps.extend(crate::files::sequences::gaps(
                &self.display_path(&out.path),
                &out.members,
            ));
        }
        for (place, out) in tracked.pointers.iter().flat_map(TrackedPointer::located_outs) {
            let is_recorded = recorded.iter().any(|recorded| recorded.path == place);
            let Some(id) = out.id().filter(|id| id.tree && !is_recorded) else {
                continue;
            };
            if let Some(manifest) = backlot_dvc::peek_manifest(&cache, &id)? {
                let files: Vec<_> = manifest.entries().iter().map(|e| e.path.clone()).collect();
                gaps.extend(crate::files::sequences::gaps(&self.display_path(&place), &files));
            }
        }
        Ok(gaps)
    }

    fn path_changes(&self, out: &AddedOut) -> PathChanges {
        PathChanges {
            path: self.display_path(&out.path),
            changes: out.changes.clone(),
            kept: out.kept,
        }
    }

    /// Where files can be sent before the release is known to be possible: nowhere if its version exists, if the repo takes
    /// no releases with files, or if there is no remote; what comes later tells which.
    fn remote_ahead(&self, output: &Output, repo: &Repo, options: &PublishOptions) -> Result<Option<Remote>> {
        if repo.is_public() {
            return Ok(None);
        }
        let version = &output.project.metadata.version;
        if self.own_release(repo, &output.package(), version)?.is_some() {
            return Ok(None);
        }
        match self.remote_entry(options.remote.as_deref(), "pushing files") {
            Ok(entry) => Ok(Some(self.open_remote(entry)?)),
            Err(_) => Ok(None),
        }
    }

    pub(crate) fn publication(&self, message: Option<&str>) -> Publication {
        Publication {
            author: self.settings().author.value.clone(),
            machine: self.host().machine.clone(),
            reason: message.unwrap_or("manual").to_owned(),
            ..Publication::default()
        }
    }
}

/// The future texts of pointers, where they differ from the current ones.
fn planned_pointers(tracked: &Tracked, dry_run: bool) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut planned = BTreeMap::new();
    let pointers = tracked.pointers.iter().filter(|one| one.made_by.is_none());
    for pointer in pointers.filter(|_| dry_run) {
        let old = file::read_if_exists(&pointer.path)?;
        let text = old.map(|old| String::from_utf8_lossy(&old).into_owned());
        let new = match &text {
            Some(text) => backlot_dvc::updated_text(&pointer.path, text, &pointer.pointer),
            None => pointer.pointer.to_text(),
        };
        if text.as_ref() != Some(&new) {
            planned.insert(pointer.path.clone(), new.into_bytes());
        }
    }
    Ok(planned)
}

/// The report where the repo has a release of this version, and nothing was looked at.
fn skipped(output: &Output, repo: &str, dry_run: bool) -> PublishReport {
    PublishReport {
        asset: output.name.clone(),
        package: output.package(),
        version: output.project.metadata.version.clone(),
        repo: repo.to_owned(),
        added: Vec::new(),
        changes: Vec::new(),
        parts: None,
        gaps: Vec::new(),
        files: MoveReport {
            dry_run,
            ..MoveReport::default()
        },
        wheel: None,
        already: false,
        skipped: true,
        checks: Vec::new(),
        dirtied: None,
        dry_run,
    }
}

/// The files sent while changes were recorded.
fn ahead_of(recorded: &[AddedOut]) -> EarlyUpload {
    let mut ahead = EarlyUpload::default();
    for out in recorded {
        ahead += out.ahead;
    }
    ahead
}
