//! A rez package taken over as an asset: its name, version, description and requirements, out of its `package.py`.
//!
//! Invariants: the file is read, never run; parts that cannot be converted are reported, and nothing is guessed. Deliberately absent: the package's payload, which `add` takes, and its
//! environment variables: programs find the files of an asset by importing its package.

use std::path::Path;

use backlot_core::{file, options};
use backlot_dvc::pipeline::{Map, Value, python_literals};
use backlot_pep::{Requirement, Version, VersionChange};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{ImportError, Result};
use crate::project::new_asset::{NewAsset, NewReport};
use crate::workspace::Opened;

/// The name of the file in a package's folder.
const FILE: &str = "package.py";
/// The most that is read.
const LIMIT: u64 = 1 << 20;
/// The group of what only a build needs.
const BUILD: &str = "build";
/// Where requirements stand, and the group that they get.
const REQUIRES: [(&str, Option<&str>); 3] = [
    ("requires", None),
    ("build_requires", Some(BUILD)),
    ("private_build_requires", Some(BUILD)),
];
/// What says nothing about what the package is.
const IGNORED: [&str; 7] = [
    "uuid",
    "authors",
    "timestamp",
    "format_version",
    "base",
    "hashed_variants",
    "relocatable",
];
/// Packages that stand for a machine in rez.
const MACHINE: [&str; 3] = ["platform", "arch", "os"];

options! {
    /// Options for importing a rez package.
    #[derive(Default)]
    pub struct ImportRez {
        /// The name of the asset, if it is not that of the package.
        pub name: Option<String>,
        /// Its type.
        pub asset_type: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The converted parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RezReport {
    /// The asset that was made.
    pub asset: NewReport,
    /// Its version.
    pub version: Version,
    /// Its requirements.
    pub inputs: Vec<RezInput>,
    /// The parts that could not be converted, as sentences without a full stop.
    pub left_out: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// An imported requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RezInput {
    /// As rez has it.
    pub rez: String,
    /// As the asset has it.
    pub requirement: String,
    /// The group that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// The contents of a package, as far as an asset can represent them.
#[derive(Debug, Default)]
struct Package {
    name: Option<String>,
    version: Option<Version>,
    summary: Option<String>,
    inputs: Vec<RezInput>,
    left_out: Vec<String>,
}

impl Opened {
    pub(crate) fn import_rez(&self, path: &Path, options: &ImportRez) -> Result<RezReport> {
        let path = if path.is_dir() {
            path.join(FILE)
        } else {
            path.to_path_buf()
        };
        let bad = |reason: &str| ImportError::BadSource {
            source_url: path.display().to_string(),
            reason: reason.to_owned(),
        };
        let found = fs::metadata(&path)?;
        if found.len() > LIMIT {
            return Err(bad("package.py is larger than 1 MiB").into());
        }
        let bytes = file::read_if_exists(&path)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|_| bad("not valid UTF-8"))?;
        let package = Package::read(&text).map_err(|reason| bad(&reason))?;
        let Some(name) = options.name.clone().or(package.name) else {
            return Err(bad("its `name` is not a string; specify a name for the asset").into());
        };
        let made = NewAsset {
            summary: package.summary,
            dry_run: options.dry_run,
            ..NewAsset::default()
        };
        let made = match &options.asset_type {
            Some(asset_type) => made.asset_type(asset_type.clone()),
            None => made,
        };
        let asset = self.new_asset(&name, &made)?;
        let version = match package.version {
            Some(version) => version,
            None => asset.version.parse()?,
        };
        if !options.dry_run {
            let change: VersionChange = version.to_string().parse()?;
            self.bump(&name, &change, false)?;
            for group in [None, Some(BUILD)] {
                let of_group = package
                    .inputs
                    .iter()
                    .filter(|input| input.group.as_deref() == group);
                let texts: Vec<String> = of_group.map(|input| input.requirement.clone()).collect();
                if !texts.is_empty() {
                    // The packages that it requires may be taken over after it.
                    self.add_inputs(&name, &texts, group, false, false)?;
                }
            }
        }
        Ok(RezReport {
            asset,
            version,
            inputs: package.inputs,
            left_out: package.left_out,
            dry_run: options.dry_run,
        })
    }
}

impl Package {
    fn read(text: &str) -> Result<Self, String> {
        let read = python_literals(text)?;
        let empty = Map::default();
        let map = read.as_map().unwrap_or(&empty);
        let mut package = Self::default();
        for entry in map.iter() {
            let Some(key) = entry.key.as_str() else { continue };
            package.take(key, &entry.value);
        }
        package.left_out.extend(statements(text, map));
        Ok(package)
    }

    fn take(&mut self, key: &str, value: &Value) {
        if let Some((_, group)) = REQUIRES.iter().find(|(name, _)| *name == key) {
            return self.require(key, value, *group);
        }
        match (key, value.as_str()) {
            ("name", Some(text)) => self.name = Some(text.to_owned()),
            ("version", Some(text)) => match text.parse() {
                Ok(version) => self.version = Some(version),
                Err(_) => self.leave(format!(
                    "the version {text} is not valid under PEP 440; set one with `bump`"
                )),
            },
            ("description", Some(text)) => {
                let line = text.trim().lines().next().unwrap_or_default();
                self.summary = Some(line.trim().to_owned()).filter(|line| !line.is_empty());
            }
            (key, _) if IGNORED.contains(&key) => {}
            ("tools", _) => {
                self.leave("tools: declare them as `[project.scripts]` in pyproject.toml".to_owned());
            }
            ("variants", _) => self.leave(
                "variants: an asset has one set of requirements; create one asset per variant, or use groups"
                    .to_owned(),
            ),
            (key, _) => self.leave(format!("{key}: assets have no equivalent")),
        }
    }

    fn require(&mut self, key: &str, value: &Value, group: Option<&str>) {
        let Some(items) = value.as_list() else {
            return self.leave(format!("{key} is not a list"));
        };
        for item in items {
            let Some(rez) = item.as_str() else {
                self.leave(format!("{key} has {}, not a string", item.kind()));
                continue;
            };
            match requirement(rez) {
                Ok(requirement) => self.inputs.push(RezInput {
                    rez: rez.to_owned(),
                    requirement,
                    group: group.map(ToOwned::to_owned),
                }),
                Err(reason) => self.leave(format!("{key} {rez}: {reason}")),
            }
        }
    }

    fn leave(&mut self, what: String) {
        self.left_out.push(what);
    }
}

/// Statements of the file that are not literals: functions, and computed values.
fn statements(text: &str, read: &Map) -> Vec<String> {
    let mut left_out = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with([' ', '\t', '#'])) {
        let word = |line: &str| -> String {
            let letters = line.trim_start().chars();
            letters.take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        if let Some(function) = line.strip_prefix("def ") {
            left_out.push(match word(function).as_str() {
                "commands" | "pre_commands" | "post_commands" => {
                    "commands: environment variables are not part of an asset; its package finds its files"
                        .to_owned()
                }
                name => format!("the function {name} is not run"),
            });
        } else if line.starts_with("with ") {
            left_out.push(format!("`{}` is not run", line.trim_end_matches(':').trim()));
        } else if let Some((name, _)) = line.split_once('=') {
            let name = name.trim();
            let is_name = !name.is_empty() && word(name) == name;
            if is_name && read.get(name).is_none() {
                left_out.push(format!("{name} is computed, and not run"));
            }
        }
    }
    left_out
}

/// A requirement of rez as one of Python; else why it is none.
fn requirement(rez: &str) -> Result<String, String> {
    let text = rez.trim();
    if let Some(other) = text.strip_prefix('~') {
        return Err(format!(
            "a weak requirement; use `install --constraint` for {other}"
        ));
    }
    if text.starts_with('!') {
        return Err("a conflict; use `install --constraint` to exclude versions".to_owned());
    }
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let (name, range) = text.split_at(end);
    if name.is_empty() {
        return Err("it has no package name".to_owned());
    }
    if name == "python" {
        return Err("the Python; set `requires-python` in pyproject.toml".to_owned());
    }
    if MACHINE.contains(&name) {
        return Err("the platform; wheels declare their platforms".to_owned());
    }
    let range = range.strip_prefix(['-', '@', '#']).unwrap_or(range);
    let specifiers = specifiers(range)?;
    let requirement = format!("{name}{specifiers}");
    match Requirement::parse(&requirement) {
        Ok(parsed) => Ok(parsed.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// A range of rez as specifiers of Python.
fn specifiers(range: &str) -> Result<String, String> {
    if range.is_empty() {
        return Ok(String::new());
    }
    if range.contains('|') {
        return Err("a union of ranges has no equivalent in Python; choose one".to_owned());
    }
    let checked = |version: &str| match version.parse::<Version>() {
        Ok(_) => Ok(version.to_owned()),
        Err(_) => Err(format!("{version} is not a valid version under PEP 440")),
    };
    if let Some((from, to)) = range.split_once("..") {
        return Ok(format!(">={},<{}", checked(from)?, checked(to)?));
    }
    if let Some((from, rest)) = range.split_once('+') {
        let from = format!(">={}", checked(from)?);
        return match rest.trim_start_matches(',').strip_prefix('<') {
            _ if rest.is_empty() => Ok(from),
            Some(to) => {
                let (sign, to) = to.strip_prefix('=').map_or(("<", to), |to| ("<=", to));
                Ok(format!("{from},{sign}{}", checked(to)?))
            }
            None => Err(format!("unsupported range {range}")),
        };
    }
    if !range.starts_with(['=', '<', '>']) {
        return Ok(format!("=={}.*", checked(range)?));
    }
    let mut parts = Vec::new();
    for part in range.split(',') {
        let signs = part
            .find(|c: char| !matches!(c, '=' | '<' | '>'))
            .unwrap_or(part.len());
        let (sign, version) = part.split_at(signs);
        // `>1.2<2` of rez without a comma.
        let (version, more) = version
            .find(['<', '>'])
            .map_or((version, ""), |at| version.split_at(at));
        parts.push(format!("{sign}{}", checked(version)?));
        if !more.is_empty() {
            parts.push(specifiers(more)?);
        }
    }
    Ok(parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::{Package, requirement};

    #[test]
    fn requirements_of_rez_are_those_of_python_or_say_why_not() {
        for (rez, ours) in [
            ("table", "table"),
            ("table-1.2", "table==1.2.*"),
            ("table==1.2.0", "table==1.2.0"),
            ("table-1.2+", "table>=1.2"),
            ("table-1.2+<2", "table>=1.2,<2"),
            ("table-1.2..2", "table>=1.2,<2"),
            ("my_table>=1.2,<2", "my_table>=1.2,<2"),
            ("table>1.2<2", "table>1.2,<2"),
            ("table<2", "table<2"),
        ] {
            assert_eq!(requirement(rez).as_deref(), Ok(ours), "{rez}");
        }
        for rez in [
            "~table-1",
            "!table-1",
            "python-3.9",
            "platform-linux",
            "table-1|2",
            "table-1.beta",
            "",
            ".x-1",
        ] {
            assert!(requirement(rez).is_err(), "{rez}");
        }
    }

    #[test]
    fn a_package_is_read_and_not_run_and_what_is_left_out_is_named() {
        let text = "import os\nname = 'table_rig'\nversion = '1.2.0'\ndescription = '''\nA rig.\nOf a table.'''\nauthors = ['ana']\nrequires = [\n    'table-1.2+<2',\n    'python-3.9',\n]\nprivate_build_requires = ['cmake-3']\nvariants = [['platform-linux']]\ncachable = compute()\n\ndef commands():\n    env.PATH.append('{root}/bin')\n\nwith scope('config'):\n    release_packages_path = '/x'\n";
        let package = Package::read(text).expect("read");
        assert_eq!(package.name.as_deref(), Some("table_rig"));
        assert_eq!(
            package.version.map(|version| version.to_string()).as_deref(),
            Some("1.2.0")
        );
        assert_eq!(package.summary.as_deref(), Some("A rig."));
        let inputs: Vec<(&str, Option<&str>)> = package
            .inputs
            .iter()
            .map(|input| (input.requirement.as_str(), input.group.as_deref()))
            .collect();
        assert_eq!(inputs, [("table>=1.2,<2", None), ("cmake==3.*", Some("build"))]);
        let left_out = package.left_out.join("\n");
        for word in [
            "python-3.9",
            "variants",
            "cachable is computed",
            "commands",
            "with scope",
        ] {
            assert!(left_out.contains(word), "{word}: {left_out}");
        }
    }
}
