//! Patterns of names: `*` stands for any text, `?` for any ASCII character, everything else for itself.
//!
//! So SSH's files of known hosts and the lists of packages are written. Case counts. Deliberately absent: paths, sets and classes.

use globset::{GlobBuilder, GlobMatcher};

/// A pattern, compiled once for any number of texts.
#[derive(Clone, Debug)]
pub struct Wildcard {
    pattern: String,
    /// Of one with special characters, which most known hosts are not.
    glob: Option<GlobMatcher>,
}

impl Wildcard {
    /// The pattern that a text is.
    pub fn new(pattern: &str) -> Self {
        let has_special = pattern.contains(['*', '?']);
        Self {
            pattern: pattern.to_owned(),
            glob: has_special.then(|| compile(pattern)).flatten(),
        }
    }

    /// Whether a whole text fits it.
    pub fn fits(&self, text: &str) -> bool {
        let plain = || self.pattern == text;
        self.glob.as_ref().map_or_else(plain, |glob| glob.is_match(text))
    }
}

/// `None` for a pattern that is too long.
fn compile(pattern: &str) -> Option<GlobMatcher> {
    let mut glob = String::with_capacity(pattern.len());
    for letter in pattern.chars() {
        match letter {
            // Several are one: two would be any folders.
            '*' if glob.ends_with('*') => continue,
            '[' | ']' | '{' | '}' | '\\' => glob.push('\\'),
            _ => {}
        }
        glob.push(letter);
    }
    let glob = GlobBuilder::new(&glob).backslash_escape(true).build();
    Some(glob.ok()?.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::Wildcard;

    fn fits(pattern: &str, text: &str) -> bool {
        Wildcard::new(pattern).fits(text)
    }

    #[test]
    fn patterns_fit_whole_texts_and_only_two_characters_are_special() {
        for (pattern, yes, no) in [
            ("shot*", "shot010", "a-shot"),
            ("*", "a/b", ""),
            ("*-rig", "main-char-rig", "main-char-rig2"),
            ("a?c*e", "abcdde", "ac-e"),
            ("*a*b", "xaab", "xba"),
            ("**a", "xa", "ab"),
            ("**/a", "x/a", "a"),
            ("[nas]:22", "[nas]:22", "n:22"),
            ("{a,b}", "{a,b}", "a"),
            ("!a", "!a", "b"),
            ("a\\*", "a\\x", "a*"),
        ] {
            assert!(fits(pattern, yes), "{pattern} {yes}");
            assert!(pattern == "*" || !fits(pattern, no), "{pattern} {no}");
        }
        assert!(fits("*", "") && !fits("?", ""));
        assert!(
            !fits("*a*a*a*a*b", &"a".repeat(20_000)),
            "and soon, whatever the text"
        );
    }
}
