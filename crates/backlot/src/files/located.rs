//! Tracked files and folders of outputs by the paths that people name: a file, a folder, one that such folders are in, a pointer, a pattern.
//!
//! Invariant: an untracked path is an error that names it. Deliberately absent: operations on the files, and installed inputs,
//! which are not edited.

use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use backlot_core::frames::{Frames, number};
use backlot_core::text;
use backlot_dvc::{Out, TrackedPointer};

use crate::error::{OutsError, Result, WorkspaceError};
use crate::files::pattern::{PathPattern, is_pattern, parse_frames};
use crate::project::output::Output;
use crate::workspace::{Opened, absolute};

/// Files given by path.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    patterns: Vec<PathPattern>,
    frames: Option<Frames>,
}

impl Selection {
    /// The files at some paths, and of these only some frames.
    pub(crate) fn of(paths: &[PathBuf], frames: Option<&str>) -> Result<Self> {
        let pattern = |path: &PathBuf| {
            let path = absolute(path)?;
            // What is there is meant by its name.
            if !is_pattern(&path.to_string_lossy()) || path.symlink_metadata().is_ok() {
                return Ok(PathPattern::literal(&path));
            }
            PathPattern::parse(&path)
        };
        Ok(Self {
            patterns: paths.iter().map(pattern).collect::<Result<_>>()?,
            frames: frames.map(parse_frames).transpose()?,
        })
    }

    /// Whether a file is meant.
    pub(crate) fn has(&self, path: &Path) -> bool {
        let fits = self.patterns.iter().any(|pattern| pattern.fits(path));
        fits && self
            .frames
            .as_ref()
            .is_none_or(|frames| frame_of(path).is_some_and(|frame| frames.contains(frame)))
    }

    /// Whether something in a tracked folder, or a tracked file, may be meant.
    pub(crate) fn touches(&self, place: &Path) -> bool {
        self.patterns.iter().any(|pattern| pattern.may_fit_below(place))
    }
}

/// The frame that a file is, by the last number of its name.
fn frame_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    number(crate::files::sequences::split(name)?.1)
}

/// A tracked file or folder of an output of which some is meant.
pub(crate) struct Located {
    pub(crate) output: Output,
    pub(crate) pointer: TrackedPointer,
    pub(crate) place: PathBuf,
    pub(crate) out: Out,
}

impl Opened {
    /// The tracked files and folders of some paths. A pointer stands for its tracked path.
    pub(crate) fn locate(
        &self,
        paths: &[PathBuf],
        frames: Option<&str>,
    ) -> Result<(Selection, Vec<Located>)> {
        let (mut places, mut found) = (Vec::new(), Vec::<Located>::new());
        for path in paths {
            let path = absolute(path)?;
            let output = self.output_around(&path)?;
            let tracked = self.tracked_of_output(&output)?;
            let pointed = tracked.pointers.iter().find(|pointer| pointer.path == path);
            let wanted = match pointed {
                Some(pointer) => pointer.located_outs().map(|(place, _)| place).collect(),
                None => vec![path.clone()],
            };
            let selection = Selection::of(&wanted, None)?;
            let (mut known, mut is_about) = (Vec::new(), false);
            for pointer in &tracked.pointers {
                for (place, out) in pointer.located_outs() {
                    known.push(self.display_path(&place));
                    if !selection.touches(&place) {
                        continue;
                    }
                    is_about = true;
                    if found.iter().all(|one| one.place != place) {
                        found.push(Located {
                            output: output.clone(),
                            pointer: pointer.clone(),
                            place,
                            out: out.clone(),
                        });
                    }
                }
            }
            if !is_about {
                let path = self.display_path(&path);
                let nearest = text::nearest(&path, known.iter().map(String::as_str)).map(ToOwned::to_owned);
                return Err(OutsError::NotTracked { path, nearest }.into());
            }
            places.extend(wanted);
        }
        Ok((Selection::of(&places, frames)?, found))
    }

    /// The output that a path, or the folder that a pattern begins with, lies in.
    pub(crate) fn output_around(&self, path: &Path) -> Result<Output> {
        let plain = path
            .ancestors()
            .find(|folder| !is_pattern(&folder.to_string_lossy()));
        let output = match self.output_of(path)? {
            None => self.output_of(plain.unwrap_or(path))?,
            found => found,
        };
        let output = output.ok_or_else(|| WorkspaceError::NotInOutput {
            path: path.to_path_buf(),
        })?;
        output.check_inside()?;
        Ok(output)
    }
}

/// A file of a tracked folder by its path in it; of a tracked file, the file itself.
pub(crate) fn member_path(place: &Path, inside: Option<&RelPath>) -> PathBuf {
    inside.map_or_else(|| place.to_path_buf(), |inside| inside.to_path(place))
}
