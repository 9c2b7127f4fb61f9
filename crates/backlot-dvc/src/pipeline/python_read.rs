//! Python files as parameters: literals that are assigned to names of the module, of classes, and to `self` in `__init__`.
//!
//! Invariant: nothing is executed; what is no literal (`X = A + 1`) is left out, as DVC leaves it out. Deliberately
//! absent: statements inside `if`, `for` and functions, and complaints about invalid programs beyond brackets and texts.

use super::integer::Integer;
use super::problem::Problem;
use super::python_tokens::{FORMATTED, LogicalLine, Token, split};
use super::value::{Map, Value};

/// How deep a literal may be nested.
const MAX_DEPTH: usize = 128;

/// Read a whole file.
pub(crate) fn read(text: &str) -> Result<Value, Problem> {
    let lines = split(text)?;
    let mut map = Map::default();
    block(&lines, false, &mut map, 0);
    Ok(Value::map(map))
}

/// The statements of one block; `of_self` if only attributes of `self` count.
fn block(lines: &[LogicalLine], of_self: bool, map: &mut Map, depth: usize) {
    let Some(indent) = lines.first().map(|line| line.indent) else {
        return;
    };
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        let inner = lines[at + 1..]
            .iter()
            .position(|other| other.indent <= indent)
            .map_or(lines.len(), |length| at + 1 + length);
        if line.indent == indent && depth < MAX_DEPTH {
            statement(line, &lines[at + 1..inner], of_self, map, depth);
        }
        at = inner.max(at + 1);
    }
}

fn statement(line: &LogicalLine, body: &[LogicalLine], of_self: bool, map: &mut Map, depth: usize) {
    let word = |at: usize| match line.tokens.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    match (word(0), word(1)) {
        ("class", name) if !name.is_empty() => {
            let mut inner = Map::default();
            block(&with_inline(line, body), false, &mut inner, depth + 1);
            map.insert(name.into(), Value::map(inner), line.line);
        }
        ("def", "__init__") => block(&with_inline(line, body), true, map, depth + 1),
        _ => {
            if let Some((name, value)) = assignment(&line.tokens, of_self) {
                map.insert(name.into(), value, line.line);
            }
        }
    }
}

/// The body of `class` or `def`, which may stand behind the `:`.
fn with_inline(head: &LogicalLine, body: &[LogicalLine]) -> Vec<LogicalLine> {
    let mut open = 0_usize;
    let colon = head.tokens.iter().position(|token| match token {
        Token::Sign('(' | '[' | '{') => {
            open += 1;
            false
        }
        Token::Sign(')' | ']' | '}') => {
            open = open.saturating_sub(1);
            false
        }
        Token::Sign(':') => open == 0,
        _ => false,
    });
    let inline = colon.map_or(&[][..], |at| &head.tokens[at + 1..]);
    if inline.is_empty() {
        return body.to_vec();
    }
    vec![LogicalLine {
        tokens: inline.to_vec(),
        ..head.clone()
    }]
}

/// The name and value of `name = literal`, `name: type = literal`, `self.name = literal`.
fn assignment(tokens: &[Token], of_self: bool) -> Option<(&str, Value)> {
    let (name, rest) = match tokens {
        [
            Token::Word(object),
            Token::Sign('.'),
            Token::Word(name),
            rest @ ..,
        ] if object == "self" => (name, rest),
        [Token::Word(name), rest @ ..] if !of_self => (name, rest),
        _ => return None,
    };
    let value = match rest {
        [Token::Sign('='), value @ ..] => value,
        [Token::Sign(':'), rest @ ..] => {
            let at = rest.iter().position(|token| *token == Token::Sign('='))?;
            &rest[at + 1..]
        }
        _ => return None,
    };
    let mut literal = Literal { tokens: value, at: 0 };
    let value = literal.top()?;
    (literal.at == literal.tokens.len()).then_some((name.as_str(), value))
}

/// A reader of literals. `None` means not a literal.
struct Literal<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Literal<'_> {
    fn sign(&mut self, sign: char) -> bool {
        let found = self.tokens.get(self.at) == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    /// A value, or values with commas and no brackets, which are a tuple.
    fn top(&mut self) -> Option<Value> {
        let first = self.value(0)?;
        if self.tokens.get(self.at) != Some(&Token::Sign(',')) {
            return Some(first);
        }
        let mut items = vec![first];
        while self.sign(',') {
            if self.at == self.tokens.len() {
                break;
            }
            items.push(self.value(0)?);
        }
        Some(Value::list(items))
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let token = self.tokens.get(self.at)?.clone();
        self.at += 1;
        match token {
            Token::Text(text) => self.joined(text),
            Token::Word(word) => self.word(&word),
            Token::Sign('-') => match self.value(depth + 1)? {
                Value::Int(number) => Some(Value::Int(number.negated())),
                Value::Float(float) => Some(Value::Float(-float)),
                Value::Foreign(kind) if kind.starts_with("a complex") => Some(Value::Foreign(kind)),
                _ => None,
            },
            Token::Sign('+') => {
                let value = self.value(depth + 1)?;
                matches!(value, Value::Int(_) | Value::Float(_)).then_some(value)
            }
            Token::Sign('[') => self.items(']', depth).map(|(items, _)| Value::list(items)),
            Token::Sign('(') => {
                let (mut items, commas) = self.items(')', depth)?;
                if items.len() == 1 && !commas {
                    return items.pop();
                }
                Some(Value::list(items))
            }
            Token::Sign('{') => self.braces(depth),
            Token::Sign(_) => None,
        }
    }

    /// Texts that stand side by side are one.
    fn joined(&mut self, first: Result<String, &'static str>) -> Option<Value> {
        let mut all = first;
        while let Some(Token::Text(next)) = self.tokens.get(self.at) {
            self.at += 1;
            all = match (all, next) {
                (Ok(all), Ok(next)) => Ok(all + next),
                (_, Err(FORMATTED)) => return None,
                (Err(kind), _) => Err(kind),
                (_, Err(kind)) => Err(kind),
            };
        }
        match all {
            Err(FORMATTED) => None,
            all => Some(all.map_or_else(Value::Foreign, Value::Str)),
        }
    }

    fn word(&mut self, word: &str) -> Option<Value> {
        match word {
            "None" => Some(Value::Null),
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "set" if self.sign('(') && self.sign(')') => Some(Value::Foreign("a set of Python")),
            _ => number(word),
        }
    }

    /// Values up to a bracket, and whether there was a comma.
    fn items(&mut self, end: char, depth: usize) -> Option<(Vec<Value>, bool)> {
        let (mut items, mut commas) = (Vec::new(), false);
        while !self.sign(end) {
            items.push(self.value(depth + 1)?);
            if self.sign(',') {
                commas = true;
            } else if self.tokens.get(self.at) != Some(&Token::Sign(end)) {
                return None;
            }
        }
        Some((items, commas))
    }

    /// A mapping or a set.
    fn braces(&mut self, depth: usize) -> Option<Value> {
        let (mut map, mut sets, mut first) = (Map::default(), false, true);
        while !self.sign('}') {
            let key = self.value(depth + 1)?;
            if first {
                sets = self.tokens.get(self.at) != Some(&Token::Sign(':'));
            }
            first = false;
            if !sets {
                if !self.sign(':') || key.is_container() {
                    return None;
                }
                let value = self.value(depth + 1)?;
                map.insert(key, value, 0);
            }
            if !self.sign(',') && self.tokens.get(self.at) != Some(&Token::Sign('}')) {
                return None;
            }
        }
        Some(if sets {
            Value::Foreign("a set of Python")
        } else {
            Value::map(map)
        })
    }
}

/// `1_000`, `0x1f`, `1.5e-3`; `None` for names.
fn number(word: &str) -> Option<Value> {
    let text = word.replace('_', "").to_lowercase();
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let based = |prefix: &str, radix| {
        let digits = text.strip_prefix(prefix)?;
        Integer::parse(false, digits, radix).map(Value::Int)
    };
    let whole = || {
        let zeros = text.starts_with('0') && !text.trim_start_matches('0').is_empty();
        Integer::parse(false, &text, 10)
            .filter(|_| !zeros)
            .map(Value::Int)
    };
    if let Some(imaginary) = text.strip_suffix('j') {
        return imaginary
            .parse::<f64>()
            .ok()
            .map(|_| Value::Foreign("a complex number"));
    }
    let float = || {
        let fits = text.contains(['.', 'e']);
        text.parse().ok().filter(|_| fits).map(Value::Float)
    };
    based("0x", 16)
        .or_else(|| based("0o", 8))
        .or_else(|| based("0b", 2))
        .or_else(whole)
        .or_else(float)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Value, read};
    use crate::pipeline::{json_read, yaml_read};

    fn same(python: &str, yaml: &str) {
        let (python_value, yaml_value) = (
            read(python).expect("Python"),
            yaml_read::read(yaml).expect("YAML"),
        );
        assert_eq!(python_value, yaml_value, "{python}");
    }

    #[test]
    fn literals_of_modules_classes_and_init_are_read() {
        same(
            "A = 1\nB: float = 2.5\nT = (1, 2)\nU = 1, 2\nD = {\"k\": [1, 2], \"n\": None}\nX = A + 1\nclass Cfg:\n    lr = 0.1\n    def __init__(self):\n        self.hid = 3\n        other = 4\n    def more(self):\n        self.no = 1\n    class In: x = 1\nlast = 'end'\n",
            "A: 1\nB: 2.5\nT: [1, 2]\nU: [1, 2]\nD: {k: [1, 2], n: ~}\nCfg: {lr: 0.1, hid: 3, In: {x: 1}}\nlast: end\n",
        );
    }

    #[test]
    fn what_is_no_literal_is_left_out() {
        same(
            "a = f()\nb = c = 1\nd += 1\nif True:\n    e = 1\nfor x in y:\n    f = 2\nasync def __init__(self):\n    self.g = 1\nh = [i for i in j]\nk, l = 1, 2\nm: int\nn = 'x' if o else 'y'\np.q = 1\nr = 07\ns = {**t}\nu = -'x'\nv = 1 if True else 2\nw = f'x'\ny = ['a', 'b' f'c']\nok = -1\n",
            "ok: -1\n",
        );
    }

    #[test]
    fn numbers_and_texts_are_those_of_python() {
        same(
            "a = 1_000\nb = 0x1F\nc = 1e3\nd = .5\ne = -0o17\nf = 'a' \"b\" '''c\nd'''\ng = (1)\nh = (1,)\ni = {}\nj = ()\nk = {1: 'x',}\nl = 12345678901234567890123\nm = 1.\nn = +2\n",
            "a: 1000\nb: 31\nc: 1000.0\nd: 0.5\ne: -15\nf: \"abc\\nd\"\ng: 1\nh: [1]\ni: {}\nj: []\nk: {1: x}\nl: 12345678901234567890123\nm: 1.0\nn: 2\n",
        );
    }

    #[test]
    fn what_no_lock_can_hold_says_what_it_is() {
        let value = read("a = {1, 2}\nb = b'x'\nc = 2j\nd = set()\ne = {'k': [{1}]}\n").expect("read");
        let map = value.as_map().expect("a mapping");
        for (key, kind) in [
            ("a", "a set of Python"),
            ("b", "bytes of Python"),
            ("c", "a complex number"),
            ("d", "a set of Python"),
            ("e", "a set of Python"),
        ] {
            assert_eq!(map.get(key).and_then(Value::find_foreign), Some(kind), "{key}");
        }
    }

    proptest! {
        #[test]
        fn json_without_its_words_is_python(text in "[\\[\\]{},:\"a1. e-]{0,14}") {
            // A file may say `{"a": 1}` in both languages; Python knows a few more spellings.
            if let Ok(value) = json_read::read(&text) {
                let python = read(&format!("x = {}\n", text.trim())).expect("read");
                let found = python.as_map().and_then(|map| map.get("x"));
                prop_assert_eq!(found, Some(&value), "{}", text);
            }
        }

        #[test]
        fn no_text_panics(text in "[-a-z0-9=.,:'\"\\\\()\\[\\]{}# \n]{0,60}") {
            read(&text).ok();
        }
    }
}
