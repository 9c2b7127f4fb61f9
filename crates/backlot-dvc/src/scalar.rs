//! One YAML string: which quotes it needs, and where ruamel folds it.
//!
//! Invariant: what is written reads back as the same string (a property test in `pointer.rs` holds this for pointers).
//! The rules are those of ruamel's emitter for YAML 1.2; columns count characters. Deliberately absent: flow context.

/// Where ruamel folds long lines.
const WIDTH: usize = 80;

/// Text under construction, with the column it has reached.
#[derive(Debug, Default)]
pub(crate) struct Line {
    text: String,
    column: usize,
}

impl Line {
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    /// End the line and go to a column of the next one.
    pub(crate) fn break_to(&mut self, indent: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    /// A line break inside a scalar, without indentation.
    fn raw_break(&mut self, c: char) {
        self.text.push(c);
        self.column = 0;
    }

    /// Fill up to a column, as ruamel does after breaks inside a scalar.
    fn fill_to(&mut self, indent: usize) {
        while self.column < indent {
            self.push(" ");
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

/// Write a string as a key or a value; lines it is folded into are indented by `indent`.
pub(crate) fn write(line: &mut Line, text: &str, indent: usize, key: bool) {
    if !key {
        // Before a plain word that does not fit, the separating space stays at the end of the line.
        line.push(" ");
    }
    let (start, column) = (line.text.len(), line.column);
    match style_of(text, key) {
        Style::Plain => write_plain(line, text, indent, !key),
        Style::Single => write_single(line, text, indent, !key),
        Style::Double => write_double(line, text, indent, !key),
    }
    if !reads_back(&line.text[start..], text, key) {
        // ruamel loses spaces and breaks in some folded strings; ours are then written on one line.
        line.text.truncate(start);
        line.column = column;
        write_double(line, text, indent, false);
    }
}

/// Whether a scalar that takes several lines is read as the string it stands for.
fn reads_back(written: &str, text: &str, key: bool) -> bool {
    if !has_line_break(written) {
        return true;
    }
    let document = if key {
        format!("{written}: 1\n")
    } else {
        format!("k: {written}\n")
    };
    let Ok(read) = serde_yaml_ng::from_str::<serde_yaml_ng::Mapping>(&document) else {
        return false;
    };
    let mut entries = read.iter();
    let found = entries.next().map(|(k, value)| if key { k } else { value });
    entries.next().is_none() && found.and_then(serde_yaml_ng::Value::as_str) == Some(text)
}

/// Write a word that needs no quotes (a number, a flag, an empty collection).
pub(crate) fn write_verbatim(line: &mut Line, text: &str, indent: usize, key: bool) {
    if !key {
        line.push(" ");
    }
    write_plain(line, text, indent, !key);
}

/// Whether a string has a character that YAML 1.1 takes for the end of a line.
pub(crate) fn has_line_break(text: &str) -> bool {
    text.contains(is_break)
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_white(c: char) -> bool {
    matches!(c, '\0' | ' ' | '\t' | '\r') || is_break(c)
}

/// Characters that are written as they are, outside of double quotes.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && c != '\u{feff}'
}

fn style_of(text: &str, key: bool) -> Style {
    if text.is_empty() {
        return Style::Single;
    }
    let special = text.chars().any(|c| !is_printable(c));
    let breaks = has_line_break(text);
    let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
    let padded = edge(text.chars().next()) || edge(text.chars().next_back());
    let (break_space, space_break) = spaces_around_breaks(text);
    let crossed = break_space || space_break;
    if !(special || breaks || padded || crossed || has_indicator(text)) && is_plain_string(text) {
        return Style::Plain;
    }
    if text.contains(['\'', '\n']) || special || crossed || (key && breaks) {
        return Style::Double;
    }
    Style::Single
}

/// Whether a break is followed by a space, and a space by a break.
fn spaces_around_breaks(text: &str) -> (bool, bool) {
    let pairs = || text.chars().zip(text.chars().skip(1));
    (
        pairs().any(|(a, b)| is_break(a) && b == ' '),
        pairs().any(|(a, b)| a == ' ' && is_break(b)),
    )
}

/// Whether a character would be taken for syntax in block context.
fn has_indicator(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let white_after = chars.peek().is_none_or(|c| is_white(*c));
        let found = match (before, c) {
            (None, c) if "#,[]{}&*!|>'\"%@`".contains(c) => true,
            (None, '?' | ':' | '-') | (Some(_), ':') => white_after,
            (Some(before), '#') => is_white(before),
            _ => false,
        };
        if found {
            return true;
        }
        before = Some(c);
    }
    false
}

/// Whether a plain word is read as a string by YAML 1.2, and not as a flag, a number, a date or nothing.
fn is_plain_string(text: &str) -> bool {
    let keyword = matches!(
        text,
        "~" | "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE" | "<<" | "="
    );
    !(keyword || is_integer(text) || is_float(text) || is_date(text))
}

fn without_sign(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(allowed)
}

/// Whether YAML 1.2, as ruamel reads it, takes a plain word for a whole number.
pub(crate) fn is_integer(text: &str) -> bool {
    let body = without_sign(text);
    let digits = |text: &str| all(text, |c| c.is_ascii_digit() || c == '_');
    if body.starts_with('_') && body == text {
        // ruamel looks at integers only where the first character may begin one.
        return false;
    }
    digits(body)
        || body
            .strip_prefix("0b")
            .is_some_and(|b| all(b, |c| matches!(c, '0' | '1' | '_')))
        || body
            .strip_prefix("0o")
            .is_some_and(|b| all(b, |c| matches!(c, '0'..='7' | '_')))
        || body
            .strip_prefix("0x")
            .is_some_and(|b| all(b, |c| c.is_ascii_hexdigit() || c == '_'))
}

/// Whether it takes one for a float.
pub(crate) fn is_float(text: &str) -> bool {
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let body = without_sign(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let number = |text: &str| all(text, |c| c.is_ascii_digit());
    if let Some(fraction) = mantissa.strip_prefix('.') {
        // Here the exponent must have a sign.
        let signed = exponent.is_none_or(|e| e.starts_with(['-', '+']) && number(&e[1..]));
        return !fraction.is_empty() && digits(fraction) && signed;
    }
    if !mantissa.starts_with(|c: char| c.is_ascii_digit())
        || exponent.is_some_and(|e| !number(without_sign(e)))
    {
        return false;
    }
    match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(mantissa) && exponent.is_some(),
    }
}

/// `2024-01-01`, or a date and time, as YAML's timestamps.
pub(crate) fn is_date(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else {
        return false;
    };
    let number = |text: &str, from: usize, to: usize| {
        (from..=to).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit())
    };
    let Some((month, rest)) = rest.split_once('-') else {
        return false;
    };
    if !number(year, 4, 4) || !number(month, 1, 2) {
        return false;
    }
    let day_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, time) = rest.split_at(day_end);
    if time.is_empty() {
        return month.len() == 2 && day.len() == 2;
    }
    number(day, 1, 2) && is_time(time)
}

/// What follows the day: `T10:00:00.5Z`, ` 10:00:00 +2:00`.
fn is_time(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['T', 't', ' ', '\t']) else {
        return false;
    };
    let rest = if text.starts_with([' ', '\t']) {
        rest.trim_start_matches([' ', '\t'])
    } else {
        rest
    };
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
        .unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    let clock = clock.split_once('.').map_or(clock, |(clock, _)| clock);
    let parts: Vec<&str> = clock.split(':').collect();
    let numbers = parts.iter().all(|p| p.bytes().all(|c| c.is_ascii_digit()));
    let fits =
        parts.len() == 3 && matches!(parts[0].len(), 1 | 2) && parts[1].len() == 2 && parts[2].len() == 2;
    let zone = zone.trim_start_matches([' ', '\t']);
    let offset = |zone: &str| zone.len() <= 5 && zone.chars().all(|c| c.is_ascii_digit() || c == ':');
    numbers && fits && (zone.is_empty() || zone == "Z" || zone.strip_prefix(['-', '+']).is_some_and(offset))
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Split into runs of spaces and runs of other characters.
fn runs(text: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in text.char_indices() {
        if last.is_some_and(|l| (l == ' ') != (c == ' ')) {
            runs.push(&text[start..at]);
            start = at;
        }
        last = Some(c);
    }
    runs.push(&text[start..]);
    runs
}

fn write_plain(line: &mut Line, text: &str, indent: usize, split: bool) {
    for run in runs(text) {
        if run.starts_with(' ') {
            if run.len() == 1 && line.column >= WIDTH && split {
                line.break_to(indent);
            } else {
                line.push(run);
            }
        } else {
            if width(run) + line.column > WIDTH && line.column > indent {
                line.break_to(indent);
            }
            line.push(run);
        }
    }
}

fn write_single(line: &mut Line, text: &str, indent: usize, split: bool) {
    line.push("'");
    let mut position = 0;
    for run in broken_runs(text) {
        let first = run.chars().next().unwrap_or_default();
        let inner = position > 0 && position + run.len() < text.len();
        if first == ' ' && run.len() == 1 && line.column > WIDTH && split && inner {
            line.break_to(indent);
        } else if is_break(first) {
            if first == '\n' {
                line.raw_break('\n');
            }
            run.chars().for_each(|c| line.raw_break(c));
            line.fill_to(indent);
        } else {
            line.push(&run.replace('\'', "''"));
        }
        position += run.len();
    }
    line.push("'");
}

/// Runs of spaces, of breaks, and of other characters.
fn broken_runs(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    for run in runs(text) {
        let mut start = 0;
        let mut last = None;
        for (at, c) in run.char_indices() {
            if last.is_some_and(|l: char| is_break(l) != is_break(c)) {
                all.push(&run[start..at]);
                start = at;
            }
            last = Some(c);
        }
        all.push(&run[start..]);
    }
    all.retain(|run| !run.is_empty());
    all
}

fn write_double(line: &mut Line, text: &str, indent: usize, split: bool) {
    let chars: Vec<char> = text.chars().collect();
    line.push("\"");
    let mut start = 0;
    for end in 0..=chars.len() {
        let c = chars.get(end).copied();
        if c.is_none_or(needs_escape) {
            if start < end {
                line.push(&chars[start..end].iter().collect::<String>());
                start = end;
            }
            if let Some(c) = c {
                line.push(&escape(c));
                start = end + 1;
            }
        }
        let inside = end > 0 && end + 1 < chars.len();
        // After an escape, `start` is one further than `end`.
        if inside && (c == Some(' ') || start >= end) && line.column + end > WIDTH + start && split {
            start = fold_double(line, &chars, start, end, indent);
        }
    }
    line.push("\"");
}

/// Fold a double-quoted string at `end`; returns where the text that is not written yet begins.
fn fold_double(line: &mut Line, chars: &[char], mut start: usize, end: usize, indent: usize) -> usize {
    let backslash = needs_backslash(chars, start, end);
    if start < end {
        line.push(&chars[start..end].iter().collect::<String>());
        start = end;
    }
    if backslash {
        line.push("\\");
    }
    line.break_to(indent);
    if chars.get(start) == Some(&' ') {
        if backslash {
            line.push("\\");
        } else {
            start += 1;
        }
    }
    start
}

/// Whether the fold would be read as a space that is not there, or swallow one that is.
fn needs_backslash(chars: &[char], start: usize, end: usize) -> bool {
    let find = |c: char, from: usize, to: usize| (from..to).find(|i| chars[*i] == c);
    let Some(space) = find(' ', end, chars.len()) else {
        return true;
    };
    let at = find('\n', end, space).unwrap_or(space);
    let Some(after) = chars.get(at + 1).copied() else {
        return true;
    };
    if chars[at] == '\n' && after != ' ' {
        return true;
    }
    let quotes = chars[end..at].iter().any(|c| matches!(c, '"' | '\''));
    let double_space = end > 0 && chars[end - 1] == ' ' && chars[end] == ' ';
    quotes || matches!(after, ' ' | '\n') || double_space || start == end
}

fn needs_escape(c: char) -> bool {
    matches!(c, '"' | '\\' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\n') || !is_printable(c)
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if u32::from(c) <= 0xff => return format!("\\x{:02X}", u32::from(c)),
        c if u32::from(c) <= 0xffff => return format!("\\u{:04X}", u32::from(c)),
        c => return format!("\\U{:08X}", u32::from(c)),
    };
    format!("\\{short}")
}
