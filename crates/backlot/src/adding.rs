//! Paths from outside that are being added: copied into an asset, and not tracked yet.
//!
//! Invariant: an `add` that was stopped between the two is finished by running it again, and only that one: what else lies
//! at its target is not taken for it. Kept in `.backlot/adding.json`, which can be deleted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::file;

use crate::error::Result;
use crate::workspace::Workspace;

/// Targets with the paths that are copied there.
type Begun = BTreeMap<PathBuf, PathBuf>;

fn place(workspace: &Workspace) -> PathBuf {
    workspace.state_dir().join("adding.json")
}

fn load(workspace: &Workspace) -> Result<Begun> {
    let bytes = file::read_if_exists(&place(workspace))?;
    Ok(bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default())
}

/// Whether a pointer beside a path tracks it.
fn is_tracked(target: &Path) -> bool {
    let mut pointer = target.as_os_str().to_owned();
    pointer.push(".dvc");
    PathBuf::from(pointer).exists()
}

/// Note that a path is about to be copied to a target. What was finished or given up since is forgotten.
pub(crate) fn begin(workspace: &Workspace, source: &Path, target: &Path) -> Result<()> {
    let mut begun = load(workspace)?;
    begun.retain(|target, _| target.exists() && !is_tracked(target));
    begun.insert(target.to_path_buf(), source.to_path_buf());
    let bytes = serde_json::to_vec_pretty(&begun).unwrap_or_default();
    file::write_if_changed(&place(workspace), &bytes)?;
    Ok(())
}

/// Whether what lies at a target is the copy of a path whose adding was stopped.
pub(crate) fn is_begun(workspace: &Workspace, source: &Path, target: &Path) -> Result<bool> {
    Ok(!is_tracked(target) && load(workspace)?.get(target).is_some_and(|from| from == source))
}
