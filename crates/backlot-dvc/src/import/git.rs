//! Pointers of imports from git repositories, as `dvc import` writes them.
//!
//! Invariant: what is not understood (a configuration or remote of its own) makes an import that only DVC updates. Deliberately absent: git.

use serde_yaml_ng::{Mapping, Value};

use super::{ImportNotes, stage_md5};
use crate::pointer::Pointer;

/// A path of a git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// The path in the repository.
    pub path: String,
    /// The repository: a URL or a path.
    pub url: String,
    /// The branch, tag or commit that updates follow; `None` for the default branch.
    pub rev: Option<String>,
    /// The commit that it was taken from.
    pub rev_lock: String,
}

impl GitSource {
    /// The source of a pointer; `None` if it is not one of these.
    pub fn of(pointer: &Pointer) -> Option<Self> {
        let [dep] = pointer.deps.as_slice() else {
            return None;
        };
        let repo = dep.get("repo")?.as_mapping()?;
        let known = ["url", "rev", "rev_lock"];
        if repo
            .keys()
            .any(|key| !key.as_str().is_some_and(|key| known.contains(&key)))
        {
            return None;
        }
        let text = |map: &Mapping, key: &str| map.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        Some(Self {
            path: text(dep, "path")?,
            url: text(repo, "url")?,
            rev: text(repo, "rev"),
            rev_lock: text(repo, "rev_lock")?,
        })
    }

    /// Make a pointer that of an import from here, with what is noted of it; what else it says stays.
    pub fn put_into(&self, pointer: &mut Pointer, notes: &ImportNotes) {
        let mut repo = Mapping::new();
        repo.insert("url".into(), self.url.as_str().into());
        if let Some(rev) = &self.rev {
            repo.insert("rev".into(), rev.as_str().into());
        }
        repo.insert("rev_lock".into(), self.rev_lock.as_str().into());
        let mut dep = Mapping::new();
        dep.insert("path".into(), self.path.as_str().into());
        dep.insert("repo".into(), repo.into());
        pointer.deps = vec![dep];
        notes.put_into(pointer);
        pointer.md5 = stage_md5(pointer).map(|md5| md5.to_hex());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::GitSource;
    use crate::{ImportNotes, Pointer};

    #[test]
    fn pointers_of_dvc_are_read_and_written_alike() {
        let text = include_str!("../../../../fixtures/dvc/pointers/import.dvc");
        let known = Pointer::parse(Path::new("x.dvc"), text).expect("a pointer");
        let source = GitSource::of(&known).expect("a source");
        let mut made = known.clone();
        source.put_into(&mut made, &ImportNotes::default());
        // The commit of the fixture was changed, and its MD5 was not.
        made.md5.clone_from(&known.md5);
        assert_eq!(made, known);
        let own = text.replace("    url:", "    config: {core: {}}\n    url:");
        let own = Pointer::parse(Path::new("x.dvc"), &own).expect("a pointer");
        assert_eq!(GitSource::of(&own), None);
    }
}
