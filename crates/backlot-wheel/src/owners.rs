//! Whose each file of an environment is, by the RECORDs that are there.
//!
//! Invariant: two packages may bring one file only if it has the same bytes in both; it then stays until the last of them
//! goes. RECORDs are read only when it matters. Deliberately absent: files that no RECORD names.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use backlot_core::{Sha256, file};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::install::UnpackedWheel;
use crate::layout::Layout;
use crate::record::{RecordEntry, parse_record};

/// Whose a file is, and its bytes, by the file's path as RECORD has it.
type Files = HashMap<String, (String, Option<Sha256>)>;

/// The owners of files, by their path as RECORD has it. Several threads may install under one.
#[derive(Debug, Default)]
pub struct Owners(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Of the existing packages; read when needed.
    before: Option<Files>,
    /// Of the packages being installed.
    coming: Files,
}

impl Owners {
    /// The owners of what these `.dist-info` folders name.
    pub fn of<'a>(dist_infos: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        let before = Some(read(dist_infos)?);
        let coming = Files::new();
        Ok(Self(Mutex::new(State { before, coming })))
    }

    /// Register the files of a wheel before many are installed at once: two with the same file but different contents are
    /// reported here, before either has placed it.
    pub fn expect(&self, wheel: &UnpackedWheel, layout: &Layout) -> Result<()> {
        let mut state = self.state();
        for (path, entry) in wheel.plain_files(layout) {
            check_one(&state.coming, &path, entry.sha256, &wheel.package)?;
            let owner = || (wheel.package.clone(), entry.sha256);
            state.coming.entry(path).or_insert_with(owner);
        }
        Ok(())
    }

    /// Whether a package that was there before has this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let state = self.state();
        state
            .before
            .as_ref()
            .is_some_and(|known| known.contains_key(path))
    }

    /// Record an installed package.
    pub(crate) fn add(&self, package: &str, record: &[RecordEntry]) {
        let mut state = self.state();
        for entry in record {
            let owner = (package.to_owned(), entry.sha256);
            state.coming.insert(entry.path.clone(), owner);
        }
    }

    /// An existing file may be unowned, or another package's if it has the same contents.
    pub(crate) fn check(
        &self,
        layout: &Layout,
        path: &str,
        sha256: Option<Sha256>,
        package: &str,
    ) -> Result<()> {
        let mut state = self.state();
        if state.before.is_none() {
            let mut folders = Vec::new();
            for entry in fs::read_dir(layout.site_packages())? {
                let folder = entry?.path();
                if folder.extension().is_some_and(|e| e == "dist-info") {
                    folders.push(folder);
                }
            }
            state.before = Some(read(folders.iter().map(std::path::PathBuf::as_path))?);
        }
        check_one(&state.coming, path, sha256, package)?;
        state
            .before
            .as_ref()
            .map_or(Ok(()), |before| check_one(before, path, sha256, package))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read<'a>(dist_infos: impl IntoIterator<Item = &'a Path>) -> Result<Files> {
    let mut files = Files::new();
    for folder in dist_infos {
        let record = file::read_if_exists(&folder.join("RECORD"))?.unwrap_or_default();
        let package = package_of(folder);
        for entry in parse_record(&String::from_utf8_lossy(&record)) {
            files.insert(entry.path, (package.clone(), entry.sha256));
        }
    }
    Ok(files)
}

fn check_one(files: &Files, path: &str, sha256: Option<Sha256>, package: &str) -> Result<()> {
    match files.get(path) {
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

/// `table` of `.../table-1.0.0.dist-info`.
fn package_of(dist_info: &Path) -> String {
    let name = dist_info.file_name().unwrap_or_default().to_string_lossy();
    name.split('-').next().unwrap_or_default().to_owned()
}
