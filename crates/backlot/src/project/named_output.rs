//! One output found by its name without loading the others.
//!
//! Invariant: the answer is the one that a look at all outputs gives. The folder of the name's module is loaded; of every other
//! project only `pyproject.toml` is read, and as soon as one may be the same package or have the same name, all outputs are
//! loaded and decide. Deliberately absent: an `asset.toml` whose name is written nowhere else in its project.

use std::path::Path;

use backlot_core::file;
use backlot_pep::{AssetName, PackageName};
use fs_err as fs;

use crate::error::Result;
use crate::project::output::Output;
use crate::workspace::Opened;

/// More names than this are looked up among all outputs.
const FEW: usize = 4;

impl Opened {
    /// The output of a name in the folder that the name implies; `None` if only a look at all outputs can tell.
    pub(crate) fn output_in_own_folder(&self, name: &str) -> Result<Option<Output>> {
        let Ok(asset) = AssetName::parse(name) else {
            return Ok(None);
        };
        let folder = self.outputs_dir();
        // The full scan reports what is wrong with it.
        let Ok(output) = Output::load(&folder.join(asset.module())) else {
            return Ok(None);
        };
        if output.package() != *asset.package() || !same_name(&output.name, name) {
            return Ok(None);
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name() != asset.module() && may_be_meant(&entry.path(), asset.package()) {
                return Ok(None);
            }
        }
        Ok(Some(output))
    }

    /// The outputs of some names, sorted by name, if each is in the folder that its name implies.
    pub(crate) fn outputs_in_own_folders(&self, names: &[String]) -> Result<Option<Vec<Output>>> {
        // Of many names, each would look at all projects.
        if names.is_empty() || names.len() > FEW {
            return Ok(None);
        }
        let mut outputs = Vec::<Output>::new();
        for name in names {
            match self.output_in_own_folder(name)? {
                Some(output) if outputs.iter().any(|known| known.package() == output.package()) => {}
                Some(output) => outputs.push(output),
                None => return Ok(None),
            }
        }
        outputs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(outputs))
    }
}

/// Whether the project in a folder may be published as a package, or have its name. One that cannot be read is no output.
fn may_be_meant(root: &Path, package: &PackageName) -> bool {
    let Ok(text) = file::read(&root.join("pyproject.toml")) else {
        return false;
    };
    // An escape may stand for any character.
    if !text.contains(&b'\\') && !normalised(&String::from_utf8_lossy(&text)).contains(package.as_str()) {
        return false;
    }
    let Some(mut table) = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
    else {
        return false;
    };
    // Those that need the package mention it, too.
    if let Some(project) = table.get_mut("project").and_then(toml::Value::as_table_mut) {
        project.remove("dependencies");
        project.remove("optional-dependencies");
    }
    strings(&toml::Value::Table(table)).any(|text| is_name(text, package))
}

/// All strings of a value but the keys.
fn strings(value: &toml::Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        toml::Value::String(text) => Box::new(std::iter::once(text.as_str())),
        toml::Value::Array(all) => Box::new(all.iter().flat_map(strings)),
        toml::Value::Table(all) => Box::new(all.values().flat_map(strings)),
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether a text is the name of a package in any spelling, or ends with it behind a colon, as keywords do.
fn is_name(text: &str, package: &PackageName) -> bool {
    let behind = text.rsplit(':').next().unwrap_or_default();
    [text, behind]
        .iter()
        .any(|text| normalised(text.trim()) == package.as_str())
}

fn normalised(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if matches!(c, '_' | '.' | ' ') {
            '-'
        } else {
            c.to_ascii_lowercase()
        };
        if c != '-' || !normal.ends_with('-') {
            normal.push(c);
        }
    }
    normal
}

/// Whether two names mean the same asset: as written or as packages.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    let package = |name: &str| PackageName::of_asset(name).ok();
    a == b || package(a).is_some_and(|p| Some(p) == package(b))
}

#[cfg(test)]
mod tests {
    use super::may_be_meant;
    use backlot_pep::PackageName;
    use fs_err as fs;

    #[test]
    fn every_spelling_of_a_name_is_seen_and_a_requirement_is_not_a_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let package = PackageName::parse("main-pack").expect("valid");
        let says = |text: &str| {
            fs::write(folder.path().join("pyproject.toml"), text).expect("written");
            may_be_meant(folder.path(), &package)
        };
        for text in [
            "[project]\nname = \"main_pack\"\n",
            "[project]\nname = 'Main.Pack'\n",
            "[project]\nname = \"main__PACK\"\n",
            "[project]\nname = \"main\\u005fpack\"\n",
            "[project]\nname = \"x\"\nkeywords = [\"tgzr.pipeline.asset_name:Main Pack\"]\n",
        ] {
            assert!(says(text), "{text}");
        }
        for text in [
            "[project]\nname = \"other\"\n",
            "[project]\nname = \"main-pack-2\"\nkeywords = [\"tgzr.pipeline.asset_name:Main Pack 2\"]\n",
            "[project]\nname = \"other\"\ndependencies = [\"main_pack>=1\"]\n",
            "[project]\nname = \"other\"\n[project.optional-dependencies]\nx = [\"Main-Pack\"]\n",
            "[project]\nname = \"main_pack\n",
        ] {
            assert!(!says(text), "{text}");
        }
    }
}
