//! Rendered frames for the bench: real OpenEXR files and the ways in which they are exported again.
//!
//! A frame is smooth shading (sky, lit spheres), texture (tiles, layered waves, value noise) and the grain that a path
//! tracer leaves, as RGBA half float. Versions build on each other, as re-exports do: a longer header, then also a fixed
//! region, then also new grain. Deliberately absent: beauty.

use std::io;
use std::path::{Path, PathBuf};

use backlot_benches::Random;
use exr::prelude::{
    Blocks, Compression, Encoding, Image, Layer, LayerAttributes, LineOrder, SpecificChannels, Text, Vec2,
    WritableImage as _, f16,
};

use crate::sets::Change;

/// How the pixels are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Not at all.
    None,
    /// Deflate over 16 lines.
    Zip,
    /// Wavelets and Huffman codes over 32 lines.
    Piz,
}

/// A sequence of frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub(crate) frames: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Width and height of the region that is fixed.
    pub(crate) crop: (usize, usize),
    pub(crate) codec: Codec,
}

/// What an export shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Export {
    long_header: bool,
    fixed: bool,
    grain: u64,
}

/// Red, green, blue.
type Colour = [f32; 3];

impl Sequence {
    /// Write the versions into their folders, each with its change and those of the versions before it.
    pub(crate) fn render(&self, folders: &[PathBuf], changes: &[Change]) -> io::Result<()> {
        let mut export = Export::default();
        let mut exports = Vec::new();
        for (folder, change) in folders.iter().zip(changes) {
            match change {
                Change::Metadata => export.long_header = true,
                Change::Crop => export.fixed = true,
                Change::Grain => export.grain += 1,
                _ => {}
            }
            exports.push((folder.as_path(), export));
        }
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let exports = exports.as_slice();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|first| {
                    scope.spawn(move || {
                        (first..self.frames)
                            .step_by(threads)
                            .try_for_each(|number| self.export(number, exports))
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }

    /// All exports of one frame.
    fn export(&self, number: usize, exports: &[(&Path, Export)]) -> io::Result<()> {
        let base = self.shade(number);
        for (folder, export) in exports {
            let pixels = self.finish(&base, number, *export);
            self.write(
                &folder.join(format!("frame.{number:04}.exr")),
                &pixels,
                export.long_header,
            )?;
        }
        Ok(())
    }

    /// The frame without grain.
    fn shade(&self, number: usize) -> Vec<Colour> {
        let time = ratio(number, self.frames);
        let mut pixels = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height {
            for x in 0..self.width {
                let place = [
                    (ratio(x, self.width) - 0.5) * ratio(self.width, self.height),
                    0.5 - ratio(y, self.height),
                ];
                pixels.push(colour(place, time));
            }
        }
        pixels
    }

    /// The frame as exported: the fix, then grain that grows with brightness, then half floats.
    fn finish(&self, base: &[Colour], number: usize, export: Export) -> Vec<[f16; 3]> {
        let mut random = Random::new(0x6ea1_0000 + export.grain, number as u64);
        let (left, top) = (self.width / 3, self.height / 2);
        let fixed = |x: usize, y: usize| {
            export.fixed && (left..left + self.crop.0).contains(&x) && (top..top + self.crop.1).contains(&y)
        };
        let mut pixels = Vec::with_capacity(base.len());
        for (n, colour) in base.iter().enumerate() {
            let factor = if fixed(n % self.width, n / self.width) {
                1.08
            } else {
                1.0
            };
            // The three channels of a path tracer's sample err together more than apart.
            let noise = random.next().to_le_bytes();
            let part = |at: usize| f32::from(u16::from_le_bytes([noise[at], noise[at + 1]])) / 65_536.0 - 0.5;
            let common = part(0) + part(2);
            let grains = [part(4), part(6), part(3)];
            let mut pixel = [f16::ZERO; 3];
            for ((to, from), grain) in pixel.iter_mut().zip(colour).zip(grains) {
                let value = from * factor;
                let strength = 0.012 * value.max(0.0).sqrt();
                *to = f16::from_f32((value + strength * (common + 0.3 * grain)).max(0.0));
            }
            pixels.push(pixel);
        }
        pixels
    }

    fn write(&self, path: &Path, pixels: &[[f16; 3]], long_header: bool) -> io::Result<()> {
        let channels = SpecificChannels::rgba(|at: Vec2<usize>| {
            let [r, g, b] = pixels[at.y() * self.width + at.x()];
            (r, g, b, f16::ONE)
        });
        let mut attributes = LayerAttributes::named("beauty");
        attributes.software_name = Some(Text::from("store_rival"));
        attributes.owner = Some(Text::from("lighting"));
        attributes.comments = Some(Text::from(if long_header {
            "approved by the director in the review of the whole sequence, after the second round of notes"
        } else {
            "for review"
        }));
        let encoding = Encoding {
            compression: match self.codec {
                Codec::None => Compression::Uncompressed,
                Codec::Zip => Compression::ZIP16,
                Codec::Piz => Compression::PIZ,
            },
            blocks: Blocks::ScanLines,
            line_order: LineOrder::Increasing,
        };
        let layer = Layer::new((self.width, self.height), attributes, encoding, channels);
        Image::from_layer(layer)
            .write()
            .non_parallel()
            .to_file(path)
            .map_err(|error| io::Error::other(format!("`{}`: {error}", path.display())))
    }
}

#[expect(clippy::cast_precision_loss, reason = "pixel and frame numbers are small")]
fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole as f32
}

/// The colour at a place of the picture (one unit high, its middle at zero), at a time from 0 to 1.
fn colour(place: [f32; 2], time: f32) -> Colour {
    let [x, y] = place;
    let angle = time * std::f32::consts::TAU;
    let light = normalise([angle.cos(), 1.1, -1.2 + 0.3 * angle.sin()]);
    for (n, centre) in [[-0.55, 0.02, 0.26], [0.05, -0.08, 0.30], [0.62, 0.05, 0.20]]
        .iter()
        .enumerate()
    {
        let [cx, cy, radius] = *centre;
        let (dx, dy) = ((x - cx) / radius, (y - cy) / radius);
        let squared = dx * dx + dy * dy;
        if squared < 1.0 {
            let normal = [dx, dy, -(1.0 - squared).sqrt()];
            return surface(normal, light, n, time);
        }
    }
    if y > -0.12 {
        let glow = (1.0 - (x * 0.4 + y).abs()).max(0.0);
        let cloud = 0.12 * waves(x * 3.0 + time * 0.2, y * 5.0);
        return [
            0.22 + 0.25 * glow + cloud,
            0.32 + 0.22 * glow + cloud,
            0.55 + 0.20 * glow + cloud,
        ];
    }
    let depth = 0.3 / (-y - 0.06);
    let (u, v) = (x * depth * 4.0, depth * 6.0 + time);
    let tile = if (u.floor() + v.floor()).rem_euclid(2.0) < 1.0 {
        0.34
    } else {
        0.21
    };
    let wear = tile * (0.85 + 0.3 * value_noise(u * 9.0, v * 9.0)) / (1.0 + 0.05 * depth);
    [wear, wear * 0.93, wear * 0.82]
}

/// A lit sphere with a texture of its own.
fn surface(normal: Colour, light: Colour, kind: usize, time: f32) -> Colour {
    let [nx, ny, nz] = normal;
    let turn = nx.atan2(-nz) + time * 2.0;
    let texture = match kind {
        0 => 0.5 + 0.5 * (ny * 22.0 + 3.0 * waves(turn * 2.0, ny * 3.0)).sin(),
        1 => 0.4 + 0.6 * value_noise(turn * 24.0, ny * 24.0),
        _ => 0.6 + 0.4 * waves(turn * 4.0, ny * 6.0),
    };
    let facing = (nx * light[0] + ny * light[1] + nz * light[2]).max(0.0);
    let half = normalise([light[0], light[1], light[2] - 1.0]);
    let shine = (nx * half[0] + ny * half[1] + nz * half[2]).max(0.0).powi(60) * 2.5;
    let strength = 0.08 + 1.3 * facing;
    let tint = [[0.75, 0.30, 0.18], [0.35, 0.55, 0.28], [0.30, 0.36, 0.70]][kind];
    tint.map(|part: f32| part * strength * (0.6 + 0.4 * texture) + shine)
}

fn waves(x: f32, y: f32) -> f32 {
    (x * 1.7 + (y * 2.3).sin()).sin() * 0.5 + (x * 4.1 - y * 3.7).sin() * 0.3 + (y * 9.1 + x).cos() * 0.2
}

/// Smooth noise between random values at whole places, 0 to 1.
fn value_noise(x: f32, y: f32) -> f32 {
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (left, top) = (x.floor(), y.floor());
    let (u, v) = (smooth(x - left), smooth(y - top));
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let upper = mix(corner(left, top), corner(left + 1.0, top), u);
    let lower = mix(corner(left, top + 1.0), corner(left + 1.0, top + 1.0), u);
    mix(upper, lower, v)
}

/// The random value of a whole place, 0 to 1.
fn corner(x: f32, y: f32) -> f32 {
    let mixed = x
        .to_bits()
        .wrapping_mul(0x9e37_79b9)
        .wrapping_add(y.to_bits().wrapping_mul(0x85eb_ca6b));
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    let [_, a, b, _] = mixed.to_le_bytes();
    f32::from(u16::from_le_bytes([a, b])) / 65_535.0
}

fn normalise(a: Colour) -> Colour {
    let length = (a[0] * a[0] + a[1] * a[1] + a[2] * a[2]).sqrt();
    a.map(|part| part / length)
}

#[cfg(test)]
mod tests {
    use super::{Codec, Sequence};
    use crate::sets::Change;
    use fs_err as fs;

    #[test]
    fn exports_differ_as_they_say() {
        let folder = tempfile::tempdir().expect("a folder");
        let changes = [Change::First, Change::Metadata, Change::Crop, Change::Grain];
        let folders: Vec<_> = (0..4).map(|n| folder.path().join(n.to_string())).collect();
        for folder in &folders {
            fs::create_dir(folder).expect("made");
        }
        let sequence = Sequence {
            frames: 2,
            width: 96,
            height: 64,
            crop: (20, 10),
            codec: Codec::None,
        };
        sequence.render(&folders, &changes).expect("rendered");
        let read = |n: usize| fs::read(folders[n].join("frame.0001.exr")).expect("read");
        let [first, metadata, crop, grain] = [read(0), read(1), read(2), read(3)];
        assert!(metadata.len() > first.len());
        assert_eq!(
            first[first.len() - 8 * 96 * 8..],
            metadata[metadata.len() - 8 * 96 * 8..]
        );
        let differing = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(x, y)| x != y).count();
        assert!((1..=20 * 10 * 6).contains(&differing(&metadata, &crop)));
        assert!(differing(&crop, &grain) > 96 * 64 * 2);
    }
}
