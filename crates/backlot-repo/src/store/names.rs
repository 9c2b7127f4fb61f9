//! Which packages and files a store has, by their names alone.
//!
//! Invariant: a place whose names cannot be told is an error, and so is one that is gone; it is never taken for empty. Deliberately absent: what
//! the files are (`snapshot`).

use backlot_pep::{PackageName, Version};
use backlot_wheel::{WheelName, sdist_name};

use super::{ReleaseStore, package_prefix};
use crate::error::Result;
use crate::layout::{RepoKind, is_wheel};
use crate::listing::{named, package_of};
use crate::release::ReleaseKind;

/// The kind of a file of a package by its name; `None` if it is not a wheel or source distribution, the reason if it
/// should be one of this package and is not. In a shared folder those of others are skipped.
pub(super) fn parse(
    file: &str,
    package: &PackageName,
    shared: bool,
) -> Result<Option<(ReleaseKind, WheelName)>, String> {
    if is_wheel(file) {
        return Ok(named(file, package, shared)?.map(|name| (ReleaseKind::Wheel, name)));
    }
    let source = sdist_name(file).filter(|(of, _)| of == package);
    Ok(source.map(|(of, version)| (ReleaseKind::Sdist, WheelName::pure(&of, &version))))
}

impl ReleaseStore {
    /// The prefix of a package's files, and whether it is shared with others.
    pub(super) fn files_prefix(&self, name: &PackageName) -> Result<(String, bool)> {
        Ok(match self.kind()? {
            RepoKind::Flat => (String::new(), true),
            RepoKind::Empty | RepoKind::Backlot => (package_prefix(name), false),
        })
    }

    /// The names in a package's folder, without hidden ones; empty only if it certainly has none.
    pub(super) fn names_of(&self, name: &PackageName) -> Result<Vec<String>> {
        self.names_below(&package_prefix(name), name)
    }

    pub(super) fn names_below(&self, prefix: &str, name: &PackageName) -> Result<Vec<String>> {
        let mut names = match self.0.objects.names(prefix) {
            Ok(names) => names,
            // A package folder that is a dangling link gets its own error.
            Err(error) => {
                self.check_absent(name)?;
                return Err(error.into());
            }
        };
        if names.is_empty() && !prefix.is_empty() {
            self.check_absent(name)?;
        }
        names.retain(|name| !name.starts_with('.'));
        names.sort_unstable();
        Ok(names)
    }

    /// Of a folder, an error unless a package without files surely has none.
    pub(super) fn check_absent(&self, name: &PackageName) -> Result<()> {
        match &self.0.places {
            Some(places) if self.kind()? != RepoKind::Empty => places.check_absent(name),
            _ => Ok(()),
        }
    }

    /// The files of a package by their names alone, with their versions.
    pub(super) fn file_names(&self, name: &PackageName) -> Result<Vec<(String, Version)>> {
        let files = self.names_of(name)?.into_iter();
        Ok(files
            .filter_map(|file| {
                let (_, parsed) = parse(&file, name, false).ok().flatten()?;
                Some((file, parsed.version))
            })
            .collect())
    }

    /// Whether there is an object that is named as one of a package's wheels or source distributions.
    pub(super) fn has_files(&self, name: &PackageName) -> Result<bool> {
        let files = self.names_of(name)?;
        Ok(files.iter().any(|file| package_of(file).as_ref() == Some(name)))
    }

    /// The packages that have at least one wheel or source distribution (by its file name), sorted.
    pub fn packages(&self) -> Result<Vec<PackageName>> {
        let names = self.package_names()?;
        if self.kind()? == RepoKind::Flat {
            return Ok(names);
        }
        let have = self.each(&names, |name| self.has_files(name))?;
        let both = names.into_iter().zip(have);
        Ok(both.filter_map(|(name, has)| has.then_some(name)).collect())
    }

    /// The packages that there is a place for, which may be empty, sorted: none of them is looked into.
    pub fn package_names(&self) -> Result<Vec<PackageName>> {
        match self.kind()? {
            RepoKind::Empty => return Ok(Vec::new()),
            RepoKind::Flat => {
                let names = self.0.objects.names("")?;
                let visible = names.iter().filter(|name| !name.starts_with('.'));
                let mut packages: Vec<PackageName> = visible.filter_map(|file| package_of(file)).collect();
                packages.sort();
                packages.dedup();
                return Ok(packages);
            }
            RepoKind::Backlot if !self.is_local() => drop(self.marker()?),
            RepoKind::Backlot => {}
        }
        let mut names = self.package_folders()?;
        names.retain(|name| self.admits(name));
        Ok(names)
    }

    /// The folders below `packages/` that are named as packages are, sorted.
    pub(super) fn package_folders(&self) -> Result<Vec<PackageName>> {
        let names = self.folders_below("packages/");
        if let Some(places) = &self.0.places
            && names.as_ref().map_or(true, Vec::is_empty)
        {
            places.check_packages()?;
        }
        names
    }

    /// The folders below a prefix that are named as packages are, sorted.
    pub(super) fn folders_below(&self, prefix: &str) -> Result<Vec<PackageName>> {
        let names = self.0.objects.names(prefix)?.into_iter();
        let folders = names.filter_map(|name| name.strip_suffix('/').map(ToOwned::to_owned));
        let mut packages: Vec<PackageName> = folders
            .filter_map(|name| PackageName::parse(&name).ok().filter(|p| p.as_str() == name))
            .collect();
        packages.sort();
        Ok(packages)
    }
}
