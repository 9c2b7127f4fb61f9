//! What is known of the files of an imported folder: which state of each had which content, so that an update fetches only what changed.
//!
//! Kept in `.backlot/imports`, by the pointer's path; without it, all is fetched again. Invariant: a file is taken from the cache only if the source
//! says the same of it as when it was fetched, and the cache has what it was. Deliberately absent: files whose source tells no state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, Md5, file};
use backlot_store::{Cache, FileDigests, ObjectId, digest_bytes};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    tag: String,
    md5: Md5,
    blake3: Blake3,
}

/// The files of an imported folder, by their path in it; a single file has an empty one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct KnownMembers {
    source: String,
    files: BTreeMap<String, Member>,
}

fn place(folder: &Path, pointer: &str) -> PathBuf {
    let name = digest_bytes(pointer.as_bytes()).blake3.to_hex();
    folder.join(format!("{}.known", &name[..32]))
}

impl KnownMembers {
    /// The known files of the import of a pointer from a source.
    pub(crate) fn load(folder: &Path, pointer: &str, source: &str) -> Result<Self> {
        let bytes = file::read_if_exists(&place(folder, pointer))?;
        let known = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        Ok(known.filter(|known| known.source == source).unwrap_or_default())
    }

    /// Save the current state.
    pub(crate) fn save(
        folder: &Path,
        pointer: &str,
        source: &str,
        files: impl IntoIterator<Item = (String, String, FileDigests)>,
    ) -> Result<()> {
        let files = files.into_iter().map(|(path, tag, digests)| {
            let member = Member {
                tag,
                md5: digests.md5,
                blake3: digests.blake3,
            };
            (path, member)
        });
        let known = Self {
            source: source.to_owned(),
            files: files.collect(),
        };
        let bytes = serde_json::to_vec(&known).unwrap_or_default();
        Ok(file::write_for_now(&place(folder, pointer), &bytes)?)
    }

    /// The content of files that the cache has, by path and state.
    pub(crate) fn cached<'a>(
        &self,
        files: impl Iterator<Item = (&'a str, String)>,
        cache: &Cache,
    ) -> Result<Vec<Option<FileDigests>>> {
        let known: Vec<Option<&Member>> = files
            .map(|(path, tag)| {
                let is_dated = !tag.starts_with(' ');
                self.files
                    .get(path)
                    .filter(|member| is_dated && member.tag == tag)
            })
            .collect();
        let ids: Vec<ObjectId> = known
            .iter()
            .flatten()
            .map(|member| ObjectId::file(member.md5))
            .collect();
        let mut proven = cache.proven(&ids)?.into_iter();
        let mut one = |member: &Member| {
            proven
                .next()
                .flatten()
                .filter(|found| found.blake3 == member.blake3)
        };
        Ok(known
            .into_iter()
            .map(|member| member.and_then(&mut one))
            .collect())
    }
}
