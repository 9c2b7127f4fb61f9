//! The digests that a lock file of any tool promises of a file, and whether a release has them.
//!
//! Invariant: all of them are compared, and a file that has only some is an error: it is not chance which of them counts.
//! Deliberately absent: reading lock files; see `pylock.rs`.

use backlot_core::{Sha256, StrongDigest};
use backlot_repo::{ReleaseFile, Repo};

use crate::error::{Error, Result};
use crate::workspace::Opened;

/// The expected digests of a file.
pub(crate) struct Promised<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) strong: Vec<StrongDigest>,
}

impl Opened {
    /// Whether a release, of which `sha256` is the digest, is one of the files that an entry promises: by all its digests. One
    /// that has only some of them is an error, since the lock file then contradicts itself.
    pub(crate) fn is_promised(
        &self,
        repo: &Repo,
        release: &ReleaseFile,
        sha256: Sha256,
        promised: &[Promised<'_>],
        contradiction: &dyn Fn(String) -> Error,
    ) -> Result<bool> {
        for file in promised {
            match file.sha256 {
                Some(own) if own != sha256 => continue,
                // Not every file of the version is fetched for it.
                None if file.name.is_some_and(|name| name != release.file) => continue,
                _ => {}
            }
            let mut fits = file.sha256.is_some();
            let mut wrong = None;
            for strong in &file.strong {
                let found = repo.strong_digest(release, strong, &self.state_dir(), self.context())?;
                if found == *strong {
                    fits = true;
                } else {
                    wrong = Some((*strong, found));
                }
            }
            match wrong {
                Some((promised, found)) if fits => {
                    let of = &release.file;
                    let reason =
                        format!("one digest of `{of}` matches, but another is {promised} instead of {found}");
                    return Err(contradiction(reason));
                }
                _ if fits => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }
}
