//! Merging manifests: what a folder was, what is there now, what was removed; and what the folder is then.
//!
//! The one place that decides it: `add`, `publish`, `status`, their dry runs, and releases that are put together out of
//! parts all go by [`merge`]. Invariant: **a member of the base that is not there is unchanged unless it is known to be
//! removed**; a partial folder never stands for the whole.

use std::collections::HashSet;

use backlot_core::RelPath;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::manifest::{Manifest, ManifestEntry};

/// How many names of each kind are carried.
pub const MAX_NAMES: usize = 20;

/// A merged folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Its files.
    pub manifest: Manifest,
    /// Files that the base did not have.
    pub new: Vec<RelPath>,
    /// Files that have other content than in the base.
    pub changed: Vec<RelPath>,
    /// Files of the base that are removed.
    pub gone: Vec<RelPath>,
    /// Files of the base that were not looked at and are as they were.
    pub kept: Vec<ManifestEntry>,
}

/// What changed in a folder, in numbers and some names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChanges {
    /// Files that were not tracked before.
    pub new: u64,
    /// Files with other content.
    pub changed: u64,
    /// Files that are removed.
    pub gone: u64,
    /// Some of the files, each with `+`, `-` or `~` before it; at most [`MAX_NAMES`] of a kind.
    pub names: Vec<String>,
}

impl FileChanges {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.new + self.changed + self.gone == 0
    }
}

impl Merged {
    /// What changed.
    pub fn changes(&self) -> FileChanges {
        let mut names = Vec::new();
        for (sign, paths) in [('+', &self.new), ('-', &self.gone), ('~', &self.changed)] {
            names.extend(paths.iter().take(MAX_NAMES).map(|p| format!("{sign} {p}")));
        }
        FileChanges {
            new: self.new.len() as u64,
            changed: self.changed.len() as u64,
            gone: self.gone.len() as u64,
            names,
        }
    }
}

/// Merge `base` with the files that are `present`. Files of the base that are not among them are unchanged, but for those
/// of which `is_removed` says that they are removed, and those that a present file stands in the way of (a file where a
/// folder was, or the other way round). `name` is what errors call the result.
pub fn merge(
    name: &str,
    base: &Manifest,
    present: Vec<ManifestEntry>,
    is_removed: &dyn Fn(&ManifestEntry) -> bool,
) -> Result<Merged> {
    let mut merged = Merged::default();
    let files: HashSet<&str> = present.iter().map(|e| e.path.as_str()).collect();
    let mut folders = HashSet::new();
    for entry in &present {
        match base.get(&entry.path) {
            None => merged.new.push(entry.path.clone()),
            Some(md5) if md5 != entry.md5 => merged.changed.push(entry.path.clone()),
            Some(_) => {}
        }
        let mut above = entry.path.parent();
        while let Some(folder) = above {
            above = folder.parent();
            if !folders.insert(folder) {
                break;
            }
        }
    }
    let displaced = |path: &RelPath| {
        let mut above = path.parent();
        while let Some(folder) = above {
            if files.contains(folder.as_str()) {
                return true;
            }
            above = folder.parent();
        }
        folders.contains(path)
    };
    for entry in base.entries() {
        if files.contains(entry.path.as_str()) {
            continue;
        }
        if displaced(&entry.path) || is_removed(entry) {
            merged.gone.push(entry.path.clone());
        } else {
            merged.kept.push(entry.clone());
        }
    }
    let mut entries = present;
    entries.extend(merged.kept.iter().cloned());
    merged.manifest = Manifest::new(name, entries)?;
    merged.new.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    merged.changed.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use backlot_core::{Md5, RelPath};
    use proptest::prelude::*;

    use super::{Merged, merge};
    use crate::manifest::{Manifest, ManifestEntry};

    fn entry(path: &str, content: u8) -> ManifestEntry {
        ManifestEntry {
            md5: Md5::from_bytes([content; 16]),
            path: RelPath::parse(path).expect("safe"),
        }
    }

    fn entries(list: &[(&str, u8)]) -> Vec<ManifestEntry> {
        list.iter().map(|(path, content)| entry(path, *content)).collect()
    }

    fn merged(base: &[(&str, u8)], present: &[(&str, u8)], removed: &[&str]) -> Merged {
        let base = Manifest::new("base", entries(base)).expect("safe");
        merge("m", &base, entries(present), &|e| {
            removed.contains(&e.path.as_str())
        })
        .expect("merged")
    }

    #[test]
    fn what_is_absent_is_unchanged_unless_it_is_known_to_be_removed() {
        let base = [("a", 1), ("b", 2), ("c", 3), ("sub/d", 4)];
        let one = merged(&base, &[("b", 9), ("e", 5)], &["c"]);
        assert_eq!(
            one.manifest.entries(),
            entries(&[("a", 1), ("b", 9), ("e", 5), ("sub/d", 4)])
        );
        assert_eq!(one.kept, entries(&[("a", 1), ("sub/d", 4)]));
        assert_eq!(one.changes().names, ["+ e", "- c", "~ b"]);
        // What is there is not removed, whatever is said.
        let there = merged(&base, &[("c", 3)], &["c"]);
        assert_eq!(there.manifest.entries().len(), 4);
        assert!(there.changes().is_empty());
    }

    #[test]
    fn a_file_where_a_folder_was_displaces_it_and_the_other_way_round() {
        let one = merged(&[("a/x", 1), ("a/y", 2), ("b", 3)], &[("a", 4), ("b/z", 5)], &[]);
        assert_eq!(one.manifest.entries(), entries(&[("a", 4), ("b/z", 5)]));
        assert_eq!(one.changes().names, ["+ a", "+ b/z", "- a/x", "- a/y", "- b"]);
    }

    proptest! {
        #[test]
        fn merging_twice_gives_the_same_and_every_file_is_accounted_for(
            base in prop::collection::btree_map("[ab]/?[cd]", 0u8..3, 0..6),
            present in prop::collection::btree_map("[ab][cd]?", 0u8..3, 0..6),
        ) {
            let list = |map: &std::collections::BTreeMap<String, u8>| -> Vec<ManifestEntry> {
                map.iter().map(|(path, content)| entry(path, *content)).collect()
            };
            let base = Manifest::new("base", list(&base)).expect("no file is a folder");
            let once = merge("m", &base, list(&present), &|_| false).expect("merged");
            let twice = merge("m", &once.manifest, list(&present), &|_| false).expect("merged");
            prop_assert_eq!(&twice.manifest, &once.manifest);
            prop_assert!(twice.changes().is_empty());
            prop_assert_eq!(once.kept.len() + present.len(), once.manifest.entries().len());
            prop_assert_eq!(
                base.entries().len() + once.new.len(),
                once.manifest.entries().len() + once.gone.len()
            );
        }
    }
}
