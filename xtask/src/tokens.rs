//! The words and marks of Rust source, as far as calls and types need them.
//!
//! Comments, texts, characters, lifetimes and modules for tests are left out. Deliberately absent: numbers apart from words, and marks of more than
//! one character but `::`, `->` and `=>`.

/// The words and marks of a file.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    without_tests(&split(text, false))
}

/// The same with the texts, in their quotes.
pub(crate) fn tokens_and_texts(text: &str) -> Vec<String> {
    without_tests(&split(text, true))
}

fn split(text: &str, with_texts: bool) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let rest = &letters[at..];
        at += match rest {
            ['/', '/', ..] => rest
                .iter()
                .position(|letter| *letter == '\n')
                .unwrap_or(rest.len()),
            ['r', '"' | '#', ..] if raw(rest).is_some() => raw(rest).unwrap_or(1),
            ['"', ..] => {
                let length = quoted(rest).min(rest.len());
                if with_texts {
                    found.push(rest[..length].iter().collect());
                }
                length
            }
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|letter| *letter == '\'').unwrap_or(0) + 1,
            ['\'', _, '\'', ..] => 3,
            ['\'', ..] => 1 + word(&rest[1..]),
            [':', ':', ..] | ['-' | '=', '>', ..] => {
                found.push(rest[..2].iter().collect());
                2
            }
            [letter, ..] if letter.is_whitespace() => 1,
            _ => {
                let length = word(rest).max(1);
                found.push(rest[..length].iter().collect());
                length
            }
        };
    }
    found
}

fn word(letters: &[char]) -> usize {
    let is_other = |letter: &char| !(letter.is_alphanumeric() || *letter == '_');
    letters.iter().position(is_other).unwrap_or(letters.len())
}

/// The length of a text in quotes.
fn quoted(letters: &[char]) -> usize {
    let mut at = 1;
    while at < letters.len() && letters[at] != '"' {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of a raw text.
fn raw(letters: &[char]) -> Option<usize> {
    let marks = letters[1..].iter().take_while(|letter| **letter == '#').count();
    let inside = letters
        .get(marks + 1)
        .filter(|letter| **letter == '"')
        .map(|_| marks + 2)?;
    let end: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', marks))
        .collect();
    let length = letters[inside..]
        .windows(end.len())
        .position(|window| window == end)?;
    Some(inside + length + end.len())
}

fn without_tests(all: &[String]) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::with_capacity(all.len()), 0);
    while at < all.len() {
        if all[at..]
            .iter()
            .zip(mark)
            .filter(|(one, wanted)| one == wanted)
            .count()
            == mark.len()
        {
            let begins = |token: &String| token == "{" || token == ";";
            at += all[at..].iter().position(begins).unwrap_or(0);
            at = closing(all, at).unwrap_or(at) + 1;
        } else {
            kept.push(all[at].clone());
            at += 1;
        }
    }
    kept
}

/// Where the bracket that opens at a place closes; `None` if none opens there.
pub(crate) fn closing(tokens: &[String], at: usize) -> Option<usize> {
    let end = match tokens.get(at)?.as_str() {
        "{" => "}",
        "(" => ")",
        "[" => "]",
        "<" => ">",
        _ => return None,
    };
    let (begin, mut depth) = (&tokens[at], 0);
    for (offset, token) in tokens[at..].iter().enumerate() {
        if token == begin {
            depth += 1;
        } else if token == end {
            depth -= 1;
            if depth == 0 {
                return Some(at + offset);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn what_is_no_code_is_left_out() {
        let text = "fn f<'a>(x: &'a str) -> char { // no\n  g(\"no \\\" no\", r#\"no \"no\" \"#, '\\'', 'n', x.y::<z>()) }\n#[cfg(test)]\nmod tests { fn no() {} }\n#[cfg(test)]\nmod no;\nfn h() {}";
        assert_eq!(
            tokens(text).join(" "),
            "fn f < > ( x : & str ) -> char { g ( , , , , x . y :: < z > ( ) ) } fn h ( ) { }"
        );
    }
}
