//! What the cache could drop: objects that no known workspace of this cache names.
//!
//! The cache is shared, so it remembers the workspaces that use it; one that is gone from disk no longer counts. Only a
//! report: nothing is deleted here.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, file, shared};
use backlot_store::ObjectId;
use fs_err as fs;
use serde::Serialize;

use crate::error::Result;
use crate::workspace::Workspace;

/// What a collection would do.
#[derive(Clone, Debug, Serialize)]
pub struct GcReport {
    /// The cache.
    pub cache: PathBuf,
    /// The workspaces whose files are kept.
    pub workspaces: Vec<PathBuf>,
    /// Workspaces of other people that cannot be read: which files they need is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<PathBuf>,
    /// Objects that are kept.
    pub kept: usize,
    /// Objects that nothing names.
    pub unreferenced: Vec<Unreferenced>,
    /// Their bytes.
    pub bytes: u64,
    /// Always true: nothing is deleted.
    pub dry_run: bool,
}

/// An object that nothing names.
#[derive(Clone, Debug, Serialize)]
pub struct Unreferenced {
    /// The object.
    pub object: ObjectId,
    /// Its bytes.
    pub size: u64,
}

/// Remember that a workspace uses a cache.
pub(crate) fn register_workspace(cache: &Path, root: &Path) -> Result<()> {
    let text = root.display().to_string();
    let name = backlot_store::digest_bytes(text.as_bytes()).blake3;
    let path = cache.join("workspaces").join(short(&name));
    if !path.exists() {
        shared::write(&path, text.as_bytes())?;
    }
    Ok(())
}

fn short(digest: &Blake3) -> String {
    digest.to_hex()[..32].to_owned()
}

impl Workspace {
    /// What nothing in any workspace of this cache names.
    pub fn plan_gc(&self) -> Result<GcReport> {
        let cache = self.cache()?;
        let (mut workspaces, mut unreadable) = (Vec::new(), Vec::new());
        let mut keep = HashSet::new();
        for root in registered(cache.root())? {
            self.context().check()?;
            if !self.is_workspace(&root) {
                unreadable.extend(is_closed(&root).then_some(root));
                continue;
            }
            let workspace = Self::open(&root, self.host(), self.context())?;
            workspace.mark(&cache, &mut keep)?;
            workspaces.push(root);
        }
        let all = cache.list()?.len();
        let unreferenced: Vec<Unreferenced> = cache
            .unreferenced(&keep)?
            .into_iter()
            .map(|entry| Unreferenced {
                object: entry.id,
                size: entry.size,
            })
            .collect();
        Ok(GcReport {
            cache: cache.root().to_path_buf(),
            workspaces,
            unreadable,
            kept: all - unreferenced.len(),
            bytes: unreferenced.iter().map(|u| u.size).sum(),
            unreferenced,
            dry_run: true,
        })
    }

    /// Whether a registered workspace is there and can be read. One that other people closed is warned of.
    pub(crate) fn is_workspace(&self, root: &Path) -> bool {
        if is_closed(root) {
            let message = format!(
                "`{}` uses this cache and cannot be read: what only it needs counts as not needed",
                root.display()
            );
            self.context().warn("gc::unreadable_workspace", message);
            return false;
        }
        root.join(crate::config::FILE_NAME).is_file()
    }

    /// Every object that this workspace's pointers name.
    fn mark(&self, cache: &backlot_store::Cache, keep: &mut HashSet<ObjectId>) -> Result<()> {
        keep.extend(self.objects_set_aside()?);
        for tracked in self.tracked(&[], true)? {
            for pointer in &tracked.pointers {
                for (_, out) in pointer.located_outs() {
                    let Some(id) = out.id() else { continue };
                    keep.insert(id);
                    if id.tree && cache.has(&id)? {
                        let manifest = backlot_dvc::read_manifest(cache, &id)?;
                        keep.extend(manifest.entries().iter().map(|e| ObjectId::file(e.md5)));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a folder, or one above it, lets this user not look into it.
fn is_closed(root: &Path) -> bool {
    let found = fs::metadata(root.join(crate::config::FILE_NAME));
    found.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
}

pub(crate) fn registered(cache: &Path) -> Result<Vec<PathBuf>> {
    let folder = cache.join("workspaces");
    let mut roots = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if !path
                .file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(file::TEMPORARY_PREFIX))
            {
                roots.push(PathBuf::from(fs::read_to_string(path)?));
            }
        }
    }
    roots.sort();
    Ok(roots)
}
