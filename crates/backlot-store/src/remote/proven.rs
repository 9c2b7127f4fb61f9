//! This machine's record of the content of objects on a remote in DVC's layout.
//!
//! That layout keeps no proofs: an object with the MD5 and the size of a file can be other content that was made to have them. What
//! was sent to the remote, or fetched from it, was proven on the way and is remembered. What is there and is not
//! remembered is read once, before it counts as sent. Invariant: losing the record costs time, never correctness.
//! Deliberately absent: decay; a remembered object that was damaged since is found by `verify` and by pulls.

use std::path::{Path, PathBuf};

use backlot_core::Context;

use super::{Backend, Remote};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::object::{FileDigests, KnownFile, ObjectId, Transfer};
use crate::stat::{FileStat, Recorded};

/// The record; without a place for it nothing is remembered.
#[derive(Debug, Default)]
pub(super) struct Proven {
    mirrors: PathBuf,
    ledger: Option<Ledger>,
}

impl Proven {
    /// The record of the remote of a name: its place, or better its identity.
    pub(super) fn of(mirrors: &Path, name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        let path = mirrors.join(format!("dvc-{}", &hash[..32])).join("proven.db");
        Self {
            mirrors: mirrors.to_path_buf(),
            ledger: Some(Ledger::new(path)).filter(|_| !mirrors.as_os_str().is_empty()),
        }
    }

    /// The record under the identity of the remote, which another remote at the same place has not.
    pub(super) fn of_identity(&self, identity: &str) -> Self {
        Self::of(&self.mirrors, identity)
    }

    /// Remember objects that are on the remote.
    pub(super) fn record(&self, objects: &[(ObjectId, FileDigests)], context: &Context) {
        let rows: Vec<_> = objects
            .iter()
            .map(|(id, digests)| (*id, state(digests.size), *digests))
            .collect();
        if let Some(ledger) = self.ledger.as_ref().filter(|_| !rows.is_empty()) {
            ledger.record(&rows, context);
        }
    }

    /// The recorded digests of objects that exist with these sizes.
    pub(super) fn known(&self, ids: &[ObjectId], sizes: &[Option<u64>]) -> Vec<Option<KnownFile>> {
        let there: Vec<(ObjectId, u64)> = ids
            .iter()
            .zip(sizes)
            .filter_map(|(id, size)| Some((*id, (*size)?)))
            .collect();
        let states: Vec<_> = there.iter().map(|(id, size)| (*id, state(*size))).collect();
        let recorded = self.ledger.as_ref().map(|ledger| ledger.recorded(&states));
        let mut recorded = recorded.unwrap_or_default().into_iter();
        let mut known = |size: u64| KnownFile {
            size,
            blake3: match recorded.next() {
                Some(Recorded::Digests(digests)) => Some(digests.blake3),
                _ => None,
            },
        };
        sizes.iter().map(|size| size.map(&mut known)).collect()
    }
}

/// The state that stands for a size: an object on a remote has no other.
fn state(size: u64) -> FileStat {
    FileStat {
        inode: 0,
        size,
        modified: 0,
        changed: 0,
        read_only: true,
        names: 0,
    }
}

impl Remote {
    /// Whether the content of each object is there: not where the size is another, or the bytes are damaged; an error
    /// where other content has the name. What is there and not remembered is read, where there is a proof to compare it with.
    pub(super) fn has_content(&self, items: &[Transfer], context: &Context) -> Result<Vec<bool>> {
        let ids: Vec<ObjectId> = items.iter().map(|item| item.id).collect();
        let sizes = self.sizes(&ids, context)?;
        let fits = |item: &Transfer, there: Option<u64>| {
            there.is_some_and(|there| item.size.is_none_or(|size| size == there))
        };
        if matches!(self.backend, Backend::Chunked(_)) {
            return Ok(items
                .iter()
                .zip(sizes)
                .map(|(item, there)| fits(item, there))
                .collect());
        }
        let known = self.proven.known(&ids, &sizes);
        let mut there = Vec::with_capacity(items.len());
        let mut doubtful = Vec::new();
        for ((item, known), size) in items.iter().zip(known).zip(sizes) {
            let fits = fits(item, size);
            match (item.blake3, known.and_then(|known| known.blake3)) {
                (Some(proof), Some(found)) if fits && proof != found => return Err(self.same_md5(item)),
                (Some(_), None) if fits => doubtful.push(there.len()),
                _ => {}
            }
            there.push(fits);
        }
        if doubtful.is_empty() {
            return Ok(there);
        }
        let expected: Vec<_> = doubtful.iter().map(|n| (ids[*n], None)).collect();
        let read = self.verify(&expected, None, context)?.digests;
        let right: Vec<_> = read.iter().map(|(id, digests)| (*id, *digests)).collect();
        self.proven.record(&right, context);
        for n in doubtful {
            match read.get(&ids[n]) {
                Some(digests) if !items[n].is_met_by(digests) => return Err(self.same_md5(&items[n])),
                found => there[n] = found.is_some(),
            }
        }
        Ok(there)
    }

    fn same_md5(&self, item: &Transfer) -> Error {
        Error::SameMd5 {
            what: format!("the file `{}`", item.id),
            md5: item.id.md5,
            other: format!("a file in {}", self.place()),
        }
    }
}
