//! The writer's last step: what it relied on is still there and not condemned, or it goes through its protocol again.
//!
//! Invariant: a writer reports success only after this found nothing lost (`docs/format/remote-chunked.md`, steps 4 and 5).

use std::collections::BTreeSet;

use backlot_core::Context;

use super::blob::BlobStore;
use super::name::{Kind, StoredName};
use super::push::Site;
use super::tomb::{self, Condemned};
use crate::error::{Error, Result};
use crate::parallel::each;

/// How often a push stores again what collectors took from under it.
pub(super) const ROUNDS: usize = 8;
/// How often it looks again for recipes that were merged into other segments meanwhile: that is cheap, and its turn comes.
const MERGE_ROUNDS: usize = 1000;

/// What a group of files relies on.
#[derive(Debug, Default)]
pub(crate) struct Relied {
    pub(super) packs: BTreeSet<StoredName>,
    pub(super) recipes: BTreeSet<StoredName>,
}

/// What of it cannot be relied on any more.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Packs that are condemned or gone.
    pub(super) packs: Vec<StoredName>,
    pub(super) condemned_recipes: Vec<StoredName>,
    /// Recipe segments that are gone: what they had is in others now, or a collector deleted it.
    merged_recipes: Vec<StoredName>,
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

impl Site {
    /// What of the things relied on is condemned or gone by now.
    pub(super) fn lost(&self, relied: &Relied, context: &Context) -> Result<Lost> {
        let condemned = Condemned::by(&tomb::read_all(&*self.blobs)?);
        let gone = |kind, names: &BTreeSet<StoredName>| -> Result<Vec<StoredName>> {
            let names: Vec<StoredName> = names.iter().copied().collect();
            let there = self.exist(kind, &names, context)?;
            Ok(names
                .into_iter()
                .zip(there)
                .filter_map(|(name, there)| (!there).then_some(name))
                .collect())
        };
        let mut packs = gone(Kind::Pack, &relied.packs)?;
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
            merged_recipes: gone(Kind::Recipe, &relied.recipes)?,
        })
    }

    /// Which objects are there.
    pub(super) fn exist(&self, kind: Kind, names: &[StoredName], context: &Context) -> Result<Vec<bool>> {
        each(self.blobs.concurrency(), names.len(), context, |n| {
            Ok(self.blobs.stat(&kind.key(names[n]))?.is_some())
        })
    }
}
