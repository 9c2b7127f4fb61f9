//! Planning pushes and pulls: pointers, manifests and members turned into objects.
//!
//! Invariants: members are sent before the manifest that names them; a fetched manifest is proven by its MD5 and checked
//! for hostile paths before any member is asked for; a folder whose members are not what its pointer proves is set aside
//! again. Unlike DVC, outs of imports are pushed and pulled like any other, so that a release stands on its own.
//! Deliberately absent: remotes pinned by `remote:`; the caller names the remote.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::Context;
use backlot_store::{Cache, FileDigests, KnownFile, ObjectId, Remote, Transfer, TransferReport};

use crate::content::{Content, Member, digests_of, missing};
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

/// The objects that a remote needs for pointers to be usable by others.
#[derive(Clone, Debug, Default)]
pub struct PushPlan {
    /// The objects in the cache: members first, then manifests.
    pub transfers: Vec<Transfer>,
    /// Files of folders that the cache does not have, with where they would be here. They have to be in the remote already;
    /// see [`check_elsewhere`].
    pub elsewhere: Vec<(ObjectId, PathBuf)>,
    /// Outs of which some files are elsewhere, so that their proofs wait for what the remote says of those.
    unproven: Vec<Unproven>,
}

/// An out that was not compared with what its pointer says yet.
#[derive(Clone, Debug)]
struct Unproven {
    place: PathBuf,
    out: Out,
    content: Content,
    known: HashMap<ObjectId, FileDigests>,
}

/// The objects that a remote needs for the pointers to be usable by others: members first, then manifests. Outs with
/// `push: false` are skipped. Cached objects are verified: by their record, or by reading.
/// An error if the cache does not have the manifests, or if content does not match the BLAKE3 of its pointer.
pub fn plan_push(pointers: &[&TrackedPointer], cache: &Cache, context: &Context) -> Result<PushPlan> {
    let mut plan = PushPlan::default();
    let mut trees = Vec::new();
    let mut seen = HashSet::new();
    let mut absent: Option<(PathBuf, u64)> = None;
    for (place, out, id) in cached_outs(pointers).filter(|(_, out, _)| out.push) {
        context.check()?;
        let Some(content) = Content::find(out, cache)? else {
            let (_, total) = absent.get_or_insert((place, 0));
            *total += out.nfiles.unwrap_or(1).max(1);
            continue;
        };
        let members = content.members(&place);
        let ids: Vec<ObjectId> = members.iter().map(|member| member.id).collect();
        let held = cache.proven(&ids)?;
        plan.prove(&place, out, content, ids.into_iter().zip(&held))?;
        for (member, held) in members.into_iter().zip(held) {
            if !seen.insert(member.id) {
                continue;
            }
            match held {
                Some(digests) => plan.transfers.push(Transfer::proven(member.id, &digests)),
                None => plan.elsewhere.push((member.id, member.target)),
            }
        }
        if id.tree && seen.insert(id) {
            let held = cache.proven_of_all(&[id])?;
            trees.extend(held.iter().map(|digests| Transfer::proven(id, digests)));
        }
    }
    if let Some((path, count)) = absent {
        return Err(Error::NotInCache { path, count });
    }
    plan.transfers.append(&mut trees);
    Ok(plan)
}

impl PushPlan {
    /// Compare the cached content of an out with its pointer, like a pull.
    fn prove<'a>(
        &mut self,
        place: &Path,
        out: &Out,
        content: Content,
        held: impl Iterator<Item = (ObjectId, &'a Option<FileDigests>)>,
    ) -> Result<()> {
        let known: HashMap<ObjectId, FileDigests> =
            held.filter_map(|(id, digests)| Some((id, (*digests)?))).collect();
        let failed = || Error::ProofFailed {
            path: place.to_path_buf(),
        };
        if let (Content::File(id), Some(size)) = (&content, out.size)
            && known.get(id).is_some_and(|digests| digests.size != size)
        {
            return Err(failed());
        }
        let judge = |proof| content.judge(out, proof, &|id| known.get(id).copied());
        let is_elsewhere = matches!(&content, Content::File(id) if !known.contains_key(id));
        match out.blake3().map(judge) {
            Some(Some(false)) => return Err(failed()),
            Some(None) => {}
            _ if is_elsewhere => {}
            _ => return Ok(()),
        }
        self.unproven.push(Unproven {
            place: place.to_path_buf(),
            out: out.clone(),
            content,
            known,
        });
        Ok(())
    }
}

/// See that files that the cache does not have are in the remote, and can be relied on there. An error names those that
/// are not. They and their folders are compared with the sizes and, where the remote keeps proofs, the proofs of the pointers.
pub fn check_elsewhere(plan: &PushPlan, remote: &Remote, context: &Context) -> Result<()> {
    if plan.elsewhere.is_empty() {
        return Ok(());
    }
    let ids: Vec<ObjectId> = plan.elsewhere.iter().map(|(id, _)| *id).collect();
    let known = remote.known_files(&ids, context)?;
    let lost = plan
        .elsewhere
        .iter()
        .zip(&known)
        .filter(|(_, known)| known.is_none());
    let lost = lost.map(|((_, path), _)| path.clone()).collect();
    if let Some(lost) = not_found(lost, Some(remote)) {
        return Err(lost);
    }
    let known = ids
        .into_iter()
        .zip(known)
        .filter_map(|(id, known)| Some((id, known?)));
    let known: HashMap<ObjectId, KnownFile> = known.collect();
    let told = |id: &ObjectId| {
        let KnownFile { size, blake3 } = *known.get(id)?;
        let (md5, blake3) = (id.md5, blake3?);
        Some(FileDigests { md5, blake3, size })
    };
    for one in &plan.unproven {
        let digests = |id: &ObjectId| one.known.get(id).copied().or_else(|| told(id));
        let other_size = match (&one.content, one.out.size) {
            (Content::File(id), Some(size)) => known.get(id).is_some_and(|there| there.size != size),
            _ => false,
        };
        let proof = one.out.blake3();
        let is_wrong = proof.and_then(|proof| one.content.judge(&one.out, proof, &digests)) == Some(false);
        if other_size || is_wrong {
            return Err(Error::ProofFailed {
                path: one.place.clone(),
            });
        }
    }
    Ok(())
}

/// An error about a name that two contents have, with the tracked file that it is about here in place of an object.
pub fn with_path_of_same_md5(error: Error, pointers: &[&TrackedPointer], cache: &Cache) -> Error {
    let Error::Store(backlot_store::Error::SameMd5 { md5, other, what }) = error else {
        return error;
    };
    let mut members = cached_outs(pointers).flat_map(|(place, out, _)| {
        let content = Content::find(out, cache).ok().flatten();
        content.map(|content| content.members(&place)).unwrap_or_default()
    });
    let here = members.find(|member| member.id == ObjectId::file(md5));
    let what = here.map_or(what, |member| format!("`{}`", member.target.display()));
    backlot_store::Error::SameMd5 { what, md5, other }.into()
}

/// Bring the manifests of folders into the cache, and nothing else. Those of outs with `push: false` need not be there.
pub fn fetch_manifests(
    pointers: &[&TrackedPointer],
    remote: &Remote,
    cache: &Cache,
    context: &Context,
) -> Result<TransferReport> {
    let (mut trees, mut optional) = (Vec::new(), Vec::new());
    for (_, out, id) in cached_outs(pointers).filter(|(.., id)| id.tree) {
        if out.push {
            trees.push(Transfer::of(id));
        } else {
            optional.push(Transfer::of(id));
        }
    }
    let report = remote.pull(cache, &trees, context)?;
    match remote.pull(cache, &optional, context) {
        Ok(_) | Err(backlot_store::Error::Missing { .. }) => Ok(report),
        Err(error) => Err(error.into()),
    }
}

/// Whether the remote or the cache has each of some files.
fn is_there(members: &[Member], remote: &Remote, cache: &Cache, context: &Context) -> Result<bool> {
    let absent: Vec<ObjectId> = missing(members, cache)?.iter().map(|m| m.id).collect();
    Ok(absent.is_empty() || remote.exists_many(&absent, context)?.iter().all(|there| *there))
}

/// DVC does not push it, so that it is not on the remote is what was wanted.
fn not_pushed(place: &Path, context: &Context) {
    let message = format!(
        "`{}` is not on the remote (its pointer has `push: false`) and was skipped",
        place.display()
    );
    context.warn("dvc::not_pushed", message);
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

/// Bring all content of the pointers into the cache: manifests, then members, then verify them. The digests of fetched objects
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
        let content = match Content::find(out, cache)? {
            Some(content) => content,
            None if !out.push => {
                not_pushed(&place, context);
                continue;
            }
            None => {
                let count = out.nfiles.unwrap_or(1);
                return Err(Error::NotInCache { path: place, count });
            }
        };
        let (size, blake3) = if id.tree {
            (None, None)
        } else {
            (out.size, out.blake3())
        };
        let members = content.members(&place);
        if !out.push && !is_there(&members, remote, cache, context)? {
            not_pushed(&place, context);
            continue;
        }
        wanted.extend(members.iter().map(|m| Transfer {
            id: m.id,
            size,
            blake3,
        }));
        contents.push((place, out, content));
    }
    // Of several uses of a file, one may have a BLAKE3.
    wanted.sort_by_key(|item: &Transfer| item.blake3.is_none());
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

/// The objects that a fetch would add to the cache besides manifests, each once, and how many are already there. Manifests
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
    // One that need not be on a remote may be nowhere; then nothing is placed for it.
    for (_, _, id) in cached_outs(pointers).filter(|(_, out, _)| out.push) {
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

/// Compare an out with its pointer's proof if something of it was fetched now; if a folder is wrong, what was fetched leaves
/// the cache. Single files were compared by the store before they got there, but perhaps with another use's proof.
fn prove_fetched(
    place: &Path,
    out: &Out,
    content: &Content,
    fetched: &BTreeMap<ObjectId, FileDigests>,
    cache: &Cache,
) -> Result<()> {
    let Some(expected) = out.blake3() else {
        return Ok(());
    };
    let failed = || Error::ProofFailed {
        path: place.to_path_buf(),
    };
    let manifest = match content {
        Content::File(id) => {
            let digests = fetched.get(id).copied();
            return match content.judge(out, expected, &|_| digests) {
                Some(false) => Err(failed()),
                _ => Ok(()),
            };
        }
        Content::Folder(manifest) => manifest,
    };
    let ids: Vec<ObjectId> = manifest.entries().iter().map(|e| ObjectId::file(e.md5)).collect();
    let tree = out.id().filter(|id| fetched.contains_key(id));
    if tree.is_none() && !ids.iter().any(|id| fetched.contains_key(id)) {
        return Ok(());
    }
    let digests = digests_of(&ids, fetched, cache)?;
    let digests: HashMap<ObjectId, FileDigests> = ids.iter().copied().zip(digests).collect();
    if content.judge(out, expected, &|id| digests.get(id).copied()) == Some(true) {
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
    Err(failed())
}
