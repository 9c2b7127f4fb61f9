//! A few files out of a release, without fetching all of it: out of a wheel on a server by small reads of its end.
//!
//! Invariants: what is handed out is all that was wanted of the release, or it is an error; nothing is read past stated
//! limits; whatever is odd about an archive (ZIP64, encryption, a directory that does not add up, a server that does not do
//! parts) is left to the reader of whole files. Answers are kept on this disk under the digest of the release.
//! Deliberately absent: the digest of what was read in parts; each entry has the checksum that the archive says.

use backlot_backend::each;
use backlot_core::RelPath;
use backlot_net::{Head, Kind, Responses};
use backlot_wheel::WheelArchive;

use crate::error::Result;
use crate::parts::{Inside, Part, Piece};
use crate::release::Release;
use crate::repo::Repo;

/// Which files are wanted, and what the question is called: the same name must always mean the same files.
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'static str,
    /// Whether a file is wanted.
    pub is: &'a (dyn Fn(&RelPath) -> bool + Sync),
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wanted").field(&self.name).finish()
    }
}

impl Repo {
    /// The wanted files of many releases, in their order; many at once where that is faster.
    pub fn read_inside(&self, releases: &[&Release], wanted: &Wanted<'_>) -> Result<Vec<Inside>> {
        if self.is_remote() {
            return each(releases, |release| self.inside(release, wanted));
        }
        let inside = releases.iter().map(|release| self.inside_whole(release, wanted));
        inside.collect()
    }

    fn inside(&self, release: &Release, wanted: &Wanted<'_>) -> Result<Inside> {
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
        let found = if release.is_sdist() {
            None
        } else {
            let get = |part: Part| -> Result<Option<Piece>> {
                match self {
                    Self::Index(repo) => repo.part(release, part),
                    Self::Store(repo) => repo.part(release, part),
                }
            };
            crate::parts::read(&get, wanted.is)?
        };
        let found = match found {
            Some(found) => found,
            None => self.inside_whole(release, wanted)?,
        };
        if let Some(key) = key {
            keep(store, &key, release, &found);
        }
        Ok(found)
    }

    /// Out of the whole file. One that has to be fetched for it does not stay.
    fn inside_whole(&self, release: &Release, wanted: &Wanted<'_>) -> Result<Inside> {
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

fn in_archive(archive: &WheelArchive, wanted: &Wanted<'_>) -> Result<Inside> {
    let mut found = Vec::new();
    for entry in archive.entries().iter().filter(|entry| (wanted.is)(&entry.path)) {
        if let Some(bytes) = archive.read(&entry.path)? {
            found.push((entry.path.clone(), bytes));
        }
    }
    Ok(found)
}

fn find(store: &Responses, key: &str) -> Option<Inside> {
    let kept = store.find(Kind::Metadata, key)?;
    let texts: Vec<(String, String)> = serde_json::from_slice(&kept.body).ok()?;
    let parsed = texts
        .into_iter()
        .map(|(path, text)| Some((RelPath::parse(&path).ok()?, text.into_bytes())));
    parsed.collect()
}

fn keep(store: &Responses, key: &str, release: &Release, found: &Inside) {
    let texts = found
        .iter()
        .map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(bytes).ok()?)));
    // What is no text is asked for again.
    let Some(texts) = texts.collect::<Option<Vec<_>>>() else {
        return;
    };
    let body = serde_json::to_vec(&texts).expect("texts are plain data");
    let place = release.place().to_string();
    store.keep(Kind::Metadata, key, &Head::new(&place, &place, 200, &body), &body);
}
