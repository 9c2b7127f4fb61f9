//! An image of any supported format: its facts, by its first bytes and its header.
//!
//! Invariant: a file is what it begins as, whatever its extension; that of an image on something else is damage.

use std::io::Read as _;
use std::path::Path;

use backlot_core::{FileError, file};

use crate::error::Trouble;
use crate::exr_file;
use crate::facts::{Format, ImageFacts, format_of, is_image_name};
use crate::flat_file;
use crate::limits::Limits;
use crate::work::guarded;

/// The header of an image; refused if it exceeds the limits.
pub(crate) fn read_facts(path: &Path, limits: &Limits) -> Result<ImageFacts, Trouble> {
    let mut head = Vec::with_capacity(8);
    let read = file::open(path)?.take(8).read_to_end(&mut head);
    read.map_err(FileError::from)?;
    if head.is_empty() {
        return Err(Trouble::Damaged("it is empty".to_owned()));
    }
    // A file with an image extension and full of zeros is typical of a full or broken disk.
    let unknown = || {
        let reason = "it does not begin as OpenEXR, PNG, JPEG or TIFF do".to_owned();
        if is_image_name(path) {
            Trouble::Damaged(reason)
        } else {
            Trouble::Unsupported(reason)
        }
    };
    let facts = guarded(|| match format_of(&head).ok_or_else(unknown)? {
        Format::Exr => exr_file::read_facts(path, limits),
        format => flat_file::read_facts(path, format, limits),
    })?;
    if facts.display.width == 0 || facts.display.height == 0 {
        return Err(Trouble::Damaged("it has no pixels".to_owned()));
    }
    Ok(facts)
}
