//! Whole numbers of any length, as Python has them: a parameter `12345678901234567890123` is not rounded.
//!
//! Invariant: decimal digits without leading zeros, and zero has no sign. Deliberately absent: arithmetic.

use std::fmt;

/// A whole number of any length.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Integer {
    negative: bool,
    digits: String,
}

impl Integer {
    /// From digits of a base of at most 16, without prefix, sign or `_`. `None` if there are none, or others.
    pub(crate) fn parse(negative: bool, digits: &str, radix: u32) -> Option<Self> {
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return None;
        }
        let digits = if radix == 10 {
            digits.to_owned()
        } else {
            to_decimal(digits, radix)
        };
        let digits = match digits.trim_start_matches('0') {
            "" => "0".to_owned(),
            rest => rest.to_owned(),
        };
        Some(Self {
            negative: negative && digits != "0",
            digits,
        })
    }

    /// The same number with the other sign.
    pub(crate) fn negated(mut self) -> Self {
        self.negative = !self.negative && self.digits != "0";
        self
    }

    /// Whether a float is this very number. Nothing is rounded: 2^53 + 1 is not the float 2^53.
    pub(crate) fn equals_float(&self, float: f64) -> bool {
        // Rust prints all digits of a float, so that the texts are equal only if the numbers are.
        float.is_finite() && float.fract() == 0.0 && self.to_string() == format!("{:.0}", float + 0.0)
    }

    /// As a number of bytes or files.
    pub(crate) fn as_u64(&self) -> Option<u64> {
        if self.negative {
            None
        } else {
            self.digits.parse().ok()
        }
    }
}

impl From<i64> for Integer {
    fn from(number: i64) -> Self {
        Self {
            negative: number < 0,
            digits: number.unsigned_abs().to_string(),
        }
    }
}

impl From<u64> for Integer {
    fn from(number: u64) -> Self {
        Self {
            negative: false,
            digits: number.to_string(),
        }
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.negative { "-" } else { "" })?;
        f.write_str(&self.digits)
    }
}

/// Digits of another base as decimal ones: long multiplication, in groups of nine digits.
fn to_decimal(digits: &str, radix: u32) -> String {
    const GROUP: u64 = 1_000_000_000;
    let mut groups: Vec<u64> = vec![0];
    for digit in digits.chars().filter_map(|c| c.to_digit(radix)) {
        let mut carry = u64::from(digit);
        for group in &mut groups {
            let value = *group * u64::from(radix) + carry;
            *group = value % GROUP;
            carry = value / GROUP;
        }
        if carry > 0 {
            groups.push(carry);
        }
    }
    let mut groups = groups.iter().rev();
    let first = groups.next().map(ToString::to_string).unwrap_or_default();
    let rest: String = groups.map(|group| format!("{group:09}")).collect();
    first + &rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Integer;

    fn parse(digits: &str, radix: u32) -> String {
        Integer::parse(false, digits, radix).expect("digits").to_string()
    }

    #[test]
    fn digits_of_any_base_and_length_are_read_exactly() {
        assert_eq!(parse("0010", 10), "10");
        assert_eq!(parse("ffffffffffffffffffff", 16), "1208925819614629174706175");
        assert_eq!(parse("0", 8), "0");
        assert_eq!(
            Integer::parse(true, "0", 10).map(|n| n.to_string()),
            Some("0".to_owned())
        );
        assert_eq!(Integer::parse(false, "8", 8), None);
        assert_eq!(Integer::parse(false, "", 10), None);
    }

    #[test]
    fn a_float_equals_only_the_number_it_is() {
        let number = |text: &str| Integer::parse(false, text, 10).expect("digits");
        assert!(number("9007199254740992").equals_float(9_007_199_254_740_992.0));
        assert!(!number("9007199254740993").equals_float(9_007_199_254_740_992.0));
        assert!(number("0").equals_float(-0.0));
        assert!(!number("1").equals_float(1.5) && !number("1").equals_float(f64::INFINITY));
    }

    proptest! {
        #[test]
        fn other_bases_agree_with_the_machine(number: u64) {
            for (radix, text) in [(16, format!("{number:x}")), (8, format!("{number:o}")), (2, format!("{number:b}"))] {
                prop_assert_eq!(parse(&text, radix), number.to_string());
            }
        }
    }
}
