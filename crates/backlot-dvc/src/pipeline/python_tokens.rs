//! Words of a Python file: logical lines with their indentation, and the words in them.
//!
//! Invariant: a logical line ends where Python ends it: brackets, texts in three quotes and backslashes join lines, `;`
//! parts them. Deliberately absent: the check that a program is valid beyond its brackets and texts.

use super::problem::Problem;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name, keyword or number.
    Word(String),
    /// A text with what its escapes stand for; `Err` says what it is instead.
    Text(Result<String, &'static str>),
    /// One character of any other kind.
    Sign(char),
}

/// A logical line, or what is between two `;`.
#[derive(Clone, Debug)]
pub(crate) struct LogicalLine {
    /// Columns before the first word; what follows a `;` has that of its line.
    pub(crate) indent: usize,
    /// The line in the file, from 1.
    pub(crate) line: usize,
    /// The words.
    pub(crate) tokens: Vec<Token>,
}

/// What a text is whose value only a program can know.
pub(crate) const FORMATTED: &str = "a Python f-string";

/// Take a file apart.
pub(crate) fn split(text: &str) -> Result<Vec<LogicalLine>, Problem> {
    let mut splitter = Splitter {
        chars: text.strip_prefix('\u{feff}').unwrap_or(text).chars().collect(),
        at: 0,
        line: 1,
        open: Vec::new(),
        lines: Vec::new(),
        current: None,
        indent: 0,
    };
    splitter.run()?;
    Ok(splitter.lines)
}

struct Splitter {
    chars: Vec<char>,
    at: usize,
    line: usize,
    /// Open brackets with their lines.
    open: Vec<(char, usize)>,
    lines: Vec<LogicalLine>,
    current: Option<LogicalLine>,
    indent: usize,
}

impl Splitter {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn run(&mut self) -> Result<(), Problem> {
        self.start_line();
        while let Some(c) = self.peek(0) {
            match c {
                '\n' => {
                    self.at += 1;
                    self.line += 1;
                    if self.open.is_empty() {
                        self.end();
                        self.start_line();
                    }
                }
                '#' => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                '\\' if self.peek(1) == Some('\n') => {
                    self.at += 2;
                    self.line += 1;
                }
                '\\' if self.peek(1) == Some('\r') && self.peek(2) == Some('\n') => {
                    self.at += 3;
                    self.line += 1;
                }
                ';' if self.open.is_empty() => {
                    self.at += 1;
                    self.end();
                }
                c if c.is_whitespace() => self.at += 1,
                '"' | '\'' => self.text("")?,
                c if is_word(c) || (c == '.' && self.peek(1).is_some_and(|d| d.is_ascii_digit())) => {
                    self.word()?;
                }
                c => self.sign(c)?,
            }
        }
        self.end();
        match self.open.last() {
            Some((bracket, line)) => Err(Problem::new(*line, format!("`{bracket}` is not closed"))),
            None => Ok(()),
        }
    }

    fn start_line(&mut self) {
        self.indent = 0;
        while let Some(c @ (' ' | '\t' | '\u{c}')) = self.peek(0) {
            self.indent = match c {
                ' ' => self.indent + 1,
                '\t' => self.indent / 8 * 8 + 8,
                _ => 0,
            };
            self.at += 1;
        }
    }

    fn end(&mut self) {
        self.lines.extend(self.current.take());
    }

    fn push(&mut self, token: Token) {
        let (indent, line) = (self.indent, self.line);
        let current = self.current.get_or_insert_with(|| LogicalLine {
            indent,
            line,
            tokens: Vec::new(),
        });
        current.tokens.push(token);
    }

    fn sign(&mut self, c: char) -> Result<(), Problem> {
        match c {
            '(' | '[' | '{' => self.open.push((c, self.line)),
            ')' | ']' | '}' => {
                let opened = self.open.pop().map(|(bracket, _)| bracket);
                if !matches!(
                    (opened, c),
                    (Some('('), ')') | (Some('['), ']') | (Some('{'), '}')
                ) {
                    return Err(Problem::new(self.line, format!("`{c}` was not opened")));
                }
            }
            _ => {}
        }
        self.push(Token::Sign(c));
        self.at += 1;
        Ok(())
    }

    fn word(&mut self) -> Result<(), Problem> {
        let start = self.at;
        let number = self.peek(0).is_some_and(|c| c.is_ascii_digit() || c == '.');
        while let Some(c) = self.peek(0) {
            let previous = self.chars[self.at.saturating_sub(1)];
            let hexadecimal = matches!(self.chars.get(start + 1), Some('x' | 'X'));
            let exponent = number && !hexadecimal && matches!(previous, 'e' | 'E') && self.at > start;
            if !(is_word(c) || (number && c == '.') || (exponent && matches!(c, '+' | '-'))) {
                break;
            }
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        let prefix = word.len() <= 2 && word.chars().all(|c| "rRbBuUfF".contains(c));
        if prefix && matches!(self.peek(0), Some('"' | '\'')) {
            return self.text(&word.to_lowercase());
        }
        self.push(Token::Word(word));
        Ok(())
    }

    /// A text after its prefix, in one or three quotes.
    fn text(&mut self, prefix: &str) -> Result<(), Problem> {
        let begun = self.line;
        let quote = self.chars[self.at];
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let (mut text, mut other) = (String::new(), foreign_prefix(prefix));
        loop {
            let Some(c) = self.peek(0) else {
                return Err(Problem::new(begun, "unterminated string"));
            };
            if c == quote && (!triple || (self.peek(1) == Some(quote) && self.peek(2) == Some(quote))) {
                self.at += width;
                break;
            }
            match c {
                '\n' if !triple => return Err(Problem::new(begun, "unterminated string")),
                '\\' if prefix.contains('r') => {
                    text.push('\\');
                    self.at += 1;
                    let next = self.peek(0).unwrap_or('\\');
                    self.line += usize::from(next == '\n');
                    text.push(next);
                    self.at += 1;
                }
                '\\' => {
                    self.at += 1;
                    match self.escape() {
                        Ok(c) => text.extend(c),
                        Err(kind) => other = Some(kind),
                    }
                }
                c => {
                    self.line += usize::from(c == '\n');
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        self.push(Token::Text(other.map_or(Ok(text), Err)));
        Ok(())
    }

    /// What stands behind a backslash; an unknown escape keeps it.
    fn escape(&mut self) -> Result<Vec<char>, &'static str> {
        let Some(c) = self.peek(0) else { return Ok(vec![]) };
        self.at += 1;
        let simple = match c {
            '\n' => {
                self.line += 1;
                return Ok(vec![]);
            }
            '\\' | '\'' | '"' => c,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                self.at -= 1;
                return self.code(8, 1, 3);
            }
            'x' => return self.code(16, 2, 2),
            'u' => return self.code(16, 4, 4),
            'U' => return self.code(16, 8, 8),
            'N' => return Err("a string with a named character"),
            other => return Ok(vec!['\\', other]),
        };
        Ok(vec![simple])
    }

    fn code(&mut self, radix: u32, least: usize, most: usize) -> Result<Vec<char>, &'static str> {
        let digits: Vec<u32> = (0..most)
            .map_while(|ahead| self.peek(ahead)?.to_digit(radix))
            .collect();
        self.at += digits.len();
        let code = digits
            .iter()
            .fold(0_u32, |code, digit| code.wrapping_mul(radix).wrapping_add(*digit));
        let c = char::from_u32(code).filter(|_| digits.len() >= least);
        c.map(|c| vec![c]).ok_or("a string with an unpaired surrogate")
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn foreign_prefix(prefix: &str) -> Option<&'static str> {
    if prefix.contains('b') {
        Some("bytes of Python")
    } else if prefix.contains('f') {
        Some(FORMATTED)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Token, split};

    #[test]
    fn lines_end_where_python_ends_them() {
        let text = "a = (1, # note\n  2)\nb = 'x;y'; c = 1\nd = '''p\nq'''\ne = 1 + \\\n  2\n";
        let lines = split(text).expect("split");
        let places: Vec<(usize, usize)> = lines.iter().map(|l| (l.line, l.tokens.len())).collect();
        assert_eq!(places, [(1, 7), (3, 3), (3, 3), (4, 3), (6, 5)]);
        assert_eq!(lines[3].tokens[2], Token::Text(Ok("p\nq".to_owned())));
    }

    #[test]
    fn escapes_are_those_of_python() {
        let text = r#"a = "\x41\u00e9\101\n\q\"" r'\n' b'x' '\N{DASH}' '\ud800'"#;
        let lines = split(text).expect("split");
        let texts: Vec<_> = lines[0].tokens.iter().skip(2).cloned().collect();
        assert_eq!(
            texts,
            [
                Token::Text(Ok("A\u{e9}A\n\\q\"".to_owned())),
                Token::Text(Ok("\\n".to_owned())),
                Token::Text(Err("bytes of Python")),
                Token::Text(Err("a string with a named character")),
                Token::Text(Err("a string with an unpaired surrogate")),
            ]
        );
    }

    #[test]
    fn numbers_are_one_word() {
        let lines = split("a = 1e-5 - .5 + 0x1e-1").expect("split");
        let words: Vec<String> = lines[0]
            .tokens
            .iter()
            .map(|token| match token {
                Token::Word(word) => word.clone(),
                Token::Sign(sign) => sign.to_string(),
                Token::Text(_) => "text".to_owned(),
            })
            .collect();
        assert_eq!(words, ["a", "=", "1e-5", "-", ".5", "+", "0x1e", "-", "1"]);
    }

    #[test]
    fn defects_have_their_line() {
        for (text, line) in [
            ("a = 1\nb = (1,\n", 2),
            ("a = 1)\n", 1),
            ("\n'x\n'", 2),
            ("'''x\n", 1),
        ] {
            assert_eq!(split(text).expect_err(text).line, line, "{text}");
        }
    }
}
