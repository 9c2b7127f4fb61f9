//! Errors of steps over images and files.
//!
//! Invariant: an error about a frame names its file. Deliberately absent: findings of a check, which are data ([`crate::frames_check`]).

use std::path::{Path, PathBuf};

use backlot_core::{Cancelled, Class, FileError, text};

/// Result of a step.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a file, nor a folder, nor a pattern that fits a file.
    #[error("no frames at `{}`", text::printable(&path.to_string_lossy()))]
    NoFrames {
        /// The given path.
        path: PathBuf,
    },
    /// A pattern that cannot be read.
    #[error("invalid frame pattern `{}`: {reason}", text::printable(pattern))]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// The reason.
        reason: &'static str,
    },
    /// A range of frames that cannot be read.
    #[error("invalid frame range `{}`", text::printable(range))]
    BadRange {
        /// The range.
        range: String,
    },
    /// Frames that a range names and that are not there.
    #[error("`{sequence}` has no frames {frames}")]
    MissingFrames {
        /// The sequence.
        sequence: String,
        /// The frames, as ranges.
        frames: String,
    },
    /// Two inputs would have the same output.
    #[error("`{}` and `{}` would both become `{}`", shown(&inputs[0]), shown(&inputs[1]), shown(output))]
    SameOutput {
        /// The inputs.
        inputs: Box<[PathBuf; 2]>,
        /// Their output.
        output: PathBuf,
    },
    /// An output that is one of the inputs.
    #[error("`{}` is an input and would be overwritten", shown(path))]
    OverInput {
        /// The file.
        path: PathBuf,
    },
    /// A frame that cannot be decoded.
    #[error("`{}` is damaged: {reason}{}", shown(path), more(*others))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The decoder's message.
        reason: String,
        /// How many other frames failed.
        others: usize,
    },
    /// A kind of image that is not supported.
    #[error("`{}` is not supported: {reason}{}", shown(path), more(*others))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        reason: String,
        /// How many other frames failed.
        others: usize,
    },
    /// An image that is larger than the limits allow.
    #[error("`{}` is too large: {reason}{}", shown(path), more(*others))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size and the limit.
        reason: String,
        /// How many other frames failed.
        others: usize,
    },
    /// A layer that an image does not have.
    #[error("`{}` has no layer `{}`", shown(path), text::printable(layer))]
    NoLayer {
        /// The file.
        path: PathBuf,
        /// The layer that was asked for.
        layer: String,
        /// The layers with colours that it has.
        known: Vec<String>,
    },
    /// An option outside its range, or that does not go with another one.
    #[error("{what}")]
    BadOption {
        /// The problem.
        what: String,
        /// The correct form.
        help: &'static str,
    },
    /// A name that a manifest cannot hold.
    #[error("the name of `{}` is not valid UTF-8", shown(path))]
    NameNotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// A manifest that cannot be read.
    #[error("`{}` is not a manifest of checksums: line {line}: {reason}", shown(path))]
    BadManifest {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The reason.
        reason: &'static str,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A path in a message.
fn shown(path: &Path) -> String {
    text::printable(&path.to_string_lossy())
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " (1 frame more failed)".to_owned(),
        others => format!(" ({others} frames more failed)"),
    }
}

/// A problem with one image, before it is known which one.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It cannot be decoded.
    Damaged(String),
    /// A kind that is not supported.
    Unsupported(String),
    /// Larger than the limits.
    TooLarge(String),
    /// It has not the layer that was asked for.
    NoLayer {
        /// The layer.
        layer: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// The system refused to read it.
    File(FileError),
}

impl From<FileError> for Trouble {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Trouble {
    /// The error about the file at `path`.
    pub(crate) fn at(self, path: &Path) -> Error {
        let path = path.to_path_buf();
        let others = 0;
        match self {
            Self::Damaged(reason) => Error::Damaged { path, reason, others },
            Self::Unsupported(reason) => Error::Unsupported { path, reason, others },
            Self::TooLarge(reason) => Error::TooLarge { path, reason, others },
            Self::NoLayer { layer, known } => Error::NoLayer { path, layer, known },
            Self::File(error) => Error::File(error),
        }
    }
}

impl Error {
    /// Whether it is about one frame, so that others may still succeed.
    pub(crate) fn is_of_one_frame(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::Unsupported { .. } | Self::TooLarge { .. } | Self::NoLayer { .. }
        )
    }

    /// The same, with the number of other frames that failed.
    pub(crate) fn with_others(mut self, count: usize) -> Self {
        if let Self::Damaged { others, .. }
        | Self::Unsupported { others, .. }
        | Self::TooLarge { others, .. } = &mut self
        {
            *others = count;
        }
        self
    }
}

backlot_core::coded! {
    Error as File | Cancelled {
        Self::NoFrames { .. } => "media::no_frames", Class::NotFound,
            "name files, a folder that has images (EXR, PNG, JPEG, TIFF), or a pattern in quotes, as in \"beauty.####.exr\"";
        Self::BadPattern { .. } => "media::bad_pattern", Class::User,
            "write beauty.####.exr, beauty.%04d.exr or beauty.1001-1010.exr";
        Self::BadRange { .. } => "media::bad_range", Class::User,
            "write 1-100, 1001-1100x2 or 7, or several of these with commas";
        Self::MissingFrames { .. } => "media::missing_frames", Class::NotFound,
            "render them, or name a pattern without a range, as in \"beauty.####.exr\"";
        Self::SameOutput { .. } => "media::same_output", Class::User,
            "run the step for each of the sequences, with an output folder of its own";
        Self::OverInput { .. } => "media::over_input", Class::User,
            "name another output folder with `-o`";
        Self::Damaged { .. } => "media::damaged", Class::Integrity,
            "render or fetch it again; `step frames-check` lists every damaged frame";
        Self::Unsupported { .. } => "media::unsupported", Class::User,
            "convert it to flat scan lines or tiles with a compression of OpenEXR 2, or to PNG, JPEG or TIFF";
        Self::TooLarge { .. } => "media::too_large", Class::Integrity,
            "check where it comes from: its header may be damaged or forged";
        Self::NoLayer { known, .. } => "media::no_layer", Class::NotFound,
            if known.is_empty() {
                "it has no layer with R, G and B, or Y".to_owned()
            } else {
                format!("name one of its layers with `--layer`: {}", text::printable(&known.join(", ")))
            };
        Self::BadOption { help, .. } => "media::bad_option", Class::User, *help;
        Self::NameNotUtf8 { .. } => "media::name_not_utf8", Class::User,
            "rename it: programs that verify manifests read them as UTF-8";
        Self::BadManifest { .. } => "media::bad_manifest", Class::User,
            "give a manifest that `step checksum`, `b3sum` or `md5sum` wrote";
    }
}
