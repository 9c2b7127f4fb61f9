//! USD as text: whether strings, asset paths and brackets end, and all asset paths.
//!
//! The text is read as its grammar divides it: comments, strings of one and of three quotes, asset paths in `@` or `@@@`, paths of prims in `<>`,
//! brackets. Invariant: each byte is looked at once, and brackets nest only so deep. Deliberately absent: what the words mean, and composition.

use super::bytes::Source;
use super::damaged;
use super::scene::SceneReference;
use crate::error::Trouble;

/// The most bytes of a text.
const MOST_TEXT: u64 = 1 << 30;
/// The most brackets in brackets.
const DEEPEST: usize = 1000;
/// The most asset paths.
const MOST_PATHS: usize = 1_000_000;

/// The asset paths of a layer.
pub(super) fn read(source: &mut Source) -> Result<Vec<SceneReference>, Trouble> {
    if source.size > MOST_TEXT {
        return Err(Trouble::TooLarge(format!("{} bytes of text", source.size)));
    }
    let text = source.read(0, source.size)?;
    let text = std::str::from_utf8(&text).map_err(|_| damaged("its text is not valid UTF-8"))?;
    asset_paths(text)
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

    /// A text in quotes, which may be three.
    fn text(&mut self, quote: char) -> Result<(), Trouble> {
        let (three, one) = if quote == '"' {
            ("\"\"\"", "\"")
        } else {
            ("'''", "'")
        };
        let is_long = self.skip(three);
        if !is_long {
            self.skip(one);
        }
        self.until(if is_long { three } else { one }, is_long, "a text")?;
        Ok(())
    }

    /// An asset path, without its marks.
    fn asset_path(&mut self) -> Result<String, Trouble> {
        if self.skip("@@@") {
            let path = self.until("@@@", true, "an asset path")?;
            return Ok(path.replace("\\@@@", "@@@"));
        }
        self.skip("@");
        Ok(self.until("@", false, "an asset path")?.to_owned())
    }

    /// A word.
    fn word(&mut self) -> &'a str {
        let is_inside = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
        let end = self.rest.find(|letter| !is_inside(letter));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
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
    // How many brackets are open around a list of what is deleted, which need not be there.
    let mut deleting: Option<usize> = None;
    while let Some(first) = lexer.rest.chars().next() {
        match first {
            '#' => {
                lexer.rest = lexer
                    .rest
                    .split_once('\n')
                    .map_or("", |(comment, _)| &lexer.rest[comment.len()..]);
            }
            '"' | '\'' => lexer.text(first)?,
            '@' => {
                let line = lexer.line;
                let path = lexer.asset_path()?;
                if found.len() == MOST_PATHS {
                    return Err(Trouble::TooLarge(format!("more than {MOST_PATHS} asset paths")));
                }
                if !path.is_empty() && deleting.is_none() {
                    found.push(SceneReference {
                        place: format!("line {line}"),
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
            '\n' => {
                lexer.skip("\n");
                lexer.line += 1;
                deleting = deleting.filter(|around| open.len() > *around);
            }
            first if first.is_alphanumeric() || first == '_' => {
                if lexer.word() == "delete" {
                    deleting = Some(open.len());
                }
            }
            other => lexer.rest = &lexer.rest[other.len_utf8()..],
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
            # @comment@\ndef \"A@no@\" (references = @../table/t.usd@</T>)\n{\n    string s = \"\"\"@no@\n'@no@'\"\"\"\n    asset e = @@\n    asset x = @tex.<UDIM>.exr@\n    delete payload = [\n @gone.usd@,\n @too.usd@]\n    asset deleted = @b.exr@\n}\n";
        let expected = [
            ("line 4", "./a.usda"),
            ("line 5", "b@c.usda"),
            ("line 9", "../table/t.usd"),
            ("line 14", "tex.<UDIM>.exr"),
            ("line 18", "b.exr"),
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
