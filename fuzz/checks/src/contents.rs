//! Movies and scenes: the structure of any bytes is read or refused, by a reason, without a panic, and what is read is data that is written and read again.

use std::fmt::Debug;
use std::path::Path;

use backlot_media::{FileProblem, read_movie, read_scene};

/// What boxes of movies are made of.
pub(crate) const MOVIE_WORDS: &[&str] = &[
    "ftyp",
    "moov",
    "trak",
    "mdia",
    "mdhd",
    "hdlr",
    "vide",
    "minf",
    "stbl",
    "stsd",
    "stts",
    "stco",
    "co64",
    "mvex",
    "mdat",
    "\0\0\0\u{8}",
    "\0\0\0\u{1}",
    "\0\0\0\0",
];
/// What scenes are made of.
pub(crate) const SCENE_WORDS: &[&str] = &[
    "#usda 1.0\n",
    "@",
    "@@@",
    "\"",
    "\"\"\"",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "\n",
    "PXR-USDC",
    "PK\u{3}\u{4}",
    "PK\u{5}\u{6}",
    "glTF",
    "JSON",
    "Ogawa",
    "\"buffers\":",
    "\"bufferViews\":",
    "\"accessors\":",
    "\"byteLength\":",
    "\"count\":",
    "\"uri\":",
    "18446744073709551615",
    "data:;base64,",
    "%2",
    "\0\0\0\0\0\0\0\u{80}",
];

pub(crate) fn movie(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mp4");
    let read = judged(read_movie(written(&path, input)).expect("it is there"));
    if let Some(facts) = read {
        assert!(facts.width > 0 && facts.height > 0 && facts.duration.under > 0);
        let json = serde_json::to_string(&facts).expect("data");
        assert_eq!(
            serde_json::from_str::<backlot_media::MovieFacts>(&json).expect("data"),
            facts
        );
    }
}

pub(crate) fn scene(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a.usd", "a.gltf", "a.abc"] {
        let path = folder.path().join(name);
        let read = judged(read_scene(written(&path, input)).expect("it is there"));
        if let Some(facts) = read {
            assert!(facts.problems.len() <= 100);
            assert!(
                facts
                    .references
                    .iter()
                    .all(|reference| reference.path.len() <= input.len())
            );
            let json = serde_json::to_string(&facts).expect("data");
            assert_eq!(
                serde_json::from_str::<backlot_media::SceneFacts>(&json).expect("data"),
                facts
            );
        }
    }
}

fn written<'a>(path: &'a Path, input: &[u8]) -> &'a Path {
    fs_err::write(path, input).expect("written");
    path
}

/// What was read. A reader that panics is told as damage, which it is not.
fn judged<T: Debug>(read: Result<T, FileProblem>) -> Option<T> {
    if let Err(problem) = &read {
        assert!(!problem.reason().is_empty());
        assert!(!problem.reason().contains("gave up"), "a reader panicked");
    }
    read.ok()
}
