//! Putting a folder together out of the parts that nodes of a farm stored.
//!
//! Invariants: of two parts that have a file with other bytes none wins unless the newest is asked for, and newest is by
//! the clock of the remote's service, never by that of a node; a folder is complete only if each image sequence in it has
//! exactly the frames that are expected; what nodes stored can lie side by side on every disk. Deliberately absent: reading parts (`backlot-store`) and what the folder was
//! before, with which [`merge`](mod@crate::merge) puts it together.

mod error;

use std::collections::BTreeMap;

use backlot_core::RelPath;
use backlot_core::frames::Frames;
use backlot_store::{JobId, Part, PartFile};
use serde::{Deserialize, Serialize};

pub use error::PartsError;

use crate::frames::{Expectation, mixed_padding, sequences};
use crate::manifest::Manifest;
use crate::portable::twins;

/// The parts of a job, put together.
#[derive(Clone, Debug, Default)]
pub struct Combined<'a> {
    /// By folder: its files, sorted by path, each with the part it is from.
    pub folders: BTreeMap<RelPath, BTreeMap<RelPath, Stored<'a>>>,
    /// Files of older parts that have other bytes.
    pub overruled: u64,
    /// Frames that no part has.
    pub missing: Vec<MissingFrames>,
}

/// A file with the part it is from.
type Stored<'a> = (&'a Part, &'a PartFile);

/// Frames of a sequence that no part has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFrames {
    /// The folder and, where files of it are there, the sequence, as `frames/f.#.exr`.
    pub sequence: String,
    /// The frames, as `11-20, 30`.
    pub frames: String,
    /// How many there are.
    pub count: u64,
}

/// How to combine parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct CombineOptions {
    /// Of files with other bytes, take those of the part that was stored last.
    pub newest: bool,
    /// Go on without frames that no part has.
    pub allow_missing: bool,
}

/// Combine the parts of a job, in the order in which they were stored, and check that they are complete.
pub fn combine<'a>(
    job: &JobId,
    parts: &'a [Part],
    expected: &[Expectation],
    options: CombineOptions,
) -> Result<Combined<'a>, PartsError> {
    if parts.is_empty() {
        return Err(PartsError::NoParts { job: job.clone() });
    }
    for part in parts {
        if !expected.iter().any(|one| one.folder == part.head.folder) {
            return Err(PartsError::UnexpectedFolder {
                node: part.head.node.clone(),
                folder: part.head.folder.to_string(),
                expected: expected.iter().map(|one| one.folder.to_string()).collect(),
            });
        }
    }
    let mut stored: BTreeMap<(RelPath, RelPath), Vec<Stored<'a>>> = BTreeMap::new();
    for part in parts {
        for file in &part.files {
            let of_file = stored.entry((part.head.folder.clone(), file.path.clone()));
            of_file.or_default().push((part, file));
        }
    }
    let mut combined = Combined::default();
    let mut conflicts = Vec::new();
    for ((folder, path), stored) in stored {
        let Some(&(last, right)) = stored.last() else {
            continue;
        };
        let mut others = stored.iter().filter(|(_, file)| file.digests != right.digests);
        combined.overruled += others.clone().count() as u64;
        // One that was stored at the same time as the last one, or at an unknown time, is not older.
        let is_older = |part: &Part| part.stored.is_some() && part.stored < last.stored;
        if let Some((other, _)) = others.find(|(part, _)| !options.newest || !is_older(part)) {
            conflicts.push((path.below(&folder), *other, last));
        }
        combined
            .folders
            .entry(folder)
            .or_default()
            .insert(path, (last, right));
    }
    if let Some((path, one, other)) = conflicts.first() {
        return Err(PartsError::Conflict {
            path: path.to_string(),
            others: conflicts.len() as u64 - 1,
            nodes: Box::new([of(one), of(other)]),
            newest: options.newest,
        });
    }
    combined.check(job, expected, options)?;
    combined.check_places()?;
    Ok(combined)
}

/// How a part is called in messages.
fn of(part: &Part) -> String {
    format!("{} (part {})", part.head.node, part.name)
}

impl Combined<'_> {
    fn check(
        &mut self,
        job: &JobId,
        expected: &[Expectation],
        options: CombineOptions,
    ) -> Result<(), PartsError> {
        for one in expected {
            let files = self.folders.get(&one.folder);
            let found = files.map(|files| sequences(files.keys())).unwrap_or_default();
            if found.is_empty() {
                self.miss(one.folder.to_string(), &one.frames);
            }
            for (sequence, frames) in found {
                let name = format!("{}/{sequence}", one.folder);
                let more = one.frames.lacks(&frames);
                if !more.is_empty() {
                    return Err(PartsError::UnexpectedFrames {
                        sequence: name,
                        frames: more.to_string(),
                    });
                }
                self.miss(name, &frames.lacks(&one.frames));
            }
        }
        if options.allow_missing || self.missing.is_empty() {
            Ok(())
        } else {
            Err(PartsError::MissingFrames {
                job: job.clone(),
                missing: self.missing.clone(),
            })
        }
    }

    /// Check that no folder is inside another, and that no two nodes stored names that some disks cannot distinguish: a release
    /// could not be mended any more.
    fn check_places(&self) -> Result<(), PartsError> {
        for inner in self.folders.keys() {
            let outer = self
                .folders
                .keys()
                .find(|outer| inner.is_within(outer) && inner != *outer);
            if let Some(outer) = outer {
                return Err(PartsError::Overlap {
                    inner: self.told_place(inner, None),
                    outer: self.told_place(outer, None),
                });
            }
        }
        if let Some((one, other)) = twins(self.folders.keys()).first() {
            return Err(PartsError::TwinNames {
                one: self.told_place(one, None),
                other: self.told_place(other, None),
            });
        }
        for folder in self.folders.keys() {
            let from = |path: &RelPath| self.part_of(folder, Some(path)).map(|part| part.name);
            let files = self.folders.get(folder).into_iter().flat_map(BTreeMap::keys);
            // What one part has was side by side on its node, as what an add tracks: there it is a warning.
            let pair = twins(files)
                .into_iter()
                .find(|(one, other)| from(one) != from(other));
            if let Some((one, other)) = pair {
                return Err(PartsError::TwinNames {
                    one: self.told_place(folder, Some(&one)),
                    other: self.told_place(folder, Some(&other)),
                });
            }
        }
        Ok(())
    }

    /// A part that has a file at or below a path: a folder of parts (or one above), or a path in it.
    fn part_of(&self, folder: &RelPath, path: Option<&RelPath>) -> Option<&Part> {
        let Some(path) = path else {
            let mut below = self.folders.iter().filter(|(one, _)| one.is_within(folder));
            return below.find_map(|(_, files)| Some(files.values().next()?.0));
        };
        let files = self.folders.get(folder)?;
        let mut below = files.iter().filter(|(file, _)| file.is_within(path));
        let found = files.get(path).or_else(|| below.next().map(|(_, stored)| stored));
        found.map(|(part, _)| *part)
    }

    /// The same for people.
    fn told_place(&self, folder: &RelPath, path: Option<&RelPath>) -> String {
        let whole = path.map_or_else(|| folder.clone(), |path| path.below(folder));
        let part = self.part_of(folder, path).map(of).unwrap_or_default();
        format!("`{whole}` of {part}")
    }

    fn miss(&mut self, sequence: String, frames: &Frames) {
        if !frames.is_empty() {
            self.missing.push(MissingFrames {
                sequence,
                frames: frames.to_string(),
                count: frames.len() as u64,
            });
        }
    }

    /// Check that a folder, once merged with its previous state, numbers the frames of each sequence consistently.
    pub fn check_padding(&self, folder: &RelPath, merged: &Manifest) -> Result<(), PartsError> {
        let paths = merged.entries().iter().map(|entry| &entry.path);
        let Some((one, other)) = mixed_padding(paths) else {
            return Ok(());
        };
        let told = |path: &RelPath| {
            let part = self.folders.get(folder).and_then(|files| files.get(path));
            let node = part.map_or("the current asset".to_owned(), |(part, _)| part.head.node.clone());
            format!("`{}` of {node}", path.below(folder))
        };
        Err(PartsError::MixedPadding {
            one: told(one),
            other: told(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::clock::Timestamp;
    use backlot_core::{Diagnostic as _, RelPath};
    use backlot_store::{JobId, Part, PartFile, PartHead, StoredName, digest_bytes};

    use super::{CombineOptions, Combined, combine};
    use crate::frames::Expectation;
    use crate::manifest::{Manifest, ManifestEntry};
    use crate::parts::PartsError;

    fn job() -> JobId {
        "7".parse().expect("an ID")
    }

    /// A part of a node, stored at some time: files by name and content.
    fn part(node: &str, stored: u64, folder: &str, files: &[(&str, &str)]) -> Part {
        let name = digest_bytes(format!("{node}{stored}").as_bytes()).md5.to_hex();
        let file = |(path, content): &(&str, &str)| PartFile {
            path: RelPath::parse(path).expect("safe"),
            digests: digest_bytes(content.as_bytes()),
        };
        Part {
            name: name.parse::<StoredName>().expect("a name"),
            stored: Some(Timestamp(stored)),
            head: PartHead {
                job: job(),
                folder: RelPath::parse(folder).expect("safe"),
                node: node.to_owned(),
                user: "ana".to_owned(),
                // The clocks of nodes are not to be relied on.
                time: Timestamp(1_000_000 - stored),
                tool: "t".to_owned(),
            },
            files: files.iter().map(file).collect(),
        }
    }

    fn combined<'a>(
        parts: &'a [Part],
        expected: &[&str],
        options: CombineOptions,
    ) -> Result<Combined<'a>, PartsError> {
        let expected: Vec<Expectation> = expected.iter().map(|e| e.parse().expect("parsed")).collect();
        combine(&job(), parts, &expected, options)
    }

    const STRICT: CombineOptions = CombineOptions {
        newest: false,
        allow_missing: false,
    };

    #[test]
    fn parts_of_several_nodes_and_folders_are_put_together() {
        let parts = [
            part("a", 1, "frames", &[("f.0001.exr", "1"), ("notes.txt", "n")]),
            part("b", 2, "frames", &[("f.0002.exr", "2")]),
            part("b", 3, "depth", &[("d.1.exr", "x")]),
            // A retry with the same bytes.
            part("c", 4, "frames", &[("f.0001.exr", "1")]),
        ];
        let all = combined(&parts, &["frames=1-2", "depth=1"], STRICT).expect("complete");
        assert_eq!((all.folders.len(), all.overruled), (2, 0));
        let frames = &all.folders[&RelPath::parse("frames").expect("safe")];
        assert_eq!(frames.len(), 3);
    }

    #[test]
    fn other_bytes_of_a_frame_are_a_conflict_that_names_both_and_newest_goes_by_the_clock_of_the_store() {
        let parts = [
            part("a", 1, "frames", &[("f.1.exr", "old"), ("f.2.exr", "2")]),
            part("b", 2, "frames", &[("f.1.exr", "new")]),
        ];
        let error = combined(&parts, &["frames=1-2"], STRICT).expect_err("a conflict");
        assert_eq!(error.code(), "parts::conflict");
        let text = error.to_string();
        assert!(
            text.contains("`frames/f.1.exr`") && text.contains(" a (part") && text.contains(" b (part"),
            "{text}"
        );
        let newest = CombineOptions {
            newest: true,
            ..STRICT
        };
        let all = combined(&parts, &["frames=1-2"], newest).expect("decided");
        let frames = &all.folders[&RelPath::parse("frames").expect("safe")];
        let one = &frames[&RelPath::parse("f.1.exr").expect("safe")];
        assert_eq!((one.0.head.node.as_str(), all.overruled), ("b", 1));
        // Stored at the same time, or at times that the service does not tell: nothing is newest.
        for times in [[Some(2), Some(2)], [None, Some(1)], [None, None]] {
            let mut parts = parts.clone();
            for (part, time) in parts.iter_mut().zip(times) {
                part.stored = time.map(Timestamp);
            }
            let error = combined(&parts, &["frames=1-2"], newest).expect_err("undecided");
            assert_eq!(error.code(), "parts::conflict");
        }
    }

    #[test]
    fn the_newest_part_wins_whatever_older_ones_have_and_only_over_older_ones() {
        let newest = CombineOptions {
            newest: true,
            ..STRICT
        };
        let parts = |stored: [(u64, &str); 3]| {
            let nodes = ["a", "b", "c"].into_iter().zip(stored);
            let parts = nodes.map(|(node, (time, bytes))| part(node, time, "frames", &[("f.1.exr", bytes)]));
            parts.collect::<Vec<Part>>()
        };
        let decided = [
            ([(1, "one"), (1, "two"), (2, "three")], 2),
            ([(1, "one"), (2, "two"), (2, "two")], 1),
            ([(1, "one"), (1, "two"), (2, "one")], 1),
        ];
        for (stored, overruled) in decided {
            let parts = parts(stored);
            let all = combined(&parts, &["frames=1"], newest).expect("decided");
            let frames = &all.folders[&RelPath::parse("frames").expect("safe")];
            let one = &frames[&RelPath::parse("f.1.exr").expect("safe")];
            let last = digest_bytes(stored[2].1.as_bytes());
            assert_eq!((one.1.digests, all.overruled), (last, overruled), "{stored:?}");
        }
        for stored in [
            [(1, "one"), (2, "two"), (2, "three")],
            [(2, "one"), (2, "two"), (2, "one")],
        ] {
            let parts = parts(stored);
            let error = combined(&parts, &["frames=1"], newest).expect_err("undecided");
            assert_eq!(error.code(), "parts::conflict", "{stored:?}");
        }
    }

    #[test]
    fn folders_in_each_other_and_names_that_some_disks_take_for_one_are_refused_with_their_nodes() {
        let refused = |parts: &[Part], expected: &[&str], code: &str, named: [&str; 2]| {
            let error = combined(parts, expected, STRICT).expect_err("refused");
            assert_eq!(error.code(), code);
            for name in named {
                assert!(error.to_string().contains(name), "{error}");
            }
        };
        let file = [("f.1.exr", "1")];
        refused(
            &[
                part("a", 1, "frames", &file),
                part("b", 2, "frames/crypto", &file),
            ],
            &["frames=1", "frames/crypto=1"],
            "parts::overlap",
            ["`frames/crypto` of b", "`frames` of a"],
        );
        refused(
            &[part("a", 1, "frames", &file), part("b", 2, "Frames", &file)],
            &["frames=1", "Frames=1"],
            "parts::twin_names",
            ["`Frames` of b", "`frames` of a"],
        );
        refused(
            &[
                part("a", 1, "frames", &file),
                part("b", 2, "frames", &[("F.1.exr", "2")]),
            ],
            &["frames=1"],
            "parts::twin_names",
            ["`frames/F.1.exr` of b", "`frames/f.1.exr` of a"],
        );
        refused(
            &[
                part("a", 1, "frames", &[("sub/f.1.exr", "1")]),
                part("b", 2, "frames", &[("Sub/g.1.exr", "2")]),
            ],
            &["frames=1"],
            "parts::twin_names",
            ["`frames/Sub` of b", "`frames/sub` of a"],
        );
        // One node had both side by side.
        let both = [part("a", 1, "frames", &[("F.1.exr", "2"), ("f.1.exr", "1")])];
        combined(&both, &["frames=1"], STRICT).expect("as on the node");
        let beside = [part("a", 1, "frames", &file), part("b", 2, "frames2", &file)];
        combined(&beside, &["frames=1", "frames2=1"], STRICT).expect("beside each other");
    }

    #[test]
    fn missing_frames_are_told_as_ranges_and_refused_unless_allowed() {
        let files: Vec<String> = (1..=10).map(|n| format!("f.{n:04}.exr")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|f| (f.as_str(), "x")).collect();
        let parts = [part("a", 1, "frames", &files)];
        let error = combined(&parts, &["frames=1-20,30"], STRICT).expect_err("incomplete");
        assert_eq!(error.code(), "parts::missing_frames");
        assert!(error.to_string().contains("frames/f.#.exr: 11-20, 30"), "{error}");
        let lenient = CombineOptions {
            allow_missing: true,
            ..STRICT
        };
        let all = combined(&parts, &["frames=1-20,30", "depth=1-2"], lenient).expect("allowed");
        assert_eq!(all.missing.len(), 2);
        assert_eq!(
            (all.missing[0].frames.as_str(), all.missing[0].count),
            ("11-20, 30", 11)
        );
        assert_eq!(all.missing[1].sequence, "depth");
    }

    #[test]
    fn what_nobody_expects_is_refused() {
        let parts = [part("a", 1, "frame", &[("f.1.exr", "1")])];
        let error = combined(&parts, &["frames=1"], STRICT).expect_err("another folder");
        assert_eq!(error.code(), "parts::unexpected_folder");
        assert!(
            error.to_string().contains("`frame`") && error.to_string().contains('a'),
            "{error}"
        );
        let parts = [part("a", 1, "frames", &[("f.1.exr", "1"), ("f.5.exr", "1")])];
        let error = combined(&parts, &["frames=1"], STRICT).expect_err("another frame");
        assert_eq!(error.code(), "parts::unexpected_frames");
        assert_eq!(
            combined(&[], &["frames=1"], STRICT).expect_err("none").code(),
            "parts::none"
        );
    }

    #[test]
    fn other_padding_than_before_or_of_another_node_is_refused() {
        let parts = [part("a", 1, "frames", &[("f.0001.exr", "1")])];
        let all = combined(&parts, &["frames=1"], STRICT).expect("complete");
        let folder = RelPath::parse("frames").expect("safe");
        let manifest = |paths: &[&str]| {
            let entry = |path: &&str| ManifestEntry {
                md5: digest_bytes(b"1").md5,
                path: RelPath::parse(path).expect("safe"),
            };
            Manifest::new("m", paths.iter().map(entry).collect()).expect("safe")
        };
        assert!(
            all.check_padding(&folder, &manifest(&["f.0001.exr", "f.0002.exr"]))
                .is_ok()
        );
        let error = all
            .check_padding(&folder, &manifest(&["f.0001.exr", "f.02.exr"]))
            .expect_err("mixed");
        assert_eq!(error.code(), "parts::mixed_padding");
        let text = error.to_string();
        assert!(
            text.contains("`frames/f.0001.exr` of a")
                && text.contains("`frames/f.02.exr` of the current asset"),
            "{text}"
        );
    }
}
