//! Why parts of a job do not make a release.

use std::path::PathBuf;

use backlot_core::{Class, text};
use backlot_store::JobId;

use super::MissingFrames;

/// Parts that do not fit together, or are not as expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// A job without parts.
    #[error("the remote has no parts of job `{job}`")]
    NoParts {
        /// The job.
        job: JobId,
    },
    /// A text that says nothing that could be expected.
    #[error("`{}` is not a folder with its frames", text.escape_debug())]
    BadExpectation {
        /// The given text.
        text: String,
    },
    /// Two nodes that have other bytes under one name.
    #[error("`{path}`{} {} other bytes in the part of {} than in that of {}{}", if *others == 0 { String::new() } else { format!(" and {}", text::count(*others, "other file")) }, if *others == 0 { "has" } else { "have" }, nodes[0], nodes[1], if *newest { ", and neither was stored later" } else { "" })]
    Conflict {
        /// The first such file.
        path: String,
        /// How many more there are.
        others: u64,
        /// Both nodes, with their parts.
        nodes: Box<[String; 2]>,
        /// Whether the newest was asked for.
        newest: bool,
    },
    /// Frames that no part has.
    #[error("the parts of the job `{job}` are missing {}: {}", text::count(missing.iter().map(|one| one.count).sum(), "frame"), told(missing))]
    MissingFrames {
        /// The job.
        job: JobId,
        /// The frames.
        missing: Vec<MissingFrames>,
    },
    /// Frames that were not expected.
    #[error("the parts have frames of {sequence} that are not expected: {frames}")]
    UnexpectedFrames {
        /// The sequence.
        sequence: String,
        /// The frames.
        frames: String,
    },
    /// A part of another folder.
    #[error("the node {node} stored a part of the folder `{folder}`, and expected {}: {}", if expected.len() == 1 { "is" } else { "are" }, expected.join(", "))]
    UnexpectedFolder {
        /// The node.
        node: String,
        /// The folder.
        folder: String,
        /// Those that are expected.
        expected: Vec<String>,
    },
    /// Frames of one sequence that are numbered in two ways.
    #[error("{one} and {other} pad the frame number differently")]
    MixedPadding {
        /// A file and whose it is.
        one: String,
        /// Another.
        other: String,
    },
    /// Files of parts that could not be pulled.
    #[error("{} of the parts {} no longer on the remote, or pending collection: {}", text::count(*count, "file"), if *count == 1 { "is" } else { "are" }, files.join(", "))]
    NotOnRemote {
        /// Some of the files, with their nodes.
        files: Vec<String>,
        /// How many.
        count: u64,
    },
    /// A folder of parts in another one.
    #[error("{inner} is inside {outer}, and a tracked folder cannot have another one in it")]
    Overlap {
        /// The inner folder and whose it is.
        inner: String,
        /// The outer one.
        outer: String,
    },
    /// Names of two nodes that some disks take for one.
    #[error(
        "{one} and {other} are the same name on Windows and macOS, so the release could not be pulled there"
    )]
    TwinNames {
        /// A file or folder and whose it is.
        one: String,
        /// Another.
        other: String,
    },
    /// A pointer that leaves its files to git.
    #[error("`{}` is tracked with `cache: false`, so its files are not on a remote, and those of parts would be lost", path.display())]
    NotCached {
        /// Its type.
        path: PathBuf,
        /// Its pointer.
        pointer: PathBuf,
    },
    /// Files in the workspace that are not those of the parts.
    #[error("`{}` has {} that would not be in the release: {}", path.display(), text::count(*count, "file"), files.join(", "))]
    FilesHere {
        /// The folder.
        path: PathBuf,
        /// Some of the files.
        files: Vec<String>,
        /// How many.
        count: u64,
    },
}

fn told(missing: &[MissingFrames]) -> String {
    let told = missing
        .iter()
        .map(|one| format!("{}: {}", one.sequence, one.frames));
    told.collect::<Vec<_>>().join("; ")
}

backlot_core::coded! {
    PartsError {
        Self::NoParts { .. } => "parts::none", Class::NotFound,
            "see `part list` for the jobs that have parts";
        Self::BadExpectation { .. } => "parts::bad_expectation", Class::User,
            "give the folder and its frames, as in `frames=1-100`, `frames=1001-1100x2` or `frames=1-10,15`";
        Self::Conflict { newest: false, .. } => "parts::conflict", Class::Conflict,
            "use the most recent part with `--newest`, or drop the wrong one with `part drop --job ID --part NAME`";
        Self::Conflict { .. } => "parts::conflict", Class::Conflict,
            "drop the wrong part with `part drop --job ID --part NAME`";
        Self::MissingFrames { .. } => "parts::missing_frames", Class::NotFound,
            "render them and push them with `part push`, or publish without them with `--allow-missing`";
        Self::UnexpectedFrames { .. } => "parts::unexpected_frames", Class::Conflict,
            "add them to `--expect`, or drop the wrong part with `part drop --job ID --node NAME`";
        Self::UnexpectedFolder { .. } => "parts::unexpected_folder", Class::Conflict,
            "add the folder to `--expect`, or drop the part with `part drop --job ID --node NAME` and push it with the right `--as`";
        Self::MixedPadding { .. } => "parts::mixed_padding", Class::Conflict,
            "drop the wrong part with `part drop --job ID --node NAME` and push its frames under the right names";
        Self::NotOnRemote { .. } => "parts::not_on_remote", Class::NotFound,
            "push these files again with `part push`; `gc --remote --restore` undoes a pending collection";
        Self::Overlap { .. } => "parts::overlap", Class::Conflict,
            "drop one of them with `part drop --job ID --part NAME` and push its files as a folder beside the other, with another `--as`";
        Self::TwinNames { .. } => "parts::twin_names", Class::Conflict,
            "drop the wrong part with `part drop --job ID --part NAME` and push its files under the right names";
        Self::NotCached { pointer, .. } => "parts::not_cached", Class::Conflict,
            format!(
                "remove `cache: false` from `{}`, then publish again",
                pointer.display()
            );
        Self::FilesHere { .. } => "parts::files_here", Class::Conflict,
            "move the folder aside, then publish again; `pull` fetches the files of the release";
    }
}
