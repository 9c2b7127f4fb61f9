//! JSON as Python's `json.loads` reads it: whole numbers of any length, `NaN` and `Infinity`, the last of equal keys.
//!
//! Invariant: `1` is a whole number and `1.0` and `1e3` are floats. Deliberately absent: comments. `serde_json` would
//! round long numbers and lose lines.

use super::integer::Integer;
use super::problem::{Problem, line_of};
use super::value::{Map, Value};

/// How deep a file may be nested.
const MAX_DEPTH: usize = 128;

/// Read a whole file.
pub(crate) fn read(text: &str) -> Result<Value, Problem> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.problem("unexpected text after the value"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn problem(&self, reason: &str) -> Problem {
        Problem::new(line_of(self.text, self.at), reason)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, Problem> {
        if depth > MAX_DEPTH {
            return Err(self.problem("nested too deep"));
        }
        self.space();
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ] {
            if self.take(word) {
                return Ok(value);
            }
        }
        match self.rest().as_bytes().first() {
            Some(b'"') => self.string().map(Value::Str),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.map(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.problem("expected a value")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        self.take("[");
        let mut items = Vec::new();
        self.space();
        if self.take("]") {
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take("]") {
                return Ok(Value::list(items));
            }
            if !self.take(",") {
                return Err(self.problem("`,` or `]` is expected"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        self.take("{");
        let mut map = Map::default();
        self.space();
        if self.take("}") {
            return Ok(Value::map(map));
        }
        loop {
            self.space();
            if !self.rest().starts_with('"') {
                return Err(self.problem("expected a key in double quotes"));
            }
            let line = line_of(self.text, self.at);
            let key = self.string()?;
            self.space();
            if !self.take(":") {
                return Err(self.problem("`:` is expected"));
            }
            let value = self.value(depth + 1)?;
            map.insert(key.into(), value, line);
            self.space();
            if self.take("}") {
                return Ok(Value::map(map));
            }
            if !self.take(",") {
                return Err(self.problem("`,` or `}` is expected"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let text = &rest[..end];
        let body = text.strip_prefix('-').unwrap_or(text);
        let zero = body.len() > 1 && body.starts_with('0') && body.as_bytes()[1].is_ascii_digit();
        let whole = body.bytes().all(|c| c.is_ascii_digit());
        let dots = body.starts_with('.') || body.ends_with('.') || body.contains(".e") || body.contains(".E");
        let value = if whole {
            Integer::parse(text != body, body, 10).map(Value::Int)
        } else if dots || text.contains("+.") {
            None
        } else {
            text.parse().ok().map(Value::Float)
        };
        let value = value
            .filter(|_| !zero)
            .ok_or_else(|| self.problem("not a valid number"))?;
        self.at += end;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, Problem> {
        self.take("\"");
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let end = rest
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .ok_or_else(|| self.problem("unterminated string"))?;
            text.push_str(&rest[..end]);
            self.at += end;
            if self.take("\"") {
                return Ok(text);
            }
            if !self.take("\\") {
                return Err(self.problem("control character in a string"));
            }
            text.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Result<char, Problem> {
        let c = self.rest().chars().next().unwrap_or(' ');
        let plain = match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            _ => return Err(self.problem("unknown escape in a string")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, Problem> {
        let unit = |at: usize| {
            let digits = self.text.get(at + 1..at + 5)?;
            digits
                .bytes()
                .all(|c| c.is_ascii_hexdigit())
                .then(|| u16::from_str_radix(digits, 16).ok())?
        };
        let first = unit(self.at).ok_or_else(|| self.problem("`\\u` needs four hexadecimal digits"))?;
        let follows = self.text[self.at + 5..].starts_with("\\u");
        let second = follows.then(|| unit(self.at + 6)).flatten();
        let pair = [first, second.unwrap_or(0)];
        let mut decoded = char::decode_utf16(pair);
        match decoded.next() {
            Some(Ok(c)) => {
                self.at += if c.len_utf16() == 2 { 11 } else { 5 };
                Ok(c)
            }
            _ => Err(self.problem("unpaired surrogate in a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Value, read};

    #[test]
    fn values_are_those_of_python() {
        let value = read(
            r#" {"a": [1, 1.0, 1e3, -0, 12345678901234567890123, true, null, NaN], "u": "\u00e9\ud83d\ude00\n", "u": "x"} "#,
        )
        .expect("read");
        let map = value.as_map().expect("a mapping");
        let items: Vec<String> = map
            .get("a")
            .and_then(Value::as_list)
            .expect("a list")
            .iter()
            .filter_map(Value::to_text)
            .collect();
        assert_eq!(
            items.join(" "),
            "1 1.0 1000.0 0 12345678901234567890123 true None nan"
        );
        assert_eq!(map.get("u"), Some(&"x".into()));
        assert_eq!(read(r#""\ud83d\ude00""#).expect("read"), "\u{1f600}".into());
    }

    #[test]
    fn defects_have_their_line() {
        for (text, line) in [
            ("{\n\"a\": 1,\n}", 3),
            ("[1,\n01]", 2),
            ("[1 2]", 1),
            ("\"a\nb\"", 1),
            ("{\n'a': 1}", 2),
            ("1\n2", 2),
            ("\"\\ud800\"", 1),
            ("", 1),
            ("[1.]", 1),
            ("\"\\u12\"", 1),
        ] {
            assert_eq!(read(text).expect_err(text).line, line, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_json_reads_is_read_alike(text in "[\\[\\]{},:\"a1.e\\\\-]{0,12}") {
            // Python reads a number that is too large as infinity.
            prop_assume!(!text.contains("e11"));
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(read(&text).is_ok(), theirs, "{}", text);
        }
    }
}
