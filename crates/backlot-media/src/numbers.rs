//! Frame numbers: ranges as farms write them, and numbers shown as ranges.
//!
//! A range is `1-100`, `1001-1100x2` (every second), `7`, or several of these with commas. Deliberately absent: frames
//! below 0, and sub-frames.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::Error;

/// The most frames that a range may have.
const MOST: u64 = 1_000_000;
/// How many items of a range are shown.
const SHOWN: usize = 20;

/// A set of frame numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameRange(BTreeSet<u64>);

impl FrameRange {
    /// Its numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().copied()
    }
    /// Whether it has a number.
    pub fn contains(&self, number: u64) -> bool {
        self.0.contains(&number)
    }
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = BTreeSet::new();
        for item in text.split(',') {
            let (range, step) = match item.trim().split_once('x') {
                Some((range, step)) => (range, number(step).filter(|step| *step > 0)?),
                None => (item.trim(), 1),
            };
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if first > last || (last - first) / step >= MOST {
                return None;
            }
            let mut next = Some(first);
            while let Some(frame) = next.filter(|frame| *frame <= last) {
                numbers.insert(frame);
                next = frame.checked_add(step);
            }
            if numbers.len() as u64 > MOST {
                return None;
            }
        }
        Some(Self(numbers))
    }
}

impl FromIterator<u64> for FrameRange {
    fn from_iter<T: IntoIterator<Item = u64>>(numbers: T) -> Self {
        Self(numbers.into_iter().collect())
    }
}

impl FromStr for FrameRange {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or_else(|| Error::BadRange {
            range: text.to_owned(),
        })
    }
}

/// A number in plain digits; `None` for more than 18 of them.
pub(crate) fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// As ranges: `11-20, 30`, `1001-1009x2`. Long lists end with how many more there are.
impl fmt::Display for FrameRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<u64> = self.0.iter().copied().collect();
        let mut rest = all.as_slice();
        let mut items = Vec::new();
        while let [first, tail @ ..] = rest {
            let step = tail.first().map_or(1, |next| next - first);
            let run = 1 + tail
                .iter()
                .zip(1..)
                .take_while(|(number, position)| **number - first == step * position)
                .count();
            // Two numbers with a distance are shown as two.
            let run = if run == 2 && step > 1 { 1 } else { run };
            let last = rest[run - 1];
            items.push(match (run, step) {
                (1, _) => first.to_string(),
                (_, 1) => format!("{first}-{last}"),
                _ => format!("{first}-{last}x{step}"),
            });
            rest = &rest[run..];
        }
        let more = items.len().saturating_sub(SHOWN);
        items.truncate(SHOWN);
        f.write_str(&items.join(", "))?;
        if more > 0 {
            write!(f, " and {more} more ranges")?;
        }
        Ok(())
    }
}

impl Serialize for FrameRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::FrameRange;

    fn shown(text: &str) -> String {
        text.parse::<FrameRange>().expect("a range").to_string()
    }

    #[test]
    fn ranges_are_read_and_shown_as_farms_write_them() {
        assert_eq!(shown("1-3"), "1-3");
        assert_eq!(shown("1001-1009x2"), "1001-1009x2");
        assert_eq!(shown("1-10x4"), "1-9x4");
        assert_eq!(shown("7, 1-2,3"), "1-3, 7");
        assert_eq!(shown("1,3"), "1, 3");
        assert_eq!(shown("1,2"), "1-2");
    }

    #[test]
    fn what_is_not_a_range_or_too_long_is_refused() {
        for text in [
            "",
            "-",
            "1-",
            "-5",
            "3-1",
            "1-9x0",
            "1x",
            "a",
            "1,,2",
            "1-1000001",
            "1-99999999999999999999",
        ] {
            assert!(text.parse::<FrameRange>().is_err(), "{text}");
        }
        assert_eq!(
            "1-1000000".parse::<FrameRange>().expect("a range").len(),
            1_000_000
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let odd: FrameRange = (0..100).map(|n| n * n * n).collect();
        assert!(odd.to_string().ends_with("more ranges"), "{odd}");
    }
}
