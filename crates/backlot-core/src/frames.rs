//! Frame numbers: ranges as farms write them, and numbers shown as ranges.
//!
//! A range is `1-100`, `1001-1100x2` (every second), `7`, or several of these with commas. Deliberately absent: frames
//! below 0, sub-frames, and the names of files.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

/// The most frames that ranges may have.
const MOST: u64 = 1_000_000;
/// How many ranges are shown.
const SHOWN: usize = 40;

/// A set of frames.
///
/// ```
/// use backlot_core::frames::Frames;
///
/// let frames = Frames::parse("30, 11-20").unwrap();
/// assert_eq!(frames.len(), 11);
/// assert_eq!(frames.to_string(), "11-20, 30");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames(BTreeSet<u64>);

impl Frames {
    /// The frames of ranges; `None` if invalid or more than a million frames.
    pub fn parse(text: &str) -> Option<Self> {
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
    /// Add a frame.
    pub fn insert(&mut self, frame: u64) {
        self.0.insert(frame);
    }
    /// Those of another set that are not in this one.
    #[must_use]
    pub fn lacks(&self, other: &Self) -> Self {
        Self(other.0.difference(&self.0).copied().collect())
    }
    /// Its numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().copied()
    }
    /// Whether it has a number.
    pub fn contains(&self, number: u64) -> bool {
        self.0.contains(&number)
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<u64> for Frames {
    fn from_iter<T: IntoIterator<Item = u64>>(numbers: T) -> Self {
        Self(numbers.into_iter().collect())
    }
}

impl Serialize for Frames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

/// A number in plain digits; `None` for more than 18 of them.
pub fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// As ranges: `11-20, 30`, `1001-1009x2`. Long lists end with how many ranges more there are; the precision (`{:.20}`) is how many are shown.
impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<u64> = self.0.iter().copied().collect();
        let mut rest = all.as_slice();
        let mut items = Vec::new();
        while let [first, tail @ ..] = rest {
            let step = tail.first().map_or(1, |next| next - first);
            let more = tail
                .iter()
                .zip(rest)
                .take_while(|(next, before)| *next - *before == step)
                .count();
            // Two frames far apart are not a range.
            let count = if more >= 2 || (more == 1 && step == 1) {
                more
            } else {
                0
            };
            let last = rest[count];
            items.push(match (count, step) {
                (0, _) => first.to_string(),
                (_, 1) => format!("{first}-{last}"),
                _ => format!("{first}-{last}x{step}"),
            });
            rest = &rest[count + 1..];
        }
        let shown = f.precision().unwrap_or(SHOWN);
        let more = items.len().saturating_sub(shown);
        items.truncate(shown);
        f.write_str(&items.join(", "))?;
        if more > 0 {
            write!(f, " and {more} more ranges")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Frames;

    fn frames(text: &str) -> Frames {
        Frames::parse(text).expect("a range")
    }

    fn shown(text: &str) -> String {
        frames(text).to_string()
    }

    #[test]
    fn ranges_are_read_and_told_as_people_write_them() {
        for (given, count, told) in [
            ("1-100", 100, "1-100"),
            ("1001-1100x2", 50, "1001-1099x2"),
            ("30,11-20", 11, "11-20, 30"),
            ("5,1-3, 9-9", 5, "1-3, 5, 9"),
            ("1,2", 2, "1-2"),
            ("1,9", 2, "1, 9"),
            ("0-10x5,11", 4, "0-10x5, 11"),
            ("1-5,3-7", 7, "1-7"),
        ] {
            let parsed = frames(given);
            assert_eq!(
                (parsed.len(), parsed.to_string()),
                (count, told.to_owned()),
                "{given}"
            );
            assert_eq!(frames(told), parsed);
        }
        for bad in [
            "",
            "a",
            "1-",
            "-1",
            "5-1",
            "1-5x0",
            "1-5x",
            "1--5",
            "1.5",
            "+1",
            "1-99999999999",
            "1,,2",
            "1-2000000",
        ] {
            assert_eq!(Frames::parse(bad), None, "{bad}");
        }
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
            assert!(Frames::parse(text).is_none(), "{text}");
        }
        assert_eq!(frames("1-1000000").len(), 1_000_000);
    }

    #[test]
    fn long_lists_are_cut() {
        let odd: Frames = (0..100).map(|n| n * n * n).collect();
        assert!(odd.to_string().ends_with(" and 59 more ranges"), "{odd}");
        assert!(format!("{odd:.20}").ends_with(" and 79 more ranges"), "{odd:.20}");
    }
}
