//! Tests over images that are made in the test.

mod checks;
mod checksums;
mod contents;
mod hostile;
mod proxies;
mod sequences;
mod sheets;

use std::path::{Path, PathBuf};

use exr::image::{AnyChannel, AnyChannels, FlatSamples, Image, Layer};
use exr::math::Vec2;
use exr::meta::attribute::IntegerBounds;
use exr::meta::header::LayerAttributes;
use exr::prelude::{Blocks, Compression, Encoding, LineOrder, WritableImage as _, f16};

use crate::{Sequence, find};

/// How a test's EXR file is made.
struct Exr {
    size: (usize, usize),
    position: (i32, i32),
    /// Position and size.
    display: Option<((i32, i32), (usize, usize))>,
    compression: Compression,
    blocks: Blocks,
}

impl Default for Exr {
    fn default() -> Self {
        Self {
            size: (16, 8),
            position: (0, 0),
            display: None,
            compression: Compression::ZIP16,
            blocks: Blocks::ScanLines,
        }
    }
}

impl Exr {
    fn compressed(compression: Compression) -> Self {
        Self {
            compression,
            ..Self::default()
        }
    }

    fn encoding(&self) -> Encoding {
        Encoding {
            compression: self.compression,
            blocks: self.blocks,
            line_order: LineOrder::Increasing,
        }
    }

    /// Write RGBA as half floats.
    fn write(&self, path: &Path, pixel: impl Fn(usize, usize) -> [f32; 4]) {
        let (width, height) = self.size;
        let channel = |(name, component): (&str, usize)| {
            let samples =
                (0..width * height).map(|at| f16::from_f32(pixel(at % width, at / width)[component]));
            AnyChannel::new(name, FlatSamples::F16(samples.collect()))
        };
        let list = [("R", 0), ("G", 1), ("B", 2), ("A", 3)].into_iter().map(channel);
        self.write_layer(path, AnyChannels::sort(list.collect()));
    }

    /// Write channels of one value each in every pixel, as floats.
    fn write_flat(&self, path: &Path, channels: &[(&str, f32)]) {
        let count = self.size.0 * self.size.1;
        let list = channels
            .iter()
            .map(|(name, value)| AnyChannel::new(*name, FlatSamples::F32(vec![*value; count])));
        self.write_layer(path, AnyChannels::sort(list.collect()));
    }

    fn write_layer(&self, path: &Path, channels: AnyChannels<FlatSamples>) {
        let attributes = LayerAttributes::named("beauty");
        let mut layer = Layer::new(self.size, attributes, self.encoding(), channels);
        layer.attributes.layer_position = Vec2(self.position.0, self.position.1);
        let mut image = Image::from_layer(layer);
        if let Some((position, size)) = self.display {
            image.attributes.display_window = IntegerBounds::new(position, size);
        }
        image.write().non_parallel().to_file(path).expect("written");
    }
}

/// A folder with `beauty.1001.exr` and so on, grey of the given value.
fn frames(folder: &Path, numbers: std::ops::RangeInclusive<u64>, value: f32) -> Vec<PathBuf> {
    let write = |number| {
        let path = folder.join(format!("beauty.{number:04}.exr"));
        Exr::default().write(&path, |_, _| [value, value, value, 1.0]);
        path
    };
    numbers.map(write).collect()
}

/// The sequences that a name in a folder gives.
fn named(folder: &Path, name: &str) -> Vec<Sequence> {
    find(&[PathBuf::from(name)], folder).expect("found")
}

/// A small picture that is not flat: colours and detail.
fn detail(x: usize, y: usize) -> [f32; 4] {
    let f = |number: usize| f32::from(u16::try_from(number).expect("small"));
    let value = f((x * 7 + y * 13) % 31) / 16.0;
    [value, f(x) / 32.0, f(y * y % 17) / 9.0, 1.0]
}
