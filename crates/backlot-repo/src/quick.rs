//! What a folder has of a package, from its own page where the page is proven to be current: a few reads a package instead
//! of a few a release.
//!
//! A page is current if it was written after the last change of the package's folder, names exactly the wheels that lie
//! there, and nobody is in the middle of saying something about a release (a [`Pending`] marker). Else everything is
//! listed as always. Invariant: what comes out is what listing would say. A wheel that somebody swapped in place, which
//! nobody may, is met when it is read: its digest is another. Deliberately absent: pages of other makers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use backlot_core::{Context, PackageName, Sha256, file};
use backlot_wheel::WheelName;
use fs_err as fs;
use serde::Deserialize;
use ulid::Ulid;

use crate::FolderRepo;
use crate::error::Result;
use crate::index::timestamp;
use crate::layout::{RepoKind, is_wheel, make_folder, source_suffix};
use crate::listing::{Listing, in_order};
use crate::read_bounded;
use crate::release::{Release, ReleaseKind};

/// The largest page that is read.
const PAGE_LIMIT: u64 = 64 << 20;

/// How the name of a marker begins.
pub(crate) const PENDING: &str = ".pending-";

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    files: Vec<File<'a>>,
}

/// One wheel on a page that we wrote.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    #[serde(borrow)]
    filename: Cow<'a, str>,
    hashes: Hashes,
    requires_python: Option<String>,
    core_metadata: Option<Hashes>,
    size: u64,
    #[serde(borrow)]
    upload_time: Cow<'a, str>,
    yanked: Yanked,
    #[serde(rename = "_deprecated")]
    deprecated: Option<String>,
}

#[derive(Deserialize)]
struct Hashes {
    sha256: Sha256,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked {
    Whether(bool),
    Because(String),
}

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
            return Ok((!folder.exists()).then(Listing::default));
        };
        let Some(mut there) = wheels_in(&folder) else {
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
        let Ok(page) = serde_json::from_slice::<Page<'_>>(&bytes) else {
            return Ok(None);
        };
        let mut releases = Vec::with_capacity(page.files.len());
        for file in page.files {
            let path = there.remove(&*file.filename);
            let Some(release) = path.and_then(|path| release(file, path, name)) else {
                return Ok(None);
            };
            releases.push(release);
        }
        if !there.is_empty() {
            return Ok(None);
        }
        releases.sort_by(|a, b| in_order(&a.name, &a.file).cmp(&in_order(&b.name, &b.file)));
        Ok(Some(Listing {
            releases,
            ..Listing::default()
        }))
    }

    /// Whether somebody says something of a release of this package just now, or died while at it.
    fn is_pending(&self, name: &PackageName) -> bool {
        let entries = fs::read_dir(self.places.pages(name));
        let mut entries = entries.into_iter().flatten().flatten();
        entries.any(|entry| entry.file_name().to_string_lossy().starts_with(PENDING))
    }

    /// Mark that facts about a package are about to be added: until its pages are made again, they are not current.
    pub(crate) fn pending(&self, name: &PackageName) -> Result<Pending> {
        let folder = self.places.pages(name);
        make_folder(&folder)?;
        let id = Ulid::new().to_string().to_lowercase();
        let marker = folder.join(format!("{PENDING}{id}"));
        file::create(&marker, b"")?;
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

fn release(file: File<'_>, path: PathBuf, package: &PackageName) -> Option<Release> {
    let name: WheelName = file.filename.parse().ok()?;
    if name.package != *package {
        return None;
    }
    Some(Release {
        kind: ReleaseKind::Wheel,
        file: file.filename.into_owned(),
        package: package.clone(),
        version: name.version.clone(),
        name,
        place: path.into(),
        size: Some(file.size),
        sha256: Some(file.hashes.sha256),
        requires_python: file.requires_python,
        published_at: Some(timestamp(&file.upload_time)?),
        yanked: match file.yanked {
            Yanked::Whether(false) => None,
            Yanked::Whether(true) => Some(String::new()),
            Yanked::Because(reason) => Some(reason),
        },
        deprecated: file.deprecated,
        metadata_sha256: Some(file.core_metadata?.sha256),
        has_metadata: false,
        link: None,
        modified: 0,
    })
}

/// The wheels in a folder; `None` if there are packages of other kinds, too, or it cannot be listed.
fn wheels_in(folder: &std::path::Path) -> Option<HashMap<String, PathBuf>> {
    let mut wheels = HashMap::new();
    for entry in fs::read_dir(folder).ok()? {
        let name = entry.ok()?.file_name().into_string().ok()?;
        if name.starts_with('.') {
            continue;
        }
        if source_suffix(&name).is_some() {
            return None;
        }
        if is_wheel(&name) {
            let path = folder.join(&name);
            wheels.insert(name, path);
        }
    }
    Some(wheels)
}

/// When a file or folder changed.
pub(crate) fn modified(path: &std::path::Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
