//! Small text helpers for messages: counts, sizes, nearest words.
//!
//! Deliberately absent: colours and terminal widths.

/// `1 file`, `3 files`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Bytes in binary units with one decimal: `512 B`, `6.0 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// The known word nearest to `word`, if it is near enough to be a likely typing error.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + word.chars().count() / 4;
    let (distance, best) = known
        .into_iter()
        .map(|k| (distance(word, k), k))
        .min_by_key(|(d, _)| *d)?;
    (distance <= limit).then_some(best)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// A text that somebody else wrote, safe to show on a terminal: on one line, without control characters.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A text with parts that somebody else wrote, safe to show on a terminal: what would steer it, hide or reorder other text
/// (control characters but line breaks and tabs, marks of direction) is a replacement character each, so that columns stay.
pub fn sanitize(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(
                c,
                '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            )
    };
    text.chars()
        .map(|c| if steers(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{bytes, nearest, sanitize};

    #[test]
    fn nothing_that_steers_a_terminal_is_left_and_columns_stay() {
        for evil in [
            "\u{1b}[31m",
            "\u{9b}31m",
            "\u{7f}",
            "\r",
            "\u{8}",
            "\u{7}",
            "\0",
            "\u{202e}",
            "\u{2066}",
            "\u{200f}",
            "\u{61c}",
            "\u{2028}",
            "\u{e0041}",
        ] {
            let safe = sanitize(&format!("a{evil}b"));
            assert!(!safe.contains(evil), "{evil:?}");
            assert_eq!(safe.chars().count(), 2 + evil.chars().count(), "{evil:?}");
        }
        let plain = "  a\tb\n\u{e4}\u{65e5}\u{1f600}\u{5d0}";
        assert_eq!(sanitize(plain), plain);
    }

    #[test]
    fn sizes_and_near_words() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(6 * 1024 * 1024), "6.0 MiB");
        assert_eq!(nearest("blesed", ["review", "blessed"]), Some("blessed"));
        assert_eq!(nearest("x", ["review", "blessed"]), None);
    }
}
