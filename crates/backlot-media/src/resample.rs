//! Resizing in linear light, the same to the last bit on every machine.
//!
//! A separable Catmull-Rom filter, widened where a picture is made smaller, so that every pixel counts. Written here because the sums of
//! libraries for this depend on the vector instructions of the processor, and with them the bytes of a proxy. Sums go from left to right,
//! and from top to bottom.

/// Four components a pixel, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Pixels {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) data: Vec<[f32; 4]>,
}

/// What a pixel of the result is made of: the first pixel of the source, and the weights from there on.
#[derive(Debug)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The filter at a distance, in pixels of the smaller picture.
fn catmull_rom(distance: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of pictures are small"
)]
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let ratio = from as f64 / to as f64;
    let scale = ratio.max(1.0);
    let reach = 2.0 * scale;
    let all = (0..to).map(|target| {
        let centre = (target as f64 + 0.5) * ratio;
        let first = (centre - reach).floor().max(0.0) as usize;
        let last = ((centre + reach).ceil() as usize).min(from);
        let weights = (first..last).map(|source| catmull_rom((source as f64 + 0.5 - centre) / scale));
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        Taps {
            first,
            weights: weights.iter().map(|weight| (weight / sum) as f32).collect(),
        }
    });
    all.collect()
}

fn add(sum: &mut [f32; 4], pixel: [f32; 4], weight: f32) {
    for (sum, component) in sum.iter_mut().zip(pixel) {
        *sum += component * weight;
    }
}

/// The picture in another size, which is not empty. Overshoot at edges is left in.
pub(crate) fn resize(source: &Pixels, width: usize, height: usize) -> Pixels {
    let columns = taps(source.width, width);
    let mut narrow = Vec::with_capacity(width * source.height);
    for row in source.data.chunks_exact(source.width) {
        narrow.extend(columns.iter().map(|taps| {
            let mut sum = [0.0; 4];
            for (pixel, weight) in row[taps.first..].iter().zip(&taps.weights) {
                add(&mut sum, *pixel, *weight);
            }
            sum
        }));
    }
    let mut data = Vec::with_capacity(width * height);
    for taps in taps(source.height, height) {
        let start = data.len();
        data.resize(start + width, [0.0; 4]);
        let target = &mut data[start..];
        let rows = narrow[taps.first * width..].chunks_exact(width);
        for (row, weight) in rows.zip(&taps.weights) {
            for (sum, pixel) in target.iter_mut().zip(row) {
                add(sum, *pixel, *weight);
            }
        }
    }
    Pixels { width, height, data }
}

#[cfg(test)]
mod tests {
    use super::{Pixels, resize};

    /// A small number.
    fn f(number: usize) -> f32 {
        f32::from(u16::try_from(number).expect("small"))
    }

    fn grey(width: usize, height: usize, value: impl Fn(usize, usize) -> f32) -> Pixels {
        let at = |index: usize| [value(index % width, index / width); 4];
        Pixels {
            width,
            height,
            data: (0..width * height).map(at).collect(),
        }
    }

    #[test]
    fn a_flat_picture_stays_flat_in_every_size() {
        let flat = grey(37, 23, |_, _| 0.25);
        for (width, height) in [(1, 1), (5, 9), (36, 22), (37, 23), (80, 200)] {
            let small = resize(&flat, width, height);
            assert_eq!(small.data.len(), width * height);
            for pixel in small.data {
                assert!((pixel[0] - 0.25).abs() < 1e-5, "{width}x{height}: {pixel:?}");
            }
        }
    }

    #[test]
    fn the_same_size_gives_the_same_picture() {
        let ramp = grey(8, 8, |x, y| f(x * 3 + y) / 31.0);
        for (a, b) in ramp.data.iter().zip(resize(&ramp, 8, 8).data) {
            assert!((a[0] - b[0]).abs() < 1e-6);
        }
    }

    #[test]
    fn a_ramp_of_half_the_size_is_the_mean_of_neighbours_away_from_the_edges() {
        // A filter that is symmetric and keeps sums leaves a straight line straight.
        let ramp = grey(64, 4, |x, _| f(x));
        let small = resize(&ramp, 32, 2);
        for x in 4..28 {
            let expected = f(2 * x) + 0.5;
            assert!(
                (small.data[x][0] - expected).abs() < 1e-4,
                "{x}: {:?}",
                small.data[x]
            );
        }
    }

    #[test]
    fn one_bright_pixel_counts_wherever_it_is() {
        // The sum of light stays: what is at the edge is cut from the filter, and made up for by its other weights.
        for at in [20, 33, 40] {
            let dot = grey(64, 1, |x, _| if x == at { 8.0 } else { 0.0 });
            let sum: f32 = resize(&dot, 16, 1).data.iter().map(|pixel| pixel[0]).sum();
            assert!((sum - 2.0).abs() < 0.05, "{at}: {sum}");
        }
    }
}
