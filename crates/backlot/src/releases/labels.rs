//! Labels of assets: names that are moved from release to release, as `hero`, without a byte of a release moving.
//!
//! Invariants: a label is one repo's; which release it is at is read from the repo's events each time. `latest-approved` is nobody's to move: it is the newest
//! release that is approved and not yanked. Deliberately absent: how events are kept (`backlot-repo`), and following a label (`environment/labelled.rs`).

use backlot_core::options;
use backlot_core::text::printable;
use backlot_pep::{PackageName, Version};
use backlot_repo::{LabelEvent, Publication, Repo};
use serde::{Deserialize, Serialize};

use crate::error::{EditError, Result};
use crate::releases::approved::LATEST_APPROVED;
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;
use crate::workspace::policies::check_label;

options! {
    /// How a label is moved or removed.
    #[derive(Default)]
    pub struct LabelOptions {
        /// The repo; by default the one that has the release or the label.
        pub repo: Option<String>,
        /// Why, for the record.
        pub message: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// A label, and the release that it is at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LabelRow {
    /// The repo whose label it is.
    pub repo: String,
    /// The label.
    pub label: String,
    /// The package.
    pub package: PackageName,
    /// The version that it is at.
    pub version: Version,
    /// Its last move; `None` for a label that moves automatically.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<LabelEvent>,
}

/// The result of moving or removing a label.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LabelReport {
    /// The repo.
    pub repo: String,
    /// The label.
    pub label: String,
    /// The package.
    pub package: PackageName,
    /// The version that it was at.
    pub before: Option<Version>,
    /// The version that it points to; `None` if it was removed.
    pub version: Option<Version>,
    /// Whether it was so already.
    pub already: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Fine if a text can be a label that people move.
fn check_own(label: &str) -> Result<()> {
    let checked = match check_label(label) {
        Ok(()) if label == LATEST_APPROVED => {
            Err("it always follows the newest approved release and cannot be moved manually")
        }
        checked => checked,
    };
    Ok(checked.map_err(|reason| EditError::BadLabel {
        label: printable(label),
        reason,
    })?)
}

impl Opened {
    pub(crate) fn labels(&self, asset: &str, repo: Option<&str>) -> Result<Vec<LabelRow>> {
        let package = PackageName::of_asset(asset)?;
        let mut rows = Vec::new();
        for entry in self.entries_of(repo)? {
            let opened = self.open_repo(entry)?;
            if !opened.admits(&package) {
                continue;
            }
            let row = |label: String, version: Version, moved: Option<LabelEvent>| LabelRow {
                repo: entry.name.clone(),
                label,
                package: package.clone(),
                version,
                moved,
            };
            for (label, event) in opened.labels(&package)? {
                if let Some(version) = event.version.clone() {
                    rows.push(row(label, version, Some(event)));
                }
            }
            if let Some(version) = self.latest_approved(&opened, &package)? {
                rows.push(row(LATEST_APPROVED.to_owned(), version, None));
            }
        }
        Ok(rows)
    }

    pub(crate) fn set_label(&self, what: &str, label: &str, options: &LabelOptions) -> Result<LabelReport> {
        check_own(label)?;
        let (entry, opened, release) = self.one_release(what, options.repo.as_deref())?;
        let (package, version) = (&release.package, Some(&release.version));
        self.move_label((entry, &opened), (package, label), version, options)
    }

    pub(crate) fn remove_label(
        &self,
        asset: &str,
        label: &str,
        options: &LabelOptions,
    ) -> Result<LabelReport> {
        check_own(label)?;
        let package = PackageName::of_asset(asset)?;
        let mut known = Vec::new();
        for entry in self.entries_of(options.repo.as_deref())? {
            let opened = self.open_repo(entry)?;
            if !opened.admits(&package) {
                continue;
            }
            let labels = opened.labels(&package)?;
            if labels.contains_key(label) {
                return self.move_label((entry, &opened), (&package, label), None, options);
            }
            known.extend(labels.into_keys());
        }
        let nearest = backlot_core::text::nearest(label, known.iter().map(String::as_str));
        Err(EditError::NoLabel {
            package,
            label: label.to_owned(),
            nearest: nearest.map(ToOwned::to_owned),
        }
        .into())
    }

    fn entries_of(&self, repo: Option<&str>) -> Result<Vec<&RepoEntry>> {
        match repo {
            Some(name) => Ok(vec![self.repo_entry(name)?]),
            None => Ok(self.repos()),
        }
    }

    fn move_label(
        &self,
        (entry, opened): (&RepoEntry, &Repo),
        (package, label): (&PackageName, &str),
        to: Option<&Version>,
        options: &LabelOptions,
    ) -> Result<LabelReport> {
        let by: Publication = self.publication(options.message.as_deref());
        let moved = opened.move_label((package, label), to, &by, options.dry_run, self.context())?;
        Ok(LabelReport {
            repo: entry.name.clone(),
            label: label.to_owned(),
            package: package.clone(),
            before: moved.before,
            version: moved.event.version,
            already: moved.already,
            dry_run: options.dry_run,
        })
    }
}
