//! The types of a crate as far as their names tell: which file has which methods, and what these return.
//!
//! A type is the last name of its path. Deliberately absent: generics, traits, and types of other crates; a name that two files give to types
//! of their own is left out, since a name alone does not tell which is meant.

use std::collections::{BTreeMap, BTreeSet};

use crate::module::Module;
use crate::tokens::closing;

/// What wraps a type without methods of ours between.
pub(crate) const WRAPPERS: [&str; 9] = [
    "Arc",
    "Box",
    "Cow",
    "Mutex",
    "MutexGuard",
    "OnceLock",
    "Option",
    "Rc",
    "Result",
];

/// Methods of other crates that give what they are called on.
const SAME: [&str; 9] = [
    "as_deref",
    "as_mut",
    "as_ref",
    "clone",
    "cloned",
    "copied",
    "expect",
    "to_owned",
    "transpose",
];

/// A method where it is.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) module: Module,
    returns: Option<String>,
}

/// The types of a crate.
#[derive(Debug, Default)]
pub(crate) struct Types {
    methods: BTreeMap<String, BTreeMap<String, Vec<Method>>>,
    fields: BTreeMap<String, BTreeMap<String, String>>,
    /// What a type gives itself out for.
    targets: BTreeMap<String, String>,
    /// The files that define each type.
    defined: BTreeMap<String, BTreeSet<Module>>,
}

impl Types {
    pub(crate) fn read(files: &BTreeMap<Module, Vec<String>>) -> Self {
        let mut types = Self::default();
        for (module, tokens) in files {
            types.take(module, tokens);
        }
        let twice = types.defined.iter().filter(|(_, modules)| modules.len() > 1);
        for name in twice.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            types.methods.remove(&name);
            types.fields.remove(&name);
        }
        types
    }

    fn take(&mut self, module: &Module, tokens: &[String]) {
        for (at, token) in tokens.iter().enumerate() {
            match token.as_str() {
                "struct" | "enum" => self.take_type(module, tokens, at),
                "impl" if begins_item(tokens, at) => {
                    if let Some(head) = Head::read(tokens, at) {
                        self.take_impl(module, tokens, &head);
                    }
                }
                _ => {}
            }
        }
    }

    fn take_type(&mut self, module: &Module, tokens: &[String], at: usize) {
        let Some(name) = tokens.get(at + 1) else { return };
        self.defined
            .entry(name.clone())
            .or_default()
            .insert(module.clone());
        let begins = |token: &String| ["{", "(", ";"].contains(&token.as_str());
        let Some(begin) = tokens[at..].iter().position(begins).map(|offset| at + offset) else {
            return;
        };
        let Some(end) = closing(tokens, begin).filter(|_| tokens[at] == "struct") else {
            return;
        };
        let fields = self.fields.entry(name.clone()).or_default();
        let is_tuple = tokens[begin] == "(";
        for (number, (from, to)) in parts(tokens, begin, end).into_iter().enumerate() {
            let part = &tokens[from..to];
            let colon = part.iter().position(|token| token == ":").filter(|_| !is_tuple);
            let name = match colon {
                Some(colon) => part[..colon].last().cloned(),
                None => is_tuple.then(|| number.to_string()),
            };
            if let (Some(name), Some(of)) = (name, type_name(&part[colon.map_or(0, |colon| colon + 1)..])) {
                fields.insert(name, of);
            }
        }
    }

    fn take_impl(&mut self, module: &Module, tokens: &[String], head: &Head) {
        let of = &head.of;
        for at in head.begin..head.end {
            match tokens[at].as_str() {
                "fn" if !head.is_trait => {
                    let known = self.methods.entry(of.clone()).or_default();
                    let returns = returned(tokens, at).map(|name| resolve(name, Some(of)));
                    known.entry(tokens[at + 1].clone()).or_default().push(Method {
                        module: module.clone(),
                        returns,
                    });
                }
                // Only `Deref` has one of this name that matters here.
                "Target" if tokens[at - 1] == "type" => {
                    self.targets
                        .extend(type_name(&tokens[at + 2..]).map(|target| (of.clone(), target)));
                }
                _ => {}
            }
        }
    }

    /// A method of a type, or of what the type gives itself out for.
    pub(crate) fn find(&self, of: &str, method: &str) -> &[Method] {
        let found = self.methods.get(of).and_then(|methods| methods.get(method));
        match (found, self.targets.get(of)) {
            (Some(found), _) => found,
            (None, Some(target)) if target != of => self.find(target, method),
            (None, _) => &[],
        }
    }

    /// What a method of a type gives.
    pub(crate) fn returned(&self, of: String, method: &str) -> Option<String> {
        match self.find(&of, method).first() {
            Some(found) => found.returns.clone(),
            None => SAME.contains(&method).then_some(of),
        }
    }

    pub(crate) fn field(&self, of: &str, field: &str) -> Option<String> {
        self.fields.get(of)?.get(field).cloned()
    }

    /// The type that a value is named after: `workspace` is a `Workspace`.
    pub(crate) fn named(&self, name: &str) -> Option<String> {
        let words = name.split('_').map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        });
        Some(words.collect::<String>()).filter(|name| self.methods.contains_key(name))
    }
}

/// The head of an `impl`, and where what is in it begins and ends.
pub(crate) struct Head {
    pub(crate) of: String,
    pub(crate) is_trait: bool,
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

impl Head {
    /// That of the `impl` at a place.
    pub(crate) fn read(tokens: &[String], at: usize) -> Option<Self> {
        let begin = at + tokens[at..].iter().position(|token| token == "{")?;
        let mut from = closing(tokens, at + 1)
            .filter(|_| tokens[at + 1] == "<")
            .map_or(at + 1, |end| end + 1);
        let trait_end = tokens[from..begin].iter().position(|token| token == "for");
        from += trait_end.map_or(0, |offset| offset + 1);
        Some(Self {
            of: type_name(&tokens[from..begin])?,
            is_trait: trait_end.is_some(),
            begin,
            end: closing(tokens, begin)?,
        })
    }
}

/// Whether an `impl` is an item, not a type.
pub(crate) fn begins_item(tokens: &[String], at: usize) -> bool {
    at == 0 || ["}", ";", "]", "{", "unsafe"].contains(&tokens[at - 1].as_str())
}

/// `Self` as the type that it is.
pub(crate) fn resolve(name: String, of: Option<&String>) -> String {
    match of {
        Some(of) if name == "Self" => of.clone(),
        _ => name,
    }
}

/// What lies between the commas in a bracket.
pub(crate) fn parts(tokens: &[String], begin: usize, end: usize) -> Vec<(usize, usize)> {
    let (mut found, mut from, mut depth) = (Vec::new(), begin + 1, 0);
    for (at, token) in tokens.iter().enumerate().take(end).skip(begin + 1) {
        match token.as_str() {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            "," if depth == 0 => {
                found.push((from, at));
                from = at + 1;
            }
            _ => {}
        }
    }
    if from < end {
        found.push((from, end));
    }
    found
}

/// Where the parameters of the function at a place begin and end.
pub(crate) fn parameters(tokens: &[String], at: usize) -> Option<(usize, usize)> {
    let after = at + 2;
    let begin = match tokens.get(after)?.as_str() {
        // A bound may have `->` in it, which is one mark.
        "<" => closing(tokens, after)? + 1,
        _ => after,
    };
    Some((begin, closing(tokens, begin).filter(|_| tokens[begin] == "(")?))
}

/// What the function at a place returns.
fn returned(tokens: &[String], at: usize) -> Option<String> {
    let (_, end) = parameters(tokens, at)?;
    type_name(tokens.get(end + 2..).filter(|_| tokens[end + 1] == "->")?)
}

/// The name of the type that is written first, without references and what it is wrapped in.
pub(crate) fn type_name(tokens: &[String]) -> Option<String> {
    let skipped = ["&", "mut", "dyn", "impl", "pub", "*", "const"];
    let mut at = tokens
        .iter()
        .position(|token| !skipped.contains(&token.as_str()))?;
    // `pub(crate)` before the type of a field.
    if tokens[at] == "(" && at > 0 && tokens[at - 1] == "pub" {
        return type_name(&tokens[closing(tokens, at)? + 1..]);
    }
    while tokens.get(at + 1).is_some_and(|token| token == "::") {
        at += 2;
    }
    let name = tokens
        .get(at)
        .filter(|name| name.starts_with(char::is_alphabetic))?;
    if WRAPPERS.contains(&name.as_str()) && tokens.get(at + 1).is_some_and(|token| token == "<") {
        // A lifetime leaves its comma.
        let inside = tokens[at + 2..].iter().position(|token| token != ",")?;
        return type_name(&tokens[at + 2 + inside..]);
    }
    Some(name.clone())
}
