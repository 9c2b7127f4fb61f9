//! Cache of the needs of releases: `du` of one asset compares it with all releases, and reads each of those once.
//!
//! A file in the cache (`needs`), by the digest of a release's file. Invariants: such a file and the manifests that it names never
//! change, so what is remembered is never out of date; the record has a digest of its own, and what is wrong about it makes it
//! empty. It decides nothing that is kept or deleted: only `du` reads it, and only of releases that it was not asked about.
//! Publication times are noted for one call and not stored: a release can be copied to another repo later.
//! Format: see `docs/format/cache.md`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use backlot_core::{Blake3, Md5, Sha256, Timestamp, file};
use backlot_dvc::Pointer;
use backlot_pep::{PackageName, Version};
use backlot_repo::ReleaseFile;
use backlot_store::{Cache, ObjectId};

use crate::error::Result;

const MAGIC: &[u8; 8] = b"blneeds1";
/// Bytes before the first record: the magic and the digest of all records.
const HEAD: usize = 40;
/// The longest record; a longer one is not written.
const MOST: usize = 256 << 20;

/// What decides whether a release's out has to be on a remote, and the objects it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownOut {
    pub(crate) id: ObjectId,
    pub(crate) cache: bool,
    pub(crate) push: bool,
    pub(crate) remote: Option<String>,
    /// The files of a folder.
    pub(crate) members: Vec<Md5>,
}

/// The cached needs, and which of them may be used.
pub(crate) struct KnownOuts<'a> {
    path: PathBuf,
    /// The releases to be read, whatever is remembered.
    asked: &'a dyn Fn(&PackageName, &Version) -> bool,
    outs: RefCell<BTreeMap<Sha256, Vec<KnownOut>>>,
    /// The earliest publication of each release in the repos that were read.
    published: RefCell<BTreeMap<(PackageName, Version), Timestamp>>,
    has_new: Cell<bool>,
}

impl<'a> KnownOuts<'a> {
    /// Read what a cache remembers.
    pub(crate) fn load(cache: &Cache, asked: &'a dyn Fn(&PackageName, &Version) -> bool) -> Result<Self> {
        let path = cache.root().join("needs");
        let bytes = file::read_if_exists(&path)?.unwrap_or_default();
        Ok(Self {
            path,
            asked,
            outs: RefCell::new(decode(&bytes).unwrap_or_default()),
            published: RefCell::default(),
            has_new: Cell::new(false),
        })
    }

    /// What is remembered of a file of a release that is not asked about.
    pub(crate) fn get(&self, file: &ReleaseFile) -> Option<Vec<KnownOut>> {
        if (self.asked)(&file.package, &file.version) {
            return None;
        }
        self.outs.borrow().get(&file.sha256?).cloned()
    }

    /// Remember what was read of a file of a release, if all its manifests are here.
    pub(crate) fn note(&self, file: Sha256, pointers: &[Pointer], cache: &Cache) -> Result<()> {
        let mut outs = Vec::new();
        for out in pointers.iter().flat_map(|pointer| &pointer.outs) {
            let Some(id) = out.id() else { continue };
            match members(&id, cache)? {
                Some(members) => outs.push(KnownOut {
                    id,
                    cache: out.cache,
                    push: out.push,
                    remote: out.remote.clone(),
                    members,
                }),
                None => return Ok(()),
            }
        }
        let before = self.outs.borrow_mut().insert(file, outs);
        self.has_new.set(self.has_new.get() || before.is_none());
        Ok(())
    }

    /// Note when a repo published a file of a release, if it says so.
    pub(crate) fn note_time(&self, file: &ReleaseFile) {
        if let Some(at) = file.published_at {
            let mut published = self.published.borrow_mut();
            let first = published
                .entry((file.package.clone(), file.version.clone()))
                .or_insert(at);
            *first = at.min(*first);
        }
    }

    /// When a release was first published, as far as it was noted.
    pub(crate) fn published_at(&self, package: &PackageName, version: &Version) -> Option<Timestamp> {
        let release = (package.clone(), version.clone());
        self.published.borrow().get(&release).copied()
    }

    /// Write what was new. A cache that cannot be written to goes without.
    pub(crate) fn save(&self) {
        if self.has_new.get() {
            let bytes = encode(&self.outs.borrow());
            if bytes.len() <= MOST {
                file::write_for_now(&self.path, &bytes).ok();
            }
        }
    }
}

/// The files of a folder, none of a file; `None` if the manifest is not here.
fn members(id: &ObjectId, cache: &Cache) -> Result<Option<Vec<Md5>>> {
    if !id.tree {
        return Ok(Some(Vec::new()));
    }
    let manifest = backlot_dvc::peek_manifest(cache, id)?;
    Ok(manifest.map(|manifest| {
        let members: BTreeSet<Md5> = manifest.entries().iter().map(|entry| entry.md5).collect();
        members.into_iter().collect()
    }))
}

fn encode(all: &BTreeMap<Sha256, Vec<KnownOut>>) -> Vec<u8> {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = vec![0; HEAD];
    for (file, outs) in all {
        bytes.extend_from_slice(file.as_bytes());
        bytes.extend_from_slice(&count(outs.len()));
        for out in outs {
            let remote = out.remote.as_deref();
            let flags = [out.id.tree, out.cache, out.push, remote.is_some()];
            bytes.push(flags.iter().rev().fold(0, |all, flag| all << 1 | u8::from(*flag)));
            bytes.extend_from_slice(out.id.md5.as_bytes());
            if let Some(remote) = remote {
                bytes.extend_from_slice(&count(remote.len()));
                bytes.extend_from_slice(remote.as_bytes());
            }
            bytes.extend_from_slice(&count(out.members.len()));
            for member in &out.members {
                bytes.extend_from_slice(member.as_bytes());
            }
        }
    }
    let digest = digest(&bytes[HEAD..]);
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[MAGIC.len()..HEAD].copy_from_slice(digest.as_bytes());
    bytes
}

fn digest(records: &[u8]) -> Blake3 {
    backlot_store::digest_bytes(records).blake3
}

/// `None` if it is another format, damaged, or cut.
fn decode(bytes: &[u8]) -> Option<BTreeMap<Sha256, Vec<KnownOut>>> {
    let (head, records) = bytes.split_at_checked(HEAD)?;
    if !head.starts_with(MAGIC) || head[MAGIC.len()..] != *digest(records).as_bytes() {
        return None;
    }
    let (mut rest, mut all) = (Bytes(records), BTreeMap::new());
    while !rest.0.is_empty() {
        let file = Sha256::from_bytes(rest.array()?);
        let mut outs = Vec::new();
        for _ in 0..rest.count()? {
            let [flags] = rest.array()?;
            let md5 = Md5::from_bytes(rest.array()?);
            let remote = if flags & 8 == 0 {
                None
            } else {
                let length = rest.count()?;
                Some(String::from_utf8(rest.take(length)?.to_vec()).ok()?)
            };
            let members = (0..rest.count()?).map(|_| rest.array().map(Md5::from_bytes));
            outs.push(KnownOut {
                id: ObjectId {
                    md5,
                    tree: flags & 1 != 0,
                },
                cache: flags & 2 != 0,
                push: flags & 4 != 0,
                remote,
                members: members.collect::<Option<_>>()?,
            });
        }
        all.insert(file, outs);
    }
    Some(all)
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownOut, decode, encode};
    use backlot_core::{Md5, Sha256};
    use backlot_store::ObjectId;

    #[test]
    fn what_is_remembered_is_read_as_it_was_and_any_damage_forgets_it() {
        let out = |n: u8, remote: Option<&str>, members: u8| KnownOut {
            id: ObjectId {
                md5: Md5::from_bytes([n; 16]),
                tree: members > 0,
            },
            cache: n > 1,
            push: n > 2,
            remote: remote.map(ToOwned::to_owned),
            members: (0..members).map(|member| Md5::from_bytes([member; 16])).collect(),
        };
        let all = [
            (
                Sha256::from_bytes([1; 32]),
                vec![out(1, None, 0), out(2, Some("far"), 3)],
            ),
            (Sha256::from_bytes([2; 32]), Vec::new()),
            (Sha256::from_bytes([3; 32]), vec![out(3, Some(""), 1)]),
        ]
        .into();
        let bytes = encode(&all);
        assert_eq!(decode(&bytes), Some(all));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "cut to {length}");
        }
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            assert_eq!(decode(&flipped), None, "flipped at {place}");
        }
    }
}
