//! Files to run a bundle without Backlot: `activate`, `env.json`, and the `python` of its tree.
//!
//! Invariant: each finds the bundle from where it lies itself, so the folder can be moved, mounted read-only or lie under a
//! path with spaces; none of them has a path in it. Plain POSIX sh. Deliberately absent: an interpreter, which is the
//! machine's (or the application's: Maya, Houdini, Blender).

use std::collections::BTreeMap;
use std::path::Path;

use backlot_core::shared;
use fs_err as fs;
use serde_json::{Value, json};

use super::tree::{TREE, Tree, site_packages};
use crate::error::Result;

/// Format of `env.json`.
const FORMAT: u64 = 1;

const ACTIVATE: &str = r#"#!/bin/sh
# The environment of this bundle, made by backlot; nothing else is needed.
#   ./activate python -c "import ..."   runs a command in it, from anywhere
#   ./activate                          starts a shell in it
#   . /path/to/activate                 sets it in this shell (bash, zsh; in other shells first cd to the bundle)
# Programs that start others read env.json instead.
_backlot_self=
_backlot_sourced=yes
if [ -n "${BASH_VERSION-}" ] && [ -n "${BASH_SOURCE-}" ]; then
    _backlot_self=$BASH_SOURCE
    if [ "$BASH_SOURCE" = "$0" ]; then _backlot_sourced=; fi
elif [ -n "${ZSH_VERSION-}" ]; then
    eval '_backlot_self=${(%):-%x}'
    case ${ZSH_EVAL_CONTEXT-} in *:file*) ;; *) _backlot_sourced= ;; esac
else
    _backlot_self=$0
    _backlot_plain=yes
fi
while [ -L "$_backlot_self" ]; do
    _backlot_link=$(readlink -- "$_backlot_self")
    case $_backlot_link in
        /*) _backlot_self=$_backlot_link ;;
        *) _backlot_self=$(dirname -- "$_backlot_self")/$_backlot_link ;;
    esac
done
if [ -n "${_backlot_plain-}" ]; then
    # Such a shell does not tell whether it was started for this file or reads it.
    case ${_backlot_self##*/} in activate) _backlot_sourced= ;; *) _backlot_self=./activate ;; esac
fi
_backlot_root=$(CDPATH= cd -- "$(dirname -- "$_backlot_self")" && pwd -P)
if [ -f "$_backlot_root/bundle.json" ] && [ -d "$_backlot_root/tree" ]; then
    _backlot_found=yes
    BACKLOT_BUNDLE=$_backlot_root
    PATH=$BACKLOT_BUNDLE/tree/bin${PATH:+:$PATH}
    PYTHONPATH=$BACKLOT_BUNDLE/@SITE@${PYTHONPATH:+:$PYTHONPATH}
    export BACKLOT_BUNDLE PATH PYTHONPATH
@ASSETS@else
    _backlot_found=
    echo "activate: the bundle was not found; cd to its folder first" >&2
fi
if [ -z "$_backlot_sourced" ]; then
    [ -n "$_backlot_found" ] || exit 1
    unset _backlot_self _backlot_sourced _backlot_plain _backlot_link _backlot_root _backlot_found
    if [ $# -gt 0 ]; then exec "$@"; fi
    exec "${SHELL:-/bin/sh}"
fi
unset _backlot_self _backlot_sourced _backlot_plain _backlot_link _backlot_root
if [ -n "$_backlot_found" ]; then unset _backlot_found; else unset _backlot_found; false; fi
"#;

const PYTHON: &str = r#"#!/bin/sh
# Runs a Python of this machine with the packages of the bundle: BACKLOT_PYTHON, else the first on PATH.
here=$(CDPATH= cd -- "$(dirname -- "$(realpath -- "$0")")" && pwd -P) || exit 1
packages=$(dirname -- "$here")/@SITE@
case ":${PYTHONPATH-}:" in
    *":$packages:"*) ;;
    *) PYTHONPATH=$packages${PYTHONPATH:+:$PYTHONPATH}; export PYTHONPATH ;;
esac
if [ -n "${BACKLOT_PYTHON-}" ]; then exec "$BACKLOT_PYTHON" "$@"; fi
set -f
IFS=:
for name in @NAMES@; do
    for folder in $PATH; do
        found=$(CDPATH= cd -- "${folder:-.}" 2>/dev/null && pwd -P) || continue
        if [ "$found" != "$here" ] && [ -f "$found/$name" ] && [ -x "$found/$name" ]; then
            unset IFS
            exec "$found/$name" "$@"
        fi
    done
done
echo "python: no Python @PYTHON@ on PATH; set BACKLOT_PYTHON to an interpreter" >&2
exit 127
"#;

/// Write them into the folder of a bundle. `compiled`: its wheels run with this Python only, given as `3.11`.
pub(crate) fn write(bundle: &Path, tree: &Tree, python: &str, compiled: bool) -> Result<()> {
    let assets = asset_folders(tree)?;
    let site = site_packages();
    let mut lines = String::new();
    for (variable, folder) in &assets {
        lines.push_str(&format!(
            "    {variable}=$BACKLOT_BUNDLE/{folder}\n    export {variable}\n"
        ));
    }
    let activate = ACTIVATE.replace("@SITE@", &site).replace("@ASSETS@", &lines);
    write_script(&bundle.join("activate"), &activate)?;
    let inside = site.trim_start_matches(TREE).trim_start_matches('/');
    let names = if compiled {
        format!("python{python}")
    } else {
        format!("python{python} python3 python")
    };
    let script = PYTHON
        .replace("@SITE@", inside)
        .replace("@NAMES@", &names)
        .replace("@PYTHON@", python);
    let path = bundle.join(TREE).join("bin/python");
    fs::create_dir_all(path.parent().unwrap_or(bundle))?;
    write_script(&path, &script)?;
    let mut set = serde_json::Map::new();
    set.insert("BACKLOT_BUNDLE".to_owned(), "{root}".into());
    for (variable, folder) in assets {
        set.insert(variable, format!("{{root}}/{folder}").into());
    }
    let environment = json!({
        "format": FORMAT,
        "python": python,
        "prepend": { "PATH": [format!("{{root}}/{TREE}/bin")], "PYTHONPATH": [format!("{{root}}/{site}")] },
        "set": Value::Object(set),
    });
    let mut text = format!("{environment:#}").into_bytes();
    text.push(b'\n');
    fs::write(bundle.join("env.json"), text)?;
    Ok(())
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(shared::set_mode(path, Some(0o755))?)
}

/// `BACKLOT_ASSET_TABLE` and the folder of the asset's module in the bundle, for each that has one of its name.
fn asset_folders(tree: &Tree) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for dist in tree.dists.iter().filter(|dist| dist.asset.is_some()) {
        let stem = dist.metadata.package().file_stem();
        let record = dist.read_dist_info("RECORD")?.unwrap_or_default();
        let entries = backlot_wheel::parse_record(&String::from_utf8_lossy(&record));
        let folder = entries
            .iter()
            .find_map(|entry| entry.path.strip_suffix("/asset.toml"))
            .filter(|folder| is_plain(folder));
        if let Some(folder) = folder {
            let variable = format!("BACKLOT_ASSET_{}", stem.to_uppercase());
            found.insert(variable, format!("{}/{folder}", site_packages()));
        }
    }
    Ok(found)
}

/// Whether a path can stand in a shell script as it is.
fn is_plain(path: &str) -> bool {
    !path.starts_with('.')
        && !path.contains("..")
        && path
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
}
