//! The metadata a remote has of files, without reading them, for a writer that relies on stored content.
//!
//! Invariant: a file is named only if a reader could fetch it now and nobody condemned it: its newest clean recipe, whose
//! packs were each seen to be there, of their length, after the tombs were read; and whose segment is there, not only in the
//! mirror of this machine.

use std::collections::{BTreeMap, HashSet};

use backlot_core::Context;

use super::catalog::{Catalog, TOGETHER};
use super::name::StoredName;
use super::push::ChunkedRepository;
use super::relied::ROUNDS;
use super::remote::ChunkedRemote;
use crate::error::{Error, Result};
use crate::object::{KnownFile, ObjectId};

impl ChunkedRemote {
    /// Sizes and proofs of files that can be relied on; `None` for the others.
    pub(crate) fn known(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<KnownFile>>> {
        match self.find()? {
            Some(site) => site.known(ids, context),
            None => Ok(vec![None; ids.len()]),
        }
    }
}

impl ChunkedRepository {
    pub(super) fn known(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<KnownFile>>> {
        for _ in 0..ROUNDS {
            let catalog = Catalog::load(&*self.blobs, &self.mirror, context)?;
            if let Some(known) = self.known_by(&catalog, ids, context)? {
                return Ok(known);
            }
        }
        Err(Error::Contended {
            place: self.blobs.place(),
        })
    }

    /// The same by one view of the remote; `None` if a segment that it relies on was merged since, or cannot be read: then the next
    /// view is another one.
    fn known_by(
        &self,
        catalog: &Catalog,
        ids: &[ObjectId],
        context: &Context,
    ) -> Result<Option<Vec<Option<KnownFile>>>> {
        let mut known = Vec::with_capacity(ids.len());
        let mut there: HashSet<StoredName> = HashSet::new();
        let mut segments: BTreeMap<StoredName, Option<u64>> = BTreeMap::new();
        for ids in ids.chunks(TOGETHER) {
            let found = catalog.find_with(ids, |_, one| catalog.is_clean(one))?;
            for one in found.iter().flatten() {
                segments.insert(one.segment.name, Some(one.segment.bytes().len()?));
            }
            let packs: BTreeMap<StoredName, Option<u64>> = found
                .iter()
                .flatten()
                .flat_map(super::catalog::Found::packs)
                .filter(|pack| !there.contains(&pack.name))
                .map(|pack| (pack.name, Some(pack.length)))
                .collect();
            let packs: Vec<_> = packs.into_iter().collect();
            let seen = self.are_whole(&packs, context)?;
            let seen = packs.into_iter().zip(seen).filter(|(_, seen)| *seen);
            there.extend(seen.map(|((name, _), _)| name));
            known.extend(found.into_iter().map(|one| {
                let one = one.filter(|one| one.packs().all(|pack| there.contains(&pack.name)))?;
                Some(KnownFile {
                    size: one.recipe.size,
                    blake3: Some(one.recipe.blake3),
                })
            }));
        }
        let segments: Vec<_> = segments.into_iter().collect();
        let readable = self.are_readable(&segments, context)?;
        Ok((!readable.contains(&false)).then_some(known))
    }
}
