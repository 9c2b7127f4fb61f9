//! The writer's last step: everything it relied on still exists and is not condemned, or it repeats its protocol.
//!
//! Invariant: a writer reports success only after this found nothing lost (`docs/format/remote-chunked.md`, steps 4 and 5).

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::Context;

use super::blob::{BlobEntry, BlobStore};
use super::catalog::Found;
use super::name::{Kind, StoredName};
use super::pack::PackFacts;
use super::push::ChunkedRepository;
use super::tomb::{self, Condemned, Tombstone};
use crate::error::{Error, Result};
use crate::parallel::each;

/// How often a push stores again what collectors took from under it.
pub(super) const ROUNDS: usize = 8;
/// How often it looks again for recipes that were merged into other segments meanwhile: that is cheap, and its turn comes.
const MERGE_ROUNDS: usize = 1000;

/// The dependencies of a group of files.
#[derive(Debug, Default)]
pub(crate) struct Relied {
    pub(super) packs: BTreeSet<StoredName>,
    pub(super) recipes: BTreeSet<StoredName>,
    /// The lengths of both in bytes, as far as they are known.
    lengths: BTreeMap<StoredName, u64>,
}

/// Recipe segments up to so many bytes are read again before they are relied on.
const SMALL: u64 = 256 << 10;

impl Relied {
    /// Rely on a recipe, as it is known here, and on its packs.
    pub(super) fn rely_on_recipe(&mut self, found: &Found<'_>) -> Result<()> {
        self.recipes.insert(found.segment.name);
        self.lengths
            .insert(found.segment.name, found.segment.bytes().len()?);
        self.rely_on(found.packs());
        Ok(())
    }

    /// Names with the lengths that are known.
    fn with_lengths(&self, names: &BTreeSet<StoredName>) -> Vec<(StoredName, Option<u64>)> {
        let length = |name: &StoredName| (*name, self.lengths.get(name).copied());
        names.iter().map(length).collect()
    }

    /// Rely on packs, each in its whole length.
    pub(super) fn rely_on<'a>(&mut self, packs: impl IntoIterator<Item = &'a PackFacts>) {
        for pack in packs {
            self.packs.insert(pack.name);
            self.lengths.insert(pack.name, pack.length);
        }
    }
}

/// The dependencies that are no longer reliable.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Packs that are condemned, gone or not of the length that they had.
    pub(super) packs: Vec<StoredName>,
    pub(super) condemned_recipes: Vec<StoredName>,
    /// Recipe segments that are gone: what they had is in others now, or a collector deleted it. Or nobody can read them.
    merged_recipes: Vec<StoredName>,
    /// The tombs that it was judged by.
    pub(super) tombs: Vec<Tombstone>,
}

impl Lost {
    pub(super) const fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.condemned_recipes.is_empty() && self.merged_recipes.is_empty()
    }
}

/// How often a writer went through its protocol again.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    collected: usize,
    merged: usize,
}

impl Rounds {
    pub(super) const fn is_first(&self) -> bool {
        self.collected == 0 && self.merged == 0
    }

    /// Begin another one, if there were not too many.
    pub(super) fn another(&mut self, lost: &Lost, blobs: &dyn BlobStore) -> Result<()> {
        if lost.packs.is_empty() && lost.condemned_recipes.is_empty() {
            self.merged += 1;
        } else {
            self.collected += 1;
        }
        if self.collected < ROUNDS && self.merged < MERGE_ROUNDS {
            return Ok(());
        }
        Err(Error::Contended { place: blobs.place() })
    }
}

impl ChunkedRepository {
    /// The dependencies that are condemned or missing by now.
    pub(super) fn lost(&self, relied: &Relied, context: &Context) -> Result<Lost> {
        let tombs = tomb::read_all(&*self.blobs)?;
        let condemned = Condemned::by(&tombs);
        let packs = relied.with_lengths(&relied.packs);
        let recipes = relied.with_lengths(&relied.recipes);
        // Both kinds at once: over a long line it is one round trip.
        let there = each(
            self.blobs.concurrency(),
            packs.len() + recipes.len(),
            context,
            |n| match packs.get(n) {
                Some(pack) => self.is_whole(pack, context),
                None => self.is_readable(&recipes[n - packs.len()]),
            },
        )?;
        let (whole, sound) = there.split_at(packs.len());
        let not = |names: &BTreeSet<StoredName>, there: &[bool]| -> Vec<StoredName> {
            let lost = names.iter().zip(there).filter(|(_, there)| !**there);
            lost.map(|(name, _)| *name).collect()
        };
        let mut packs = not(&relied.packs, whole);
        packs.extend(
            relied
                .packs
                .intersection(&condemned.packs.iter().copied().collect()),
        );
        Ok(Lost {
            packs,
            condemned_recipes: relied
                .recipes
                .iter()
                .filter(|name| condemned.recipes.contains(name))
                .copied()
                .collect(),
            merged_recipes: not(&relied.recipes, sound),
            tombs,
        })
    }

    /// Which packs are there and of their length, where that is known.
    pub(super) fn are_whole(
        &self,
        packs: &[(StoredName, Option<u64>)],
        context: &Context,
    ) -> Result<Vec<bool>> {
        each(self.blobs.concurrency(), packs.len(), context, |n| {
            self.is_whole(&packs[n], context)
        })
    }

    /// Whether a pack is there and of its length. One of another length is told: it was cut, and its end has the table.
    fn is_whole(&self, (name, length): &(StoredName, Option<u64>), context: &Context) -> Result<bool> {
        let key = Kind::Pack.key(*name);
        let Some(found) = self.blobs.stat(&key)? else {
            return Ok(false);
        };
        let Some(length) = *length else { return Ok(true) };
        let right = self.is_long(&found, length)?;
        if !right {
            let (place, size) = (self.blobs.place(), found.size);
            let message = format!(
                "`{key}` in {place} is damaged: it has {size} bytes, not {length}; `repair` stores its contents again"
            );
            context.warn("store::damaged_pack", message);
        }
        Ok(right)
    }

    /// Which recipe segments are there as they are known here.
    pub(super) fn are_readable(
        &self,
        segments: &[(StoredName, Option<u64>)],
        context: &Context,
    ) -> Result<Vec<bool>> {
        each(self.blobs.concurrency(), segments.len(), context, |n| {
            self.is_readable(&segments[n])
        })
    }

    /// Whether a recipe segment is there as it is known here: another one has nothing but what the remote has. A small one is
    /// read, which takes one request, as asking for its length does.
    fn is_readable(&self, (name, length): &(StoredName, Option<u64>)) -> Result<bool> {
        if length.is_some_and(|length| length <= SMALL) {
            return self.segments(Kind::Recipe).is_sound_remotely(*name);
        }
        match (self.blobs.stat(&Kind::Recipe.key(*name))?, length) {
            (None, _) => Ok(false),
            (Some(_), None) => Ok(true),
            (Some(found), Some(length)) => self.is_long(&found, *length),
        }
    }

    /// Whether an object has a length. A service that does not tell lengths says 0: it is asked for the last byte.
    fn is_long(&self, found: &BlobEntry, length: u64) -> Result<bool> {
        if found.size != 0 || length == 0 {
            return Ok(found.size == length);
        }
        let last = self.blobs.read_range(&found.key, length - 1..length)?;
        Ok(last.is_some_and(|byte| !byte.is_empty()))
    }

    /// Which objects are there.
    pub(super) fn exist(&self, kind: Kind, names: &[StoredName], context: &Context) -> Result<Vec<bool>> {
        each(self.blobs.concurrency(), names.len(), context, |n| {
            Ok(self.blobs.stat(&kind.key(names[n]))?.is_some())
        })
    }
}
