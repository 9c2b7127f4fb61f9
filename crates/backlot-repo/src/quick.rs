//! What a folder has of a package, from its own page where the page is proven to be current: a few reads a package instead
//! of a few a release.
//!
//! A page is current if it was written after the last change of the package's folder, names exactly the wheels that lie
//! there, and nobody is in the middle of saying something about a release (a [`Pending`] marker). Else everything is
//! listed as always. Invariant: what comes out is what listing would say. A wheel that somebody swapped in place, which
//! nobody may, is met when it is read: its digest is another. Deliberately absent: pages of other makers.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use backlot_core::presence::is_absent;
use backlot_core::shared::{self, make_folder};
use backlot_core::{Context, PackageName, file};
use backlot_wheel::WheelName;
use fs_err as fs;
use ulid::Ulid;

use crate::bounded::read_bounded;
use crate::error::Result;
use crate::folder::FolderRepo;
use crate::layout::{RepoKind, is_wheel, source_suffix};
use crate::listing::{Listing, sort};
use crate::own_page::{self, OwnFile};
use crate::release::{Lies, Release, ReleaseKind};

/// The largest page that is read.
pub(crate) const PAGE_LIMIT: u64 = 64 << 20;

/// How the name of a marker begins.
pub(crate) const PENDING: &str = ".pending-";

impl FolderRepo {
    /// All that lies under a package's name, with what was said of each release; what cannot be used is warned about once.
    pub(crate) fn listing(&self, name: &PackageName, context: &Context) -> Result<Listing<Release>> {
        if let Some(listing) = self.by_page(name)? {
            return Ok(listing);
        }
        let found = self.good(name, context)?;
        let mut releases = Vec::with_capacity(found.releases.len());
        for release in found.releases {
            let status = self.status(&release)?;
            releases.push(Release::from(release).said(status));
        }
        let mut sources = Vec::with_capacity(found.sources.len());
        for source in found.sources {
            let status = self.status_of_source(&source)?;
            sources.push(source.said(status));
        }
        Ok(Listing {
            releases,
            sources,
            broken: found.broken,
            unsupported: found.unsupported,
        })
    }

    /// The same by the package's page; `None` where it is not proven to be current.
    pub(crate) fn by_page(&self, name: &PackageName) -> Result<Option<Listing<Release>>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(None);
        }
        let folder = self.places.package(name);
        let Some(changed) = modified(&folder) else {
            // What cannot be read is not empty: the listing says why.
            if !is_absent(&folder)? {
                return Ok(None);
            }
            self.places.check_packages()?;
            return Ok(Some(Listing::default()));
        };
        let Some(there) = wheels_in(&folder) else {
            return Ok(None);
        };
        let page = self.places.pages(name).join("index.json");
        if modified(&page).is_none_or(|written| written < changed) {
            return Ok(None);
        }
        let Some(bytes) = read_bounded(&page, PAGE_LIMIT)? else {
            return Ok(None);
        };
        // After the page was read: who speaks now writes it after us.
        if self.is_pending(name) {
            return Ok(None);
        }
        let Some(files) = own_page::read(&bytes) else {
            return Ok(None);
        };
        let mut left: HashSet<&str> = there.lines().collect();
        let here: Arc<Path> = folder.into();
        let mut releases = Vec::with_capacity(files.len());
        for file in files {
            let is_there = left.remove(&*file.filename);
            let Some(release) = is_there.then(|| release(file, &here, name)).flatten() else {
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

    /// Whether somebody says something of a release of this package just now, or died while at it.
    /// Where that cannot be told, somebody may.
    fn is_pending(&self, name: &PackageName) -> bool {
        let Ok(mut entries) = fs::read_dir(self.places.pages(name)) else {
            return true;
        };
        entries.any(|entry| match entry {
            Ok(entry) => entry.file_name().to_string_lossy().starts_with(PENDING),
            Err(_) => true,
        })
    }

    /// Mark that facts about a package are about to be added: until its pages are made again, they are not current.
    pub(crate) fn pending(&self, name: &PackageName) -> Result<Pending> {
        let folder = self.places.pages(name);
        make_folder(&folder)?;
        let id = Ulid::new().to_string().to_lowercase();
        let marker = folder.join(format!("{PENDING}{id}"));
        shared::create(&marker, b"")?;
        Ok(Pending(marker))
    }
}

/// A marker beside the pages of a package. It stays if its maker dies: then the pages may be old until somebody makes them again.
#[must_use]
pub(crate) struct Pending(PathBuf);

impl Pending {
    /// The facts are added and the pages made.
    pub(crate) fn done(self) -> Result<()> {
        Ok(file::remove(&self.0)?)
    }
}

pub(crate) fn release(file: OwnFile<'_>, folder: &Arc<Path>, package: &PackageName) -> Option<Release> {
    let name = WheelName::parse_likely(&file.filename, package).ok()?;
    if name.package != *package {
        return None;
    }
    Some(Release {
        kind: ReleaseKind::Wheel,
        package: package.clone(),
        version: name.version.clone(),
        name,
        lies: Lies::In(Arc::clone(folder)),
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

/// The names of the wheels in a folder, one a line; `None` if there are packages of other kinds, too, it cannot be listed, or a
/// name is no text of one line.
fn wheels_in(folder: &Path) -> Option<String> {
    let mut wheels = String::new();
    for entry in fs::read_dir(folder).ok()? {
        let name = entry.ok()?.file_name();
        let name = name.to_str()?;
        if name.starts_with('.') {
            continue;
        }
        if source_suffix(name).is_some() || name.contains(['\n', '\r']) {
            return None;
        }
        if is_wheel(name) {
            wheels.push_str(name);
            wheels.push('\n');
        }
    }
    Some(wheels)
}

pub(crate) fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
