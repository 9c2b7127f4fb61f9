//! A few files out of a release, without fetching all of it: out of a wheel on a server by small reads of its end.
//!
//! Invariants: all requested members of the release are returned, or it is an error; nothing is read past stated
//! limits; whatever is odd about an archive (ZIP64, encryption, a directory that does not add up, a server that does not do
//! parts) is left to the reader of whole files. Answers are kept on this disk under the digest of the release.
//! Deliberately absent: the digest of partial reads; each entry has the checksum in the archive.

use backlot_backend::each;
use backlot_core::RelPath;
use backlot_net::{HttpCache, Kind, ResponseMeta};
use backlot_wheel::{ByteRange, Fetching, Members, WheelArchive, files_in_pieces};

use crate::error::{Error, Result};
use crate::release::ReleaseFile;
use crate::repo::Repo;

/// The requested files, and the name of the filter: the same name must always mean the same files.
pub struct MemberFilter<'a> {
    /// Its name.
    pub name: &'static str,
    /// Whether a file is wanted.
    pub is: &'a (dyn Fn(&RelPath) -> bool + Sync),
}

impl std::fmt::Debug for MemberFilter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wanted").field(&self.name).finish()
    }
}

impl Repo {
    /// The wanted files of many releases, in their order; many at once where that is faster.
    pub fn read_inside(&self, releases: &[&ReleaseFile], wanted: &MemberFilter<'_>) -> Result<Vec<Members>> {
        if self.is_remote() {
            return each(releases, |release| self.inside(release, wanted));
        }
        let inside = releases
            .iter()
            .map(|release| match self.inside_piecewise(release, wanted) {
                Ok(Some(found)) => Ok(found),
                // Its reader says what is wrong.
                Ok(None) | Err(_) => self.inside_whole(release, wanted),
            });
        inside.collect()
    }

    fn inside(&self, release: &ReleaseFile, wanted: &MemberFilter<'_>) -> Result<Members> {
        let kept = match self {
            Self::Index(repo) => Some(repo.store()),
            Self::Store(repo) => repo.kept(),
        };
        let Some(store) = kept else {
            return self.inside_whole(release, wanted);
        };
        let key = release
            .sha256
            .map(|digest| format!("{} in {digest}", wanted.name));
        if let Some(kept) = key.as_ref().and_then(|key| find(store, key)) {
            return Ok(kept);
        }
        let found = match self.inside_piecewise(release, wanted)? {
            Some(found) => found,
            None => self.inside_whole(release, wanted)?,
        };
        if let Some(key) = key {
            keep(store, &key, release, &found);
        }
        Ok(found)
    }

    /// By small reads of the end of a wheel; `None` where that is not enough.
    fn inside_piecewise(&self, release: &ReleaseFile, wanted: &MemberFilter<'_>) -> Result<Option<Members>> {
        if release.is_sdist() {
            return Ok(None);
        }
        let fetch = |range: ByteRange| -> Fetching<'_, Error> {
            Box::pin(std::future::ready(match self {
                Self::Index(repo) => repo.part(release, range),
                Self::Store(repo) => repo.part(release, range),
            }))
        };
        files_in_pieces(&fetch, wanted.is)
    }

    /// Out of the whole file. One that has to be fetched for it does not stay.
    fn inside_whole(&self, release: &ReleaseFile, wanted: &MemberFilter<'_>) -> Result<Members> {
        let fetched = match self {
            Self::Index(repo) => repo.absent(release),
            Self::Store(repo) => repo.absent(release),
        };
        let read = if release.is_sdist() {
            self.source(release)
                .and_then(|source| Ok(source.read(&|path| (wanted.is)(path))?.into_iter().collect()))
        } else {
            self.archive(release)
                .and_then(|archive| in_archive(&archive, wanted))
        };
        if let Some(path) = fetched {
            backlot_core::file::remove(&path).ok();
        }
        read
    }
}

fn in_archive(archive: &WheelArchive, wanted: &MemberFilter<'_>) -> Result<Members> {
    let mut found = Vec::new();
    for entry in archive.entries().iter().filter(|entry| (wanted.is)(&entry.path)) {
        if let Some(bytes) = archive.read(&entry.path)? {
            found.push((entry.path.clone(), bytes));
        }
    }
    Ok(found)
}

fn find(store: &HttpCache, key: &str) -> Option<Members> {
    let kept = store.find(Kind::Metadata, key)?;
    let texts: Vec<(String, String)> = serde_json::from_slice(&kept.body).ok()?;
    let parsed = texts
        .into_iter()
        .map(|(path, text)| Some((RelPath::parse(&path).ok()?, text.into_bytes())));
    parsed.collect()
}

fn keep(store: &HttpCache, key: &str, release: &ReleaseFile, found: &Members) {
    let texts = found
        .iter()
        .map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(bytes).ok()?)));
    // A response that is not text is requested again.
    let Some(texts) = texts.collect::<Option<Vec<_>>>() else {
        return;
    };
    let body = serde_json::to_vec(&texts).expect("texts are plain data");
    let place = release.place().to_string();
    store.keep(
        Kind::Metadata,
        key,
        &ResponseMeta::new(&place, &place, 200, &body),
        &body,
    );
}

#[cfg(test)]
mod tests {
    use backlot_wheel::{ByteRange, Fetching, Piece, files_in_pieces};

    use super::Members;
    use crate::error::{Error, Result};
    use crate::support::Wheel;

    /// The paths and bytes of all texts of an archive that is at hand in pieces.
    fn texts(archive: &[u8]) -> Result<Option<Members>> {
        let total = archive.len() as u64;
        let fetch = |range: ByteRange| -> Fetching<'_, Error> {
            let (start, end) = match range {
                ByteRange::Last(most) => (total.saturating_sub(most), total),
                ByteRange::At(start, most) => (start, start.saturating_add(most)),
            };
            let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
            let bytes = archive.get(range).map(<[u8]>::to_vec);
            let piece = bytes.map(|bytes| Piece { start, bytes, total });
            Box::pin(std::future::ready(Ok(piece)))
        };
        files_in_pieces(&fetch, &|path| path.as_str().ends_with(".txt"))
    }

    #[test]
    fn a_damaged_archive_gives_what_is_in_it_or_is_left_to_others() {
        let wheel = Wheel {
            content: &"x = 1\n".repeat(8_000),
            entry_points: "[console_scripts]\n",
            ..Wheel::new("chair", "1.0")
        };
        let whole = wheel.bytes();
        let right = texts(&whole).unwrap().unwrap();
        assert_eq!(right.len(), 1);
        assert_eq!(right[0].1, b"[console_scripts]\n");
        for at in whole.len() - 1200..whole.len() {
            for bit in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= bit;
                // Its name may be another now; its bytes are proven by a checksum.
                for (_, bytes) in texts(&damaged).unwrap().unwrap_or_default() {
                    assert_eq!(bytes, right[0].1, "{at}");
                }
            }
            assert!(texts(&whole[..at]).unwrap().is_none(), "cut at {at}");
        }
    }
}
