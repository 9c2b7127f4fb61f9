//! Image sequences: found, checked, made into proxies and contact sheets; movies and scenes by their structure; and files checked by their checksums.
//!
//! What ready-made steps of a pipeline need, without another program: EXR, PNG, JPEG and TIFF are read in Rust. Invariants: what is written
//! depends on the bytes of the input and the options only, not on the machine, its time or the number of threads; nothing half-written is
//! visible; images are hostile input, refused by their headers before anything of their size is allocated. Deliberately absent: DVC, assets and
//! stages; decoding movies and geometry; colour management.

mod checksum;
mod colour;
mod contact_sheet;
mod content;
mod error;
mod exr_file;
mod exr_layer;
mod facts;
mod flat_file;
mod font;
mod frames_check;
mod image_file;
mod limits;
mod picture;
mod proxy;
mod resample;
mod sequence;
#[cfg(test)]
mod tests;
mod work;

pub use backlot_core::frames::Frames;
pub use checksum::{
    ChecksumMismatch, ChecksumOptions, ChecksumReport, FileSum, ManifestFormat, SumProblem, VerifyReport,
    WrongFile, make_checksums, verify_checksums,
};
pub use contact_sheet::{SheetOptions, SheetReport, make_contact_sheet};
pub use content::{
    MovieFacts, Ratio, SceneFacts, SceneFormat, SceneReference, read_movie, read_scene, scene_format_of,
};
pub use error::{Error, Result};
pub use facts::{Format, ImageFacts, NotFinite, PartFacts, Window, is_image_name};
pub use frames_check::{
    CheckOptions, CheckReport, CheckedSequence, FileProblem, Finding, FrameRead, FramesNotClean, KnownFrames,
    Level, NoKnownFrames, check_frames, check_known_frames,
};
pub use limits::Limits;
pub use picture::{Alpha, Encoding, Look, Size};
pub use proxy::{ProxyOptions, ProxyReport, make_proxies};
pub use sequence::{Frame, Sequence, SequenceSummary, find, parse_frames};
