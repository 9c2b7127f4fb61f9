//! Circles of files of a crate: each uses the others, by what it names or by what it calls.
//!
//! `impl Workspace` in many files is one thing only in name if each file calls what the others add to it, though none imports another. So both
//! count as a use: a path that leads to a file (`paths`), and a call of a method that a file adds to a type (`methods`). What is only for
//! tests does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use fs_err as fs;

use crate::methods::calls;
use crate::module::{Module, Uses, shown};
use crate::paths::uses_by_path;
use crate::rust_files;

/// Files that use each other in a circle.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    /// The names of their modules.
    pub files: Vec<String>,
    /// What makes it: `a calls Type::method in b`, `a names b`.
    pub uses: Vec<String>,
}

/// The circles of files of a crate's `src`.
pub fn circles(src: &Path) -> io::Result<Vec<Circle>> {
    Ok(circles_of(&read(src)?))
}

fn circles_of(texts: &BTreeMap<Module, String>) -> Vec<Circle> {
    let named = uses_by_path(texts);
    let called = calls(texts);
    let mut uses = named.clone();
    for (module, calls) in &called {
        uses.entry(module.clone())
            .or_default()
            .extend(calls.iter().map(|(other, _)| other.clone()));
    }
    let circle = |group: &BTreeSet<Module>| {
        let mut why = Vec::new();
        for module in group {
            let name = shown(module);
            let named = named[module].iter().filter(|other| group.contains(*other));
            why.extend(named.map(|other| format!("{name} names {}", shown(other))));
            let called = called[module].iter().filter(|(other, _)| group.contains(other));
            why.extend(called.map(|(other, method)| format!("{name} calls {method} in {}", shown(other))));
        }
        Circle {
            files: group.iter().map(shown).collect(),
            uses: why,
        }
    };
    groups(&uses).iter().map(circle).collect()
}

/// The groups of modules each of which reaches all others of its group.
fn groups(uses: &Uses) -> BTreeSet<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        uses.keys().map(|module| (module, reach(module, uses))).collect();
    let mut groups = BTreeSet::new();
    for (module, others) in &reached {
        let back = others.iter().filter(|other| reached[**other].contains(module));
        let group: BTreeSet<Module> = back.map(|module| (*module).clone()).collect();
        if !group.is_empty() {
            groups.insert(group);
        }
    }
    groups
}

fn reach<'a>(from: &Module, uses: &'a Uses) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = uses[from].iter().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(&uses[module]);
        }
    }
    reached
}

/// All files that are not for tests.
fn read(src: &Path) -> io::Result<BTreeMap<Module, String>> {
    let mut files = BTreeMap::new();
    for path in rust_files(vec![src.to_owned()])? {
        let inside = path
            .strip_prefix(src)
            .map_err(io::Error::other)?
            .with_extension("");
        let mut module: Module = inside
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        if module
            .iter()
            .any(|name| name == "tests" || name.ends_with("_tests"))
        {
            continue;
        }
        // Both are the module that their folder is.
        module.pop_if(|name| name == "mod" || name == "lib");
        files.insert(module, fs::read_to_string(&path)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Circle, circles_of};

    const SHOP: &str = "pub struct Shop {\n    till: Till,\n}\n\npub struct Open(Shop);\n\nimpl Deref for Open {\n    type Target = Shop;\n}\n";

    fn circles(a: &str, b: &str) -> Vec<Circle> {
        let texts = [("shop", SHOP), ("a", a), ("b", b)];
        let module = |(name, text): (&str, &str)| (vec![name.to_owned()], text.to_owned());
        circles_of(&BTreeMap::from(texts.map(module)))
    }

    #[test]
    fn methods_of_one_type_that_call_each_other_across_files_are_a_circle() {
        let a = "impl Shop {\n    fn sell(&self) -> Result<u8> {\n        self.count()\n    }\n    fn price(&self) -> u8 {\n        3\n    }\n}\n";
        let calls = [
            "self.price();",
            "Self::price(self);",
            "let one = self.price;\n        self.all.map(Shop::price);",
            "println!(\"{}\", self.price());",
            "self.change(|shop| shop.price());",
            "let open = self.open()?;\n        open.price();",
            "self.open()?.price();",
            "if let Some(it) = self.open() {\n            it.price();\n        }",
        ];
        for call in calls {
            let b = format!(
                "impl Shop {{\n    fn open(&self) -> Result<Open> {{\n        made()\n    }}\n    fn count(&self) {{\n        {call}\n    }}\n}}\n"
            );
            let found = circles(a, &b);
            assert_eq!(found.len(), 1, "{call}");
            assert_eq!(found[0].files, ["a", "b"]);
            let uses = found[0].uses.join("\n");
            assert!(uses.contains("a calls Shop::count in b"), "{uses}");
            assert!(
                uses.starts_with("a calls") && uses.contains("::price in a"),
                "{uses}"
            );
        }
    }

    #[test]
    fn one_direction_tests_and_other_types_are_no_circle() {
        let a =
            "impl Shop {\n    fn sell(&self) {\n        self.count();\n    }\n    fn price(&self) {}\n}\n";
        for b in [
            "impl Shop {\n    fn count(&self) {\n        self.weigh();\n    }\n    fn weigh(&self) {}\n}\n",
            "impl Shop {\n    fn count(&self, other: &Other) {\n        other.price();\n    }\n}\n",
            "impl Shop {\n    fn count(&self) {}\n}\n\n#[cfg(test)]\nmod tests {\n    fn f(shop: &Shop) {\n        shop.price();\n    }\n}\n",
            "impl Shop {\n    fn count(&self) {}\n}\n\nfn f(shop: &[u8]) {\n    fn g(shop: Option<&Stall>) {\n        shop.price();\n    }\n}\n",
        ] {
            assert_eq!(circles(a, b), [], "{b}");
        }
    }

    #[test]
    fn a_path_one_way_and_a_method_the_other_are_a_circle() {
        let a = "pub struct Price;\n\nimpl Shop {\n    fn sell(&self) {\n        self.count();\n    }\n}\n";
        let b =
            "use crate::a::Price;\n\nimpl Shop {\n    fn count(&self) -> Price {\n        Price\n    }\n}\n";
        let found = circles(a, b);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].uses, ["a calls Shop::count in b", "b names a"]);
    }
}
