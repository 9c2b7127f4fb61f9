//! Which methods a file calls that other files add to a type, which needs no import.
//!
//! The type of what a method is called on is told from names ([`Types`]): of `self`, of parameters, of fields, of what a method returns, and at
//! last of what a value is called (`workspace`). Calls of which that cannot be told do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::module::Module;
use crate::tokens::{closing, tokens};
use crate::types::{Head, Types, WRAPPERS, begins_item, parameters, parts, resolve, type_name};

/// What each file calls: the files that have the methods, and these as `Type::method`.
pub(crate) fn calls(texts: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<(Module, String)>> {
    let files = texts.iter().map(|(module, text)| (module.clone(), tokens(text)));
    let files: BTreeMap<Module, Vec<String>> = files.collect();
    let types = Types::read(&files);
    let of = |(module, tokens): (&Module, &Vec<String>)| {
        let mut reading = Reading {
            types: &types,
            module,
            tokens,
            of: None,
            names: BTreeMap::new(),
            calls: BTreeSet::new(),
        };
        reading.read();
        (module.clone(), reading.calls)
    };
    files.iter().map(of).collect()
}

/// A file while the calls in it are looked for.
struct Reading<'a> {
    types: &'a Types,
    module: &'a Module,
    tokens: &'a [String],
    /// Whose methods are read, and where they end.
    of: Option<(String, usize)>,
    /// What the names in a function stand for.
    names: BTreeMap<String, Option<String>>,
    /// The files with the methods that are called, and these.
    calls: BTreeSet<(Module, String)>,
}

impl Reading<'_> {
    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", String::as_str)
    }

    fn read(&mut self) {
        for at in 0..self.tokens.len() {
            if self.of.as_ref().is_some_and(|(_, end)| *end < at) {
                self.of = None;
            }
            match self.token(at) {
                "impl" if begins_item(self.tokens, at) => {
                    self.of = Head::read(self.tokens, at).map(|head| (head.of, head.end));
                }
                "fn" => self.enter(at),
                "let" => self.bind(at + 1),
                "|" => self.bind_inputs(at),
                _ if at == 0 || ![".", "::", "fn"].contains(&self.token(at - 1)) => {
                    drop(self.chain(at, true));
                }
                _ => {}
            }
        }
    }

    /// Take up the parameters of a function.
    fn enter(&mut self, at: usize) {
        self.names.clear();
        if let Some((begin, end)) = parameters(self.tokens, at) {
            for (from, to) in parts(self.tokens, begin, end) {
                self.bind_typed(from, to);
            }
        }
    }

    /// Take up `name: Type`; whether it is one.
    fn bind_typed(&mut self, from: usize, to: usize) -> bool {
        let part = &self.tokens[from..to];
        let Some(colon) = part.iter().position(|token| token == ":") else {
            return false;
        };
        if let Some(name) = part[..colon].last() {
            let of = type_name(&part[colon + 1..]).map(|of| self.resolve(of));
            self.names.insert(name.clone(), of);
        }
        true
    }

    /// Take up the name that `let` gives: `name = …`, `name: Type = …`, `Some(name) = …`.
    fn bind(&mut self, at: usize) {
        let is_end = |token: &String| ["=", ";", "{"].contains(&token.as_str());
        let Some(length) = self.tokens[at..].iter().position(is_end) else {
            return;
        };
        if self.bind_typed(at, at + length) {
            return;
        }
        let mut names = self.tokens[at..at + length].iter();
        let names = names
            .by_ref()
            .filter(|token| token.starts_with(char::is_lowercase));
        let names: Vec<&String> = names
            .filter(|token| !["mut", "ref"].contains(&token.as_str()))
            .collect();
        if let [name] = names.as_slice() {
            match self.value(at + length + 1) {
                Some(of) => drop(self.names.insert((*name).clone(), Some(of))),
                // Perhaps what its name says.
                None => drop(self.names.remove(*name)),
            }
        }
    }

    /// Take up the inputs of a closure, if one begins here.
    fn bind_inputs(&mut self, at: usize) {
        if at == 0 || !["(", ",", "=", "move", "{", "=>"].contains(&self.token(at - 1)) {
            return;
        }
        let Some(length) = self.tokens[at + 1..].iter().position(|token| token == "|") else {
            return;
        };
        for (from, to) in parts(self.tokens, at, at + 1 + length) {
            if !self.bind_typed(from, to) {
                self.names.remove(&self.tokens[from]);
            }
        }
    }

    fn resolve(&self, name: String) -> String {
        resolve(name, self.of.as_ref().map(|(of, _)| of))
    }

    /// The type of the value that begins at a place.
    fn value(&mut self, mut at: usize) -> Option<String> {
        while ["&", "*", "mut"].contains(&self.token(at)) {
            at += 1;
        }
        self.chain(at, false)
    }

    /// The type of a name and all that is asked of it: `self.shelf(name)?.files()`. Notes what is called if wanted.
    fn chain(&mut self, at: usize, note: bool) -> Option<String> {
        let first = self
            .tokens
            .get(at)
            .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))?;
        let mut next = at + 1;
        let mut of = if self.token(next) == "::" || self.token(next) == "(" {
            let (mut before, mut last) = (None, first.clone());
            while self.token(next) == "::" && self.token(next + 1) != "<" {
                before = Some(std::mem::replace(&mut last, self.token(next + 1).to_owned()));
                next += 2;
            }
            self.function(before, &last, &mut next, note)
        } else if first == "self" {
            self.of.as_ref().map(|(of, _)| of.clone())
        } else {
            match self.names.get(first) {
                Some(known) => known.clone(),
                None => self.types.named(first),
            }
        };
        loop {
            match self.token(next) {
                "?" => next += 1,
                "." if self.token(next + 1) == "await" => next += 2,
                "." => {
                    let name = self.token(next + 1).to_owned();
                    next += 2;
                    let arguments = match self.token(next) {
                        "::" => closing(self.tokens, next + 1)? + 1,
                        _ => next,
                    };
                    if self.token(arguments) == "(" {
                        if let Some(of) = of.as_ref().filter(|_| note) {
                            self.note(&of.clone(), &name);
                        }
                        of = self.types.returned(of?, &name);
                        next = closing(self.tokens, arguments)? + 1;
                    } else {
                        of = self.types.field(&of?, &name);
                    }
                }
                _ => return of,
            }
        }
    }

    /// The type that a function gives: `Type::method(…)`, or what wraps a value.
    fn function(&mut self, of: Option<String>, name: &str, next: &mut usize, note: bool) -> Option<String> {
        let begin = *next;
        let end = closing(self.tokens, begin).filter(|_| self.token(begin) == "(");
        *next = end.map_or(begin, |end| end + 1);
        let of = of.map(|of| self.resolve(of));
        if let Some(of) = &of {
            if note {
                self.note(of, name);
            }
            if !self.types.find(of, name).is_empty() {
                return self.types.returned(of.clone(), name);
            }
        }
        let wraps = match &of {
            Some(of) => WRAPPERS.contains(&of.as_str()),
            None => ["Some", "Ok"].contains(&name),
        };
        self.value(begin + 1).filter(|_| wraps && end.is_some())
    }

    fn note(&mut self, of: &str, method: &str) {
        let found = self.types.find(of, method);
        if found.iter().all(|found| found.module != *self.module) {
            let calls = found
                .iter()
                .map(|found| (found.module.clone(), format!("{of}::{method}")));
            self.calls.extend(calls);
        }
    }
}
