//! Files that go to a remote and are kept nowhere else here: for nodes with little disk.
//!
//! Invariants: files are read once; a pointer is written when all that it names can be pulled. Of what changed, only manifests
//! get into the cache. Deliberately absent: parts of farm jobs (`parts`), which need no workspace.

use std::path::Path;

use backlot_core::RelPath;
use backlot_dvc::{AddedOut, Destination, EarlyUpload};
use backlot_store::{FileDigests, Remote, TransferReport, hash_files};

use crate::error::{OutsError, Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::project::output::Output;
use crate::workspace::Opened;

impl Tracked {
    /// Where content goes that is added to these files, if it is to go to a destination: not ahead where some of it belongs
    /// elsewhere.
    pub(crate) fn destination<'a>(&self, wanted: Destination<'a>) -> Result<Destination<'a>> {
        match wanted {
            Destination::CacheAndRemote(_) if !self.sends_all() => Ok(Destination::Cache),
            Destination::Remote(_) if !self.sends_all() => Err(OutsError::NeedsCache {
                asset: self.name.clone(),
            }
            .into()),
            wanted => Ok(wanted),
        }
    }
}

impl Opened {
    /// Send a path from outside, and track it as `target`.
    pub(crate) fn add_sent(
        &self,
        output: &Output,
        (source, target): (&Path, &Path),
        remote: &Remote,
        dry_run: bool,
    ) -> Result<AddedOut> {
        let outside = || WorkspaceError::NotInOutput {
            path: target.to_path_buf(),
        };
        let root = crate::project::output::module_folder(output).ok_or_else(outside)?;
        let relative = RelPath::from_path(target.strip_prefix(&root).map_err(|_| outside())?)?;
        let tracked = self.tracked_of_output(output)?;
        tracked.destination(Destination::Remote(remote))?;
        self.bring_manifests(&tracked, Some(remote))?;
        let files = self.files_of(source)?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let (digests, report) = if dry_run {
            let digests = hash_files(&files.sources, &stat, self.context())?;
            (digests, TransferReport::default())
        } else {
            remote.store_files(&stat, &files.sources, self.context())?
        };
        let options = self.add_options(dry_run, Destination::Remote(remote), Some(remote));
        let mut out = match files.names {
            Some(names) => {
                let files: Vec<(RelPath, FileDigests)> = names.into_iter().zip(digests).collect();
                backlot_dvc::add_known(
                    (&root, &relative),
                    &files,
                    &|_| Ok(()),
                    (&cache, &stat),
                    &options,
                    self.context(),
                )?
            }
            None => {
                let missing = || backlot_dvc::Error::NoSuchPath {
                    path: source.to_path_buf(),
                };
                let digests = digests.first().copied().ok_or_else(missing)?;
                backlot_dvc::add_known_file(
                    (&root, &relative),
                    (digests, files.executable),
                    (&cache, &stat),
                    &options,
                    self.context(),
                )?
            }
        };
        out.ahead = EarlyUpload::of(&report);
        Ok(out)
    }
}
