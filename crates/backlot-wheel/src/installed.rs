//! The packages installed in an environment, and whether they are unchanged.
//!
//! Reads what any installer writes (PEP 376, PEP 610). An unreadable `.dist-info` is skipped: it is some
//! other tool's.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use backlot_core::{RelPath, file};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::archive::wheel_sha256;
use crate::asset::AssetInfo;
use crate::entry_points::EntryPoints;
use crate::error::Result;
use crate::layout::Layout;
use crate::metadata::Metadata;
use crate::record::parse_record;

/// An installed package.
#[derive(Clone, Debug)]
pub struct InstalledDist {
    /// Its `.dist-info` folder.
    pub dist_info: PathBuf,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its entry points.
    pub entry_points: EntryPoints,
    /// The installer.
    pub installer: Option<String>,
    /// Whether it was requested by name.
    pub requested: bool,
    /// The project it shows, if it is editable.
    pub editable: Option<String>,
    /// Where it came from, if not from an index (PEP 610).
    pub direct_url: Option<Value>,
    /// The asset, if it is one.
    pub asset: Option<AssetInfo>,
}

/// The change to an installed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DamageKind {
    /// It is gone.
    Missing,
    /// Its bytes are others.
    Changed,
}

/// A damaged file of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Its path in the environment.
    pub path: String,
    /// The change.
    pub kind: DamageKind,
}

/// The packages in a site-packages folder, sorted by name.
pub fn installed(site_packages: &Path) -> Result<Vec<InstalledDist>> {
    let mut all = Vec::new();
    if !site_packages.is_dir() {
        return Ok(all);
    }
    for entry in fs::read_dir(site_packages)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "dist-info") {
            all.extend(InstalledDist::load(&path)?);
        }
    }
    all.sort_by_key(|d| d.metadata.package());
    Ok(all)
}

/// The `.dist-info` folders without readable metadata: remains of half-removed packages.
pub fn strays(site_packages: &Path) -> Result<Vec<PathBuf>> {
    let mut strays = Vec::new();
    if !site_packages.is_dir() {
        return Ok(strays);
    }
    for entry in fs::read_dir(site_packages)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "dist-info") && InstalledDist::load(&path)?.is_none() {
            strays.push(path);
        }
    }
    strays.sort();
    Ok(strays)
}

/// Whether every file of a folder made by [`crate::unpack`] still is what its RECORD says, and RECORD names them all.
pub fn verify_unpacked(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "dist-info") {
            continue;
        }
        let record = file::read_if_exists(&path.join("RECORD"))?.unwrap_or_default();
        let entries = parse_record(&String::from_utf8_lossy(&record));
        let metadata = format!(
            "{}/METADATA",
            path.file_name().unwrap_or_default().to_string_lossy()
        );
        if !entries.iter().any(|entry| entry.path == metadata) {
            return Ok(false);
        }
        let mut named = HashSet::new();
        for entry in &entries {
            let Ok(path) = RelPath::parse(&entry.path) else {
                return Ok(false);
            };
            named.insert(path.to_path(folder));
            let Some(sha256) = entry.sha256 else { continue };
            match wheel_sha256(&path.to_path(folder)) {
                Ok((found, _)) if found == sha256 => {}
                Ok(_) => return Ok(false),
                Err(crate::Error::File(e)) if e.is_not_found() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        // A RECORD that lost lines names too few; signatures of it are never named.
        let is_named = |file: &PathBuf| {
            let name = file
                .strip_prefix(&path)
                .map(|inside| inside.to_string_lossy().into_owned());
            let of_record = name.is_ok_and(|name| matches!(&*name, "RECORD" | "RECORD.jws" | "RECORD.p7s"));
            of_record || named.contains(file)
        };
        return Ok(crate::seal::files(folder)?.iter().all(is_named));
    }
    Ok(false)
}

impl InstalledDist {
    /// The package of a `.dist-info` folder; `None` if its metadata cannot be read.
    pub fn load(dist_info: &Path) -> Result<Option<Self>> {
        let text = |name: &str| -> Result<Option<String>> {
            let bytes = file::read_if_exists(&dist_info.join(name))?;
            Ok(bytes.map(|b| String::from_utf8_lossy(&b).into_owned()))
        };
        let Some(metadata) = text("METADATA")?.and_then(|t| Metadata::parse(&t).ok()) else {
            return Ok(None);
        };
        let entry_points = EntryPoints::parse(&text("entry_points.txt")?.unwrap_or_default());
        let direct_url: Option<Value> = text("direct_url.json")?.and_then(|t| serde_json::from_str(&t).ok());
        let editable = direct_url.as_ref().and_then(|u| {
            let is_editable = u
                .pointer("/dir_info/editable")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            is_editable.then(|| u["url"].as_str().unwrap_or_default().to_owned())
        });
        Ok(Some(Self {
            asset: AssetInfo::from_metadata(&metadata, &entry_points),
            installer: text("INSTALLER")?.map(|t| t.trim().to_owned()),
            requested: dist_info.join("REQUESTED").exists(),
            dist_info: dist_info.to_path_buf(),
            metadata,
            entry_points,
            editable,
            direct_url,
        }))
    }

    /// A file of its `.dist-info`, if it is there.
    pub fn read_dist_info(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(file::read_if_exists(&self.dist_info.join(name))?)
    }

    /// Its `.dvc` pointers, relative to site-packages.
    pub fn pointer_paths(&self) -> Result<Vec<RelPath>> {
        let record = self.read_dist_info("RECORD")?.unwrap_or_default();
        let entries = parse_record(&String::from_utf8_lossy(&record));
        Ok(entries
            .iter()
            .filter(|e| e.path.ends_with(".dvc"))
            .filter_map(|e| RelPath::parse(&e.path).ok())
            .collect())
    }

    /// Compare every file with RECORD, which must name the metadata beside it.
    pub fn verify(&self, layout: &Layout) -> Result<Vec<Damage>> {
        let record = self.read_dist_info("RECORD")?;
        let mut damage = Vec::new();
        let entries = parse_record(&String::from_utf8_lossy(record.as_deref().unwrap_or_default()));
        let folder = self.dist_info.file_name().unwrap_or_default().to_string_lossy();
        let metadata = format!("{folder}/METADATA");
        if !entries.iter().any(|e| e.path == metadata && e.sha256.is_some()) {
            damage.push(Damage {
                path: format!("{}/{folder}/RECORD", layout.purelib),
                kind: match record {
                    Some(_) => DamageKind::Changed,
                    None => DamageKind::Missing,
                },
            });
        }
        for entry in entries {
            let (Some(path), Some(sha256)) = (layout.tree_path(&entry.path), entry.sha256) else {
                continue;
            };
            let full = path.to_path(&layout.root);
            let kind = match wheel_sha256(&full) {
                Ok((found, _)) if found == sha256 => continue,
                Ok(_) => DamageKind::Changed,
                Err(crate::Error::File(e)) if e.is_not_found() => DamageKind::Missing,
                Err(error) => return Err(error),
            };
            damage.push(Damage {
                path: path.to_string(),
                kind,
            });
        }
        Ok(damage)
    }
}
