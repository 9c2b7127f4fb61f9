//! A frame as it is looked at: decoded, exposed, clipped, in linear light; then resized and encoded.
//!
//! The order: pixels become linear (EXR is; PNG, JPEG and whole-number TIFF are taken as sRGB, floating-point TIFF as linear), colours are
//! multiplied by two to the power of the exposure, and clipped to what a display shows (0 to 1; not a number becomes 0) before they are
//! resized, so that a light of 10,000 does not spread over its neighbours. Primaries are taken as those of sRGB. Deliberately absent:
//! tone curves, colour management (OCIO), pixel aspect ratios.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, ExtendedColorType, ImageEncoder as _};
use serde::Serialize;

use crate::colour::{FromSrgb, ToSrgb, clip};
use crate::error::{Error, Result, Trouble};
use crate::exr_layer;
use crate::facts::{Format, ImageFacts};
use crate::flat_file;
use crate::image_file;
use crate::limits::{Limits, Memory};
use crate::resample::{Pixels, resize};
use crate::work::guarded;

/// The handling of transparency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Alpha {
    /// The picture is composited over black. Of EXR, whose colours are premultiplied, these are the colours as they are.
    #[default]
    Composite,
    /// Colours as they are stored; alpha is left out.
    Drop,
    /// Alpha is kept, beside colours that are not premultiplied; only PNG can.
    Keep,
}

/// How a frame is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// In stops: 1 is twice as bright.
    pub exposure: f64,
    /// The handling of transparency.
    pub alpha: Alpha,
    /// The layer of an EXR file; the first one with colours if not given.
    pub layer: Option<String>,
}

/// The size of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Size {
    /// As it is.
    #[default]
    Original,
    /// This many columns, rows by the aspect ratio.
    Width(u32),
    /// This many rows, columns by the aspect ratio.
    Height(u32),
    /// The largest size that fits into a number of columns and rows.
    Within(u32, u32),
    /// A part or multiple of both.
    Scale(f64),
}

/// The kind of file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JPEG with a quality from 1 to 100.
    Jpeg(u8),
    /// PNG.
    Png,
}

impl Encoding {
    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg(_) => "jpg",
            Self::Png => "png",
        }
    }

    /// The most columns or rows.
    fn most(self) -> u64 {
        match self {
            Self::Jpeg(_) => 65_535,
            Self::Png => u64::from(u32::MAX >> 1),
        }
    }
}

impl Look {
    /// Refuse what cannot be shown.
    pub(crate) fn check(&self, encoding: Encoding) -> Result<()> {
        if !self.exposure.is_finite() || self.exposure.abs() > 64.0 {
            return Err(Error::BadOption {
                what: format!("the exposure {} is outside -64 to 64 stops", self.exposure),
                help: "use an exposure in stops, as in --exposure 1.5",
            });
        }
        if let Encoding::Jpeg(quality) = encoding {
            if self.alpha == Alpha::Keep {
                return Err(Error::BadOption {
                    what: "JPEG has no transparency".to_owned(),
                    help: "write PNG to keep alpha",
                });
            }
            if !(1..=100).contains(&quality) {
                return Err(Error::BadOption {
                    what: format!("the JPEG quality {quality} is not between 1 and 100"),
                    help: "use a quality from 1 to 100; 90 is common",
                });
            }
        }
        Ok(())
    }
}

impl Size {
    /// Reject invalid sizes.
    pub(crate) fn check(self) -> Result<()> {
        let is_right = match self {
            Self::Original => true,
            Self::Width(side) | Self::Height(side) => side > 0,
            Self::Within(width, height) => width > 0 && height > 0,
            Self::Scale(scale) => scale.is_finite() && scale > 0.0,
        };
        if is_right {
            return Ok(());
        }
        Err(Error::BadOption {
            what: "the size of the output must be greater than zero".to_owned(),
            help: "use --width, --height or --scale greater than zero",
        })
    }

    /// Columns and rows of a picture in this size, at least one each.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes of pictures are small, and too large ones are refused next"
    )]
    pub(crate) fn of(self, width: u64, height: u64) -> (u64, u64) {
        let scaled = |factor: f64| {
            let side = |side: u64| ((side as f64 * factor).round() as u64).max(1);
            (side(width), side(height))
        };
        let by = |to: u32, from: u64| f64::from(to) / from as f64;
        match self {
            Self::Original => (width, height),
            Self::Width(to) => (u64::from(to), scaled(by(to, width)).1),
            Self::Height(to) => (scaled(by(to, height)).0, u64::from(to)),
            Self::Within(w, h) => {
                let (columns, rows) = scaled(by(w, width).min(by(h, height)));
                (columns.min(u64::from(w)), rows.min(u64::from(h)))
            }
            Self::Scale(factor) => scaled(factor),
        }
    }
}

/// The shared state for reading and converting frames: tables and limits, shared by all threads.
#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) limits: Limits,
    memory: Memory,
    from_8: FromSrgb,
    from_16: FromSrgb,
    to_8: ToSrgb,
}

/// A frame in linear light, in its final size.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) pixels: Pixels,
    /// The file says primaries that are not those of sRGB.
    pub(crate) other_primaries: bool,
}

impl Viewer {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            memory: Memory::new(limits.memory),
            from_8: FromSrgb::up_to(255),
            from_16: FromSrgb::up_to(u16::MAX),
            to_8: ToSrgb::new(),
        }
    }

    /// Read a frame and show it in a size.
    pub(crate) fn show(&self, path: &Path, look: &Look, size: Size) -> Result<Shown, Trouble> {
        let facts = image_file::read_facts(path, &self.limits)?;
        let (width, height) = size.of(facts.display.width, facts.display.height);
        self.limits.check_pixels(width, height)?;
        let source = facts.display.width * facts.display.height;
        // The decoded file, the picture, the one that is narrower already, and the result: 16 bytes a pixel each.
        let narrow = width * facts.display.height;
        let _share = self.memory.take(16 * (2 * source + narrow + width * height));
        guarded(|| {
            let (mut pixels, other_primaries) = self.read(path, &facts, look)?;
            expose(&mut pixels, look);
            let to = |side: u64| usize::try_from(side).unwrap_or(usize::MAX);
            if (width, height) != (facts.display.width, facts.display.height) {
                pixels = resize(&pixels, to(width), to(height));
            }
            Ok(Shown {
                pixels,
                other_primaries,
            })
        })
    }

    /// Pixels in linear light with premultiplied alpha, unless alpha is left out.
    fn read(&self, path: &Path, facts: &ImageFacts, look: &Look) -> Result<(Pixels, bool), Trouble> {
        let side = |side: u64| usize::try_from(side).unwrap_or(usize::MAX);
        let (width, height) = (side(facts.display.width), side(facts.display.height));
        let layer = look.layer.as_deref();
        let (data, other_primaries) = match facts.format {
            Format::Exr => {
                let layer = exr_layer::read_layer(path, facts, layer)?;
                (layer.pixels, layer.other_primaries)
            }
            format => {
                if let Some(layer) = layer {
                    return Err(Trouble::NoLayer {
                        layer: layer.to_owned(),
                        known: Vec::new(),
                    });
                }
                let image = flat_file::decode(path, format, &self.limits)?;
                (self.linear(image, look.alpha), false)
            }
        };
        if data.len() != width * height {
            return Err(Trouble::Damaged("its pixels do not match its header".to_owned()));
        }
        Ok((Pixels { width, height, data }, other_primaries))
    }

    fn linear(&self, image: DynamicImage, alpha: Alpha) -> Vec<[f32; 4]> {
        let with_alpha = |[r, g, b]: [f32; 3], a: f32| match alpha {
            Alpha::Drop => [r, g, b, 1.0],
            Alpha::Composite | Alpha::Keep => [r * a, g * a, b * a, a],
        };
        match &image {
            DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
                let image = image.into_rgba32f();
                let pixels = image
                    .pixels()
                    .map(|image::Rgba([r, g, b, a])| with_alpha([*r, *g, *b], *a));
                pixels.collect()
            }
            DynamicImage::ImageLuma16(_)
            | DynamicImage::ImageLumaA16(_)
            | DynamicImage::ImageRgb16(_)
            | DynamicImage::ImageRgba16(_) => {
                let image = image.into_rgba16();
                let pixels = image.pixels().map(|image::Rgba([r, g, b, a])| {
                    let colour = [r, g, b].map(|value| self.from_16.linear(*value));
                    with_alpha(colour, f32::from(*a) / f32::from(u16::MAX))
                });
                pixels.collect()
            }
            _ => {
                let image = image.into_rgba8();
                let pixels = image.pixels().map(|image::Rgba([r, g, b, a])| {
                    let colour = [r, g, b].map(|value| self.from_8.linear(u16::from(*value)));
                    with_alpha(colour, f32::from(*a) / 255.0)
                });
                pixels.collect()
            }
        }
    }

    /// The values of a picture, 8 bits each: three a pixel, or four where alpha is kept.
    pub(crate) fn values(&self, pixels: &Pixels, alpha: Alpha) -> Vec<u8> {
        let mut values = Vec::with_capacity(pixels.data.len() * 4);
        for [r, g, b, a] in &pixels.data {
            let a = clip(*a);
            if alpha == Alpha::Keep {
                let straight = |value: f32| if a > 0.0 { value / a } else { 0.0 };
                values.extend([r, g, b].map(|value| self.to_8.encode(straight(*value))));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
                values.push((a * 255.0 + 0.5) as u8);
            } else {
                values.extend([r, g, b].map(|value| self.to_8.encode(*value)));
            }
        }
        values
    }

    /// The file of a picture.
    pub(crate) fn encode(
        &self,
        pixels: &Pixels,
        alpha: Alpha,
        encoding: Encoding,
    ) -> Result<Vec<u8>, Trouble> {
        let color = if alpha == Alpha::Keep {
            ExtendedColorType::Rgba8
        } else {
            ExtendedColorType::Rgb8
        };
        let values = self.values(pixels, alpha);
        write(&values, pixels.width, pixels.height, color, encoding)
    }
}

/// The file of 8-bit values.
pub(crate) fn write(
    values: &[u8],
    width: usize,
    height: usize,
    color: ExtendedColorType,
    encoding: Encoding,
) -> Result<Vec<u8>, Trouble> {
    let side = |side: usize| {
        u32::try_from(side)
            .ok()
            .filter(|side| u64::from(*side) <= encoding.most())
    };
    let (Some(columns), Some(rows)) = (side(width), side(height)) else {
        let most = encoding.most();
        return Err(Trouble::TooLarge(format!(
            "{width} x {height} in the output, more than {most} a side"
        )));
    };
    let mut bytes = Cursor::new(Vec::new());
    let written = match encoding {
        Encoding::Jpeg(quality) => {
            JpegEncoder::new_with_quality(&mut bytes, quality).write_image(values, columns, rows, color)
        }
        Encoding::Png => {
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
                .write_image(values, columns, rows, color)
        }
    };
    written.map_err(|error| Trouble::Unsupported(error.to_string()))?;
    Ok(bytes.into_inner())
}

/// Multiply colours by the exposure, and clip them.
fn expose(pixels: &mut Pixels, look: &Look) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "single precision is what pixels have"
    )]
    let gain = 2.0_f64.powf(look.exposure) as f32;
    for [r, g, b, a] in &mut pixels.data {
        for colour in [r, g, b] {
            *colour = clip(*colour * gain);
        }
        *a = clip(*a);
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_keep_the_ratio_and_are_never_empty() {
        assert_eq!(Size::Width(512).of(2048, 1080), (512, 270));
        assert_eq!(Size::Height(270).of(2048, 1080), (512, 270));
        assert_eq!(Size::Within(512, 512).of(2048, 1080), (512, 270));
        assert_eq!(Size::Within(512, 100).of(2048, 1080), (190, 100));
        assert_eq!(Size::Scale(0.25).of(2048, 1080), (512, 270));
        assert_eq!(Size::Original.of(3, 2), (3, 2));
        assert_eq!(Size::Width(10).of(5000, 1), (10, 1));
        assert_eq!(Size::Scale(1e-9).of(5000, 4), (1, 1));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for size in [
            Size::Width(0),
            Size::Within(3, 0),
            Size::Scale(0.0),
            Size::Scale(f64::NAN),
            Size::Scale(-1.0),
        ] {
            assert!(size.check().is_err(), "{size:?}");
        }
    }
}
