//! Messages and helps of all errors, as the source has them: a file that changes when one of them does, so that it is read.
//!
//! From `#[error(...)]` of enums and structs, the rows of `coded!`, and what other implementations of `Diagnostic` say. Deliberately absent: the messages of errors of others
//! that are passed on, and warnings.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use fs_err as fs;

use crate::tokens::{closing, tokens_and_texts};

/// The file, in the repository.
pub const FILE: &str = "docs/error-texts.txt";

const HEAD: &str = "Messages and helps of all errors, as the source has them. Written by `cargo xtask texts`; a test compares it.\n";

/// Write the file.
pub fn write(root: &Path) -> io::Result<()> {
    fs::write(root.join(FILE), texts(root)?)
}

/// What the file has to be.
pub fn texts(root: &Path) -> io::Result<String> {
    let mut all = HEAD.to_owned();
    for path in crate::sources(root)? {
        let inside = path.strip_prefix(root).unwrap_or(&path);
        let name = inside.display().to_string();
        let is_product = name.starts_with("crates/") && name.contains("/src/");
        if !is_product {
            continue;
        }
        let found = texts_of(&fs::read_to_string(&path)?);
        if !found.is_empty() {
            let _ = write!(all, "\n{name}\n{found}");
        }
    }
    Ok(all)
}

/// The texts of one source.
fn texts_of(source: &str) -> String {
    let all = tokens_and_texts(source);
    let mut text = String::new();
    let mut owner = "";
    let mut at = 0;
    while at < all.len() {
        let is = |offset: usize, wanted: &str| all.get(at + offset).is_some_and(|token| token == wanted);
        if is(0, "enum") {
            owner = all.get(at + 1).map_or("", String::as_str);
        } else if is(0, "#") && is(1, "[") && is(2, "error") && is(3, "(") {
            if let (Some(end), Some(name)) = (closing(&all, at + 3), name_after(&all, at + 1)) {
                let name = match name {
                    (name, true) => name.to_owned(),
                    (name, false) => format!("{owner}::{name}"),
                };
                let message = joined(&all[at + 4..end]);
                if message != "transparent" {
                    let _ = writeln!(text, "  {name}\n    {message}");
                }
                at = end;
            }
        } else if is(0, "coded") && is(1, "!") && is(2, "{") {
            if let Some(end) = closing(&all, at + 2) {
                rows(&all[at + 3..end], &mut text);
                at = end;
            }
        } else if is(0, "Diagnostic") && is(1, "for") {
            let open = all[at..]
                .iter()
                .position(|token| token == "{")
                .map(|offset| at + offset);
            if let Some((open, end)) = open.and_then(|open| Some((open, closing(&all, open)?))) {
                let said = all[open..end].iter().filter(|token| token.starts_with('"'));
                let said: Vec<String> = said.map(|token| one_line(token)).collect();
                if !said.is_empty() {
                    let _ = writeln!(text, "  {} says {}", joined(&all[at + 2..open]), said.join(" | "));
                }
                at = end;
            }
        }
        at += 1;
    }
    text
}

/// What an attribute whose `[` is at a place stands before, and whether that is a type of its own.
fn name_after(all: &[String], attribute: usize) -> Option<(&str, bool)> {
    let mut at = closing(all, attribute)? + 1;
    while all.get(at)? == "#" {
        at = closing(all, at + 1)? + 1;
    }
    let mut is_type = false;
    loop {
        match all.get(at)?.as_str() {
            "pub" if all.get(at + 1)? == "(" => at = closing(all, at + 1)? + 1,
            "pub" => at += 1,
            "struct" | "enum" => {
                is_type = true;
                at += 1;
            }
            name => return Some((name, is_type)),
        }
    }
}

/// The rows of a `coded!`.
fn rows(inside: &[String], text: &mut String) {
    let Some(open) = inside.iter().position(|token| token == "{") else {
        return;
    };
    let end = closing(inside, open).unwrap_or(inside.len());
    let name = inside.first().map_or("", String::as_str);
    for row in split_at(&inside[open + 1..end], ";") {
        let Some(arrow) = row.iter().position(|token| token == "=>") else {
            continue;
        };
        let (pattern, said) = (joined(&row[..arrow]).replace("Self", name), &row[arrow + 1..]);
        let _ = writeln!(text, "  {pattern}");
        for part in split_at(said, ",") {
            let _ = writeln!(text, "    {}", joined(part));
        }
    }
}

/// The parts between marks that are in no brackets.
fn split_at<'a>(tokens: &'a [String], mark: &str) -> Vec<&'a [String]> {
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        if tokens[at] == mark {
            parts.push(&tokens[begin..at]);
            begin = at + 1;
        } else if matches!(tokens[at].as_str(), "{" | "(" | "[") {
            at = closing(tokens, at).unwrap_or(at);
        }
        at += 1;
    }
    parts.push(&tokens[begin..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Tokens as they are usually written, in one line.
fn joined(tokens: &[String]) -> String {
    let mut line = String::new();
    let is_word = |token: &str| {
        token.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '"')
    };
    let mut last = "";
    for token in tokens {
        let gap = is_word(last) && is_word(token)
            || last == ","
            || [last, token]
                .iter()
                .any(|one| matches!(*one, "=>" | "=" | "{" | "}" | "|"));
        if gap && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&one_line(token));
        last = token;
    }
    line
}

/// A text without the breaks that only its source has.
fn one_line(token: &str) -> String {
    let mut line = String::new();
    let mut rest = token;
    while let Some(at) = rest.find("\\\n") {
        line.push_str(&rest[..at]);
        rest = rest[at + 2..].trim_start();
    }
    line.push_str(rest);
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::texts_of;

    #[test]
    fn messages_rows_and_other_implementations_are_found() {
        let source = "#[derive(Debug)]\npub enum E {\n  /// One.\n  #[error(\"no {name}{}\", near(x))]\n  #[allow(x)]\n  One { name: String },\n  #[error(transparent)]\n  Two(#[from] X),\n}\n#[error(\"alone\")]\npub struct S;\nbacklot_core::coded! {\n  E as Two {\n    Self::One { name, .. } if name.is_empty() => \"e::one\", Class::User,\n      format!(\"run `{}`; \\\n        or not\", a(b, c)), retry true;\n  }\n}\nimpl Diagnostic for S {\n  fn code(&self) -> &'static str { \"s::alone\" }\n}\n";
        assert_eq!(
            texts_of(source),
            "  E::One\n    \"no {name}{}\", near(x)\n  S\n    \"alone\"\n  E::One { name, .. } if name.is_empty()\n    \"e::one\"\n    Class::User\n    format!(\"run `{}`; or not\", a(b, c))\n    retry true\n  S says \"s::alone\"\n"
        );
    }
}
