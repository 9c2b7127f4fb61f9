//! Looking after a repo: making derived files again, and putting damaged or lost releases back.
//!
//! Invariant: a dry run reports exactly what a run would do, and changes nothing: it is the real run over a store that keeps what is
//! written to it. Deliberately absent: how each step is done (`store::upkeep`), and package indexes, whose server maintains them.

use std::path::Path;

use backlot_core::Context;
use backlot_pep::PackageName;

use crate::error::Result;
use crate::expected::ExpectedFile;
use crate::location::Location;
use crate::reindex::ReindexReport;
use crate::store::ReleaseStore;

/// A repo that is looked after from here, for real or as a dry run.
#[derive(Debug)]
pub struct Upkeep {
    /// Of a dry run, the store with what would be written to it, kept here.
    store: ReleaseStore,
    dry_run: bool,
    /// It was never published to.
    is_empty: bool,
}

impl Upkeep {
    /// Maintain a store, bypassing local caches. A plain folder of packages is an error.
    pub(crate) fn of(store: &ReleaseStore, dry_run: bool) -> Result<Self> {
        Ok(Self {
            is_empty: store.is_empty()?,
            store: if dry_run {
                store.rehearsal()?
            } else {
                store.without_cache()
            },
            dry_run,
        })
    }

    /// Make sure that it can be written to.
    fn prepare(&self) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        self.store.make().map(drop)
    }

    /// Make every derived file again that does not agree with the wheels and facts, and remove temporaries left by
    /// publishers that died more than a day ago. Safe beside publishers and other reindexes. A dry run changes nothing and
    /// reports what would be done.
    pub fn reindex(&self, context: &Context) -> Result<ReindexReport> {
        let mut report = ReindexReport {
            dry_run: self.dry_run,
            ..ReindexReport::default()
        };
        if !self.is_empty {
            self.prepare()?;
            self.store.reindex_into(&mut report, context)?;
        }
        Ok(report)
    }

    /// Put a damaged or missing file back from a copy of the right bytes. Returns whether it was wrong.
    pub fn restore(&self, expected: &ExpectedFile, from: &Path, context: &Context) -> Result<bool> {
        self.prepare()?;
        self.store.restore(expected, from, context)
    }

    /// Make the sidecars, records and pages of a package again where they do not agree with its files. Returns what was
    /// wrong.
    pub fn mend(&self, name: &PackageName, context: &Context) -> Result<Vec<Location>> {
        if self.is_empty {
            return Ok(Vec::new());
        }
        self.store.mend(name, context)
    }

    /// Rebuild the root pages if they do not match the packages. Returns what was wrong.
    pub fn mend_root(&self, context: &Context) -> Result<Vec<Location>> {
        if self.is_empty {
            return Ok(Vec::new());
        }
        self.store.mend_root(context)
    }
}

impl ReleaseStore {
    /// Make derived files again; see [`Upkeep::reindex`]. A plain folder of packages is an error.
    pub fn reindex(&self, dry_run: bool, context: &Context) -> Result<ReindexReport> {
        Upkeep::of(self, dry_run)?.reindex(context)
    }
}
