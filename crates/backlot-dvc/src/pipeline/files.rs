//! Where the files of a pipeline are read from.
//!
//! Invariant: paths are relative to the project's folder; nothing is written. Deliberately absent: finding the files.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::error::{PipelineError, Result};
use super::place::Place;

/// Largest file of definitions or parameters that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// The small files of a project: definitions, locks and parameters.
pub trait ProjectFiles {
    /// The text of a file, or `None` if it does not exist.
    fn read(&self, place: &Place) -> Result<Option<String>>;

    /// An absolute path that leads into the project, as a path in it with `/`; `None` for all others, and where the
    /// project has no place on a disk.
    fn relative(&self, _absolute: &str) -> Option<String> {
        None
    }
}

/// Files below a folder of this machine.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder of the project.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl ProjectFiles for Folder {
    fn read(&self, place: &Place) -> Result<Option<String>> {
        let path = match place {
            Place::Root => self.root.clone(),
            Place::Inside(path) => path.to_path(&self.root),
            Place::Outside(path) if place.is_url() => {
                return Err(unreadable(
                    path,
                    "a file of definitions or parameters cannot be a URL",
                ));
            }
            Place::Outside(path) => self.root.join(path),
        };
        let length = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(unreadable(place, "it is not a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(place, &error)),
        };
        if length > MAX_BYTES {
            return Err(unreadable(place, "it is larger than 64 MiB"));
        }
        let bytes = fs::read(&path).map_err(|error| unreadable(place, &error))?;
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| unreadable(place, "it is not valid UTF-8"))
    }

    fn relative(&self, absolute: &str) -> Option<String> {
        let inside = Path::new(absolute).strip_prefix(&self.root).ok()?;
        let names: Option<Vec<&str>> = inside.iter().map(|name| name.to_str()).collect();
        Some(format!("./{}", names?.join("/")))
    }
}

fn unreadable(place: &impl ToString, reason: &(impl ToString + ?Sized)) -> PipelineError {
    PipelineError::Unreadable {
        file: place.to_string(),
        reason: reason.to_string(),
    }
}
