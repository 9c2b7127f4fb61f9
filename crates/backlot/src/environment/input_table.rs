//! Overview of the inputs of the workspace: the version in use, available releases, status, and the recommended action.
//!
//! Invariant: what an update would take, and what holds an input back, is as [`crate::Workspace::outdated`] says. Nothing here changes anything.

use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::outdated::OutdatedRow;
use crate::error::Result;
use crate::workspace::Opened;

/// An input.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputRow {
    /// The package.
    pub package: PackageName,
    /// The version in use.
    pub version: Version,
    /// Whether the workspace requires it directly.
    pub requested: bool,
    /// The requirement that pins it to one version, if the workspace has one.
    pub pinned: Option<String>,
    /// The folder of the output, if it is edited in this workspace.
    pub editable: Option<String>,
    /// The releases in repos, and the status of the version in use; empty for an output or a URL.
    pub releases: Option<OutdatedRow>,
    /// The recommended action.
    pub action: InputAction,
}

/// The recommended action for an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InputAction {
    /// Nothing.
    None,
    /// `backlot update` installs another version.
    Update,
    /// A newer version is there, and a requirement or the preference of a repo holds it back.
    Held,
    /// It is yanked or deprecated, and no update moves it away from that.
    Replace,
}

impl Opened {
    pub(crate) fn input_table(&self) -> Result<Vec<InputRow>> {
        let Some(lock) = Lock::load(self.root())? else {
            return Ok(Vec::new());
        };
        let mut rows = self.release_rows(&lock, true)?.into_iter().peekable();
        let mut table = Vec::with_capacity(lock.packages.len());
        // Both are in the order of the lock.
        for package in &lock.packages {
            let releases = rows.next_if(|row| row.package == package.name);
            table.push(self.input_row(package, releases));
        }
        Ok(table)
    }

    fn input_row(&self, package: &LockedPackage, releases: Option<OutdatedRow>) -> InputRow {
        let of_it = self
            .config()
            .inputs
            .iter()
            .filter(|input| *input.name() == package.name);
        let pins = of_it.filter(|input| input.specifiers().pinned().is_some());
        InputRow {
            package: package.name.clone(),
            version: package.version.clone(),
            requested: package.requested,
            pinned: pins.map(ToString::to_string).next(),
            editable: package.editable.clone(),
            action: releases.as_ref().map_or(InputAction::None, action),
            releases,
        }
    }
}

fn action(row: &OutdatedRow) -> InputAction {
    let moves = row.admitted.as_ref().is_some_and(|to| *to != row.version);
    if moves {
        InputAction::Update
    } else if row.yanked.is_some() || row.deprecated.is_some() {
        InputAction::Replace
    } else if row.newest.iter().any(|newest| newest.version > row.version) {
        InputAction::Held
    } else {
        InputAction::None
    }
}
