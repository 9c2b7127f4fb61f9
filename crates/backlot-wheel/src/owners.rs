//! Whose each file of an environment is, by the RECORDs that are there.
//!
//! Invariant: two packages may bring one file only if it has the same bytes in both; it then stays until the last of them
//! goes. RECORDs are read only when it matters. Deliberately absent: files that no RECORD names.

use std::collections::HashMap;
use std::path::Path;

use backlot_core::{Sha256, file};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::record::{RecordEntry, parse_record};

/// The owners of files, by their path as RECORD has it.
#[derive(Debug, Default)]
pub struct Owners {
    known: Option<HashMap<String, (String, Option<Sha256>)>>,
}

impl Owners {
    /// The owners of what these `.dist-info` folders name.
    pub fn of<'a>(dist_infos: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        let mut owners = Self {
            known: Some(HashMap::new()),
        };
        for folder in dist_infos {
            let record = file::read_if_exists(&folder.join("RECORD"))?.unwrap_or_default();
            let entries = parse_record(&String::from_utf8_lossy(&record));
            owners.add(&package_of(folder), &entries);
        }
        Ok(owners)
    }

    /// Whether a package that is known here has this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.known.as_ref().is_some_and(|known| known.contains_key(path))
    }

    /// Remember what was installed.
    pub(crate) fn add(&mut self, package: &str, record: &[RecordEntry]) {
        if let Some(known) = &mut self.known {
            for entry in record {
                known.insert(entry.path.clone(), (package.to_owned(), entry.sha256));
            }
        }
    }

    /// A file that is there already may be nobody's, or another package's if it has the same bytes.
    pub(crate) fn check(
        &mut self,
        layout: &Layout,
        path: &str,
        sha256: Option<Sha256>,
        package: &str,
    ) -> Result<()> {
        if self.known.is_none() {
            let mut folders = Vec::new();
            for entry in fs::read_dir(layout.site_packages())? {
                let folder = entry?.path();
                if folder.extension().is_some_and(|e| e == "dist-info") {
                    folders.push(folder);
                }
            }
            *self = Self::of(folders.iter().map(std::path::PathBuf::as_path))?;
        }
        match self.known.as_ref().and_then(|known| known.get(path)) {
            Some((other, theirs)) if other != package && (sha256.is_none() || *theirs != sha256) => {
                Err(Error::FileConflict {
                    path: path.to_owned(),
                    package: package.to_owned(),
                    other: other.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}

/// `table` of `.../table-1.0.0.dist-info`.
fn package_of(dist_info: &Path) -> String {
    let name = dist_info.file_name().unwrap_or_default().to_string_lossy();
    name.split('-').next().unwrap_or_default().to_owned()
}
