//! What an out should be: its files, read from the cache and proven.
//!
//! Invariant: content that a pointer gives a proof for is compared with it before it is placed anywhere. Digests of cache
//! objects come from the cache's record where it has them, so that proving again costs a look-up.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, RelPath};
use backlot_store::{Cache, FileDigests, ObjectId};

use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::pointer::Out;
use crate::proof::tree_proof;

/// The files an out stands for.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// One file.
    File(ObjectId),
    /// A folder.
    Folder(Manifest),
}

/// A file that an out stands for.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: ObjectId,
    pub(crate) target: PathBuf,
}

impl Content {
    /// The content of an out; `None` if it has none, or if the manifest of a folder is not in the cache.
    pub(crate) fn find(out: &Out, cache: &Cache) -> Result<Option<Self>> {
        match out.id() {
            Some(id) if !id.tree => Ok(Some(Self::File(id))),
            Some(id) => {
                let bytes = cache.read_if_there(&id)?;
                let manifest = bytes.map(|bytes| Manifest::parse(&id.to_string(), &bytes));
                Ok(manifest.transpose()?.map(Self::Folder))
            }
            None => Ok(None),
        }
    }

    /// Whether it is what the proof of its out says; see [`judge`](crate::judge).
    pub(crate) fn judge(
        &self,
        out: &Out,
        proof: Blake3,
        digests: &dyn Fn(&ObjectId) -> Option<FileDigests>,
    ) -> Option<bool> {
        match self {
            Self::File(id) => crate::judge(*id, proof, None, digests),
            Self::Folder(manifest) => crate::judge(out.id()?, proof, Some(manifest), digests),
        }
    }

    /// The files, with where they belong if the out is at `place`.
    pub(crate) fn members(&self, place: &Path) -> Vec<Member> {
        match self {
            Self::File(id) => vec![Member {
                id: *id,
                target: place.to_path_buf(),
            }],
            Self::Folder(manifest) => {
                let member = |e: &crate::ManifestEntry| Member {
                    id: ObjectId::file(e.md5),
                    target: e.path.to_path(place),
                };
                manifest.entries().iter().map(member).collect()
            }
        }
    }
}

/// Read the manifest of a folder, proven by its MD5.
pub fn read_manifest(cache: &Cache, id: &ObjectId) -> Result<Manifest> {
    Ok(Manifest::parse(&id.to_string(), &cache.read(id)?)?)
}

/// As [`read_manifest`]; `None` if it is not there or not right, and nothing is changed then.
pub fn peek_manifest(cache: &Cache, id: &ObjectId) -> Result<Option<Manifest>> {
    let bytes = cache.peek(id)?;
    let manifest = bytes.map(|bytes| Manifest::parse(&id.to_string(), &bytes));
    Ok(manifest.transpose()?)
}

/// The members that are not in the cache.
pub(crate) fn missing<'a>(members: &'a [Member], cache: &Cache) -> Result<Vec<&'a Member>> {
    let ids: Vec<ObjectId> = members.iter().map(|member| member.id).collect();
    let sizes = cache.sizes(&ids)?;
    let absent = members.iter().zip(sizes).filter(|(_, size)| size.is_none());
    Ok(absent.map(|(member, _)| member).collect())
}

/// An error if members are not in the cache.
pub(crate) fn require(members: &[Member], cache: &Cache) -> Result<()> {
    let missing = missing(members, cache)?;
    match missing.first() {
        None => Ok(()),
        Some(first) => Err(Error::NotInCache {
            path: first.target.clone(),
            count: missing.len() as u64,
        }),
    }
}

/// The digests of cached objects, which have the bytes their names say. Those in `fetched` were proven a moment ago.
pub(crate) fn digests_of(
    ids: &[ObjectId],
    fetched: &BTreeMap<ObjectId, FileDigests>,
    cache: &Cache,
) -> Result<Vec<FileDigests>> {
    let others = ids.iter().filter(|id| !fetched.contains_key(id));
    let others: Vec<ObjectId> = others.copied().collect();
    let mut others = cache.proven_of_all(&others)?.into_iter();
    let digests = |id| fetched.get(id).copied().or_else(|| others.next());
    Ok(ids.iter().filter_map(digests).collect())
}

/// Compare the cached content of an out with the pointer's proof, if it has one. What is in `fetched` is not read again.
pub(crate) fn prove(
    place: &Path,
    out: &Out,
    content: &Content,
    fetched: &BTreeMap<ObjectId, FileDigests>,
    cache: &Cache,
) -> Result<()> {
    let Some(expected) = out.blake3() else {
        return Ok(());
    };
    let ids: Vec<ObjectId> = content.members(place).iter().map(|m| m.id).collect();
    let digests = digests_of(&ids, fetched, cache)?;
    let digests: HashMap<ObjectId, FileDigests> = ids.into_iter().zip(digests).collect();
    match content.judge(out, expected, &|id| digests.get(id).copied()) {
        Some(true) => Ok(()),
        _ => Err(Error::ProofFailed {
            path: place.to_path_buf(),
        }),
    }
}

/// The proof of files in the order of their manifest.
pub(crate) fn proof_of<'a>(paths: impl Iterator<Item = &'a RelPath>, digests: &[FileDigests]) -> Blake3 {
    tree_proof(paths.zip(digests.iter().map(|d| d.blake3)))
}
