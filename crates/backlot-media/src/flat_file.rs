//! PNG, JPEG and TIFF: header, whether the file ends where it should, pixels.
//!
//! Invariant: sizes are judged before pixels are decoded. Decoders show what they have of a JPEG or PNG that was cut, so
//! that its end is looked for here. Deliberately absent: colour profiles, EXIF orientation, animation, pages but the first.

use std::io::BufReader;
use std::path::Path;

use backlot_core::{FileError, file};
use fs_err as fs;
use image::{ColorType, DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader};

use crate::error::Trouble;
use crate::facts::{Format, ImageFacts, NotFinite, PartFacts, Window};
use crate::limits::Limits;

fn trouble(error: ImageError) -> Trouble {
    match error {
        ImageError::Unsupported(error) => Trouble::Unsupported(error.to_string()),
        ImageError::Limits(error) => Trouble::TooLarge(error.to_string()),
        ImageError::IoError(error) if error.raw_os_error().is_some() => Trouble::File(FileError::from(error)),
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Trouble::Damaged("it is truncated".to_owned())
        }
        error => Trouble::Damaged(error.to_string()),
    }
}

fn kind(format: Format) -> Option<ImageFormat> {
    match format {
        Format::Exr => None,
        Format::Png => Some(ImageFormat::Png),
        Format::Jpeg => Some(ImageFormat::Jpeg),
        Format::Tiff => Some(ImageFormat::Tiff),
    }
}

fn reader(path: &Path, format: Format, limits: &Limits) -> Result<ImageReader<BufReader<fs::File>>, Trouble> {
    let kind = kind(format).ok_or_else(|| Trouble::Unsupported(format.to_string()))?;
    let source = file::open(path)?;
    if format != Format::Tiff {
        limits.check_file(source.metadata().map_err(FileError::from)?.len())?;
    }
    let mut reader = ImageReader::with_format(BufReader::new(source), kind);
    let mut of_reader = image::Limits::no_limits();
    of_reader.max_alloc = Some(limits.bytes);
    reader.limits(of_reader);
    Ok(reader)
}

/// Channels of an image, as those of an EXR part are named.
fn channels(color: ColorType) -> Vec<String> {
    let (names, kind): (&[&str], &str) = match color {
        ColorType::L8 => (&["Y"], "uint8"),
        ColorType::La8 => (&["Y", "A"], "uint8"),
        ColorType::Rgb8 => (&["R", "G", "B"], "uint8"),
        ColorType::Rgba8 => (&["R", "G", "B", "A"], "uint8"),
        ColorType::L16 => (&["Y"], "uint16"),
        ColorType::La16 => (&["Y", "A"], "uint16"),
        ColorType::Rgb16 => (&["R", "G", "B"], "uint16"),
        ColorType::Rgba16 => (&["R", "G", "B", "A"], "uint16"),
        ColorType::Rgb32F => (&["R", "G", "B"], "float"),
        ColorType::Rgba32F => (&["R", "G", "B", "A"], "float"),
        _ => (&["?"], "unknown"),
    };
    names.iter().map(|name| format!("{name} {kind}")).collect()
}

/// The header; refused if it exceeds the limits.
pub(crate) fn read_facts(path: &Path, format: Format, limits: &Limits) -> Result<ImageFacts, Trouble> {
    let decoder = reader(path, format, limits)?.into_decoder().map_err(trouble)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (u64::from(width), u64::from(height));
    limits.check_pixels(width, height)?;
    limits.check_bytes(Some(decoder.total_bytes()))?;
    let window = Window {
        x: 0,
        y: 0,
        width,
        height,
    };
    let part = PartFacts {
        name: None,
        data: window,
        channels: channels(decoder.color_type()),
        compression: format.to_string(),
    };
    Ok(ImageFacts {
        format,
        display: window,
        parts: vec![part],
    })
}

/// Decode an image whose facts were read.
pub(crate) fn decode(path: &Path, format: Format, limits: &Limits) -> Result<DynamicImage, Trouble> {
    let is_whole = match format {
        Format::Png => ends_png(&file::read(path)?),
        Format::Jpeg => ends_jpeg(&file::read(path)?),
        Format::Exr | Format::Tiff => true,
    };
    if !is_whole {
        return Err(Trouble::Damaged("it is truncated".to_owned()));
    }
    reader(path, format, limits)?.decode().map_err(trouble)
}

/// Whether the chunks of a PNG go on to the last one, IEND.
fn ends_png(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let [a, b, c, d, name @ ..] = rest {
        if name.starts_with(b"IEND") {
            // With its checksum.
            return name.len() >= 8;
        }
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        rest = rest.get(length.saturating_add(12)..).unwrap_or_default();
    }
    false
}

/// Whether the segments of a JPEG, with the picture itself, go on to the mark of its end.
fn ends_jpeg(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(mark) = bytes.get(at..at + 2) {
        match (mark[0], mark[1]) {
            (0xff, 0xd9) => return true,
            // Coded data, or a byte of filling, or a mark without a length.
            (0xff, 0xff) => at += 1,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => {
                let Some(length) = bytes.get(at + 2..at + 4) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            }
            // Coded data, up to the next mark.
            _ => {
                let next = bytes[at..].iter().position(|byte| *byte == 0xff);
                at += next.unwrap_or(bytes.len() - at);
            }
        }
    }
    false
}

/// Values of a floating-point image that are not finite, by channel.
pub(crate) fn not_finite(image: &DynamicImage) -> Vec<NotFinite> {
    let (values, names): (&[f32], &[&str]) = match image {
        DynamicImage::ImageRgb32F(image) => (image.as_raw(), &["R", "G", "B"]),
        DynamicImage::ImageRgba32F(image) => (image.as_raw(), &["R", "G", "B", "A"]),
        _ => return Vec::new(),
    };
    let (components, width) = (names.len(), image.width() as usize);
    let mut found: Vec<Option<NotFinite>> = vec![None; components];
    for (index, value) in values.iter().enumerate().filter(|(_, value)| !value.is_finite()) {
        let (pixel, component) = (index / components, index % components);
        #[expect(clippy::cast_possible_wrap, reason = "within the limits of pixels")]
        let entry = found[component].get_or_insert_with(|| NotFinite {
            part: None,
            channel: names[component].to_owned(),
            nan: 0,
            inf: 0,
            first: [(pixel % width) as i64, (pixel / width) as i64],
        });
        *(if value.is_nan() {
            &mut entry.nan
        } else {
            &mut entry.inf
        }) += 1;
    }
    found.into_iter().flatten().collect()
}

/// An image in memory, for tests of the decoder's limits.
#[cfg(test)]
pub(crate) fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageFormat, RgbImage};

    use super::{encode, ends_jpeg, ends_png};

    fn noise() -> DynamicImage {
        let mut state = 7_u32;
        DynamicImage::ImageRgb8(RgbImage::from_fn(61, 37, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [a, b, c, _] = state.to_be_bytes();
            image::Rgb([a, b, c])
        }))
    }

    #[test]
    fn every_cut_of_a_png_or_jpeg_is_seen() {
        let (png, jpeg) = (
            encode(&noise(), ImageFormat::Png),
            encode(&noise(), ImageFormat::Jpeg),
        );
        assert!(ends_png(&png) && ends_jpeg(&jpeg));
        for cut in 1..png.len() {
            assert!(!ends_png(&png[..png.len() - cut]), "{cut}");
        }
        for cut in 1..jpeg.len() {
            assert!(!ends_jpeg(&jpeg[..jpeg.len() - cut]), "{cut}");
        }
    }

    #[test]
    fn what_somebody_wrote_behind_the_end_is_no_damage() {
        for (format, ends) in [
            (ImageFormat::Png, ends_png as fn(&[u8]) -> bool),
            (ImageFormat::Jpeg, ends_jpeg),
        ] {
            let mut bytes = encode(&noise(), format);
            bytes.extend_from_slice(b"more");
            assert!(ends(&bytes), "{format:?}");
        }
    }
}
