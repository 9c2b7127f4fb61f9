//! `${...}` in `dvc.yaml`: the expressions and their values.
//!
//! Invariants: a string that is one expression becomes the value itself, any other string stays a string; `\${` is kept as
//! `${`; a mapping becomes arguments in `cmd` and is refused elsewhere; what a file makes of its expressions has a bound.
//! Deliberately absent: where values come from ([`super::variables`]), and arithmetic, which DVC does not have.

use std::cell::Cell;

use backlot_core::text;

use super::value::{Map, Value};

/// DVC's settings of how a mapping becomes arguments (`parsing` in its configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArgumentStyle {
    /// `false` becomes `--no-name` instead of nothing (`bool = boolean_optional`).
    pub negated_flags: bool,
    /// A list becomes `--name 1 --name 2` instead of `--name 1 2` (`list = append`).
    pub repeated_lists: bool,
}

/// Why an expression cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing has the name.
    Unknown {
        /// The expression.
        name: String,
        /// A name that is nearly the same.
        nearest: Option<String>,
    },
    /// The expression or its value cannot be used here; a sentence part after the name of the key.
    Unusable(String),
}

/// How much a project may make of its expressions: many stages with a long text each are much more than their file.
#[derive(Debug, Default)]
pub(crate) struct Budget(Cell<usize>);

impl Budget {
    /// Bytes.
    const MOST: usize = 128 << 20;
    /// The cost of a value beside its text.
    const VALUE: usize = 16;

    /// Count values and bytes of text.
    pub(crate) fn spend(&self, values: usize, bytes: usize) -> Result<(), Fault> {
        let more = values.saturating_mul(Self::VALUE).saturating_add(bytes);
        let spent = self.0.get().saturating_add(more);
        self.0.set(spent);
        if spent <= Self::MOST {
            return Ok(());
        }
        Err(Fault::Unusable(format!(
            "expands the expressions of all files to more than {} MiB",
            Self::MOST >> 20
        )))
    }
}

/// The names available to expressions: variables, and the item and key of a generated stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) variables: &'a Map,
    pub(crate) item: Option<&'a Value>,
    pub(crate) key: Option<&'a Value>,
    pub(crate) budget: &'a Budget,
}

impl<'a> Scope<'a> {
    /// The value of an expression.
    fn select(&self, inner: &str) -> Result<&'a Value, Fault> {
        let names = parse(inner).map_err(|reason| {
            Fault::Unusable(format!(
                "has the expression `${{{}}}`, which {reason}",
                inner.escape_debug()
            ))
        })?;
        let mut names = names.iter().map(|name| name.trim());
        let first = names.next().unwrap_or_default();
        let generated = match first {
            "item" => self.item,
            "key" => self.key,
            _ => None,
        };
        let start = generated.or_else(|| self.variables.get(first));
        let found = names.try_fold(start, |value, name| match value {
            Some(Value::Map(map)) => Some(map.get(name)),
            Some(Value::List(items)) => Some(name.parse().ok().and_then(|index| item_at(items, index))),
            _ => None,
        });
        found.flatten().ok_or_else(|| {
            let known = self.variables.iter().filter_map(|entry| entry.key.as_str());
            Fault::Unknown {
                name: inner.to_owned(),
                nearest: start
                    .is_none()
                    .then(|| text::nearest(first, known))
                    .flatten()
                    .map(ToOwned::to_owned),
            }
        })
    }
}

/// Negative indexes count from the end.
fn item_at(items: &[Value], index: i64) -> Option<&Value> {
    let from_end = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 {
        items.get(items.len().checked_sub(from_end)?)
    } else {
        items.get(from_end)
    }
}

/// An expression in a text: its bytes with `${` and `}`, and its inner text.
struct Expression<'t> {
    start: usize,
    end: usize,
    inner: &'t str,
}

/// The expressions of a text: from `${` without a backslash before it to the next `}` on its line.
fn expressions(text: &str) -> Vec<Expression<'_>> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(start) = text[from..].find("${").map(|at| from + at) {
        from = start + 2;
        if text[..start].ends_with('\\') {
            continue;
        }
        let line = text[from..].lines().next().unwrap_or_default();
        if let Some(length) = line.find('}') {
            let end = from + length + 1;
            found.push(Expression {
                start,
                end,
                inner: &text[from..end - 1],
            });
            from = end;
        }
    }
    found
}

/// Whether a text has an expression.
pub(crate) fn has_expression(text: &str) -> bool {
    !expressions(text).is_empty()
}

/// The names of `a.b[c]`; `Err` has the reason.
fn parse(inner: &str) -> Result<Vec<&str>, &'static str> {
    let word = |rest: &str| rest.find(['.', '[', ']']).unwrap_or(rest.len());
    let length = word(inner);
    if length == 0 {
        return Err(if inner.is_empty() {
            "is empty"
        } else {
            "does not start with a name"
        });
    }
    let (first, mut rest) = inner.split_at(length);
    let mut names = vec![first];
    while !rest.is_empty() {
        let bracket = rest.starts_with('[');
        if !bracket && !rest.starts_with('.') {
            return Err("has an unmatched `]`, or text after one");
        }
        let (name, after) = rest[1..].split_at(word(&rest[1..]));
        if name.is_empty() {
            return Err("has an empty name");
        }
        names.push(name);
        rest = if bracket {
            after
                .strip_prefix(']')
                .ok_or("has a `[` without `]`")?
                .trim_start()
        } else {
            after
        };
    }
    Ok(names)
}

/// Replace all expressions in a value that stands under a key of a stage; `key` is `None` for what stages are generated
/// from, where a list or mapping may stand for itself.
pub(crate) fn resolve(
    value: &Value,
    key: Option<&str>,
    scope: Scope<'_>,
    style: ArgumentStyle,
) -> Result<Value, Fault> {
    scope.budget.spend(1, 0)?;
    match value {
        Value::Str(text) => resolve_text(text, key, scope, style),
        Value::List(items) => {
            let items = items.iter().map(|item| resolve(item, key, scope, style));
            items.collect::<Result<_, _>>().map(Value::list)
        }
        Value::Map(map) => {
            let mut resolved = Map::default();
            for entry in map.iter() {
                let name = resolve(&entry.key, key, scope, style)?;
                if name.is_container() {
                    return Err(Fault::Unusable(format!("has {} as a key", name.kind())));
                }
                let value = resolve(&entry.value, key, scope, style)?;
                resolved.insert(name, value, entry.line);
            }
            Ok(Value::map(resolved))
        }
        other => Ok(other.clone()),
    }
}

/// Replace the expressions of a text.
pub(crate) fn resolve_text(
    text: &str,
    key: Option<&str>,
    scope: Scope<'_>,
    style: ArgumentStyle,
) -> Result<Value, Fault> {
    scope.budget.spend(0, text.len())?;
    let found = expressions(text);
    if let [only] = found.as_slice()
        && only.start == 0
        && only.end == text.len()
    {
        let value = scope.select(only.inner)?;
        let value = if key.is_some() && value.is_container() {
            Value::Str(substitute(only.inner, value, key, style)?)
        } else {
            value.clone()
        };
        scope.budget.spend(0, value.as_str().map_or(0, str::len))?;
        return Ok(value);
    }
    let (mut out, mut from) = (String::new(), 0);
    for expression in found {
        let value = scope.select(expression.inner)?;
        out.push_str(&text[from..expression.start]);
        let substitute = substitute(expression.inner, value, key, style)?;
        scope.budget.spend(0, substitute.len())?;
        out.push_str(&substitute);
        from = expression.end;
    }
    out.push_str(&text[from..]);
    Ok(Value::Str(out.replace("\\${", "${")))
}

/// The text that a value becomes inside of a text.
fn substitute(name: &str, value: &Value, key: Option<&str>, style: ArgumentStyle) -> Result<String, Fault> {
    if let Some(text) = value.to_text() {
        return Ok(text);
    }
    if let (Value::Map(map), Some("cmd")) = (value, key) {
        let mut words = Vec::new();
        push_arguments("", map, style, &mut words)
            .map_err(|reason| Fault::Unusable(format!("uses `${{{name}}}`, {reason}")))?;
        return Ok(words.join(" "));
    }
    Err(Fault::Unusable(format!(
        "uses `${{{name}}}`, which is {} and cannot become text here",
        value.kind()
    )))
}

/// A mapping as `--a.b 1 --flag --list 1 2`.
fn push_arguments(
    prefix: &str,
    map: &Map,
    style: ArgumentStyle,
    words: &mut Vec<String>,
) -> Result<(), String> {
    for entry in map.iter() {
        let name = entry.key.to_text().unwrap_or_default();
        let name = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        match &entry.value {
            Value::Bool(true) => words.push(format!("--{name}")),
            Value::Bool(false) if style.negated_flags => words.push(format!("--no-{name}")),
            Value::Bool(false) => {}
            Value::Map(inner) => push_arguments(&name, inner, style, words)?,
            Value::List(items) => {
                for (position, item) in items.iter().enumerate() {
                    if position == 0 || style.repeated_lists {
                        words.push(format!("--{name}"));
                    }
                    words.push(
                        argument(item).ok_or_else(|| format!("whose `{name}` contains a nested list"))?,
                    );
                }
            }
            value => {
                words.push(format!("--{name}"));
                words.push(argument(value).ok_or_else(|| format!("whose `{name}` is {}", value.kind()))?);
            }
        }
    }
    Ok(())
}

fn argument(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(shell_quoted(text)),
        // Inside of lists, flags are as Python prints them.
        Value::Bool(flag) => Some(if *flag { "True" } else { "False" }.to_owned()),
        other => other.to_text(),
    }
}

/// A text as one word of a POSIX shell, in quotes only where it needs them.
fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ArgumentStyle, Budget, Fault, Map, Scope, Value, resolve, resolve_text};
    use crate::pipeline::yaml_read;

    const VARIABLES: &str = "n: 1\nf: 0.10\nsmall: 1e-5\nt: true\nz: ~\ns: a b\nl: [1, x y, 2.5]\ndate: 2024-01-02\n\
        d: {lr: 0.1, name: a b, on: true, off: false, l: [1, q r], sub: {k: 1}, e: {}, n: ~}\nname: {1: x}\n";

    fn variables() -> Map {
        let value = yaml_read::read(VARIABLES).expect("YAML");
        value.as_map().expect("a mapping").clone()
    }

    fn run(text: &str, key: Option<&str>) -> Result<Value, Fault> {
        let variables = variables();
        let scope = Scope {
            variables: &variables,
            item: Some(&Value::Str("it".to_owned())),
            key: None,
            budget: &Budget::default(),
        };
        resolve_text(text, key, scope, ArgumentStyle::default())
    }

    #[test]
    fn values_become_text_as_in_dvc() {
        for (text, shown) in [
            ("${n}-${f}-${small}-${t}-${z}-${s}", "1-0.1-1e-05-true-None-a b"),
            (
                "${ n } ${l[1]} ${l[-1]} ${l.0} ${d[ name ]}${item}",
                "1 x y 2.5 1 a bit",
            ),
            ("\\${n} $${n} $HOME ${", "${n} $1 $HOME ${"),
            ("a${\nn}", "a${\nn}"),
            ("x ${d.sub[k]} ${date}", "x 1 2024-01-02"),
            (
                "run ${d} end",
                "run --lr 0.1 --name 'a b' --on --l 1 'q r' --sub.k 1 --n None end",
            ),
            (
                "${d}",
                "--lr 0.1 --name 'a b' --on --l 1 'q r' --sub.k 1 --n None",
            ),
        ] {
            assert_eq!(run(text, Some("cmd")), Ok(shown.into()), "{text}");
        }
    }

    #[test]
    fn one_expression_alone_keeps_its_kind() {
        assert!(matches!(run("${n}", Some("outs")), Ok(Value::Int(_))));
        assert!(matches!(run("${t}", Some("outs")), Ok(Value::Bool(true))));
        assert!(matches!(run("${l}", None), Ok(Value::List(_))));
        assert!(matches!(run("${n} ", Some("outs")), Ok(Value::Str(_))));
    }

    #[test]
    fn what_dvc_refuses_is_refused() {
        for (text, key, part) in [
            ("${}", "cmd", "is empty"),
            ("${.n}", "cmd", "does not start with a name"),
            ("${n.}", "cmd", "has an empty name"),
            ("${l[}", "cmd", "has an empty name"),
            ("${l[0}", "cmd", "without `]`"),
            ("${l[0]x}", "cmd", "text after one"),
            ("${l}", "cmd", "a list"),
            ("a ${l}", "outs", "a list"),
            ("${d}", "outs", "a mapping"),
            ("a ${d}", "deps", "a mapping"),
        ] {
            match run(text, Some(key)) {
                Err(Fault::Unusable(reason)) => assert!(reason.contains(part), "{text}: {reason}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for (text, name, nearest) in [
            ("${HOME}", "HOME", None),
            ("${d.nope}", "d.nope", None),
            ("${d.${s}}", "d.${s", None),
            ("${smal}", "smal", Some("small")),
            ("${l[9]}", "l[9]", None),
            ("${l[-4]}", "l[-4]", None),
            ("${l.x}", "l.x", None),
            ("${n.x}", "n.x", None),
            ("${name.1}", "name.1", None),
            ("${key}", "key", None),
        ] {
            match run(text, Some("cmd")) {
                Err(Fault::Unknown {
                    name: found,
                    nearest: near,
                }) => {
                    assert_eq!((found.as_str(), near.as_deref()), (name, nearest), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn settings_change_how_arguments_are_written() {
        let variables = variables();
        let scope = Scope {
            variables: &variables,
            item: None,
            key: None,
            budget: &Budget::default(),
        };
        let style = ArgumentStyle {
            negated_flags: true,
            repeated_lists: true,
        };
        let text = resolve_text("${d}", Some("cmd"), scope, style);
        let shown = "--lr 0.1 --name 'a b' --on --no-off --l 1 --l 'q r' --sub.k 1 --n None";
        assert_eq!(text, Ok(shown.into()));
    }

    #[test]
    fn keys_of_mappings_are_replaced_too() {
        let variables = variables();
        let scope = Scope {
            variables: &variables,
            item: None,
            key: None,
            budget: &Budget::default(),
        };
        let value = yaml_read::read("- ${s}: {cache: false}\n- ${n}\n").expect("YAML");
        let resolved = resolve(&value, Some("outs"), scope, ArgumentStyle::default()).expect("resolved");
        assert_eq!(
            resolved,
            yaml_read::read("- a b: {cache: false}\n- 1\n").expect("YAML")
        );
    }

    proptest! {
        #[test]
        fn text_without_dollars_stays(text in "[^$]{0,30}") {
            prop_assert_eq!(run(&text, Some("cmd")), Ok(Value::Str(text)));
        }

        #[test]
        fn no_text_panics(text in "[${}a.\\[\\]\\\\ \n1-]{0,20}") {
            run(&text, Some("cmd")).ok();
        }
    }
}
