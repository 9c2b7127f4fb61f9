//! Files other than images: movies and scenes. Their structure is read, as far as it says whether they are whole and which other files they need.
//!
//! Invariants: what is read follows from the bytes of a file alone, and is plain data; sizes, counts and depths are bounded before anything of their
//! size is allocated; a file that contradicts itself is damage, never a panic. Deliberately absent: decoding sound, pictures and geometry.

mod alembic;
mod bytes;
mod gltf;
mod lz4;
mod movie;
mod scene;
mod usd;
mod usd_binary;
mod usd_layer;
mod usd_package;
mod usd_text;

use std::path::Path;

use crate::error::{Result, Trouble};
use crate::frames_check::FileProblem;
use crate::work::guarded;

pub use movie::{MovieFacts, Ratio};
pub use scene::{SceneFacts, SceneFormat, SceneReference, scene_format_of};

/// The maximum number of reported problems per file.
const MOST_PROBLEMS: usize = 100;

/// The metadata in the header of a movie (MP4, MOV, M4V). Only a file that the system refuses to read is an error.
pub fn read_movie(path: &Path) -> Result<std::result::Result<MovieFacts, FileProblem>> {
    judged(path, || movie::read(path))
}

/// The metadata and references of a scene (USD, glTF, Alembic, by its extension). Only a file that the system refuses to read is an error.
pub fn read_scene(path: &Path) -> Result<std::result::Result<SceneFacts, FileProblem>> {
    judged(path, || match scene_format_of(path) {
        Some(SceneFormat::Usd) => usd::read(path),
        Some(SceneFormat::Gltf) => gltf::read(path),
        Some(SceneFormat::Alembic) => alembic::read(path),
        None => Err(Trouble::Unsupported("its format".to_owned())),
    })
}

fn judged<T>(
    path: &Path,
    read: impl FnOnce() -> std::result::Result<T, Trouble>,
) -> Result<std::result::Result<T, FileProblem>> {
    match guarded(read) {
        Ok(facts) => Ok(Ok(facts)),
        Err(error @ Trouble::File(_)) => Err(error.at(path)),
        Err(trouble) => Ok(Err(FileProblem::of(trouble).unwrap_or_else(FileProblem::Damaged))),
    }
}

fn damaged(reason: impl Into<String>) -> Trouble {
    Trouble::Damaged(reason.into())
}
