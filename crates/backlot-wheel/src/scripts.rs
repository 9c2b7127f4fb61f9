//! Console scripts: small launchers that call an entry point.
//!
//! Invariant: a script's name never leads out of the scripts folder. `sh` finds the interpreter beside the script, so that
//! the environment can be moved, lie under a long path or one with spaces, and has the same bytes everywhere.

use std::path::Path;

use backlot_core::RelPath;

use crate::entry_points::EntryPoints;
use crate::layout::Layout;

/// A script to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) path: RelPath,
    pub(crate) text: String,
}

/// The target of a script.
struct Call<'a> {
    name: RelPath,
    module: &'a str,
    attribute: &'a str,
}

impl<'a> Call<'a> {
    /// Read an entry point, or say why no script can be made of it.
    fn parse(name: &str, value: &'a str) -> Result<Self, &'static str> {
        let plain = !name.contains(['/', '\\', '\n', '\0']);
        let name = RelPath::parse(name).ok().filter(|_| plain);
        let name = name.ok_or("its name is not a valid file name")?;
        let value = value.split('[').next().unwrap_or_default();
        let (module, attribute) = value
            .trim()
            .split_once(':')
            .map(|(module, attribute)| (module.trim(), attribute.trim()))
            .filter(|(module, attribute)| is_dotted(module) && is_dotted(attribute))
            .ok_or("it is not written as `module:function`")?;
        Ok(Self {
            name,
            module,
            attribute,
        })
    }
}

/// The names and values of the entry points that scripts are made of.
fn entries(entry_points: &EntryPoints) -> impl Iterator<Item = (&String, &String)> {
    ["console_scripts", "gui_scripts"]
        .into_iter()
        .filter_map(|group| entry_points.group(group))
        .flatten()
}

/// The launchers of a package; none in a plain tree. Values that are not `module:attribute` are skipped, see
/// [`broken_scripts`].
pub(crate) fn launchers(entry_points: &EntryPoints, layout: &Layout) -> Vec<Script> {
    let Some(shebang) = shebang(layout) else {
        return Vec::new();
    };
    let calls = entries(entry_points).filter_map(|(name, value)| Call::parse(name, value).ok());
    calls
        .map(|call| {
            let (module, attribute) = (call.module, call.attribute);
            let first = attribute.split('.').next().unwrap_or(attribute);
            let text = format!(
                "{shebang}import sys\nfrom {module} import {first}\nif __name__ == \"__main__\":\n    sys.argv[0] = sys.argv[0].removesuffix(\".exe\")\n    sys.exit({attribute}())\n"
            );
            Script { path: call.name.below(&Layout::scripts()), text }
        })
        .collect()
}

/// A script that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenScript {
    /// Its name.
    pub name: String,
    /// Why: a clause for messages.
    pub reason: String,
}

/// The scripts of a package that cannot be made, or that call a module which is not there by `has_module`.
pub fn broken_scripts(entry_points: &EntryPoints, has_module: &dyn Fn(&str) -> bool) -> Vec<BrokenScript> {
    entries(entry_points)
        .filter_map(|(name, value)| {
            let reason = match Call::parse(name, value) {
                Ok(call) if has_module(call.module) => return None,
                Ok(call) => format!("no module `{}`", call.module),
                Err(reason) => format!("`{value}`: {reason}"),
            };
            let name = name.clone();
            Some(BrokenScript { name, reason })
        })
        .collect()
}

/// Whether a module (`a.b`) is in a folder that Python imports from: as a file, a folder, or compiled.
pub fn has_module(folder: &Path, module: &str) -> bool {
    let (above, last) = module.rsplit_once('.').unwrap_or(("", module));
    let folder = above
        .split('.')
        .fold(folder.to_path_buf(), |path, part| path.join(part));
    if folder.join(last).is_dir() || folder.join(format!("{last}.py")).is_file() {
        return true;
    }
    let compiled = |name: &str| {
        let rest = name.strip_prefix(last).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| {
            ["so", "pyd", "pyc", "dylib"]
                .iter()
                .any(|end| rest.ends_with(end))
        })
    };
    let entries = fs_err::read_dir(&folder);
    entries.is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| compiled(&entry.file_name().to_string_lossy())))
    })
}

fn is_dotted(name: &str) -> bool {
    name.split('.').all(|part| {
        part.chars().next().is_some_and(|c| c == '_' || c.is_alphabetic())
            && part.chars().all(|c| c == '_' || c.is_alphanumeric())
    })
}

/// The first lines of a Python script of the environment; `None` in a plain tree.
pub(crate) fn shebang(layout: &Layout) -> Option<&'static str> {
    layout.python.as_ref()?;
    // To `sh` this runs the interpreter beside the script; to Python it is a string.
    Some("#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n")
}

#[cfg(test)]
mod tests {
    use super::{broken_scripts, launchers, shebang};
    use crate::entry_points::EntryPoints;
    use crate::layout::Layout;
    use std::path::Path;

    #[test]
    fn names_that_lead_outside_and_values_that_are_code_are_passed_over() {
        let points = EntryPoints::parse(
            "[console_scripts]\n../evil = a:b\nx = a:b.c\ny = os; import sys:z\nz = free text\ntgzr.pipeline.asset.build = p:build\n",
        );
        let layout = Layout::environment(Path::new("/env"), Path::new("/env"), "3.11");
        let names: Vec<String> = launchers(&points, &layout)
            .into_iter()
            .map(|s| s.path.to_string())
            .collect();
        assert_eq!(names, ["bin/tgzr.pipeline.asset.build", "bin/x"]);
        assert!(launchers(&points, &Layout::plain(Path::new("/env"))).is_empty());
        let broken = broken_scripts(&points, &|module| module != "p");
        let names: Vec<&str> = broken.iter().map(|script| script.name.as_str()).collect();
        assert_eq!(names, ["../evil", "tgzr.pipeline.asset.build", "y", "z"]);
    }

    #[test]
    fn scripts_name_no_place() {
        let at = |root: &str| {
            shebang(&Layout::environment(Path::new(root), Path::new(root), "3.11")).expect("a python")
        };
        assert_eq!(at("/env"), at("/my env"));
        assert!(at("/env").starts_with("#!/bin/sh\n"));
    }
}
