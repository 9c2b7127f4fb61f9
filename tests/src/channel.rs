//! A conda channel in a folder, made package by package: archives of both kinds, with the index a channel has.
//!
//! The metadata is written here by hand; only packing is rattler's. The interpreter that a test may run is the test
//! machine's own, laid out as conda does.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use rattler_conda_types::compression_level::CompressionLevel;
use rattler_package_streaming::write::{write_conda_package, write_tar_bz2_package};
use serde_json::{Map, Value, json};
use sha2::Digest as _;

/// The folder that packages were built in, to be replaced by the prefix.
pub const PLACEHOLDER: &str =
    "/opt/placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold";

/// A channel that grows.
#[derive(Debug)]
pub struct Channel {
    root: PathBuf,
    records: BTreeMap<String, Map<String, Value>>,
}

/// A package to be made.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it needs.
    pub depends: Vec<String>,
    /// Whether it is a Python library for every platform.
    pub python: bool,
    /// Its files by path; those that name [`PLACEHOLDER`] get the prefix instead.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Which of them can be run.
    pub programs: Vec<String>,
    /// Its symbolic links: where they lie, and where they lead.
    pub links: Vec<(String, String)>,
    /// A path that its metadata names beside its files.
    pub hostile: Option<String>,
    /// Pack it as `.tar.bz2`.
    pub old_format: bool,
}

impl Package {
    /// A package of this platform.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            ..Self::default()
        }
    }

    /// A Python library with one module that knows its version.
    pub fn library(name: &str, version: &str) -> Self {
        let module = name.replace('-', "_");
        Self {
            python: true,
            depends: vec!["python >=3".to_owned()],
            ..Self::new(name, version)
        }
        .file(
            &format!("site-packages/{module}.py"),
            format!("version = '{version}'\n").as_bytes(),
        )
    }

    /// The same with a file.
    pub fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.insert(path.to_owned(), bytes.to_vec());
        self
    }

    /// The same with a symbolic link.
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.links.push((path.to_owned(), target.to_owned()));
        self
    }

    /// The same with something it needs.
    pub fn needs(mut self, spec: &str) -> Self {
        self.depends.push(spec.to_owned());
        self
    }

    /// The same in the older format.
    pub fn old(mut self) -> Self {
        self.old_format = true;
        self
    }
}

/// The platform folder of this machine.
pub fn platform() -> &'static str {
    rattler_conda_types::Subdir::current()
        .expect("conda knows this machine")
        .as_str()
}

impl Channel {
    /// An empty channel in a folder.
    pub fn new(root: &Path) -> Self {
        let channel = Self {
            root: root.to_path_buf(),
            records: [platform(), "noarch"]
                .map(|subdir| (subdir.to_owned(), Map::new()))
                .into(),
        };
        channel.write_index();
        channel
    }

    /// Add a package; its file.
    pub fn add(&mut self, package: &Package) -> PathBuf {
        let subdir = if package.python { "noarch" } else { platform() };
        let index = json!({
            "name": package.name, "version": package.version, "build": "h0_0", "build_number": 0,
            "depends": package.depends, "subdir": subdir,
            "noarch": if package.python { json!("python") } else { Value::Null },
        });
        let scratch = tempfile::tempdir().expect("a folder");
        let mut paths = Vec::new();
        for (name, bytes) in &package.files {
            write(scratch.path(), name, bytes);
            let replaced = find(bytes, PLACEHOLDER.as_bytes());
            let mut entry = json!({
                "_path": name, "path_type": "hardlink", "size_in_bytes": bytes.len(), "sha256": sha256(bytes),
            });
            if replaced {
                entry["prefix_placeholder"] = json!(PLACEHOLDER);
                entry["file_mode"] = json!(if bytes.contains(&0) { "binary" } else { "text" });
            }
            paths.push(entry);
        }
        for (name, target) in &package.links {
            let path = scratch.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs_err::os::unix::fs::symlink(target, path).expect("linked");
            paths.push(json!({ "_path": name, "path_type": "softlink", "size_in_bytes": 0 }));
        }
        if let Some(path) = &package.hostile {
            paths.push(json!({ "_path": path, "path_type": "hardlink", "size_in_bytes": 0 }));
        }
        for program in &package.programs {
            let path = scratch.path().join(program);
            fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("made a program");
        }
        let text = |value: &Value| serde_json::to_vec_pretty(value).expect("plain data");
        write(scratch.path(), "info/index.json", &text(&index));
        let listed = json!({ "paths": paths, "paths_version": 1 });
        write(scratch.path(), "info/paths.json", &text(&listed));
        let bytes = pack(scratch.path(), package);
        let ending = if package.old_format { "tar.bz2" } else { "conda" };
        let file = format!("{}-{}-h0_0.{ending}", package.name, package.version);
        let path = self.root.join(subdir).join(&file);
        fs::write(&path, &bytes).expect("written");
        let mut record = index;
        record["sha256"] = json!(sha256(&bytes));
        record["size"] = json!(bytes.len());
        self.records
            .get_mut(subdir)
            .expect("a platform")
            .insert(file, record);
        self.write_index();
        path
    }

    /// Change what the index says of a package.
    pub fn lie(&mut self, file: &str, key: &str, value: &Value) {
        for records in self.records.values_mut() {
            if let Some(record) = records.get_mut(file) {
                record[key] = value.clone();
            }
        }
        self.write_index();
    }

    fn write_index(&self) {
        for (subdir, records) in &self.records {
            let (conda, old): (Map<_, _>, Map<_, _>) = records
                .clone()
                .into_iter()
                .partition(|(file, _)| file.ends_with(".conda"));
            let index = json!({
                "info": { "subdir": subdir }, "packages": old, "packages.conda": conda, "repodata_version": 1,
            });
            let text = serde_json::to_vec_pretty(&index).expect("plain data");
            write(&self.root, &format!("{subdir}/repodata.json"), &text);
        }
    }
}

/// A real interpreter as a package, and its version. It has what `import json, importlib.metadata` needs.
pub fn python() -> (Package, String) {
    let code = "import sys, os, sysconfig; print(sys.version.split()[0].rstrip('+'), os.path.realpath(sys.executable), sysconfig.get_path('stdlib'), sep='\\n')";
    let said = crate::run_command(Command::new(crate::tool("python")).args(["-I", "-c", code]))
        .ok()
        .stdout();
    let mut lines = said.lines();
    let version = lines.next().expect("a version").to_owned();
    let executable = PathBuf::from(lines.next().expect("an executable"));
    let library = PathBuf::from(lines.next().expect("a library"));
    let short = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let program = format!("bin/python{short}");
    let mut package = Package::new("python", &version)
        .file(&program, &fs::read(executable).expect("the interpreter"))
        .file(
            &format!("include/python{short}/patchlevel.h"),
            format!("#define PY_VERSION \"{version}\"\n").as_bytes(),
        );
    package.programs.push(program);
    let parts = [
        "collections",
        "email",
        "encodings",
        "importlib",
        "json",
        "logging",
        "re",
        "urllib",
        "zipfile",
        "importlib/metadata",
        "importlib/resources",
        "lib-dynload",
    ];
    for folder in std::iter::once("").chain(parts) {
        for entry in fs::read_dir(library.join(folder)).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            // What tests CPython itself is large and of no use here.
            let wanted = name.ends_with(".py") || name.ends_with(".so") && !name.contains("test");
            if wanted && path.is_file() {
                let inside = Path::new(folder).join(&name);
                let inside = format!("lib/python{short}/{}", inside.display());
                package.files.insert(inside, fs::read(&path).expect("readable"));
            }
        }
    }
    (package, version)
}

fn pack(folder: &Path, package: &Package) -> Vec<u8> {
    let mut paths: Vec<PathBuf> = package.files.keys().map(|name| folder.join(name)).collect();
    paths.extend(package.links.iter().map(|(name, _)| folder.join(name)));
    paths.extend(["info/index.json", "info/paths.json"].map(|name| folder.join(name)));
    let mut bytes = std::io::Cursor::new(Vec::new());
    let level = CompressionLevel::Lowest;
    if package.old_format {
        write_tar_bz2_package(&mut bytes, folder, &paths, level, None, None).expect("packed");
    } else {
        let name = format!("{}-{}-h0_0", package.name, package.version);
        write_conda_package(&mut bytes, folder, &paths, level, None, &name, None, None).expect("packed");
    }
    bytes.into_inner()
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, bytes).expect("written");
}

fn find(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}
