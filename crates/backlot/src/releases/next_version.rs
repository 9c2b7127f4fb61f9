//! The version that an output is published with, where that is another than its project says.
//!
//! Invariant: the project says the new version when there is a release of it, and not before: a publish that fails leaves the old one. One that
//! was stopped in between is finished by running it again, and does not move the version twice. Deliberately absent: `bump` alone (`inputs`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_dvc::Change;
use backlot_pep::{Version, VersionChange};

use crate::error::Result;
use crate::project::base::BaseRelease;
use crate::project::output::Output;
use crate::workspace::Opened;

/// An output as it is about to be published.
pub(crate) struct NextVersion {
    /// With the version of the release.
    pub(crate) output: Output,
    /// The file that will have the version, with its text then.
    pub(crate) planned: BTreeMap<PathBuf, Vec<u8>>,
}

impl NextVersion {
    /// With the version that the project says.
    pub(crate) fn unchanged(output: &Output) -> Self {
        Self {
            output: output.clone(),
            planned: BTreeMap::new(),
        }
    }
}

impl Opened {
    /// An output with another version.
    pub(crate) fn next_version(
        &self,
        output: &Output,
        change: &VersionChange,
        base: Option<&BaseRelease>,
    ) -> Result<NextVersion> {
        let now = &output.project.metadata.version;
        // A publish that was stopped after it created the release, and before it wrote the version down.
        let version = match (base.filter(|base| base.version > *now), change) {
            (Some(base), VersionChange::Steps(_)) if self.is_as_released(output, base)? => {
                base.version.clone()
            }
            (Some(base), VersionChange::Steps(_)) => base.version.changed(change)?,
            _ => now.changed(change)?,
        };
        if version == *now {
            return Ok(NextVersion::unchanged(output));
        }
        let (path, text) = Self::with_version(output, &version)?;
        let mut next = output.clone();
        next.project.metadata.version = version;
        Ok(NextVersion {
            output: next,
            planned: BTreeMap::from([(path, text.into_bytes())]),
        })
    }

    /// Whether an output equals a release, apart from its version.
    fn is_as_released(&self, output: &Output, release: &BaseRelease) -> Result<bool> {
        let tracked = self.tracked_of_output(output)?;
        let is_modified = |change: &Change| matches!(change, Change::Modified { .. } | Change::Missing);
        Ok(self.content_of(output, &tracked)? == release.content
            && !self
                .out_states(&tracked)?
                .iter()
                .any(|out| is_modified(&out.change)))
    }

    /// Write the version of a release into the project, where it is not there yet.
    pub(crate) fn write_next_version(&self, output: &Output, version: &Version) -> Result<()> {
        if *version == output.project.metadata.version {
            return Ok(());
        }
        Self::write_version(output, version, false)?;
        self.sync_editable(&Output::load(&output.project.root)?)
    }
}
