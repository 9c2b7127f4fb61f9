//! USD: of text (`#usda`) whether strings, asset paths and brackets end, and all asset paths. Of binary files and packages whether they begin as such
//! and are as long as they say.
//!
//! The text is read as its grammar divides it: comments, strings of one and of three quotes, asset paths in `@` or `@@@`, paths of prims in `<>`,
//! brackets. Invariant: each byte is looked at once, and brackets nest only so deep. Deliberately absent: what the words mean, composition, and asset
//! paths in binary layers, which are compressed in a form of their own.

use std::path::Path;

use super::bytes::{Bytes, Source};
use super::damaged;
use super::scene::{SceneFacts, SceneFormat, SceneReference};
use crate::error::Trouble;

/// The most bytes of a text.
const MOST_TEXT: u64 = 1 << 30;
/// The most brackets in brackets.
const DEEPEST: usize = 1000;
/// The most asset paths.
const MOST_PATHS: usize = 1_000_000;
/// The sections of a binary layer, each 32 bytes in its table.
const MOST_SECTIONS: u64 = 1000;

pub(super) fn read(path: &Path) -> Result<SceneFacts, Trouble> {
    let mut source = Source::open(path)?;
    let head = source.read(0, source.size.min(8))?;
    let mut facts = SceneFacts {
        format: SceneFormat::Usd,
        references: Vec::new(),
        problems: Vec::new(),
    };
    if head == b"PXR-USDC" {
        binary(&mut source)?;
        return Ok(facts);
    }
    if head.starts_with(b"PK\x03\x04") {
        package(&mut source)?;
        return Ok(facts);
    }
    if !head.starts_with(b"#usda") && !head.starts_with(b"#sdf ") {
        return Err(damaged("it does not begin as USD does"));
    }
    if source.size > MOST_TEXT {
        return Err(Trouble::TooLarge(format!("{} bytes of text", source.size)));
    }
    let text = source.read(0, source.size)?;
    let text = std::str::from_utf8(&text).map_err(|_| damaged("its text is not valid UTF-8"))?;
    facts.references = asset_paths(text)?;
    Ok(facts)
}

/// The table of sections of a binary layer, and all of them, are within the file.
fn binary(source: &mut Source) -> Result<(), Trouble> {
    let head = source.read(0, 24)?;
    let table = Bytes(&head[16..]).u64_le()?;
    let sections = Bytes(&source.read(table, 8)?).u64_le()?;
    if sections == 0 || sections > MOST_SECTIONS {
        return Err(damaged(format!("its table says {sections} sections")));
    }
    let rows = source.read(table + 8, 32 * sections)?;
    for row in rows.chunks_exact(32) {
        let mut row = Bytes(&row[16..]);
        let (at, size) = (row.u64_le()?, row.u64_le()?);
        if at.checked_add(size).is_none_or(|end| end > source.size) {
            return Err(damaged("it is truncated: a section lies behind its end"));
        }
    }
    Ok(())
}

/// A package is a ZIP archive, whose directory lies at its end.
fn package(source: &mut Source) -> Result<(), Trouble> {
    let length = source.size.min(22 + 0xffff);
    let tail = source.read(source.size - length, length)?;
    let is_end = |window: &[u8]| window == b"PK\x05\x06";
    let Some(at) = tail.windows(4).rposition(is_end) else {
        return Err(damaged("it is truncated: it has no directory at its end"));
    };
    let mut end = Bytes(&tail[at..]);
    end.take(12)?;
    let (size, begin) = (u64::from(end.u32_le()?), u64::from(end.u32_le()?));
    let wide = u64::from(u32::MAX);
    if size != wide && begin != wide && begin + size > source.size {
        return Err(damaged("it is truncated: its directory lies behind its end"));
    }
    Ok(())
}

/// Looks at a text from its front.
struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    /// What is before an end mark, which a backslash takes its meaning from; both are taken.
    fn until(&mut self, end: &str, may_break: bool, what: &str) -> Result<&'a str, Trouble> {
        let bytes = self.rest.as_bytes();
        let (mut at, begun) = (0, self.line);
        while at < bytes.len() {
            if bytes[at..].starts_with(end.as_bytes()) {
                let (inside, rest) = self.rest.split_at(at);
                self.rest = &rest[end.len()..];
                return Ok(inside);
            }
            match bytes[at] {
                b'\\' if end != "@" => at += 1,
                b'\n' if !may_break => break,
                b'\n' => self.line += 1,
                _ => {}
            }
            if bytes.get(at) == Some(&b'\\') && bytes.get(at + 1) == Some(&b'\n') {
                self.line += 1;
            }
            at += 1;
        }
        Err(damaged(format!("line {begun}: {what} does not end")))
    }

    fn skip(&mut self, mark: &str) -> bool {
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// All asset paths of a text, in its order.
fn asset_paths(text: &str) -> Result<Vec<SceneReference>, Trouble> {
    let mut lexer = Lexer { rest: text, line: 1 };
    let (mut found, mut open) = (Vec::new(), Vec::new());
    while let Some(first) = lexer.rest.chars().next() {
        match first {
            '#' => {
                lexer.rest = lexer
                    .rest
                    .split_once('\n')
                    .map_or("", |(comment, _)| &lexer.rest[comment.len()..])
            }
            '"' | '\'' => {
                let (three, one) = if first == '"' {
                    ("\"\"\"", "\"")
                } else {
                    ("'''", "'")
                };
                if lexer.skip(three) {
                    lexer.until(three, true, "a text")?;
                } else {
                    lexer.skip(one);
                    lexer.until(one, false, "a text")?;
                }
            }
            '@' => {
                let line = lexer.line;
                let path = if lexer.skip("@@@") {
                    lexer.until("@@@", true, "an asset path")?.replace("\\@@@", "@@@")
                } else {
                    lexer.skip("@");
                    lexer.until("@", false, "an asset path")?.to_owned()
                };
                if found.len() == MOST_PATHS {
                    return Err(Trouble::TooLarge(format!("more than {MOST_PATHS} asset paths")));
                }
                if !path.is_empty() {
                    let place = format!("line {line}");
                    found.push(SceneReference {
                        place,
                        path,
                        bytes: None,
                    });
                }
            }
            '<' => {
                lexer.skip("<");
                lexer.until(">", false, "a path of a prim")?;
            }
            '(' | '[' | '{' => {
                open.push((first, lexer.line));
                if open.len() > DEEPEST {
                    return Err(Trouble::TooLarge(format!(
                        "more than {DEEPEST} brackets in each other"
                    )));
                }
                lexer.rest = &lexer.rest[1..];
            }
            ')' | ']' | '}' => {
                let begun = open.pop().map(|(bracket, _)| bracket);
                if !matches!(
                    (begun, first),
                    (Some('('), ')') | (Some('['), ']') | (Some('{'), '}')
                ) {
                    return Err(damaged(format!("line {}: `{first}` closes nothing", lexer.line)));
                }
                lexer.rest = &lexer.rest[1..];
            }
            other => {
                lexer.line += usize::from(other == '\n');
                lexer.rest = &lexer.rest[other.len_utf8()..];
            }
        }
    }
    match open.pop() {
        Some((bracket, line)) => Err(damaged(format!("line {line}: `{bracket}` is not closed"))),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::asset_paths;

    fn paths(text: &str) -> Vec<(String, String)> {
        let found = asset_paths(text).expect("a text");
        found.into_iter().map(|one| (one.place, one.path)).collect()
    }

    #[test]
    fn asset_paths_are_found_where_they_are_and_nowhere_else() {
        let text = "#usda 1.0\n(\n    subLayers = [\n        @./a.usda@,\n        @@@b@c.usda@@@\n    ]\n)\n\
            # @comment@\ndef \"A@no@\" (references = @../table/t.usd@</T>)\n{\n    string s = \"\"\"@no@\n'@no@'\"\"\"\n    asset e = @@\n    asset x = @tex.<UDIM>.exr@\n}\n";
        let expected = [
            ("line 4", "./a.usda"),
            ("line 5", "b@c.usda"),
            ("line 9", "../table/t.usd"),
            ("line 14", "tex.<UDIM>.exr"),
        ];
        assert_eq!(
            paths(text),
            expected.map(|(line, path)| (line.to_owned(), path.to_owned()))
        );
        assert_eq!(paths("#usda 1.0\nstring s = \"\\\"@no@\"\n"), []);
    }

    #[test]
    fn what_does_not_end_is_damage_with_its_line() {
        for (text, line) in [
            ("#usda 1.0\ndef \"A\" {\n", 2),
            ("#usda 1.0\n}\n", 2),
            ("#usda 1.0\n(\n]\n", 3),
            ("#usda 1.0\n\nasset a = @x\n", 3),
            ("#usda 1.0\nstring a = \"x\n\"", 2),
            ("#usda 1.0\n'''x\n", 2),
            ("#usda 1.0\n\"\\", 2),
        ] {
            let error = format!("{:?}", asset_paths(text).expect_err(text));
            assert!(error.contains(&format!("line {line}:")), "{text:?}: {error}");
        }
        assert!(asset_paths(&"(".repeat(2000)).is_err());
    }
}
