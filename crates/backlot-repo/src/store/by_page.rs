//! The releases of a package in a store, from its own page if that is provably current: a few reads per package instead
//! of a few a release.
//!
//! A page is current if it was written after the last change of the package's folder, names exactly the wheels that lie
//! there, and nobody is in the middle of saying something about a release (a [`Pending`] marker). Else everything is
//! listed as always. Invariant: what comes out is what listing would say. A wheel that somebody swapped in place, which
//! nobody may, is met when it is read: its digest is another. Deliberately absent: pages of other makers, and stores that do not tell when a
//! folder changed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use backlot_pep::PackageName;
use backlot_wheel::WheelName;
use ulid::Ulid;

use super::{ReleaseStore, package_prefix, page_key, pages_prefix};
use crate::error::Result;
use crate::layout::{RepoKind, is_wheel, source_suffix};
use crate::listing::{Listing, sort};
use crate::page_reader::{self, OwnFile};
use crate::release::{FileLocation, ReleaseFile, ReleaseKind};

/// How the name of a marker begins.
pub(super) const PENDING: &str = ".pending-";

impl ReleaseStore {
    /// All files under a package's name, with the status of each release, from the package's page; `None` if it is
    /// not proven to be current.
    pub(super) fn by_page(&self, name: &PackageName) -> Result<Option<Listing>> {
        let Some(root) = self.0.objects.root() else {
            return Ok(None);
        };
        if self.kind()? != RepoKind::Backlot {
            return Ok(None);
        }
        let prefix = package_prefix(name);
        let changed = match self.0.objects.revision(&prefix) {
            Ok(Some(0)) => {
                if let Some(places) = &self.0.places {
                    places.check_packages()?;
                }
                return Ok(Some(Listing::default()));
            }
            Ok(Some(changed)) => changed,
            // An unreadable page is not empty: the listing reports the reason.
            Ok(None) | Err(_) => return Ok(None),
        };
        let Some(there) = self.wheels_below(&prefix) else {
            return Ok(None);
        };
        match self.0.objects.revision(&page_key(name)) {
            Ok(Some(written)) if written >= changed => {}
            _ => return Ok(None),
        }
        let Some(bytes) = self.page_reader(name)? else {
            return Ok(None);
        };
        // After the page was read: who speaks now writes it after us.
        if self.is_pending(name) {
            return Ok(None);
        }
        let Some(files) = page_reader::read(&bytes) else {
            return Ok(None);
        };
        let mut left: HashSet<&str> = there.iter().map(String::as_str).collect();
        let folder: Arc<Path> = root.join(&prefix).into();
        let mut releases = Vec::with_capacity(files.len());
        for file in files {
            let is_there = left.remove(&*file.filename);
            let Some(release) = is_there.then(|| release(file, &folder, name)).flatten() else {
                return Ok(None);
            };
            releases.push(release);
        }
        if !left.is_empty() {
            return Ok(None);
        }
        sort(&mut releases);
        Ok(Some(Listing {
            releases,
            ..Listing::default()
        }))
    }

    /// The times that show a change of a package; `None` if unavailable or unreadable.
    pub(crate) fn state(&self, name: &PackageName) -> Option<Vec<u64>> {
        self.0.objects.root()?;
        let revision = |key: &str| self.0.objects.revision(key).ok().flatten();
        match self.kind().ok()? {
            RepoKind::Empty => Some(Vec::new()),
            RepoKind::Flat => Some(vec![revision("")?]),
            RepoKind::Backlot => {
                let package = revision(&package_prefix(name))?;
                if package == 0 {
                    self.0.places.as_ref()?.check_packages().ok()?;
                }
                Some(vec![package, revision(&pages_prefix(name))?])
            }
        }
    }

    /// The names of the wheels below a prefix; `None` if there are packages of other kinds, too, or it cannot be listed.
    fn wheels_below(&self, prefix: &str) -> Option<Vec<String>> {
        let mut names = self.0.objects.names(prefix).ok()?;
        names.retain(|name| !name.starts_with('.'));
        if names.iter().any(|name| source_suffix(name).is_some()) {
            return None;
        }
        names.retain(|name| is_wheel(name));
        Some(names)
    }

    /// Whether the status of a release of this package is being changed, or its writer was killed.
    /// If unknown, it may be.
    fn is_pending(&self, name: &PackageName) -> bool {
        match self.0.objects.names(&pages_prefix(name)) {
            Ok(names) => names.iter().any(|name| name.starts_with(PENDING)),
            Err(_) => true,
        }
    }

    /// Mark that facts about a package are about to be added: until its pages are made again, they are not current. Not needed where a page
    /// never counts as current.
    pub(super) fn pending(&self, name: &PackageName) -> Result<Pending<'_>> {
        let mut key = None;
        if self.is_local() {
            let id = Ulid::generate().to_string().to_lowercase();
            let marker = format!("{}{PENDING}{id}", pages_prefix(name));
            self.0.objects.write(&marker, Vec::new(), "text/plain")?;
            key = Some(marker);
        }
        Ok(Pending { repo: self, key })
    }
}

/// A marker beside the pages of a package. It stays if its maker dies: then the pages may be old until somebody makes them again.
#[must_use]
pub(super) struct Pending<'a> {
    repo: &'a ReleaseStore,
    key: Option<String>,
}

impl Pending<'_> {
    /// The facts are added and the pages made.
    pub(super) fn done(self) -> Result<()> {
        if let Some(key) = &self.key {
            self.repo.0.objects.delete(key)?;
        }
        Ok(())
    }
}

/// A wheel as the page of its package has it; `None` if that does not say all.
pub(super) fn release(file: OwnFile<'_>, folder: &Arc<Path>, package: &PackageName) -> Option<ReleaseFile> {
    let name = WheelName::parse_likely(&file.filename, package).ok()?;
    if name.package != *package {
        return None;
    }
    Some(ReleaseFile {
        kind: ReleaseKind::Wheel,
        package: package.clone(),
        version: name.version.clone(),
        name,
        lies: FileLocation::Dir(Arc::clone(folder)),
        size: Some(file.size),
        sha256: Some(file.sha256()),
        metadata_sha256: Some(file.metadata_sha256()?),
        strong: None,
        requires_python: file.requires_python,
        published_at: Some(file.upload_time),
        yanked: file.yanked,
        deprecated: file.deprecated,
        has_metadata: false,
        modified: 0,
        file: file.filename.into_owned(),
    })
}
