//! Whether a marker means the same to every installer.
//!
//! PEP 508 lets anything be compared with anything; values that are not versions are then compared as text by some installers and
//! dropped by others (uv's parser, used here, treats it as always true or false). Invariant: a marker that is accepted here is
//! evaluated alike by pip and by us. Deliberately absent: evaluating, and judging markers of packages that others published.

use crate::version::{Specifiers, Version};

const OF_VERSIONS: [&str; 3] = ["python_version", "python_full_version", "implementation_version"];
const OF_TEXT: [&str; 14] = [
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "implementation_name",
    "os.name",
    "sys.platform",
    "platform.version",
    "platform.machine",
    "platform.python_implementation",
    "python_implementation",
];

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Variable(&'a str),
    Text(&'a str),
    Operator(String),
}

/// The first comparison that installers read differently, with the reason.
pub(crate) fn ambiguity(marker: &str) -> Option<String> {
    let tokens = tokens(marker);
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|token| *token == Token::Variable("and") || *token == Token::Variable("or"));
        let (comparison, later) = rest.split_at(end.unwrap_or(rest.len()));
        if let Some(reason) = faulty(comparison) {
            return Some(reason);
        }
        rest = later.get(1..).unwrap_or_default();
    }
    None
}

fn faulty(comparison: &[Token<'_>]) -> Option<String> {
    let (variable, operator, text, swapped) = match comparison {
        [
            Token::Variable(variable),
            Token::Operator(operator),
            Token::Text(text),
        ] => (*variable, operator.as_str(), *text, false),
        [
            Token::Text(text),
            Token::Operator(operator),
            Token::Variable(variable),
        ] => (*variable, operator.as_str(), *text, true),
        _ => return Some("it does not compare a variable with a string".to_owned()),
    };
    let is_list = matches!(operator, "in" | "not in");
    if OF_VERSIONS.contains(&variable) {
        let good = if is_list {
            !swapped && text.split_whitespace().all(|part| Version::parse(part).is_ok())
        } else {
            Specifiers::parse(&format!("{operator}{text}")).is_ok()
        };
        return (!good).then(|| {
            if is_list {
                format!("`{text}` is not a space-separated list of versions")
            } else {
                format!("`{operator} {text}` is not a version range")
            }
        });
    }
    let good = if variable == "extra" {
        matches!(operator, "==" | "!=")
    } else {
        OF_TEXT.contains(&variable) && (is_list || matches!(operator, "==" | "!="))
    };
    (!good).then(|| format!("`{variable}` has no order: use `==`, `!=`, `in` or `not in`"))
}

/// The tokens of a marker that the parser accepted; parentheses do not matter here.
fn tokens(marker: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!' | '~');
    let mut tokens = Vec::new();
    let mut rest = marker.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let end = rest[1..].find(first).unwrap_or(rest.len() - 1);
                tokens.push(Token::Text(&rest[1..=end]));
                (end + 2).min(rest.len())
            }
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                match (&rest[..end], tokens.last_mut()) {
                    ("in", Some(Token::Operator(not))) if not == "not" => not.push_str(" in"),
                    (word @ ("in" | "not"), _) => tokens.push(Token::Operator(word.to_owned())),
                    (word, _) => tokens.push(Token::Variable(word)),
                }
                end
            }
            c if is_operator(c) => {
                let end = rest.find(|c| !is_operator(c)).unwrap_or(rest.len());
                tokens.push(Token::Operator(rest[..end].to_owned()));
                end
            }
            other => other.len_utf8(),
        };
        rest = rest[length..].trim_start();
    }
    tokens
}
