//! The transfer curve of sRGB (IEC 61966-2-1), the same to the last bit on every machine.
//!
//! Only additions, multiplications and divisions are used, which are exact by IEEE 754; a `powf` of the system's library is not the same
//! everywhere. An encoded value is the nearest of the 256: found between thresholds, which are decoded values.

/// Encoded to linear, both from 0 to 1.
fn decode(encoded: f64) -> f64 {
    if encoded <= 0.040_45 {
        return encoded / 12.92;
    }
    let base = (encoded + 0.055) / 1.055;
    // To the power of 2.4: its square times the fifth root of its square.
    let square = base * base;
    square * fifth_root(square)
}

/// Newton's method, of a number between 0.001 and 1.
fn fifth_root(number: f64) -> f64 {
    let mut root = 1.0_f64;
    for _ in 0..40 {
        let fourth = root * root * root * root;
        root = (4.0 * root + number / fourth) / 5.0;
    }
    root
}

/// Linear light of encoded values.
#[derive(Debug)]
pub(crate) struct FromSrgb(Vec<f32>);

impl FromSrgb {
    /// For values from 0 to `most`.
    pub(crate) fn up_to(most: u16) -> Self {
        let values = (0..=most).map(|value| decode(f64::from(value) / f64::from(most)));
        #[expect(clippy::cast_possible_truncation, reason = "rounded to single precision")]
        let values = values.map(|value| value as f32).collect();
        Self(values)
    }

    /// The linear light of a value.
    pub(crate) fn linear(&self, value: u16) -> f32 {
        self.0.get(usize::from(value)).copied().unwrap_or(1.0)
    }
}

/// Encoded values of linear light.
#[derive(Debug)]
pub(crate) struct ToSrgb {
    /// The least linear light of the values 1 to 255.
    thresholds: [f32; 255],
    /// For each of 4096 parts of 0 to 1, the value at its beginning.
    starts: Vec<u8>,
}

impl ToSrgb {
    const PARTS: u16 = 4096;

    pub(crate) fn new() -> Self {
        let mut thresholds = [0.0; 255];
        for (threshold, below) in thresholds.iter_mut().zip(0_u8..) {
            #[expect(clippy::cast_possible_truncation, reason = "rounded to single precision")]
            let least = decode((f64::from(below) + 0.5) / 255.0) as f32;
            *threshold = least;
        }
        let starts = (0..=Self::PARTS).map(|part| {
            let begin = f32::from(part) / f32::from(Self::PARTS);
            let below = thresholds
                .iter()
                .take_while(|threshold| **threshold <= begin)
                .count();
            u8::try_from(below).unwrap_or(255)
        });
        Self {
            starts: starts.collect(),
            thresholds,
        }
    }

    /// The value of a linear light, which is clipped to 0 to 1; of what is not a number, 0.
    pub(crate) fn encode(&self, linear: f32) -> u8 {
        let linear = clip(linear);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to the number of parts"
        )]
        let part = (linear * f32::from(Self::PARTS)) as usize;
        let mut value = self.starts[part];
        while self
            .thresholds
            .get(usize::from(value))
            .is_some_and(|least| *least <= linear)
        {
            value += 1;
        }
        value
    }
}

/// Between 0 and 1; what is not a number is 0.
pub(crate) fn clip(value: f32) -> f32 {
    // Comparisons with what is not a number are false.
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{FromSrgb, ToSrgb, clip};

    /// By the formula of the standard, with the system's power.
    fn reference(linear: f64) -> u8 {
        let linear = linear.clamp(0.0, 1.0);
        let encoded = if linear <= 0.003_130_8 {
            linear * 12.92
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let value = (encoded * 255.0).round() as u8;
        value
    }

    #[test]
    fn values_are_those_of_the_standard() {
        let curve = ToSrgb::new();
        // Known by heart: middle grey, and the ends.
        assert_eq!(curve.encode(0.18), 118);
        assert_eq!(curve.encode(0.5), 188);
        assert_eq!((curve.encode(0.0), curve.encode(1.0)), (0, 255));
        assert_eq!((curve.encode(0.000_1), curve.encode(0.002)), (0, 7));
        let mut differ = 0;
        for step in 0..=1_000_000_u32 {
            #[expect(clippy::cast_possible_truncation, reason = "single precision")]
            let linear = (f64::from(step) / 1_000_000.0) as f32;
            let (ours, theirs) = (curve.encode(linear), reference(f64::from(linear)));
            assert!(ours.abs_diff(theirs) <= 1, "{linear}");
            differ += usize::from(ours != theirs);
        }
        // Where a value is in the middle of two, the last bit of a power decides.
        assert!(differ <= 3, "{differ}");
    }

    #[test]
    fn every_value_survives_the_way_there_and_back() {
        let (curve, from) = (ToSrgb::new(), FromSrgb::up_to(255));
        for value in 0..=255_u8 {
            assert_eq!(curve.encode(from.linear(u16::from(value))), value);
        }
        let from = FromSrgb::up_to(u16::MAX);
        assert_eq!(
            (from.linear(0).to_bits(), from.linear(u16::MAX).to_bits()),
            (0, 1.0_f32.to_bits())
        );
        assert!((from.linear(0x7fff) - 0.214_03).abs() < 1e-4);
    }

    #[test]
    fn what_is_no_number_is_black_and_infinity_is_white() {
        assert_eq!(clip(f32::NAN).to_bits(), 0);
        assert_eq!(clip(f32::NEG_INFINITY).to_bits(), 0);
        assert_eq!(clip(-0.0).to_bits(), 0);
        assert_eq!(clip(f32::INFINITY).to_bits(), 1.0_f32.to_bits());
    }
}
