//! What to push and what to pull: pointers, manifests and members turned into objects.
//!
//! Invariants: members are sent before the manifest that names them; a fetched manifest is proven by its MD5 and checked
//! for hostile paths before any member is asked for; a folder whose members are not what its pointer proves is set aside
//! again. Unlike DVC, outs of imports are pushed and pulled like any other, so that a release stands on its own.
//! Deliberately absent: remotes pinned by `remote:`; the caller names the remote.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::Context;
use backlot_store::{
    Cache, FileDigests, FileStat, ObjectId, Remote, StatCache, StatEntry, Transfer, TransferReport,
};
use fs_err as fs;

use crate::content::{Content, digests_of, missing, proof_of};
use crate::error::{Error, Result};
use crate::kept::not_found;
use crate::pointer::Out;
use crate::tracked::TrackedPointer;

/// The outs of some pointers that have content in a cache, with where they are.
fn cached_outs<'a>(pointers: &[&'a TrackedPointer]) -> impl Iterator<Item = (PathBuf, &'a Out, ObjectId)> {
    let outs = pointers
        .iter()
        .flat_map(|p| p.located_outs())
        .filter(|(_, out)| out.cache);
    outs.filter_map(|(place, out)| Some((place, out, out.id()?)))
        .collect::<Vec<_>>()
        .into_iter()
}

/// What has to be in a remote for pointers to be useful to others.
#[derive(Clone, Debug, Default)]
pub struct PushPlan {
    /// What the cache has: members first, then manifests.
    pub transfers: Vec<Transfer>,
    /// Files of folders that the cache does not have, with where they would be here. They have to be in the remote already;
    /// see [`check_elsewhere`].
    pub elsewhere: Vec<(ObjectId, PathBuf)>,
}

/// What has to be in a remote for the pointers to be useful to others: members first, then manifests. Outs with
/// `push: false` are left out. Proofs of large files come from the stat cache, where it knows the files in the workspace.
/// An error if the cache does not have the manifests.
pub fn plan_push(
    pointers: &[&TrackedPointer],
    cache: &Cache,
    stat: &StatCache,
    context: &Context,
) -> Result<PushPlan> {
    let mut elsewhere = Vec::new();
    let (mut members, mut trees) = (Vec::new(), Vec::new());
    let mut unproven = Vec::new();
    let mut seen = HashSet::new();
    let mut absent: Option<(PathBuf, u64)> = None;
    let mut lacks = |path: PathBuf, count: u64| {
        let (_, total) = absent.get_or_insert((path, 0));
        *total += count;
    };
    for (place, out, id) in cached_outs(pointers).filter(|(_, out, _)| out.push) {
        context.check()?;
        let Some(content) = Content::find(out, cache)? else {
            lacks(place, out.nfiles.unwrap_or(1).max(1));
            continue;
        };
        let mut fresh = content.members(&place);
        fresh.retain(|member| seen.insert(member.id));
        let ids: Vec<ObjectId> = fresh.iter().map(|member| member.id).collect();
        for (member, size) in fresh.into_iter().zip(cache.sizes(&ids)?) {
            let Some(size) = size else {
                elsewhere.push((member.id, member.target));
                continue;
            };
            let blake3 = if id.tree { None } else { out.blake3() };
            if blake3.is_none() && size >= WORTH_A_LOOK {
                unproven.push((members.len(), member.target));
            }
            members.push(Transfer {
                id: member.id,
                size: Some(size),
                blake3,
            });
        }
        if id.tree && seen.insert(id) {
            trees.push(Transfer {
                id,
                size: cache.size(&id)?,
                blake3: None,
            });
        }
    }
    if let Some((path, count)) = absent {
        return Err(Error::NotInCache { path, count });
    }
    add_proofs(&mut members, unproven, stat)?;
    members.append(&mut trees);
    Ok(PushPlan {
        transfers: members,
        elsewhere,
    })
}

/// See that files that the cache does not have are in the remote, and can be relied on there. An error names those that
/// are not.
pub fn check_elsewhere(elsewhere: &[(ObjectId, PathBuf)], remote: &Remote, context: &Context) -> Result<()> {
    if elsewhere.is_empty() {
        return Ok(());
    }
    let ids: Vec<ObjectId> = elsewhere.iter().map(|(id, _)| *id).collect();
    let known = remote.known_files(&ids, context)?;
    let lost = elsewhere.iter().zip(known).filter(|(_, known)| known.is_none());
    let lost = lost.map(|((_, path), _)| path.clone()).collect();
    not_found(lost, Some(remote)).map_or(Ok(()), Err)
}

/// Bring the manifests of folders into the cache, and nothing else.
pub fn fetch_manifests(
    pointers: &[&TrackedPointer],
    remote: &Remote,
    cache: &Cache,
    context: &Context,
) -> Result<TransferReport> {
    let trees: Vec<Transfer> = cached_outs(pointers)
        .filter(|(.., id)| id.tree)
        .map(|(.., id)| Transfer::of(id))
        .collect();
    Ok(remote.pull(cache, &trees, context)?)
}

/// Files of this size are worth a look at the stat cache: with a proof, a push need not compute their MD5.
const WORTH_A_LOOK: u64 = 512 << 10;

/// Proofs of files that are in the workspace as they were when they were added.
fn add_proofs(members: &mut [Transfer], unproven: Vec<(usize, PathBuf)>, stat: &StatCache) -> Result<()> {
    let mut entries = Vec::with_capacity(unproven.len());
    let mut positions = Vec::with_capacity(unproven.len());
    for (position, path) in unproven {
        // A file that is not placed here has no proof here.
        if let Ok(found) = fs::metadata(&path) {
            entries.push(StatEntry {
                stat: FileStat::of(&found),
                path,
            });
            positions.push(position);
        }
    }
    for (position, digests) in positions.into_iter().zip(stat.lookup(&entries)?) {
        if let Some(digests) = digests.filter(|d| d.md5 == members[position].id.md5) {
            members[position].blake3 = Some(digests.blake3);
        }
    }
    Ok(())
}

/// Whether the cache has all content of the pointers.
pub fn all_cached(pointers: &[&TrackedPointer], cache: &Cache) -> Result<bool> {
    for (place, out, _) in cached_outs(pointers) {
        match Content::find(out, cache)? {
            Some(content) if missing(&content.members(&place), cache)?.is_empty() => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Bring all content of the pointers into the cache: manifests, then members, then the proofs. The digests of what was fetched
/// are for a checkout, which also remembers them.
pub fn fetch(
    pointers: &[&TrackedPointer],
    remote: &Remote,
    cache: &Cache,
    context: &Context,
) -> Result<TransferReport> {
    let mut report = fetch_manifests(pointers, remote, cache, context)?;
    let mut wanted = Vec::new();
    let mut contents = Vec::new();
    for (place, out, id) in cached_outs(pointers) {
        context.check()?;
        let content = Content::find(out, cache)?.ok_or_else(|| Error::NotInCache {
            path: place.clone(),
            count: out.nfiles.unwrap_or(1),
        })?;
        let (size, blake3) = if id.tree {
            (None, None)
        } else {
            (out.size, out.blake3())
        };
        wanted.extend(content.members(&place).iter().map(|m| Transfer {
            id: m.id,
            size,
            blake3,
        }));
        contents.push((place, out, content));
    }
    let fetched = remote.pull(cache, &wanted, context)?;
    report.objects += fetched.objects;
    report.bytes += fetched.bytes;
    report.already_there += fetched.already_there;
    report.digests.extend(fetched.digests);
    for (place, out, content) in &contents {
        prove_fetched(place, out, content, &report.digests, cache)?;
    }
    Ok(report)
}

/// What a fetch would bring into the cache besides manifests, each object once, and how many it would find there. Manifests
/// that the cache does not have are looked for in `manifests`.
pub fn plan_fetch(
    pointers: &[&TrackedPointer],
    cache: &Cache,
    manifests: &Cache,
) -> Result<(Vec<ObjectId>, u64)> {
    let (mut absent, mut there) = (Vec::new(), 0);
    let mut seen = HashSet::new();
    for (place, out, _) in cached_outs(pointers) {
        let content = match Content::find(out, cache)? {
            None => Content::find(out, manifests)?,
            found => found,
        };
        let Some(content) = content else { continue };
        let members: Vec<_> = content.members(&place);
        let missing: HashSet<ObjectId> = missing(&members, cache)?.iter().map(|m| m.id).collect();
        for member in members {
            if !seen.insert(member.id) {
                continue;
            }
            if missing.contains(&member.id) {
                absent.push(member.id);
            } else {
                there += 1;
            }
        }
    }
    Ok((absent, there))
}

/// The manifests of folders that the cache does not have, each once, and how many it has.
pub fn lacking_manifests(pointers: &[&TrackedPointer], cache: &Cache) -> Result<(Vec<Transfer>, u64)> {
    let (mut lacking, mut there) = (Vec::new(), 0);
    let mut seen = HashSet::new();
    for (.., id) in cached_outs(pointers) {
        if id.tree && seen.insert(id) {
            if cache.has(&id)? {
                there += 1;
            } else {
                lacking.push(Transfer::of(id));
            }
        }
    }
    Ok((lacking, there))
}

/// Compare a folder with its pointer's proof if something of it was fetched now; if it is wrong, what was fetched leaves
/// the cache. Single files were compared by the store before they got there.
fn prove_fetched(
    place: &Path,
    out: &Out,
    content: &Content,
    fetched: &BTreeMap<ObjectId, FileDigests>,
    cache: &Cache,
) -> Result<()> {
    let (Content::Folder(manifest), Some(expected)) = (content, out.blake3()) else {
        return Ok(());
    };
    let ids: Vec<ObjectId> = manifest.entries().iter().map(|e| ObjectId::file(e.md5)).collect();
    let tree = out.id().filter(|id| fetched.contains_key(id));
    if tree.is_none() && !ids.iter().any(|id| fetched.contains_key(id)) {
        return Ok(());
    }
    let digests = digests_of(&ids, fetched, cache)?;
    if proof_of(manifest.entries().iter().map(|e| &e.path), &digests) == expected {
        return Ok(());
    }
    let suspects: HashSet<ObjectId> = ids
        .into_iter()
        .filter(|id| fetched.contains_key(id))
        .chain(tree)
        .collect();
    #[expect(clippy::iter_over_hash_type, reason = "each object is moved by itself")]
    for id in suspects {
        cache.quarantine(&id)?;
    }
    Err(Error::ProofFailed {
        path: place.to_path_buf(),
    })
}
