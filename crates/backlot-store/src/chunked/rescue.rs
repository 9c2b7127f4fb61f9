//! Restoring objects that a collection condemned: all of them, or needed ones.
//!
//! A tomb is removed only after one that names the rest of what it named is there, so at each moment everything else that was
//! condemned is. The rest waits for a grace period of its own. Invariant: what is condemned because it is damaged stays
//! condemned. Deliberately absent: keeping it from the next collection, which is the caller's (see `users`).

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::Context;
use serde::Serialize;

use super::catalog::{Catalog, Found};
use super::name::{Kind, StoredName, TOMBS};
use super::push::ChunkedRepository;
use super::relied::Relied;
use super::tomb::{self, TombContent};
use crate::error::Result;
use crate::object::ObjectId;

/// Objects that can be, or were, restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Keys of packs and recipe segments that are condemned no more.
    pub restored: Vec<String>,
    /// How many files can be read again because of it, and only because of it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keys that collections have already deleted: their unique content is lost.
    pub gone: Vec<String>,
    /// Keys that stay condemned because they are damaged.
    pub damaged: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Relied {
    /// Whether it is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.recipes.is_empty()
    }

    /// Record the condemned objects of a recipe.
    pub(super) fn add_condemned(&mut self, catalog: &Catalog, found: &Found<'_>) {
        let condemned = &catalog.condemned;
        if condemned.recipes.contains(&found.segment.name) {
            self.recipes.insert(found.segment.name);
        }
        let packs = found.packs().map(|pack| pack.name);
        self.packs
            .extend(packs.filter(|name| condemned.packs.contains(name)));
    }
}

impl ChunkedRepository {
    /// Restore condemned objects that are not deleted yet.
    pub(super) fn restore(&self, dry_run: bool, context: &Context) -> Result<RestoreReport> {
        let mut report = RestoreReport {
            dry_run,
            ..RestoreReport::default()
        };
        let catalog = Catalog::load(&*self.blobs, &self.mirror, context)?;
        let mut back = Relied::default();
        for tomb in &catalog.tombs {
            let content = &tomb.content;
            for (kind, names) in [(Kind::Pack, &content.packs), (Kind::Recipe, &content.recipes)] {
                let there = self.exist(kind, names, context)?;
                for (name, there) in names.iter().zip(there) {
                    let list = match (there, content.reason == tomb::DAMAGED) {
                        // Relying on damaged packs is what the tomb prevents.
                        (true, true) => &mut report.damaged,
                        (true, false) => {
                            let set = match kind {
                                Kind::Pack => &mut back.packs,
                                Kind::Recipe | Kind::Index => &mut back.recipes,
                            };
                            set.insert(*name);
                            &mut report.restored
                        }
                        (false, _) => &mut report.gone,
                    };
                    list.push(kind.key(*name));
                }
            }
        }
        let again = self.readable_again(&catalog, &back, context)?;
        (report.files, report.bytes) = (again.len() as u64, again.values().sum());
        if !dry_run {
            for tomb in catalog
                .tombs
                .iter()
                .filter(|tomb| tomb.content.reason != tomb::DAMAGED)
            {
                self.blobs.delete(&tomb::key(tomb.name))?;
            }
            self.blobs.sync_deleted(TOMBS)?;
        }
        for list in [&mut report.restored, &mut report.gone, &mut report.damaged] {
            list.sort_unstable();
            list.dedup();
        }
        Ok(report)
    }

    /// The files that can be read only because what they are made of, and is condemned, was not deleted yet.
    pub(super) fn condemned_files(&self, context: &Context) -> Result<Vec<ObjectId>> {
        let catalog = Catalog::load(&*self.blobs, &self.mirror, context)?;
        let mut back = Relied::default();
        let tombs = catalog.tombs.iter().map(|tomb| &tomb.content);
        for content in tombs.filter(|content| content.reason != tomb::DAMAGED) {
            back.packs.extend(&content.packs);
            back.recipes.extend(&content.recipes);
        }
        if back.is_empty() {
            return Ok(Vec::new());
        }
        let again = self.readable_again(&catalog, &back, context)?;
        Ok(again.into_keys().collect())
    }

    /// Files, and their bytes, that have a recipe of which everything is there and nothing stays condemned, and of which some was
    /// condemned in each such recipe.
    fn readable_again(
        &self,
        catalog: &Catalog,
        back: &Relied,
        context: &Context,
    ) -> Result<BTreeMap<ObjectId, u64>> {
        let mut packs = BTreeSet::new();
        for segment in &catalog.recipes {
            packs.extend(segment.packs().iter().map(|pack| pack.name));
        }
        let packs: Vec<StoredName> = packs.into_iter().collect();
        let there = self.exist(Kind::Pack, &packs, context)?;
        let there: BTreeSet<StoredName> = packs
            .into_iter()
            .zip(there)
            .filter_map(|(name, there)| there.then_some(name))
            .collect();
        let mut clean = BTreeSet::new();
        let mut again = BTreeMap::new();
        for segment in &catalog.recipes {
            segment.each(|recipe| {
                let (id, size) = (recipe.id, recipe.size);
                let found = Found { recipe, segment };
                if found.packs().all(|pack| there.contains(&pack.name)) {
                    if catalog.is_clean(&found) {
                        clean.insert(id);
                    } else {
                        let mut condemned = Relied::default();
                        condemned.add_condemned(catalog, &found);
                        if condemned.packs.is_subset(&back.packs)
                            && condemned.recipes.is_subset(&back.recipes)
                        {
                            again.insert(id, size);
                        }
                    }
                }
                Ok::<(), std::io::Error>(())
            })?;
        }
        again.retain(|id, _| !clean.contains(id));
        Ok(again)
    }

    /// Take back these packs and recipe segments, and nothing else. Returns whether all of them are there still.
    pub(super) fn rescue(&self, needed: &Relied, context: &Context) -> Result<bool> {
        for tomb in tomb::read_all(&*self.blobs)? {
            let content = &tomb.content;
            let rest = |names: &[StoredName], needed: &BTreeSet<StoredName>| -> Vec<StoredName> {
                names
                    .iter()
                    .filter(|name| !needed.contains(name))
                    .copied()
                    .collect()
            };
            let packs = rest(&content.packs, &needed.packs);
            let recipes = rest(&content.recipes, &needed.recipes);
            let all = content.packs.len() + content.recipes.len();
            if content.reason == tomb::DAMAGED || packs.len() + recipes.len() == all {
                continue;
            }
            if !packs.is_empty() || !recipes.is_empty() {
                tomb::put(&*self.blobs, &TombContent::new(&content.reason, packs, recipes))?;
            }
            self.blobs.delete(&tomb::key(tomb.name))?;
        }
        self.blobs.sync_deleted(TOMBS)?;
        let lost = self.lost(needed, context)?;
        Ok(lost.is_empty())
    }
}
