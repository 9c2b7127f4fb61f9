//! Which files of an out were here: what tells a removed file from one that was never pulled, and a file that we placed from
//! edited by a user.
//!
//! The record itself is the store's (`StatCache::placed`). Invariants: a file counts as removed only if this workspace had it
//! with the very content that the pointer names now; everything else that is absent is unchanged. A file that a pointer does
//! not name any more stays on record while it is here as it was placed, so that a checkout may remove it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::{Md5, RelPath};
use backlot_store::{Cache, PlacedMembers, StatCache};

use crate::content::Content;
use crate::error::Result;
use crate::manifest::{Manifest, ManifestEntry};
use crate::tracked::TrackedPointer;

/// The record of one out.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    stat: &'a StatCache,
    place: &'a Path,
    members: PlacedMembers,
}

impl<'a> Record<'a> {
    pub(crate) fn load(stat: &'a StatCache, place: &'a Path) -> Result<Self> {
        let members = stat.placed(place)?;
        Ok(Self { stat, place, members })
    }

    /// Whether nothing of the out was ever here, as far as is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a member was here with this content.
    pub(crate) fn had(&self, entry: &ManifestEntry) -> bool {
        self.members.get(entry.path.as_str()) == Some(&entry.md5)
    }

    /// Whether a file has the content that was placed there.
    pub(crate) fn is_placed(&self, path: &Path, md5: Md5) -> bool {
        let Ok(inside) = path.strip_prefix(self.place) else {
            return false;
        };
        if inside.as_os_str().is_empty() {
            return self.members.get("") == Some(&md5);
        }
        RelPath::from_path(inside).is_ok_and(|inside| self.members.get(inside.as_str()) == Some(&md5))
    }

    /// Note that the out is `manifest` now, and which of its members are here. Those that were here before still count, and so do
    /// others of which `is_still` says that they are here as they were placed.
    pub(crate) fn note(
        &self,
        manifest: &Manifest,
        is_here: &dyn Fn(&ManifestEntry) -> bool,
        is_still: &dyn Fn(&str, Md5) -> bool,
    ) -> Result<()> {
        let before = self.members.iter();
        let mut members: PlacedMembers = before
            .filter(|(path, md5)| is_still(path, **md5))
            .map(|(path, md5)| (path.clone(), *md5))
            .collect();
        let entries = manifest.entries().iter();
        let here = entries.filter(|entry| is_here(entry) || self.had(entry));
        members.extend(here.map(|entry| (entry.path.as_str().to_owned(), entry.md5)));
        Ok(self.stat.set_placed(self.place, &members)?)
    }

    /// Note that the out is a single file, which is here.
    pub(crate) fn note_file(&self, md5: Md5) -> Result<()> {
        Ok(self
            .stat
            .set_placed(self.place, &PlacedMembers::from([(String::new(), md5)]))?)
    }
}

/// A record that is read on first use: a checkout that finds every file as it should be does not read it.
#[derive(Debug)]
pub(crate) struct LazyRecord<'a> {
    stat: &'a StatCache,
    place: &'a Path,
    record: OnceCell<Record<'a>>,
}

impl<'a> LazyRecord<'a> {
    pub(crate) const fn new(stat: &'a StatCache, place: &'a Path) -> Self {
        Self {
            stat,
            place,
            record: OnceCell::new(),
        }
    }

    pub(crate) fn get(&self) -> Result<&Record<'a>> {
        if self.record.get().is_none() {
            self.record.set(Record::load(self.stat, self.place)?).ok();
        }
        Ok(self.record.get().expect("it was just read"))
    }
}

/// The content that the files of some pointers have if unmodified: as placed, and as in the pointers.
pub fn placed_content(
    pointers: &[&TrackedPointer],
    cache: &Cache,
    stat: &StatCache,
) -> Result<BTreeMap<PathBuf, BTreeSet<Md5>>> {
    let mut all: BTreeMap<PathBuf, BTreeSet<Md5>> = BTreeMap::new();
    for pointer in pointers {
        for (place, out) in pointer.located_outs().filter(|(_, out)| out.cache) {
            for (inside, md5) in stat.placed(&place)? {
                let path = if inside.is_empty() {
                    place.clone()
                } else {
                    place.join(inside)
                };
                all.entry(path).or_default().insert(md5);
            }
            for member in Content::find(out, cache)?.iter().flat_map(|c| c.members(&place)) {
                all.entry(member.target).or_default().insert(member.id.md5);
            }
        }
    }
    Ok(all)
}

/// Record that the outs of some pointers were checked out, except those `kept` with other content.
pub fn note_placed(
    pointers: &[&TrackedPointer],
    kept: &[PathBuf],
    cache: &Cache,
    stat: &StatCache,
) -> Result<()> {
    let kept: HashSet<&Path> = kept.iter().map(PathBuf::as_path).collect();
    for pointer in pointers {
        for (place, out) in pointer.located_outs().filter(|(_, out)| out.cache) {
            let record = Record::load(stat, &place)?;
            match Content::find(out, cache)? {
                Some(Content::Folder(manifest)) => {
                    let is_kept = |path: &str| !kept.is_empty() && kept.contains(&*place.join(path));
                    record.note(&manifest, &|entry| !is_kept(entry.path.as_str()), &|path, _| {
                        is_kept(path)
                    })?;
                }
                Some(Content::File(id)) if !kept.contains(&*place) => record.note_file(id.md5)?,
                _ => {}
            }
        }
    }
    Ok(())
}
