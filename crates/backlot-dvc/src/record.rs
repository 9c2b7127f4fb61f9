//! Which files of an out were here: what tells a removed file from one that was never pulled.
//!
//! The record itself is the store's (`StatCache::placed`). Invariant: a file counts as removed only if this workspace had it
//! with the very content that the pointer names now; everything else that is absent is unchanged.

use std::path::{Path, PathBuf};

use backlot_core::{Md5, RelPath};
use backlot_store::{Cache, PlacedMembers, StatCache};

use crate::content::Content;
use crate::error::Result;
use crate::manifest::{Manifest, ManifestEntry};
use crate::tracked::TrackedPointer;

/// What is recorded of one out.
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

    /// Note that the out is `manifest` now, and which of its members are here. Those that were here before still count.
    pub(crate) fn note(&self, manifest: &Manifest, is_here: &dyn Fn(&ManifestEntry) -> bool) -> Result<()> {
        let entries = manifest.entries().iter();
        let here = entries.filter(|entry| is_here(entry) || self.had(entry));
        let members = here
            .map(|entry| (entry.path.as_str().to_owned(), entry.md5))
            .collect();
        Ok(self.stat.set_placed(self.place, &members)?)
    }

    /// Note that the out is a single file, which is here.
    pub(crate) fn note_file(&self, md5: Md5) -> Result<()> {
        Ok(self
            .stat
            .set_placed(self.place, &PlacedMembers::from([(String::new(), md5)]))?)
    }
}

/// Note that the outs of some pointers were checked out, but for what was `kept` with other content.
pub fn note_placed(
    pointers: &[&TrackedPointer],
    kept: &[PathBuf],
    cache: &Cache,
    stat: &StatCache,
) -> Result<()> {
    for pointer in pointers {
        for (place, out) in pointer.located_outs().filter(|(_, out)| out.cache) {
            let record = Record::load(stat, &place)?;
            match Content::find(out, cache)? {
                Some(Content::Folder(manifest)) => {
                    let is_kept = |path: &RelPath| !kept.is_empty() && kept.contains(&path.to_path(&place));
                    record.note(&manifest, &|entry| !is_kept(&entry.path))?;
                }
                Some(Content::File(id)) if !kept.contains(&place) => record.note_file(id.md5)?,
                _ => {}
            }
        }
    }
    Ok(())
}
