//! Publishing frames from a farm: manifests and pointers are created from the parts of a job, and no file is read here.
//!
//! Invariants: everything is checked before anything is written, by a dry run of all but the release (`publish`); each file
//! of a part has a recipe on the remote, of the same bytes, that nobody condemned, or is in the cache and pushed again; what
//! a pointer pins to another remote is copied there first; a release is noted beside the parts only when it is there.
//! Deliberately absent: which file wins and what is missing (`backlot-dvc`), and the release itself (`publish`).

use std::collections::BTreeMap;
use std::path::Path;

use backlot_core::RelPath;
use backlot_dvc::{
    AddedOut, CombineOptions, Combined, Destination, EarlyUpload, Expectation, MissingFrames, PartsError,
};
use backlot_pep::{PackageName, Version};
use backlot_store::{
    Error as StoreError, FileDigests, JobId, JobRelease, ObjectId, PartFile, Remote, StoredName, Transfer,
};
use serde::{Deserialize, Serialize};

use crate::error::{Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::project::output::Output;
use crate::releases::parts::{PartState, check_folder, state_of};
use crate::workspace::Opened;

backlot_core::options! {
    /// How to publish the parts of a job.
    #[derive(Default)]
    pub struct FromParts {
        /// The ID of the job.
        pub job: String,
        /// The expected frames of each folder, as `frames=1-100`.
        pub expect: Vec<String>,
        /// Publish without frames that no part has.
        pub allow_missing: bool,
        /// If parts contain different contents of a file, use the part that was stored last, by the clock of the remote's service.
        pub newest: bool,
    }
}

/// The parts that a release was created from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartsUsed {
    /// The job.
    pub job: JobId,
    /// The parts.
    pub parts: Vec<StoredName>,
    /// The nodes that stored them, sorted.
    pub nodes: Vec<String>,
    /// Frames that no part has.
    pub missing: Vec<MissingFrames>,
    /// Files of older parts that have other bytes.
    pub overruled: u64,
}

impl Opened {
    /// Record the files of a job's parts as those of an output's folders, in pointers and manifests.
    pub(crate) fn record_parts(
        &self,
        output: &Output,
        parts: &FromParts,
        remote: Option<&str>,
        dry_run: bool,
    ) -> Result<(PartsUsed, Vec<AddedOut>)> {
        let job: JobId = parts.job.parse()?;
        let expected: Vec<Expectation> = parts
            .expect
            .iter()
            .map(|one| one.parse())
            .collect::<Result<_, PartsError>>()?;
        let remote = self.open_remote(self.remote_entry(remote, "publishing parts")?)?;
        let found = remote.job_parts(Some(&job), self.context())?;
        if let Some(damaged) = found.damaged.first() {
            return Err(StoreError::DamagedPart {
                place: remote.place(),
                object: damaged.key.clone(),
                reason: damaged.reason.clone(),
            }
            .into());
        }
        let how = CombineOptions {
            newest: parts.newest,
            allow_missing: parts.allow_missing,
        };
        let combined = backlot_dvc::combine(&job, &found.parts, &expected, how)?;
        for folder in combined.folders.keys() {
            check_folder(folder)?;
        }
        self.check_parts(&combined, &remote)?;
        let tracked = self.tracked_of_output(output)?;
        self.bring_manifests(&tracked, Some(&remote))?;
        let mut nodes: Vec<String> = found.parts.iter().map(|part| part.head.node.clone()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let used = PartsUsed {
            job,
            parts: found.parts.iter().map(|part| part.name).collect(),
            nodes,
            missing: combined.missing.clone(),
            overruled: combined.overruled,
        };
        let outs = self.add_combined((output, &tracked), &combined, &remote, dry_run)?;
        Ok((used, outs))
    }

    fn add_combined(
        &self,
        (output, tracked): (&Output, &Tracked),
        combined: &Combined<'_>,
        remote: &Remote,
        dry_run: bool,
    ) -> Result<Vec<AddedOut>> {
        let root =
            crate::project::output::module_folder(output).ok_or_else(|| WorkspaceError::NotInOutput {
                path: output.project.root.clone(),
            })?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let mut folders = Vec::new();
        for (folder, files) in &combined.folders {
            let files: Vec<(RelPath, FileDigests)> = files
                .iter()
                .map(|(path, (_, file))| (path.clone(), file.digests))
                .collect();
            let pinned = self.pinned_elsewhere(tracked, &folder.to_path(&root), remote)?;
            let ahead = match &pinned {
                Some(pinned) => self.bring_to_pinned(&files, (remote, pinned), dry_run)?,
                None => EarlyUpload::default(),
            };
            folders.push((folder, files, pinned, ahead));
        }
        let mut outs = Vec::new();
        for (folder, files, pinned, ahead) in folders {
            let elsewhere = pinned.as_ref().unwrap_or(remote);
            let options = self.add_options(dry_run, Destination::Cache, Some(elsewhere));
            let mut out = backlot_dvc::add_known(
                (&root, folder),
                &files,
                &|merged| Ok(combined.check_padding(folder, merged)?),
                (&cache, &stat),
                &options,
                self.context(),
            )?;
            out.ahead = ahead;
            outs.push(out);
        }
        Ok(outs)
    }

    /// The remote that a pointer pins a folder to, if that is not the one that has the parts.
    fn pinned_elsewhere(&self, tracked: &Tracked, folder: &Path, parts: &Remote) -> Result<Option<Remote>> {
        for pointer in &tracked.pointers {
            let pin = pointer.located_outs().find_map(|(place, out)| {
                let is_pinned = place == folder && out.push;
                out.remote.clone().filter(|_| is_pinned)
            });
            if let Some(pin) = pin {
                let pinned = self.open_remote(self.pinned(&pin, std::slice::from_ref(pointer))?)?;
                return Ok((pinned.place() != parts.place()).then_some(pinned));
            }
        }
        Ok(None)
    }

    /// Copy files of parts to the remote that they are pinned to. What the cache has and the parts' remote has not is pushed
    /// there later.
    fn bring_to_pinned(
        &self,
        files: &[(RelPath, FileDigests)],
        (parts, pinned): (&Remote, &Remote),
        dry_run: bool,
    ) -> Result<EarlyUpload> {
        let ids: Vec<ObjectId> = files
            .iter()
            .map(|(_, digests)| ObjectId::file(digests.md5))
            .collect();
        for ((path, digests), known) in files.iter().zip(pinned.known_files(&ids, self.context())?) {
            let is_other = known.is_some_and(|known| {
                known.size != digests.size || known.blake3.is_some_and(|blake3| blake3 != digests.blake3)
            });
            if is_other {
                return Err(StoreError::SameMd5 {
                    what: format!("`{path}`"),
                    md5: digests.md5,
                    other: format!("a file in {}", pinned.place()),
                }
                .into());
            }
        }
        if dry_run {
            return Ok(EarlyUpload::default());
        }
        let known = parts.known_files(&ids, self.context())?;
        let there: BTreeMap<ObjectId, Transfer> = files
            .iter()
            .zip(&ids)
            .zip(known)
            .filter(|(_, known)| known.is_some())
            .map(|(((_, digests), id), _)| (*id, Transfer::proven(*id, digests)))
            .collect();
        let items: Vec<Transfer> = there.into_values().collect();
        let copied = parts.copy_to(pinned, &items, &self.state_dir(), self.context())?;
        Ok(EarlyUpload::of(&copied))
    }

    /// Check that all files can be pulled by users of the release.
    fn check_parts(&self, combined: &Combined<'_>, remote: &Remote) -> Result<()> {
        let all: Vec<(&RelPath, &String, &PartFile)> = combined
            .folders
            .values()
            .flat_map(|files| {
                files
                    .iter()
                    .map(|(path, (part, file))| (path, &part.head.node, *file))
            })
            .collect();
        let ids: Vec<_> = all.iter().map(|(_, _, file)| file.id()).collect();
        let known = remote.known_files(&ids, self.context())?;
        let cached = self.cache()?.sizes(&ids)?;
        let mut lost = Vec::new();
        for (((path, node, file), known), cached) in all.into_iter().zip(known).zip(cached) {
            match known {
                Some(known) => {
                    if known.size != file.digests.size || known.blake3 != Some(file.digests.blake3) {
                        return Err(StoreError::SameMd5 {
                            what: format!("`{path}` of {node}"),
                            md5: file.digests.md5,
                            other: format!("a file in {}", remote.place()),
                        }
                        .into());
                    }
                }
                // What is in the cache is pushed again.
                None if cached.is_some() => {}
                None => lost.push(format!("{path} of {node}")),
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        let count = lost.len() as u64;
        lost.truncate(backlot_dvc::merge::MAX_NAMES);
        Err(PartsError::NotOnRemote { files: lost, count }.into())
    }

    /// Note that a release was made from parts, and tell of those that came too late for it. The release stands either way.
    pub(crate) fn note_parts(
        &self,
        used: &PartsUsed,
        (package, version): (&PackageName, &Version),
        repo: &str,
        remote: Option<&str>,
    ) {
        if let Err(error) = self.try_note_parts(used, (package, version), repo, remote) {
            let message = format!(
                "{package} {version} is published, but its parts could not be marked as released and are kept until they expire; publish again to mark them: {error}"
            );
            self.context().warn("parts::not_noted", message);
        }
    }

    fn try_note_parts(
        &self,
        used: &PartsUsed,
        (package, version): (&PackageName, &Version),
        repo: &str,
        remote: Option<&str>,
    ) -> Result<()> {
        let remote = self.open_remote(self.remote_entry(remote, "publishing parts")?)?;
        let release = JobRelease::new(
            &used.job,
            (package.as_str(), &version.to_string()),
            repo,
            &self.settings().author.value,
            used.parts.clone(),
        );
        remote.note_job_release(&release, self.context())?;
        let found = remote.job_parts(Some(&used.job), self.context())?;
        for part in &found.parts {
            if state_of(part, &found) == PartState::Late {
                let message = format!(
                    "the part {} of {} arrived too late for {package} {version}, which does not contain it",
                    part.name, part.head.node
                );
                self.context().warn("parts::late", message);
            }
        }
        Ok(())
    }
}
