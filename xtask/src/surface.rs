//! What other programs can use of each library, as lists that are kept and compared.
//!
//! The lists are made of rustdoc's JSON, which is not stable, so this rustdoc is asked as the toolchain's own tools ask it, and the
//! library that reads it has to know its format. Invariant: an item whose signature names a type of a third party that is not in
//! [`ALLOWED`] is an error: raising a dependency must not break who uses us. Deliberately absent: which changes are compatible.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// The folder of the lists.
const LISTS: &str = "docs/api";
/// Third parties whose types are the vocabulary of the whole field, and stable: data, JSON, addresses, headers, bytes.
const ALLOWED: &[&str] = &["bytes", "http", "serde", "serde_core", "serde_json", "url"];
/// What a crate is there to hand out. Who embeds the facade meets none of it.
const SUBJECTS: &[(&str, &str)] = &[
    ("backlot-core", "fs_err"),
    ("backlot-dvc", "serde_yaml_ng"),
    ("backlot-net", "fs_err"),
    ("backlot-net", "reqwest"),
    ("backlot-net", "tokio"),
    ("backlot-wheel", "toml"),
];
/// Libraries of the standard distribution, and a primitive that traits of ours are for.
const STANDARD: &[&str] = &["alloc", "core", "std", "str"];

/// What differs from the lists that are kept.
#[derive(Debug, Default)]
pub struct Surface {
    /// Lines that are new (`+`) or gone (`-`), by crate.
    pub changes: Vec<String>,
    /// Items that name a type of a third party.
    pub foreign: Vec<String>,
}

/// The libraries of the workspace, by their folders.
fn libraries(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        let entry = entry?;
        if entry.path().join("src/lib.rs").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Compare what the libraries offer with the lists, or write these anew.
pub fn surface(root: &Path, features: &[&str], write: bool) -> io::Result<Surface> {
    let target = target_directory(root)?;
    document(root, &wrapper(&target)?, features)?;
    let mut found = Surface::default();
    for name in libraries(root)? {
        let json = target
            .join("doc")
            .join(format!("{}.json", name.replace('-', "_")));
        let lines = listed(&json)?;
        for line in &lines {
            let theirs = foreign(line).into_iter();
            let unwanted = theirs.filter(|theirs| !SUBJECTS.contains(&(name.as_str(), *theirs)));
            let told = unwanted.map(|theirs| format!("{name}: `{line}` names `{theirs}`"));
            found.foreign.extend(told);
        }
        let list = root.join(LISTS).join(format!("{name}.txt"));
        if write {
            fs::create_dir_all(root.join(LISTS))?;
            fs::write(&list, lines.join("\n") + "\n")?;
            continue;
        }
        let kept = fs::read_to_string(&list).unwrap_or_default();
        let (kept, now): (BTreeSet<&str>, BTreeSet<&str>) =
            (kept.lines().collect(), lines.iter().map(String::as_str).collect());
        let of = |sign: char, lines: Vec<&&str>| -> Vec<String> {
            lines
                .into_iter()
                .map(|line| format!("{name}: {sign} {line}"))
                .collect()
        };
        found.changes.extend(of('-', kept.difference(&now).collect()));
        found.changes.extend(of('+', now.difference(&kept).collect()));
    }
    Ok(found)
}

fn target_directory(root: &Path) -> io::Result<PathBuf> {
    let said = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&said.stdout).map_err(io::Error::other)?;
    let target = metadata["target_directory"].as_str();
    target
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::other("cargo tells no target directory"))
}

/// A rustdoc that may write JSON: only it, so that nothing is compiled again.
fn wrapper(target: &Path) -> io::Result<PathBuf> {
    let path = target.join("rustdoc-json.sh");
    fs::create_dir_all(target)?;
    fs::write(&path, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n")?;
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(path)
}

/// Have the JSON of all libraries written: with the features of the whole workspace, as its documentation is made, so that what they
/// need is compiled already.
fn document(root: &Path, rustdoc: &Path, features: &[&str]) -> io::Result<()> {
    let mut command = Command::new("cargo");
    command.args(["doc", "--quiet", "--workspace", "--no-deps", "--lib", "--locked"]);
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    let status = command
        .env("RUSTDOC", rustdoc)
        .env(
            "RUSTDOCFLAGS",
            "-Z unstable-options --output-format json --cap-lints allow",
        )
        .current_dir(root)
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("rustdoc ended with {status}")))
}

/// The items of a library, a line each.
fn listed(json: &Path) -> io::Result<Vec<String>> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|error| io::Error::other(format!("{}: {error}", json.display())))?;
    let lines: BTreeSet<String> = api.items().map(ToString::to_string).collect();
    Ok(lines.into_iter().collect())
}

/// The crates in a line that are neither ours nor the standard library nor allowed.
fn foreign(line: &str) -> BTreeSet<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let paths = line.split(|c| !is_path(c));
    let roots = paths.filter_map(|path| path.split_once("::").map(|(root, _)| root));
    roots
        .filter(|root| root.starts_with(|c: char| c.is_ascii_lowercase()) && !root.starts_with("backlot"))
        .filter(|root| !STANDARD.contains(root) && !ALLOWED.contains(root))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn types_of_third_parties_are_found_wherever_they_stand() {
        let none: [&str; 0] = [];
        let found = |line| foreign(line).into_iter().collect::<Vec<_>>();
        assert_eq!(
            found("pub fn backlot::a::b(x: std::path::Path) -> core::option::Option<backlot_core::Md5>"),
            none
        );
        assert_eq!(found("impl serde_core::ser::Serialize for backlot::A"), none);
        assert_eq!(found("pub fn backlot::A<T>::new() -> T::Item"), none);
        assert_eq!(
            found("pub fn backlot::a(&url::Url, toml::Table) -> core::result::Result<(), opendal::Error>"),
            ["opendal", "toml"]
        );
    }
}
