//! Maintaining the index: the additions of a push, and rebuilding lost parts from packs.
//!
//! Invariant: the index is derived. A pack that a recipe names and no segment knows is indexed by its own table; one that is
//! gone is remembered, so that no push asks for it again.

use backlot_core::Context;

use super::catalog::{Catalog, Index};
use super::index;
use super::name::{Kind, StoredName};
use super::pack::PackFacts;
use super::push::ChunkedRepository;
use super::writer::{GonePacks, Journal, add_pack};
use crate::error::{Error, Result};
use crate::parallel::each;

impl ChunkedRepository {
    /// The index, made anew from the packs where a segment of it is lost or damaged.
    pub(super) fn whole_index(&self, catalog: &Catalog, context: &Context) -> Result<Index> {
        let mut index = Index::load(&*self.blobs, &self.mirror, context)?;
        if !index.damaged.is_empty() {
            self.rebuild_index(context)?;
            // Derived, and derived anew by now.
            self.blobs.delete_many(&index.damaged)?;
            index = Index::load(&*self.blobs, &self.mirror, context)?;
        }
        if self.index_packs(&catalog.unknown_to(&index), context)? == 0 {
            return Ok(index);
        }
        Index::load(&*self.blobs, &self.mirror, context)
    }

    /// Add packs that recipes name to the index, and remember those that are gone. Returns how many were added.
    fn index_packs(&self, packs: &[PackFacts], context: &Context) -> Result<u64> {
        let gone = GonePacks::load(&self.mirror);
        let packs: Vec<&PackFacts> = packs.iter().filter(|pack| !gone.has(pack.name)).collect();
        let tables = each(self.blobs.concurrency(), packs.len(), context, |n| {
            match self.pack_table(packs[n]) {
                // What is damaged is named when it is read; here it is passed over.
                Err(Error::DamagedRemote { .. }) => Ok(Some(Vec::new())),
                other => other,
            }
        })?;
        let mut builder = index::SegmentBuilder::default();
        let (mut count, mut absent) = (0, Vec::new());
        for (facts, table) in packs.into_iter().zip(tables) {
            match table {
                Some(entries) if !entries.is_empty() => {
                    add_pack(&mut builder, facts, &entries);
                    count += 1;
                }
                Some(_) => {}
                None => absent.push(facts.name),
            }
        }
        gone.note(&absent)?;
        if count > 0 {
            self.put_segment(Kind::Index, &builder.finish())?;
        }
        Ok(count)
    }

    /// The chunks of a pack, by its table; `None` if the pack is not there.
    pub(super) fn pack_table(&self, facts: &PackFacts) -> Result<Option<Vec<super::pack::Entry>>> {
        let key = Kind::Pack.key(facts.name);
        let Some(bytes) = self.blobs.read_range(&key, facts.table_range())? else {
            return Ok(None);
        };
        match super::pack::parse_table(&bytes, facts) {
            Ok(entries) => Ok(Some(entries)),
            Err(why) => Err(super::catalog::damaged(&*self.blobs, key, why)),
        }
    }

    /// The chunks of a pack, by its table or, if that is damaged, by the records before the chunks.
    pub(super) fn salvaged_table(&self, facts: &PackFacts) -> Result<Option<Vec<super::pack::Entry>>> {
        let damage = match self.pack_table(facts) {
            Err(damage @ Error::DamagedRemote { .. }) => damage,
            other => return other,
        };
        let whole = self.blobs.read(&Kind::Pack.key(facts.name))?.unwrap_or_default();
        let entries = super::pack::scan(&whole);
        if entries.len() == facts.chunks as usize {
            Ok(Some(entries))
        } else {
            Err(damage)
        }
    }

    /// Make the index anew from the packs that no segment knows. Returns how many packs that were.
    pub(super) fn rebuild_index(&self, context: &Context) -> Result<u64> {
        let known = Index::load(&*self.blobs, &self.mirror, context)?.packs();
        let listed = self.blobs.list(Kind::Pack.prefix())?;
        let unknown: Vec<_> = listed
            .iter()
            .filter_map(|entry| Some((super::name::name_of(&entry.key)?, entry)))
            .filter(|(name, _)| !known.contains(name))
            .collect();
        let tables = each(self.blobs.concurrency(), unknown.len(), context, |n| {
            let (name, entry) = unknown[n];
            let trailer = entry.size.saturating_sub(super::pack::TRAILER as u64)..entry.size;
            let Some(bytes) = self.blobs.read_range(&entry.key, trailer)? else {
                return Ok(None);
            };
            let table = match super::pack::parse_trailer(name, &bytes, entry.size) {
                Ok(facts) => match self.pack_table(&facts) {
                    Err(Error::DamagedRemote { .. }) => None,
                    table => Some(table?.map(|entries| (facts, entries))),
                },
                Err(_) => None,
            };
            let Some(table) = table else {
                context.warn(
                    "store::damaged_pack",
                    format!(
                        "`{}` in {} is damaged and was skipped",
                        entry.key,
                        self.blobs.place()
                    ),
                );
                return Ok(None);
            };
            Ok(table)
        })?;
        let mut builder = index::SegmentBuilder::default();
        let mut count = 0;
        for (facts, entries) in tables.into_iter().flatten() {
            add_pack(&mut builder, &facts, &entries);
            count += 1;
        }
        if count > 0 {
            self.put_segment(Kind::Index, &builder.finish())?;
        }
        Ok(count)
    }
}

/// An index segment that was written, if one was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IndexWritten {
    pub(super) name: Option<StoredName>,
    pub(super) bytes: u64,
}

/// Write an index segment of all packs that are noted as complete.
pub(super) fn commit_index(site: &ChunkedRepository) -> Result<IndexWritten> {
    let journal = Journal::new(&site.mirror);
    let noted = journal.open()?;
    if noted.is_empty() {
        return Ok(IndexWritten::default());
    }
    let mut builder = index::SegmentBuilder::default();
    for (_, segment) in &noted {
        builder.absorb(segment, &|_| true)?;
    }
    let bytes = builder.finish();
    let name = site.put_segment(Kind::Index, &bytes)?;
    for (name, _) in &noted {
        journal.forget(*name)?;
    }
    Ok(IndexWritten {
        name: Some(name),
        bytes: bytes.len() as u64,
    })
}
