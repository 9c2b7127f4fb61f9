//! Patterns of paths as shells write them, and ranges of frames: `frames/beauty.*.exr`, `frames/beauty.[1001-1010].exr`.
//!
//! `*` is any text and `?` any character of one name, `**` any number of folders, `[1001-1010x2]` a frame number, padded or not. A pattern that fits a
//! folder stands for all that is in it. Deliberately absent: sets of characters; a bracket that holds no frames is a bracket.

use std::path::Path;

use backlot_core::frames::{Frames, number};

use crate::error::{OutsError, Result};

/// A pattern of paths.
#[derive(Clone, Debug)]
pub(crate) struct PathPattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// Any folders, or none.
    Folders,
    /// One name.
    Name(Vec<Token>),
}

#[derive(Clone, Debug)]
enum Token {
    Letter(char),
    /// Any text.
    Any,
    /// Any character.
    One,
    Frame(Frames),
}

/// Whether a text has what only patterns have.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

impl PathPattern {
    /// The pattern that fits one path, and what is in it.
    pub(crate) fn literal(path: &Path) -> Self {
        let letters = |part: &str| Part::Name(part.chars().map(Token::Letter).collect());
        Self {
            parts: names(path).iter().map(|part| letters(part)).collect(),
        }
    }

    /// The pattern that a path is.
    pub(crate) fn parse(path: &Path) -> Result<Self> {
        let parts = names(path);
        let part = |text: &String| match text.as_str() {
            "**" => Ok(Part::Folders),
            text => tokens(text).map(Part::Name),
        };
        Ok(Self {
            parts: parts.iter().map(part).collect::<Result<_>>()?,
        })
    }

    /// Whether a path, or a folder that it is in, fits.
    pub(crate) fn fits(&self, path: &Path) -> bool {
        fits(&self.parts, &names(path), false)
    }

    /// Whether a path, or something in it, may fit.
    pub(crate) fn may_fit_below(&self, path: &Path) -> bool {
        fits(&self.parts, &names(path), true)
    }
}

/// The names of a path; what is not a text fits nothing but `*`.
fn names(path: &Path) -> Vec<String> {
    path.iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect()
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let (token, length) = match letter {
            '*' => (Token::Any, 1),
            '?' => (Token::One, 1),
            '[' => match frames_in_brackets(rest)? {
                Some((frames, length)) => (Token::Frame(frames), length),
                None => (Token::Letter(letter), 1),
            },
            letter => (Token::Letter(letter), letter.len_utf8()),
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// The frames in brackets that a text begins with, and how long they are. What has only the characters of ranges, and is not one, is an
/// error: it was meant as one.
fn frames_in_brackets(text: &str) -> Result<Option<(Frames, usize)>> {
    let Some(end) = text.find(']') else {
        return Ok(None);
    };
    let inside = &text[1..end];
    let is_range = |c: char| c.is_ascii_digit() || matches!(c, '-' | ',' | 'x' | ' ');
    if !inside.contains(|c: char| c.is_ascii_digit()) || !inside.chars().all(is_range) {
        return Ok(None);
    }
    Ok(Some((parse_frames(inside)?, end + 1)))
}

/// Frames as somebody wrote them.
pub(crate) fn parse_frames(text: &str) -> Result<Frames> {
    let bad = || OutsError::BadFrames {
        text: text.to_owned(),
    };
    Ok(Frames::parse(text).ok_or_else(bad)?)
}

/// Whether parts fit the beginning of a path; with `open`, also a path that is the beginning of what they fit.
fn fits(parts: &[Part], path: &[String], open: bool) -> bool {
    match (parts, path) {
        ([], _) => true,
        (parts, []) => open || parts.iter().all(|part| matches!(part, Part::Folders)),
        ([Part::Folders, rest @ ..], [_, below @ ..]) => fits(rest, path, open) || fits(parts, below, open),
        ([Part::Name(tokens), rest @ ..], [name, below @ ..]) => {
            name_fits(tokens, name) && fits(rest, below, open)
        }
    }
}

fn name_fits(tokens: &[Token], name: &str) -> bool {
    let Some((token, rest)) = tokens.split_first() else {
        return name.is_empty();
    };
    let first = name.chars().next();
    let behind = |c: char| &name[c.len_utf8()..];
    match token {
        Token::Letter(letter) => first == Some(*letter) && name_fits(rest, behind(*letter)),
        Token::One => first.is_some_and(|c| name_fits(rest, behind(c))),
        Token::Frame(frames) => {
            let digits = name.len() - name.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            number(&name[..digits]).is_some_and(|frame| frames.contains(frame))
                && name_fits(rest, &name[digits..])
        }
        Token::Any if rest.is_empty() => true,
        Token::Any => {
            let starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            starts.into_iter().any(|at| name_fits(rest, &name[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::PathPattern;

    fn fits(pattern: &str, path: &str) -> bool {
        let pattern = PathPattern::parse(Path::new(pattern)).expect("a pattern");
        pattern.fits(Path::new(path))
    }

    #[test]
    fn patterns_fit_names_folders_and_frames() {
        for (pattern, path) in [
            ("a/frames", "a/frames/f.1.exr"),
            ("a/f*", "a/frames/f.1.exr"),
            ("a/*.exr", "a/f.1.exr"),
            ("a/f.????.exr", "a/f.0001.exr"),
            ("a/f.[1-10].exr", "a/f.0007.exr"),
            ("a/f.[1-10x2].exr", "a/f.9.exr"),
            ("a/f.[3,7].exr", "a/f.0007.exr"),
            ("a/[1001-1010].exr", "a/1001.exr"),
            ("**/f.[1-3].exr", "a/b/f.0001.exr"),
            ("**", "a"),
            ("a/**/x", "a/x"),
            ("a/[abc].exr", "a/[abc].exr"),
            ("a/*.[1-3].*", "a/b.c.2.exr"),
            ("é*", "é1"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("a/frames", "a/frames2"),
            ("a/frames/x", "a/frames"),
            ("a/*.exr", "a/b/f.exr"),
            ("a/f.[1-10].exr", "a/f.0011.exr"),
            ("a/f.[1-10x2].exr", "a/f.0002.exr"),
            ("a/f.[1-10].exr", "a/f.1x.exr"),
            ("a/f?", "a/f"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
        assert!(PathPattern::parse(Path::new("a/f.[10-1].exr")).is_err());
        let literal = PathPattern::literal(Path::new("a/f.[1-10].exr"));
        assert!(!literal.fits(Path::new("a/f.1.exr")) && literal.fits(Path::new("a/f.[1-10].exr")));
    }

    #[test]
    fn a_folder_is_looked_into_only_where_something_may_fit() {
        let pattern = PathPattern::parse(Path::new("a/b/f.[1-3].exr")).expect("a pattern");
        for (path, may) in [
            ("a", true),
            ("a/b", true),
            ("a/c", false),
            ("a/b/f.1.exr/x", true),
        ] {
            assert_eq!(pattern.may_fit_below(Path::new(path)), may, "{path}");
        }
    }
}
