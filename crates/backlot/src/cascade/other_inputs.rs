//! Why a version cannot be published again though nothing in the asset has changed: it was built with other inputs.
//!
//! Deliberately absent: deciding that it cannot; the bytes do.

use backlot_pep::PackageName;

use crate::error::{Error, Result, WorkspaceError};
use crate::project::provenance::{BuildRecord, ExactInput, Provenance};
use crate::workspace::Opened;

impl Opened {
    /// The refusal to publish an output over a release of its version that has the same content and other inputs; `None` if more differs.
    pub(crate) fn other_inputs(&self, asset: &str, to: Option<&str>) -> Result<Option<Error>> {
        let output = self.output(asset)?;
        let (ours, _) = self.provenance(&output, &self.tracked_of_output(&output)?)?;
        let entry = self.publish_target(to)?;
        let repo = self.open_repo(entry)?;
        let version = output.project.metadata.version.clone();
        let release = repo.release(&output.package(), &version, self.context())?;
        if release.is_sdist() {
            return Ok(None);
        }
        let theirs = Provenance::of(&repo.archive(&release)?)?.and_then(|provenance| provenance.record);
        let (Some(ours), Some(theirs)) = (ours.record, theirs) else {
            return Ok(None);
        };
        if ours.content != theirs.content || ours.inputs == theirs.inputs {
            return Ok(None);
        }
        Ok(Some(
            WorkspaceError::OtherInputs {
                asset: output.name,
                version,
                repo: entry.name.clone(),
                changes: differences(&theirs, &ours).join(", "),
            }
            .into(),
        ))
    }
}

/// What differs, as `model 1.0 -> 1.1`.
fn differences(theirs: &BuildRecord, ours: &BuildRecord) -> Vec<String> {
    let mut names: Vec<&PackageName> = theirs
        .inputs
        .iter()
        .chain(&ours.inputs)
        .map(|input| &input.package)
        .collect();
    names.sort();
    names.dedup();
    let find = |record: &'_ BuildRecord, name: &PackageName| -> Option<ExactInput> {
        record.inputs.iter().find(|input| input.package == *name).cloned()
    };
    let shown = |input: Option<&ExactInput>| {
        input.map_or_else(
            || "none".to_owned(),
            |input| {
                format!(
                    "{}{}",
                    input.version,
                    if input.editable { " (editable)" } else { "" }
                )
            },
        )
    };
    let differing = names.into_iter().filter_map(|name| {
        let (before, now) = (find(theirs, name), find(ours, name));
        (before != now).then(|| format!("{name} {} -> {}", shown(before.as_ref()), shown(now.as_ref())))
    });
    differing.collect()
}
