//! A small renderer, so that the demo has real frames: a table under a turning light, as half-float OpenEXR.

use std::path::Path;

use exr::prelude::{
    Encoding, Image, Layer, LayerAttributes, SpecificChannels, Vec2, WritableImage as _, f16,
};

const WIDTH: usize = 480;
const HEIGHT: usize = 270;

/// Render one frame of a turntable; `warmth` changes the light.
pub(super) fn frame(path: &Path, number: u32, count: u32, warmth: f32) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "frame numbers are small")]
    let angle = number as f32 / count as f32 * std::f32::consts::TAU;
    let light = normalise([angle.cos(), 1.2, angle.sin() - 0.6]);
    let channels = SpecificChannels::rgba(move |position: Vec2<usize>| {
        let [r, g, b] = shade(position, light, warmth);
        (
            f16::from_f32(r),
            f16::from_f32(g),
            f16::from_f32(b),
            f16::from_f32(1.0),
        )
    });
    let layer = Layer::new(
        (WIDTH, HEIGHT),
        LayerAttributes::named("beauty"),
        Encoding::FAST_LOSSLESS,
        channels,
    );
    Image::from_layer(layer)
        .write()
        .to_file(path)
        .map_err(|e| e.to_string())
}

type Point = [f32; 3];

fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn normalise(a: Point) -> Point {
    let length = dot(a, a).sqrt();
    a.map(|x| x / length)
}

/// The colour of a pixel: a round table top on a floor with a wood-like pattern.
fn shade(position: Vec2<usize>, light: Point, warmth: f32) -> Point {
    #[expect(clippy::cast_precision_loss, reason = "pixel positions are small")]
    let (x, y) = (
        (position.x() as f32 / WIDTH as f32 - 0.5) * 16.0 / 9.0,
        0.5 - position.y() as f32 / HEIGHT as f32,
    );
    let ray = normalise([x, y - 0.35, 1.0]);
    let eye = [0.0, 1.4, -3.0];
    let hit = |height: f32| {
        let t = (height - eye[1]) / ray[1];
        (t > 0.0).then(|| [eye[0] + t * ray[0], height, eye[2] + t * ray[2]])
    };
    let top = hit(0.4).filter(|p| p[0] * p[0] + p[2] * p[2] < 1.0);
    let (albedo, point) = match (top, hit(0.0)) {
        (Some(p), _) => {
            let rings = ((p[0] * 9.0 + (p[2] * 3.0).sin()).sin() * 0.5 + 0.5) * 0.15;
            ([0.55 + rings, 0.32 + rings * 0.6, 0.16], p)
        }
        (None, Some(p)) => {
            let tile = if (p[0].floor() + p[2].floor()).rem_euclid(2.0) < 1.0 {
                0.30
            } else {
                0.22
            };
            ([tile, tile, tile * 1.1], p)
        }
        (None, None) => return [0.05, 0.06, 0.09 + y.max(0.0) * 0.2],
    };
    // The table's shadow on the floor: towards the light, is the point under the top?
    let t = (0.4 - point[1]) / light[1];
    let under = [point[0] + t * light[0], 0.0, point[2] + t * light[2]];
    let lit = if point[1] < 0.2 && dot(under, under) < 1.0 {
        0.25
    } else {
        1.0
    };
    let strength = 0.15 + light[1] * lit * 1.4;
    [
        albedo[0] * strength * (1.0 + warmth),
        albedo[1] * strength,
        albedo[2] * strength * (1.0 - warmth * 0.5),
    ]
}
