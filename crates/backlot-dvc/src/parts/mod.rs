//! Putting a folder together out of the parts that nodes of a farm stored.
//!
//! Invariants: of two parts that have a file with other bytes none wins unless the newest is asked for, and newest is by
//! the clock of the remote's service, never by that of a node; a folder is complete only if each image sequence in it has
//! exactly the frames that are expected. Deliberately absent: reading parts (`backlot-store`) and what the folder was
//! before, with which [`merge`](mod@crate::merge) puts it together.

mod error;

use std::collections::BTreeMap;

use backlot_core::RelPath;
use backlot_store::{JobId, Part, PartFile};
use serde::Serialize;

pub use error::PartsError;

use crate::frames::{Expectation, Frames, mixed_padding, sequences};
use crate::manifest::Manifest;

/// The parts of a job, put together.
#[derive(Clone, Debug, Default)]
pub struct Combined<'a> {
    /// By folder: its files, sorted by path, each with the part it is from.
    pub folders: BTreeMap<RelPath, BTreeMap<RelPath, (&'a Part, &'a PartFile)>>,
    /// Files that an older part had with other bytes.
    pub overruled: u64,
    /// Frames that no part has.
    pub missing: Vec<MissingFrames>,
}

/// Frames of a sequence that no part has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

/// Put the parts of a job together, in the order in which they were stored, and see that they are what is expected.
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
    let mut combined = Combined::default();
    let mut conflicts = Vec::new();
    for part in parts {
        let folder = combined.folders.entry(part.head.folder.clone()).or_default();
        for file in &part.files {
            let Some((other, known)) = folder.insert(file.path.clone(), (part, file)) else {
                continue;
            };
            if known.digests != file.digests {
                combined.overruled += 1;
                // Of two that were stored at the same time, or at times nobody knows, none is the newest.
                let in_order = other.stored.is_some() && other.stored < part.stored;
                if !options.newest || !in_order {
                    conflicts.push((file.path.below(&part.head.folder), other, part));
                }
            }
        }
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

    fn miss(&mut self, sequence: String, frames: &Frames) {
        if !frames.is_empty() {
            self.missing.push(MissingFrames {
                sequence,
                frames: frames.to_string(),
                count: frames.len() as u64,
            });
        }
    }

    /// See that a folder, once merged with what it was, numbers the frames of each sequence in one way.
    pub fn check_padding(&self, folder: &RelPath, merged: &Manifest) -> Result<(), PartsError> {
        let paths = merged.entries().iter().map(|entry| &entry.path);
        let Some((one, other)) = mixed_padding(paths) else {
            return Ok(());
        };
        let told = |path: &RelPath| {
            let part = self.folders.get(folder).and_then(|files| files.get(path));
            let node = part.map_or("the asset as it is".to_owned(), |(part, _)| {
                part.head.node.clone()
            });
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
    use backlot_core::{Coded as _, RelPath};
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
            text.contains("`frames/f.0001.exr` of a") && text.contains("`frames/f.02.exr` of the asset"),
            "{text}"
        );
    }
}
