//! Console scripts: small launchers that call an entry point.
//!
//! Invariant: a script's name never leads out of the scripts folder. `sh` finds the interpreter beside the script, so that
//! the environment can be moved, lie under a long path or one with spaces, and has the same bytes everywhere.

use backlot_core::RelPath;

use crate::entry_points::EntryPoints;
use crate::layout::Layout;

/// A script to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) path: RelPath,
    pub(crate) text: String,
}

/// The launchers of a package; none in a plain tree. Values that are no `module:attribute` are passed over.
pub(crate) fn launchers(entry_points: &EntryPoints, layout: &Layout) -> Vec<Script> {
    let Some(shebang) = shebang(layout) else {
        return Vec::new();
    };
    let groups = ["console_scripts", "gui_scripts"];
    let entries = groups
        .iter()
        .filter_map(|group| entry_points.group(group))
        .flatten();
    entries
        .filter_map(|(name, value)| {
            let plain = !name.contains(['/', '\\', '\n', '\0']);
            let name = RelPath::parse(name).ok().filter(|_| plain)?;
            let (module, attribute) = value.split('[').next()?.trim().split_once(':')?;
            let (module, attribute) = (module.trim(), attribute.trim());
            if !is_dotted(module) || !is_dotted(attribute) {
                return None;
            }
            let first = attribute.split('.').next()?;
            let text = format!(
                "{shebang}import sys\nfrom {module} import {first}\nif __name__ == \"__main__\":\n    sys.argv[0] = sys.argv[0].removesuffix(\".exe\")\n    sys.exit({attribute}())\n"
            );
            Some(Script { path: name.below(&Layout::scripts()), text })
        })
        .collect()
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
    use super::{launchers, shebang};
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
