//! The stored bytes of each file, to determine the real cost of a version.

use std::collections::BTreeMap;

use backlot_core::Context;

use super::catalog::Catalog;
use super::name::StoredName;
use super::pack::PackFacts;
use super::push::ChunkedRepository;
use crate::error::Result;
use crate::object::ObjectId;
use crate::usage::{FileParts, Part};

impl ChunkedRepository {
    /// The chunks of each file, with their stored bytes where they are `asked` about. Files that are not there have none.
    pub(super) fn parts(
        &self,
        asked: &[ObjectId],
        others: &[ObjectId],
        context: &Context,
    ) -> Result<Vec<Option<FileParts>>> {
        let catalog = Catalog::load(&*self.blobs, &self.mirror, context)?;
        let found = catalog.find(&[asked, others].concat())?;
        // A table is read for each pack; of what is only compared with, the recipe tells which chunks they are.
        let packs: BTreeMap<StoredName, PackFacts> = found[..asked.len()]
            .iter()
            .flatten()
            .flat_map(|one| one.packs().map(|pack| (pack.name, *pack)))
            .collect();
        let tables = self.tables(&packs, context)?;
        Ok(found
            .into_iter()
            .map(|one| {
                let one = one?;
                let mut parts = Vec::new();
                for run in &one.recipe.runs {
                    let pack = one.segment.packs().get(run.pack as usize)?;
                    let table = tables.get(&pack.name).and_then(Option::as_ref);
                    for position in run.first..run.first + run.count {
                        let entry = table.and_then(|table| table.get(position as usize));
                        parts.push(Part {
                            unit: (*pack.name.as_bytes(), position),
                            stored: entry.map_or(0, |entry| u64::from(entry.stored)),
                            raw: entry.map_or(0, |entry| u64::from(entry.raw)),
                        });
                    }
                }
                Some(FileParts {
                    size: one.recipe.size,
                    parts,
                })
            })
            .collect())
    }
}
