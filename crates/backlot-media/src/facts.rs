//! The header of an image: size, windows, channels, compression.
//!
//! Deliberately absent: attributes that do not change how pixels are read.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A kind of image, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// OpenEXR.
    Exr,
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// TIFF.
    Tiff,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exr => "OpenEXR",
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Tiff => "TIFF",
        })
    }
}

/// Extensions of the formats; in a folder, files with these are looked for.
pub(crate) const EXTENSIONS: [&str; 6] = ["exr", "png", "jpg", "jpeg", "tif", "tiff"];

/// Whether a file is named as an image of these formats.
pub fn is_image_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// The format that a file begins as; eight bytes are enough.
pub(crate) fn format_of(head: &[u8]) -> Option<Format> {
    match head {
        [0x76, 0x2f, 0x31, 0x01, ..] => Some(Format::Exr),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(Format::Png),
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some(Format::Tiff),
        _ => None,
    }
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The left column.
    pub x: i64,
    /// The upper row.
    pub y: i64,
    /// Columns.
    pub width: u64,
    /// Rows.
    pub height: u64,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} at {},{}", self.width, self.height, self.x, self.y)
    }
}

/// The metadata in the header of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageFacts {
    /// The kind of image.
    pub format: Format,
    /// The frame: of EXR its display window, of other formats the image at 0,0.
    pub display: Window,
    /// Parts of an EXR file; other formats have one.
    pub parts: Vec<PartFacts>,
}

/// One part of an EXR file, or another image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartFacts {
    /// Its name.
    pub name: Option<String>,
    /// Where it has pixels.
    pub data: Window,
    /// Names and types of its channels, as in `R half`; in the file's order.
    pub channels: Vec<String>,
    /// How it is compressed.
    pub compression: String,
}

/// Values of a channel that are not numbers, or infinite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotFinite {
    /// The part, where the file has several.
    pub part: Option<String>,
    /// The channel.
    pub channel: String,
    /// How many values are not a number.
    pub nan: u64,
    /// How many are infinite.
    pub inf: u64,
    /// The first of them in the file: column and row in the coordinates of the display window.
    pub first: [i64; 2],
}

impl ImageFacts {
    /// Names and types of all channels.
    pub(crate) fn channels(&self) -> String {
        self.each(|part| part.channels.join(", "))
    }
    /// Data windows of all parts.
    pub(crate) fn data(&self) -> String {
        self.each(|part| part.data.to_string())
    }
    /// Compression of all parts.
    pub(crate) fn compression(&self) -> String {
        self.each(|part| part.compression.clone())
    }

    /// A text of each part; where all say the same without a name, once.
    fn each(&self, say: impl Fn(&PartFacts) -> String) -> String {
        let parts = self.parts.iter().map(|part| match &part.name {
            Some(name) if self.parts.len() > 1 => format!("{name}: {}", say(part)),
            _ => say(part),
        });
        parts.collect::<Vec<_>>().join("; ")
    }
}
