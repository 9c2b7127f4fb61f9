//! `bundle.json`: the contents of a bundle, format 1. See `docs/format/bundle.md`.
//!
//! Invariant: a manifest that parsed names every file of the bundle once, by a safe relative path, with size and SHA-256; and
//! every wheel and every stored object is one of these files. Checking files against it therefore checks all. It says
//! nothing of who made it, when or where, so that the same releases give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backlot_core::{Blake3, RelPath, Sha256};
use backlot_pep::{PackageName, Version};
use backlot_store::ObjectId;
use backlot_wheel::WheelName;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::LockedPackage;
use crate::error::{BundleError, Result};

/// Name of the manifest in a bundle.
pub(crate) const FILE_NAME: &str = "bundle.json";
/// Name of the lock in a bundle.
pub(crate) const LOCK: &str = "pylock.toml";
/// The most bytes a manifest may have: some 500,000 files.
pub(crate) const MAX_MANIFEST: u64 = 128 << 20;
/// The longest path of a file, in bytes.
pub(crate) const MAX_PATH: usize = 4096;
const FORMAT: u64 = 1;

/// The contents of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleManifest {
    /// Format of the bundle.
    pub format: u64,
    /// The requested requirements.
    pub requirements: Vec<String>,
    /// The Python that versions were chosen for: `3.11`.
    pub python: String,
    /// The `Requires-Python` of the packages, sorted.
    pub requires_python: Vec<String>,
    /// Where it runs, if a wheel was built for one platform; everywhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<BundlePlatform>,
    /// The releases, sorted by name.
    pub packages: Vec<BundledPackage>,
    /// All files but the manifest, sorted by path.
    pub files: Vec<BundleFile>,
}

/// The platform of a bundle with compiled wheels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundlePlatform {
    /// The system: `linux`, `macos`.
    pub os: String,
    /// The processor: `x86_64`, `aarch64`.
    pub arch: String,
    /// The tags of the wheels that do not run everywhere, sorted.
    pub tags: Vec<String>,
}

/// A release in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundledPackage {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The asset, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// File name of its wheel, in the folder `wheels`.
    pub wheel: String,
    /// Digest of the wheel.
    pub sha256: Sha256,
    /// Bytes of the wheel.
    pub size: u64,
    /// Whether it was requested by name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleFile {
    /// Its path in the bundle.
    pub path: RelPath,
    /// Its bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// Whether it can be run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// The name of its content in caches and remotes, if it is a tracked file or the manifest of a tracked folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<ObjectId>,
    /// The BLAKE3 of such content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<Blake3>,
}

/// The part that every format has.
#[derive(Deserialize)]
struct Probe {
    format: u64,
}

impl BundleManifest {
    /// A manifest of the format that is written now.
    pub(crate) fn new(python: String, requirements: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            requirements,
            python,
            requires_python: Vec::new(),
            platform: None,
            packages: Vec::new(),
            files: Vec::new(),
        }
    }

    /// The file's bytes. An error if there are too many files to be read again.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).expect("a manifest is plain data");
        bytes.push(b'\n');
        if bytes.len() as u64 > MAX_MANIFEST {
            let files = self.files.len() as u64;
            return Err(BundleError::TooManyFiles { files }.into());
        }
        Ok(bytes)
    }

    /// Read a manifest out of a bundle, which may be hostile. `bundle` is for messages.
    pub(crate) fn parse(bundle: &Path, bytes: &[u8]) -> Result<Self> {
        let bad = |reason: String| BundleError::Invalid {
            path: bundle.to_path_buf(),
            reason: format!("its {FILE_NAME}: {reason}"),
        };
        let probe: Probe = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if probe.format > FORMAT {
            return Err(BundleError::NewerFormat {
                path: bundle.to_path_buf(),
                found: probe.format,
                known: FORMAT,
            }
            .into());
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        manifest.check().map_err(bad)?;
        Ok(manifest)
    }

    /// The violated invariant, if any.
    fn check(&self) -> std::result::Result<(), String> {
        let mut by_path: BTreeMap<&str, &BundleFile> = BTreeMap::new();
        for file in &self.files {
            let path = file.path.as_str();
            if path.len() > MAX_PATH {
                return Err(format!("a path of {} bytes", path.len()));
            }
            if path == FILE_NAME || by_path.insert(path, file).is_some() {
                return Err(format!("`{path}` is listed twice"));
            }
            if file.md5.is_some() != file.blake3.is_some() {
                return Err(format!("`{path}` has only one of two digests"));
            }
        }
        if !self.files.is_sorted_by(|a, b| a.path.as_str() < b.path.as_str()) {
            return Err("its files are not sorted".to_owned());
        }
        for file in &self.files {
            let path = file.path.as_str();
            let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(folder) = above.find(|folder| by_path.contains_key(folder)) {
                return Err(format!("`{folder}` is both a file and a folder"));
            }
        }
        let mut names = BTreeSet::new();
        for package in &self.packages {
            let is_named = package
                .wheel
                .parse::<WheelName>()
                .is_ok_and(|wheel| wheel.package == package.name && wheel.version == package.version);
            let is_there = by_path.get(package.path().as_str()).is_some_and(|file| {
                file.sha256 == package.sha256 && file.size == package.size && file.md5.is_none()
            });
            if !is_named || !is_there || !names.insert(&package.name) {
                return Err(format!(
                    "the wheel of {} {} is not one of its files",
                    package.name, package.version
                ));
            }
        }
        if !by_path.contains_key(LOCK) {
            return Err(format!("it has no {LOCK}"));
        }
        let total = self
            .files
            .iter()
            .try_fold(0_u64, |sum, file| sum.checked_add(file.size));
        total
            .map(drop)
            .ok_or_else(|| "its sizes are impossible".to_owned())
    }

    /// Bytes of all files.
    pub(crate) fn total(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// One file of each stored content.
    pub(crate) fn objects(&self) -> BTreeMap<ObjectId, &BundleFile> {
        let tracked = self.files.iter().filter_map(|file| Some((file.md5?, file)));
        tracked.collect()
    }
}

impl BundledPackage {
    /// The path of its wheel in the bundle.
    pub(crate) fn path(&self) -> String {
        format!("wheels/{}", self.wheel)
    }

    /// As a lock has it that knows no repo.
    pub(crate) fn locked(&self) -> LockedPackage {
        LockedPackage {
            wheel: Some(self.wheel.clone()),
            sha256: Some(self.sha256),
            requested: self.requested,
            ..LockedPackage::new(self.name.clone(), self.version.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use backlot_core::Diagnostic as _;
    use serde_json::{Value, json};

    use super::BundleManifest;

    fn whole() -> Value {
        let digest = "0".repeat(64);
        json!({
            "format": 1, "requirements": ["table==1.0"], "python": "3.11", "requires_python": [],
            "packages": [{
                "name": "table", "version": "1.0", "wheel": "table-1.0-py3-none-any.whl", "sha256": digest, "size": 7,
            }],
            "files": [
                { "path": "pylock.toml", "size": 1, "sha256": digest },
                { "path": "wheels/table-1.0-py3-none-any.whl", "size": 7, "sha256": digest },
            ],
        })
    }

    fn code(manifest: &Value) -> Option<&'static str> {
        let bytes = serde_json::to_vec(manifest).expect("JSON");
        let parsed = BundleManifest::parse(Path::new("b"), &bytes);
        parsed.err().map(|error| error.code())
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let bytes = serde_json::to_vec(&whole()).expect("JSON");
        let manifest = BundleManifest::parse(Path::new("b"), &bytes).expect("valid");
        let again = manifest.to_bytes().expect("small");
        assert_eq!(
            BundleManifest::parse(Path::new("b"), &again).expect("valid"),
            manifest
        );
        assert_eq!(manifest.total(), 8);
    }

    #[test]
    fn hostile_manifests_are_refused() {
        let digest = "0".repeat(64);
        let file = |path: &str| json!({ "path": path, "size": 1, "sha256": digest });
        let with_files = |files: Vec<Value>| {
            let mut manifest = whole();
            let all = manifest["files"].as_array_mut().expect("files");
            all.extend(files);
            all.sort_by_key(|file| file["path"].as_str().map(ToOwned::to_owned));
            manifest
        };
        assert_eq!(code(&with_files(vec![file("x")])), None);
        for path in [
            "../x",
            "/x",
            "a//b",
            "a/./b",
            "",
            "c:x",
            "a\\b",
            "bundle.json",
            "pylock.toml",
            "pylock.toml/x",
        ] {
            assert_eq!(
                code(&with_files(vec![file(path)])),
                Some("bundle::invalid"),
                "{path}"
            );
        }
        let long = "x/".repeat(2100) + "x";
        assert_eq!(code(&with_files(vec![file(&long)])), Some("bundle::invalid"));
        let mut huge = file("y");
        huge["size"] = u64::MAX.into();
        assert_eq!(code(&with_files(vec![file("x"), huge])), Some("bundle::invalid"));
        let mut half = file("x");
        half["md5"] = "0".repeat(32).into();
        assert_eq!(code(&with_files(vec![half])), Some("bundle::invalid"));
        let mut other = whole();
        other["packages"][0]["sha256"] = "1".repeat(64).into();
        assert_eq!(code(&other), Some("bundle::invalid"));
        let mut other = whole();
        other["packages"][0]["wheel"] = "../table-1.0-py3-none-any.whl".into();
        assert_eq!(code(&other), Some("bundle::invalid"));
        let mut newer = whole();
        newer["format"] = 2.into();
        assert_eq!(code(&newer), Some("bundle::newer_format"));
        assert_eq!(code(&json!([])), Some("bundle::invalid"));
    }
}
