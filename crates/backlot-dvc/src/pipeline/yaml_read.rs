//! YAML as DVC's parser (ruamel, YAML 1.2, safe) reads it: which plain words are numbers, merges, aliases, duplicate keys.
//!
//! Invariants: one document, whose mapping keys are distinct; aliases share their value, and a document that would be
//! more than [`MAX_VALUES`] values, or much more text, with its aliases written out is refused; nesting has a bound. Deliberately absent:
//! YAML 1.1, which is refused, tags of programs, sets and binary data.
//!
//! `serde_yaml_ng`, which reads pointers, decides itself what a plain word is (`1_000` and `010` are text to it) and
//! keeps no lines; here the events of `saphyr-parser` are put together by DVC's rules.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::integer::Integer;
use super::problem::Problem;
use super::value::{Map, Value};
use crate::scalar;

/// How many values a document may have, aliases written out.
const MAX_VALUES: usize = 1_000_000;
/// How many bytes of text that an alias copies count as a value.
const TEXT_OF_A_VALUE: usize = 64;
/// How deep it may be nested.
const MAX_DEPTH: usize = 128;

/// Read a document; nothing at all is `Null`.
pub(crate) fn read(text: &str) -> Result<Value, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_version(text)?;
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        copied: 0,
    };
    reader.document()
}

/// Refuse `%YAML 1.1` and others, in which the same words are other values.
fn check_version(text: &str) -> Result<(), Problem> {
    let before = |line: &&str| line.starts_with(['%', '#']) || line.trim().is_empty();
    for (at, line) in text.lines().take_while(before).enumerate() {
        if let Some(version) = line.strip_prefix("%YAML").map(str::trim)
            && version.split_whitespace().next() != Some("1.2")
        {
            return Err(Problem::new(
                at + 1,
                format!("unsupported YAML version `{version}`: only 1.2 is read"),
            ));
        }
    }
    Ok(())
}

/// A value, and how many values it is with its aliases written out.
struct Sized {
    value: Value,
    size: usize,
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Value, usize)>,
    /// Entries that merges have copied, and texts that aliases have.
    copied: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), Problem> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, line(&span))),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn document(&mut self) -> Result<Value, Problem> {
        let mut found = None;
        loop {
            let (event, line) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(found.unwrap_or(Value::Null)),
                Event::DocumentStart(_) if found.is_some() => {
                    return Err(Problem::new(line, "a second document starts here"));
                }
                Event::DocumentStart(_) => {
                    let (event, line) = self.next()?;
                    found = Some(self.value(event, line, 0)?.value);
                }
                _ => {}
            }
        }
    }

    fn value(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Sized, Problem> {
        if depth > MAX_DEPTH {
            return Err(Problem::new(
                line,
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        let (anchor, made) = match event {
            Event::Alias(anchor) => {
                // Inside of itself, an anchor is not known yet.
                let known = self.anchors.get(&anchor).cloned();
                let (value, size) = known.ok_or_else(|| Problem::new(line, "alias of an unknown anchor"))?;
                // Lists and mappings are shared; a text is a copy.
                let text = value.as_str().map_or(0, str::len);
                self.copied = self.copied.saturating_add(text / TEXT_OF_A_VALUE);
                return self.bounded(Sized { value, size }, line);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value =
                    scalar_value(text, style, tag.as_deref()).map_err(|reason| Problem::new(line, reason))?;
                (anchor, Sized { value, size: 1 })
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq").map_err(|reason| Problem::new(line, reason))?;
                (anchor, self.sequence(line, depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map").map_err(|reason| Problem::new(line, reason))?;
                (anchor, self.mapping(line, depth)?)
            }
            _ => (
                0,
                Sized {
                    value: Value::Null,
                    size: 1,
                },
            ),
        };
        let made = self.bounded(made, line)?;
        if anchor != 0 {
            self.anchors.insert(anchor, (made.value.clone(), made.size));
        }
        Ok(made)
    }

    fn bounded(&self, made: Sized, line: usize) -> Result<Sized, Problem> {
        if made.size > MAX_VALUES || self.copied > MAX_VALUES {
            let reason = format!("more than {MAX_VALUES} values, with aliases written out");
            return Err(Problem::new(line, reason));
        }
        Ok(made)
    }

    fn sequence(&mut self, line: usize, depth: usize) -> Result<Sized, Problem> {
        let (mut items, mut size) = (Vec::new(), 1);
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(Sized {
                    value: Value::list(items),
                    size,
                });
            }
            let item = self.value(event, at.max(line), depth + 1)?;
            size = size.saturating_add(item.size);
            items.push(item.value);
        }
    }

    fn mapping(&mut self, line: usize, depth: usize) -> Result<Sized, Problem> {
        let (mut own, mut size) = (Map::default(), 1_usize);
        let mut merged: Option<Vec<Value>> = None;
        loop {
            let (event, at) = self.next()?;
            let at = at.max(line);
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                break;
            }
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.value(event, at, depth + 1)?.value;
            let (event, value_line) = self.next()?;
            let value = self.value(event, value_line.max(at), depth + 1)?;
            size = size.saturating_add(value.size).saturating_add(1);
            if merges {
                if merged.replace(maps_to_merge(value.value, at)?).is_some() {
                    return Err(Problem::new(at, "duplicate `<<` in a mapping"));
                }
                continue;
            }
            if key.is_container() {
                return Err(Problem::new(at, format!("{} cannot be a key", key.kind())));
            }
            let name = key.to_text().unwrap_or_default();
            if own.insert(key, value.value, at).is_some() {
                return Err(Problem::new(at, format!("duplicate key `{name}`")));
            }
        }
        let value = match merged {
            None => own,
            Some(maps) => self.merge(&maps, &own),
        };
        Ok(Sized {
            value: Value::map(value),
            size,
        })
    }

    /// Merged entries come first; among merged mappings the first that has a key gives its value, but the place of a key
    /// is that of the last one (as the order in which ruamel builds them).
    fn merge(&mut self, maps: &[Value], own: &Map) -> Map {
        let mut all = Map::default();
        for map in maps.iter().rev().filter_map(Value::as_map) {
            self.copied = self.copied.saturating_add(map.len());
            if self.copied > MAX_VALUES {
                break;
            }
            for entry in map.iter() {
                all.insert(entry.key.clone(), entry.value.clone(), entry.line);
            }
        }
        for entry in own.iter() {
            all.insert(entry.key.clone(), entry.value.clone(), entry.line);
        }
        all
    }
}

fn line(span: &Span) -> usize {
    span.start.line()
}

fn syntax(error: &ScanError) -> Problem {
    Problem::new(error.marker().line(), error.info().to_owned())
}

fn maps_to_merge(value: Value, line: usize) -> Result<Vec<Value>, Problem> {
    match value {
        Value::Map(_) => Ok(vec![value]),
        Value::List(items) if items.iter().all(|item| item.as_map().is_some()) => Ok(items.to_vec()),
        other => Err(Problem::new(
            line,
            format!("`<<` merges mappings, and this is {}", other.kind()),
        )),
    }
}

fn check_tag(tag: Option<&Tag>, own: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !is_core(tag, own) && !is_unspecific(tag) => Err(unsupported(tag)),
        _ => Ok(()),
    }
}

fn is_core(tag: &Tag, name: &str) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == name
}

/// `! text`, which says only that no plain word is meant.
fn is_unspecific(tag: &Tag) -> bool {
    tag.suffix.is_empty() || (tag.handle.is_empty() && tag.suffix == "!")
}

fn unsupported(tag: &Tag) -> String {
    format!("unsupported tag `{}{}`", tag.handle, tag.suffix)
}

fn scalar_value(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(plain(&text)),
        None if style == ScalarStyle::SingleQuoted => Ok(Value::Str(without_indentation(&text))),
        None => Ok(Value::Str(text.into_owned())),
        Some(tag) if is_core(tag, "str") || is_unspecific(tag) => Ok(Value::Str(text.into_owned())),
        Some(tag) if tag.is_yaml_core_schema() => {
            let value = plain(&text);
            let fits = match &value {
                Value::Null => tag.suffix == "null",
                Value::Bool(_) => tag.suffix == "bool",
                Value::Int(_) => matches!(tag.suffix.as_str(), "int" | "float"),
                Value::Float(_) => tag.suffix == "float",
                Value::Date(_) => tag.suffix == "timestamp",
                _ => false,
            };
            match value {
                Value::Int(number) if tag.suffix == "float" => number
                    .to_string()
                    .parse()
                    .map(Value::Float)
                    .map_err(|_| unsupported(tag)),
                value if fits => Ok(value),
                _ => Err(unsupported(tag)),
            }
        }
        Some(tag) => Err(unsupported(tag)),
    }
}

/// Text in single quotes: ruamel takes U+2028 and U+2029 for ends of lines, which keep their character and lose the spaces
/// around them, and writes them so. YAML 1.2 itself has only `\n` and `\r`.
fn without_indentation(text: &str) -> String {
    const BREAKS: [char; 2] = ['\u{2028}', '\u{2029}'];
    let lines = text.split_inclusive(BREAKS);
    let (mut out, mut first) = (String::with_capacity(text.len()), true);
    for line in lines {
        let begun = if first {
            line
        } else {
            line.trim_start_matches([' ', '\t'])
        };
        first = false;
        match begun.chars().next_back().filter(|c| BREAKS.contains(c)) {
            Some(end) => {
                out.push_str(begun.trim_end_matches(BREAKS).trim_end_matches([' ', '\t']));
                out.push(end);
            }
            None => out.push_str(begun),
        }
    }
    out
}

/// What a plain word is. `yes`, `off` and `12:30` are text; `010` is ten; `1_000` is a thousand; `1e3` is a float.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let number = if scalar::is_integer(text) {
        integer(text)
    } else if scalar::is_float(text) {
        float(text)
    } else if scalar::is_date(text) {
        Some(Value::Date(text.to_owned()))
    } else {
        None
    };
    number.unwrap_or_else(|| Value::Str(text.to_owned()))
}

fn integer(text: &str) -> Option<Value> {
    let text = text.replace('_', "");
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let (digits, radix) = match body.get(..2) {
        Some("0b") => (&body[2..], 2),
        Some("0o") => (&body[2..], 8),
        Some("0x") => (&body[2..], 16),
        _ => (body, 10),
    };
    Integer::parse(negative, digits, radix).map(Value::Int)
}

fn float(text: &str) -> Option<Value> {
    let text = text.replace('_', "").to_lowercase();
    let float = match text.as_str() {
        ".nan" => f64::NAN,
        ".inf" | "+.inf" => f64::INFINITY,
        "-.inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Value::Float(float))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_VALUES, Value, read};

    fn get(text: &str, key: &str) -> Value {
        let document = read(text).expect(text);
        document
            .as_map()
            .and_then(|map| map.get(key))
            .cloned()
            .expect(key)
    }

    #[test]
    fn plain_words_are_what_dvc_takes_them_for() {
        for (word, shown) in [
            ("010", "Int 10"),
            ("0o10", "Int 8"),
            ("0x1F", "Int 31"),
            ("0b11", "Int 3"),
            ("1_000", "Int 1000"),
            ("-1", "Int -1"),
            ("+7", "Int 7"),
            ("12345678901234567890123", "Int 12345678901234567890123"),
            ("1e3", "Float 1000.0"),
            ("1e-05", "Float 1e-05"),
            ("2.", "Float 2.0"),
            (".5", "Float 0.5"),
            ("-.inf", "Float -inf"),
            (".NaN", "Float nan"),
            ("12:30", "Str 12:30"),
            ("yes", "Str yes"),
            ("off", "Str off"),
            ("_1", "Str _1"),
            ("-_", "Str -_"),
            ("tRue", "Str tRue"),
            ("True", "Bool true"),
            ("~", "Null None"),
            ("", "Null None"),
            ("2024-01-02", "Date 2024-01-02"),
            ("2024-01-02 10:00:00", "Date 2024-01-02 10:00:00"),
            ("=", "Str ="),
            ("'1'", "Str 1"),
            ("\"null\"", "Str null"),
            ("!!str 1", "Str 1"),
            ("! 1", "Str 1"),
            ("!!float 1", "Float 1.0"),
        ] {
            let value = get(&format!("k: {word}\n"), "k");
            let kind = format!("{value:?}");
            let kind = kind.split('(').next().expect("a name");
            assert_eq!(
                format!("{kind} {}", value.to_text().expect("a scalar")),
                shown,
                "{word}"
            );
        }
    }

    #[test]
    fn what_dvc_refuses_is_refused_with_its_line() {
        for (text, line, reason) in [
            ("a: 1\nb: 2\na: 3\n", 3, "duplicate key `a`"),
            ("a:\n  1: x\n  true: y\n", 3, "duplicate key"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a: [1\nb: 2\n", 2, ""),
            ("a: &x [*x]\n", 1, "anchor"),
            ("a: 1\nb: !mine 1\n", 2, "unsupported tag"),
            ("a: 1\n[1, 2]: 2\n", 2, "cannot be a key"),
            ("a: 1\nb:\n  <<: 3\n", 3, "merges mappings"),
            ("b: *nowhere\n", 1, ""),
            ("a: [p, ${n}]\n", 1, ""),
            ("a:\n  <<: {b: 1}\n  <<: {c: 1}\n", 3, "duplicate `<<`"),
            ("# note\n%YAML 1.1\n---\na: yes\n", 2, "only 1.2"),
        ] {
            let problem = read(text).expect_err(text);
            assert_eq!(problem.line, line, "{text}: {}", problem.reason);
            assert!(problem.reason.contains(reason), "{text}: {}", problem.reason);
        }
    }

    #[test]
    fn the_right_version_may_be_named() {
        assert_eq!(get("%YAML 1.2 # note\n---\na: 1\n", "a"), 1.into());
    }

    #[test]
    fn merges_keep_the_order_and_the_first_of_several_wins() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  own: 3\n  <<: [*a, *b]\n  x: 3\n";
        let merged = get(text, "c");
        let entries: Vec<String> = merged
            .as_map()
            .expect("a mapping")
            .iter()
            .map(|e| {
                format!(
                    "{}{}",
                    e.key.to_text().expect("text"),
                    e.value.to_text().expect("text")
                )
            })
            .collect();
        assert_eq!(entries, ["y1", "z2", "x3", "own3"]);
    }

    #[test]
    fn line_separators_in_single_quotes_are_ends_of_lines() {
        let text = get("k: 'a \u{2028}  b\u{2029}\u{2028}  '\n", "k");
        assert_eq!(text, "a\u{2028}b\u{2029}\u{2028}".into());
        assert_eq!(get("k: \"a \\L b\"\n", "k"), "a \u{2028} b".into());
    }

    #[test]
    fn an_alias_shares_its_value_and_lines_are_kept() {
        let document = read("\u{feff}a: &x [1]\n\nb: *x\n").expect("read");
        let map = document.as_map().expect("a mapping");
        assert_eq!(
            map.get("a").and_then(Value::address),
            map.get("b").and_then(Value::address)
        );
        assert_eq!(map.entry("b").map(|e| e.line), Some(3));
        assert!(matches!(read("").expect("read"), Value::Null));
    }

    #[test]
    fn an_alias_bomb_is_refused_before_it_goes_off() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        let problem = read(&text).expect_err("refused");
        assert!(
            problem.reason.contains(&MAX_VALUES.to_string()),
            "{}",
            problem.reason
        );
        let mut text = "m0: &m0 {k0: 1}\n".to_owned();
        for level in 1..2000 {
            text.push_str(&format!(
                "m{level}: &m{level}\n  <<: *m{}\n  k{level}: 1\n",
                level - 1
            ));
        }
        let problem = read(&text).expect_err("refused");
        assert!(
            problem.reason.contains(&MAX_VALUES.to_string()),
            "{}",
            problem.reason
        );
        // Few values, each with the same long text.
        let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(100));
        let problem = read(&text).expect_err("refused");
        assert!(
            problem.reason.contains("aliases written out"),
            "{}",
            problem.reason
        );
        let deep = format!("a: {}{}\n", "[".repeat(200), "]".repeat(200));
        assert!(read(&deep).expect_err("refused").reason.contains("nested"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-a-z0-9:&*<!'\"{}\\[\\], \n#|>]{0,60}") {
            read(&text).ok();
        }

        #[test]
        fn quoted_text_is_itself(text in "[ -~]{0,20}") {
            let quoted = format!("k: '{}'\n", text.replace('\'', "''"));
            prop_assert_eq!(get(&quoted, "k"), Value::Str(text));
        }
    }
}
