//! Which files of a crate a file uses by paths: in a `use`, or anywhere else.
//!
//! What is only for tests does not count. A path to something that `lib.rs` shows again leads to `lib.rs`, and from there to all that it
//! shows. The text is read as `rustfmt` leaves it.

use std::collections::BTreeMap;

use crate::module::{Module, Uses};

/// The files that each uses by paths.
pub(crate) fn uses_by_path(files: &BTreeMap<Module, String>) -> Uses {
    let of = |(module, text): (&Module, &String)| {
        let used = paths(text, module)
            .iter()
            .filter_map(|path| file_of(path, files))
            .filter(|other| *other != module)
            .cloned()
            .collect();
        (module.clone(), used)
    };
    files.iter().map(of).collect()
}

/// The file that a path leads to.
fn file_of<'a>(path: &[String], files: &'a BTreeMap<Module, String>) -> Option<&'a Module> {
    (0..=path.len())
        .rev()
        .find_map(|length| files.get_key_value(&path[..length]))
        .map(|(module, _)| module)
}

/// The paths of a file that lead into its own crate, from the crate on. Comments do not count, nor does a module of tests at the end.
fn paths(text: &str, module: &Module) -> Vec<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let begins_module =
        |line: &str| line.ends_with('{') && line.trim_start_matches("pub(crate) ").starts_with("mod ");
    let begins_tests = |two: &[&str]| two[0] == "#[cfg(test)]" && begins_module(two[1]);
    let end = lines.windows(2).position(begins_tests).unwrap_or(lines.len());
    let code: Vec<&str> = lines[..end]
        .iter()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let mut found = Vec::new();
    for statement in code.join("\n").split(';') {
        // What shows something again, or brings it in, is the end of its statement.
        let tree = statement.rsplit_once("use ").filter(|(before, tree)| {
            let line = before.lines().last().unwrap_or_default().trim();
            (line.is_empty() || line.starts_with("pub")) && !tree.contains(['(', '='])
        });
        if let Some((_, tree)) = tree {
            found.extend(leaves(&tree.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
        let names = statement.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        found.extend(names.map(ToOwned::to_owned));
    }
    found.iter().filter_map(|path| inside(path, module)).collect()
}

/// The paths of a tree of imports: `a::{b, c::{d, e}}` has three.
fn leaves(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let group = rest.rsplit_once('}').map_or(rest, |(group, _)| group);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    let whole = |part: &str| leaves(&format!("{}{}", before.trim(), part.trim()));
    parts.into_iter().flat_map(whole).collect()
}

/// A path from the crate on; `None` if it leads elsewhere, or is one word, as in `pub(crate)`. `lib.rs` names its modules without `crate`.
fn inside(path: &str, module: &Module) -> Option<Vec<String>> {
    if !path.contains("::") {
        return None;
    }
    let mut names = path
        .split("::")
        .map(|name| name.split(' ').next().unwrap_or_default())
        .peekable();
    let mut whole = match *names.peek()? {
        "crate" => Vec::new(),
        "self" | "super" => module.clone(),
        _ if module.is_empty() => Vec::new(),
        _ => return None,
    };
    for name in names {
        match name {
            "crate" | "self" | "" => {}
            "super" => drop(whole.pop()),
            name => whole.push(name.to_owned()),
        }
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::{leaves, paths};

    fn shown(text: &str, module: &str) -> Vec<String> {
        let module = module
            .split("::")
            .filter(|name| !name.is_empty())
            .map(ToOwned::to_owned);
        let found = paths(text, &module.collect());
        found.into_iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn paths_are_found_in_imports_and_beside_them_and_not_in_tests_or_comments() {
        let text = "use std::io;\npub(crate) use crate::a::{B, c::D};\nuse super::e;\n// crate::no\n\nfn f() {\n    self::g::h(crate::i::J)\n}\n\n#[cfg(test)]\nmod tests {\n    use crate::no;\n}\n";
        let found = shown(text, "x::y");
        for wanted in ["a::B", "a::c::D", "x::e", "x::y::g::h", "i::J"] {
            assert!(found.iter().any(|path| path == wanted), "{wanted} in {found:?}");
        }
        let open = shown(&text.replace("mod tests", "pub(crate) mod tests"), "x::y");
        assert_eq!(open, found);
        let wrong = |path: &String| path.is_empty() || path.contains("no");
        assert!(!found.iter().any(wrong), "{found:?}");
    }

    #[test]
    fn the_front_names_its_modules_without_crate_also_after_one_for_tests() {
        let text = "mod a;\n#[cfg(test)]\nmod a_tests;\n\npub use a::{B, C};\n";
        let found = shown(text, "");
        assert!(
            found.contains(&"a::B".to_owned()) && found.contains(&"a::C".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn a_tree_has_a_path_for_each_of_its_leaves() {
        assert_eq!(
            leaves("a::{b, c::{d, e}, f as g}"),
            ["a::b", "a::c::d", "a::c::e", "a::f as g"]
        );
        assert_eq!(leaves("a"), ["a"]);
    }
}
