//! The sets that are put and got, and their versions.
//!
//! A version holds the files that differ from the version before it, so the files of version n are the last ones of their
//! name in versions 1 to n. Invariants: bytes depend on the set's name and size only; a set is one flat folder; no version
//! removes a file. Deliberately absent: how rendered frames look, which is in [`crate::render`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use backlot_benches::{Random, Workload, tree};
use fs_err as fs;

use crate::render::{Codec, Sequence};

/// Bytes of one insertion.
const INSERTION: usize = 100;

/// How a version differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is the first one.
    First,
    /// Some files have a few KiB changed in place.
    InPlace,
    /// So many insertions of [`INSERTION`] bytes in each file.
    Insertions(usize),
    /// The same frames with a longer header.
    Metadata,
    /// The same frames with one region fixed.
    Crop,
    /// The same frames with other noise.
    Grain,
}

/// What a set is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// Files of blocks, half of them incompressible.
    Blocks(Workload),
    /// Rendered frames.
    Frames(Sequence),
}

/// One set and its versions.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// Its name on the command line and in reports.
    pub(crate) name: &'static str,
    /// What it stands for.
    pub(crate) stands_for: &'static str,
    pub(crate) content: Content,
    /// Names of the versions with what each changes.
    pub(crate) versions: Vec<(&'static str, Change)>,
    /// Whether it is also got again.
    pub(crate) gets: bool,
}

/// All sets, as they are published or small.
pub(crate) fn all(small: bool) -> Vec<Set> {
    let pick = |full: usize, reduced: usize| if small { reduced } else { full };
    let blocks = |name, stands_for, files, file_bytes| Workload {
        name,
        stands_for,
        files,
        file_bytes,
        changed_files: 3,
    };
    let frames = blocks("frames", "a sequence of frames", pick(512, 24), 2 << 20);
    let large = blocks("insertions", "one large cache", 1, pick(1 << 30, 32 << 20));
    let small_files = blocks("small-files", "many small files", pick(20_000, 1_000), 16 << 10);
    let of = |workload: Workload, change: Option<Change>, gets| Set {
        name: workload.name,
        stands_for: workload.stands_for,
        content: Content::Blocks(workload),
        versions: std::iter::once(("v1", Change::First))
            .chain(change.map(|change| ("v2", change)))
            .collect(),
        gets,
    };
    let sequence = |name, codec| Set {
        name,
        stands_for: "rendered frames, RGBA half float",
        content: Content::Frames(Sequence {
            frames: pick(24, 4),
            width: pick(1920, 480),
            height: pick(1080, 270),
            crop: (pick(400, 100), pick(100, 25)),
            codec,
        }),
        versions: vec![
            ("v1", Change::First),
            ("metadata", Change::Metadata),
            ("crop", Change::Crop),
            ("grain", Change::Grain),
        ],
        gets: false,
    };
    vec![
        of(frames, Some(Change::InPlace), true),
        of(large, Some(Change::Insertions(pick(1_000, 30))), false),
        of(small_files, None, false),
        sequence("exr-none", Codec::None),
        sequence("exr-zip", Codec::Zip),
        sequence("exr-piz", Codec::Piz),
    ]
}

/// A set on the disk.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    pub(crate) set: &'a Set,
    /// Of each version, its folder and the files that it changes.
    versions: Vec<(PathBuf, Vec<OsString>)>,
    /// Bytes of the first version.
    pub(crate) bytes: u64,
    /// Files of the first version.
    pub(crate) files: u64,
}

impl Set {
    /// Write all versions below a folder.
    pub(crate) fn make(&self, folder: &Path) -> io::Result<Made<'_>> {
        let folders: Vec<PathBuf> = self.versions.iter().map(|(name, _)| folder.join(name)).collect();
        for folder in &folders {
            fs::create_dir_all(folder)?;
        }
        match &self.content {
            Content::Blocks(workload) => {
                for (n, (_, change)) in self.versions.iter().enumerate() {
                    match change {
                        Change::InPlace => change_in_place(workload, &folders[n - 1], &folders[n])?,
                        Change::Insertions(count) => {
                            insert(workload, *count, &folders[n - 1], &folders[n])?;
                        }
                        _ => workload.generate(&folders[n])?,
                    }
                }
            }
            Content::Frames(sequence) => {
                let changes: Vec<Change> = self.versions.iter().map(|(_, change)| *change).collect();
                sequence.render(&folders, &changes)?;
            }
        }
        let mut versions = Vec::new();
        for folder in folders {
            let mut names = Vec::new();
            for entry in fs::read_dir(&folder)? {
                names.push(entry?.file_name());
            }
            names.sort();
            versions.push((folder, names));
        }
        let first = tree::Inventory::of(&versions[0].0)?;
        Ok(Made {
            set: self,
            versions,
            bytes: first.bytes(),
            files: first.files(),
        })
    }
}

impl Made<'_> {
    /// Bring a folder that holds the version before to a version.
    pub(crate) fn apply(&self, version: usize, folder: &Path) -> io::Result<()> {
        tree::copy(&self.versions[version].0, folder)
    }

    /// An error unless a folder holds a version, byte for byte, and nothing else.
    pub(crate) fn compare(&self, version: usize, folder: &Path) -> io::Result<()> {
        let mut files: BTreeMap<&OsString, &PathBuf> = BTreeMap::new();
        for (golden, names) in &self.versions[..=version] {
            files.extend(names.iter().map(|name| (name, golden)));
        }
        for (name, golden) in &files {
            if !tree::same_bytes(&golden.join(name), &folder.join(name))? {
                let file = folder.join(name);
                return Err(io::Error::other(format!(
                    "`{}` is not what was put",
                    file.display()
                )));
            }
        }
        let count = fs::read_dir(folder)?.count();
        if count == files.len() {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{count} files were got, not {}",
            files.len()
        )))
    }
}

fn change_in_place(workload: &Workload, before: &Path, after: &Path) -> io::Result<()> {
    for file in workload.changed() {
        fs::copy(workload.path(before, file), workload.path(after, file))?;
    }
    workload.change(after)
}

/// Each file again with random bytes inserted at random places.
fn insert(workload: &Workload, count: usize, before: &Path, after: &Path) -> io::Result<()> {
    for file in 0..workload.files {
        let mut random = Random::new(0x1235_e270, file as u64);
        let mut places: Vec<u64> = (0..count)
            .map(|_| random.next() % workload.file_bytes as u64)
            .collect();
        places.sort_unstable();
        let mut from = io::BufReader::new(fs::File::open(workload.path(before, file))?);
        let mut to = io::BufWriter::new(fs::File::create(workload.path(after, file))?);
        let mut position = 0;
        for place in places {
            io::copy(&mut from.by_ref().take(place - position), &mut to)?;
            position = place;
            let mut bytes = Vec::with_capacity(INSERTION + 8);
            while bytes.len() < INSERTION {
                bytes.extend_from_slice(&random.next().to_le_bytes());
            }
            to.write_all(&bytes[..INSERTION])?;
        }
        io::copy(&mut from, &mut to)?;
        to.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Change, Content, Set};
    use backlot_benches::{SMALL, Workload};
    use fs_err as fs;

    fn set(workload: Workload, change: Change) -> Set {
        Set {
            name: "set",
            stands_for: "",
            content: Content::Blocks(workload),
            versions: vec![("v1", Change::First), ("v2", change)],
            gets: true,
        }
    }

    #[test]
    fn a_version_is_told_from_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let set = set(Workload { files: 9, ..SMALL[1] }, Change::InPlace);
        let made = set.make(&folder.path().join("golden")).expect("made");
        assert_eq!((made.files, made.bytes), (9, 9 * SMALL[1].file_bytes as u64));
        assert_eq!(made.versions[1].1.len(), 3);
        let got = folder.path().join("got");
        made.apply(0, &got).expect("applied");
        made.compare(0, &got).expect("the first");
        made.compare(1, &got).expect_err("not yet the second");
        made.apply(1, &got).expect("applied");
        made.compare(1, &got).expect("the second");
        made.compare(0, &got).expect_err("no longer the first");
    }

    #[test]
    fn insertions_make_a_file_longer_and_move_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let workload = Workload {
            files: 1,
            file_bytes: 1 << 20,
            ..SMALL[1]
        };
        let set = set(workload, Change::Insertions(5));
        set.make(folder.path()).expect("made");
        let old = fs::read(workload.path(&folder.path().join("v1"), 0)).expect("read");
        let new = fs::read(workload.path(&folder.path().join("v2"), 0)).expect("read");
        assert_eq!(new.len(), old.len() + 500);
        let end = |bytes: &[u8]| bytes[bytes.len() - 1000..].to_vec();
        assert_eq!(end(&old), end(&new));
    }
}
