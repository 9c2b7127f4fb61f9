//! Whether the tracked files of installed releases still have the bytes that were placed.
//!
//! A status goes by the state of files and takes what did not change for right; here everything that is there is read. Invariant: what is
//! found is no longer known as right afterwards, so that the next status and the next pull see it. Deliberately absent: files that are
//! not there, which the status tells, and mending.

use std::path::PathBuf;

use backlot_core::{Context, file};
use backlot_store::{Cache, StatCache, rehash_files};

use crate::content::{Content, Member};
use crate::error::{Error, Result};
use crate::tracked::TrackedPointer;

/// The tracked files of a release as they are on the disk.
#[derive(Clone, Debug, Default)]
pub struct FoundFiles {
    /// How many are there.
    pub there: u64,
    /// Those with other bytes than they should have.
    pub damaged: Vec<PathBuf>,
}

/// Read the tracked files of a release that are there. With `cache_is_proven` all objects of the cache
/// have just been read, and other names of them are not read again.
pub fn verify_files(
    pointers: &[TrackedPointer],
    cache: &Cache,
    cache_is_proven: bool,
    stat: &StatCache,
    context: &Context,
) -> Result<FoundFiles> {
    let mut members: Vec<Member> = Vec::new();
    for pointer in pointers {
        for (place, out) in pointer.located_outs().filter(|(_, out)| out.cache) {
            match Content::find(out, cache)? {
                Some(content) => members.extend(content.members(&place)),
                None => {
                    if let Some(manifest) = out.id().filter(|_| place.exists()) {
                        let manifest = manifest.to_string();
                        return Err(Error::NoManifest {
                            path: place,
                            manifest,
                        });
                    }
                }
            }
        }
    }
    let is_object = |member: &Member| file::is_same_file(&member.target, &cache.object_path(&member.id));
    members.retain(|member| member.target.is_file());
    let there = members.len() as u64;
    members.retain(|member| !(cache_is_proven && is_object(member)));
    let paths: Vec<PathBuf> = members.iter().map(|member| member.target.clone()).collect();
    let found = rehash_files(&paths, stat, context)?;
    let wrong = members.into_iter().zip(found);
    let wrong: Vec<Member> = wrong
        .filter(|(member, found)| found.md5 != member.id.md5)
        .map(|(member, _)| member)
        .collect();
    // The cache has the same damage, and does not know it either.
    let objects: Vec<_> = wrong
        .iter()
        .filter(|member| is_object(member))
        .map(|member| (member.id, None))
        .collect();
    if !objects.is_empty() {
        cache.verify(&objects, context)?;
    }
    let damaged = wrong.into_iter().map(|member| member.target).collect();
    Ok(FoundFiles { there, damaged })
}
