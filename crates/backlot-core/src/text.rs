//! Small text helpers for messages and files: counts, sizes, nearest words, quoting.
//!
//! Deliberately absent: colours and terminal widths.

use std::borrow::Cow;
use std::path::Path;

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
        .map(|k| (strsim::levenshtein(word, k), k))
        .min_by_key(|(d, _)| *d)?;
    (distance <= limit).then_some(best)
}

/// An untrusted text, safe to show on a terminal: on one line, without control characters.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A text with untrusted parts, safe to show on a terminal: characters that control it, or hide or reorder text
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

/// A text for the content and the quoted attributes of HTML and XML. Characters that XML does not have, not even escaped, are
/// replacement characters.
pub fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#x27;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A string as Python's `json.dumps` writes it: everything outside of printable ASCII escaped, in UTF-16 units.
pub fn push_python_json(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a string cannot fail");
                }
            }
        }
    }
    out.push('"');
}

/// A message without the names of temporaries, which no longer exist when it is read: of a path through one, what lies in
/// it is left, of a path that ends in one the folder.
///
/// A path is taken to begin after the last quotation mark or space before it.
pub fn without_temporaries(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    while let Some((start, end)) = find_temporary(&text) {
        let path = text[..start].rfind(['`', '"', '\'', '\n']);
        let path = path.or_else(|| text[..start].rfind(' ')).map_or(0, |at| at + 1);
        let is_end = text[end..].chars().next().is_none_or(|c| c != '/' && c != '\\');
        let cleaned = if is_end {
            let folder = text[..start].trim_end_matches(['/', '\\']);
            format!("{}{}", &folder[..folder.len().max(path)], &text[end..])
        } else {
            let inside = &text[end + 1..];
            format!(
                "{}{}",
                &text[..path],
                inside.strip_prefix("tree/").unwrap_or(inside)
            )
        };
        text = Cow::Owned(cleaned);
    }
    text
}

/// A path as messages name it; see [`without_temporaries`].
pub fn shown_path(path: &Path) -> String {
    let quoted = format!("`{}`", path.display());
    without_temporaries(&quoted).trim_matches('`').to_owned()
}

/// Where a name of a temporary is: `.tmp-` or `stage-` and what makes it unique, as a whole part of a path.
fn find_temporary(text: &str) -> Option<(usize, usize)> {
    let is_sep = |c: char| c == '/' || c == '\\';
    for (prefix, digits) in [(".tmp-", 26), ("/.backlot/stage-", 1)] {
        for (at, _) in text.match_indices(prefix) {
            let rest = &text[at + prefix.len()..];
            let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            let ends = rest[length..].chars().next();
            let is_part =
                ends.is_none_or(|c| is_sep(c) || matches!(c, '`' | '"' | '\'' | ' ' | ':' | ',' | '\n'));
            if length >= digits && is_part {
                let start = if prefix.starts_with('/') {
                    at + "/.backlot/".len()
                } else {
                    at
                };
                return Some((start, at + prefix.len() + length));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{bytes, markup, nearest, sanitize, without_temporaries};

    #[test]
    fn a_message_names_what_lies_in_a_temporary_or_the_folder_of_it() {
        let tmp = ".tmp-01jd0000000000000000000000";
        for (message, shown) in [
            (
                format!("`/c/wheels/{tmp}/a-1.whl` is not sound"),
                "`a-1.whl` is not sound",
            ),
            (format!("`/c/w s/{tmp}/tree/a/b.py`: no"), "`a/b.py`: no"),
            (
                format!("failed to create file `/c/{tmp}`: no space"),
                "failed to create file `/c`: no space",
            ),
            (
                format!("cannot rename `/c/{tmp}` to `/d/{tmp}/x`"),
                "cannot rename `/c` to `x`",
            ),
            (format!("/c/{tmp}/x broke"), "x broke"),
            (
                "`/w/.backlot/stage-12/tree/lib/a.py`: no".to_owned(),
                "`lib/a.py`: no",
            ),
            (
                "`/w/.tmp-mine/a` and .tmp- stay".to_owned(),
                "`/w/.tmp-mine/a` and .tmp- stay",
            ),
        ] {
            assert_eq!(without_temporaries(&message), shown, "{message}");
        }
    }

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
    fn markup_has_no_meaning_of_its_own() {
        assert_eq!(
            markup("\"><a b='&'>\n\u{1}\u{ffff}\u{e4}"),
            "&quot;&gt;&lt;a b=&#x27;&amp;&#x27;&gt;\n\u{fffd}\u{fffd}\u{e4}"
        );
    }

    #[test]
    fn sizes_and_near_words() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(6 * 1024 * 1024), "6.0 MiB");
        assert_eq!(nearest("blesed", ["review", "blessed"]), Some("blessed"));
        assert_eq!(nearest("x", ["review", "blessed"]), None);
    }
}
