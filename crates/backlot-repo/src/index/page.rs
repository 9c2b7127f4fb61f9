//! Validation of an index page, entry by entry.
//!
//! Invariants: a file that is kept is named as a wheel or source distribution of the package that was asked for and has a link over HTTP without
//! user or password; all others are reported with the reason, and do not block anything. Deliberately absent: how pages are written;
//! see [`super::json`] and [`super::html`]. Sources: PEP 503, 592, 629, 658, 691, 700, 714.

use std::collections::BTreeSet;

use backlot_core::web::shown;
use backlot_net::tame;
use backlot_pep::PackageName;
use backlot_wheel::{WheelName, sdist_name};
use url::Url;

use super::error::IndexError;
use super::raw::{CoreMetadata, MetadataHashes, RawFile, RawPage};
use super::{html, json};
use crate::layout::is_wheel;
use crate::listing::{BrokenRelease, Listing, UNSUPPORTED, UnsupportedRelease, sort, source_name};
use crate::location::Location;
use crate::page_reader::timestamp;
use crate::release::{FileLocation, ReleaseFile, ReleaseKind, StrongDigests};

/// The most that is shown of a text on a page.
const MAX_TEXT: usize = 300;
/// The largest wheel that is believed.
const MAX_WHEEL: u64 = 64 << 30;

/// Read the page that an index at `url` has of a package, of a content type, as [`super::IndexRepo`] does.
pub fn read_package_page(
    content_type: &str,
    body: &[u8],
    url: &str,
    package: &PackageName,
) -> Result<Listing, IndexError> {
    let url = Url::parse(url).map_err(|e| backlot_net::Error::BadUrl {
        url: "…".to_owned(),
        reason: e.to_string(),
    })?;
    releases(read(Some(content_type), body, &url)?, package, &url)
}

/// Read a page by its content type.
pub(crate) fn read(content_type: Option<&str>, body: &[u8], url: &Url) -> Result<RawPage, IndexError> {
    let kind = content_type
        .and_then(|t| t.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let bad = |reason: String| IndexError::BadPage {
        url: shown(url),
        reason,
    };
    let page = match kind.as_str() {
        "application/vnd.pypi.simple.v1+json"
        | "application/vnd.pypi.simple.latest+json"
        | "application/json" => json::read(body).map_err(|e| bad(tame(&e.to_string(), MAX_TEXT)))?,
        "application/vnd.pypi.simple.v1+html" | "application/vnd.pypi.simple.latest+html" | "text/html" => {
            html::read(body)
        }
        other if other.starts_with("application/vnd.pypi.simple.") => {
            return Err(IndexError::NewerApi {
                url: shown(url),
                version: tame(other, MAX_TEXT),
            });
        }
        other => return Err(bad(format!("its content type is `{}`", tame(other, 100)))),
    };
    // PEP 629: a page of another major version may mean anything.
    match page.version.as_deref() {
        Some(version) if version.split('.').next() != Some("1") => Err(IndexError::NewerApi {
            url: shown(url),
            version: tame(version, 20),
        }),
        _ => Ok(page),
    }
}

/// The packages on a root page; names that are none are left out.
pub(crate) fn packages(page: &RawPage, url: &Url) -> Result<Vec<PackageName>, IndexError> {
    let projects = page.projects.as_ref().ok_or_else(|| no_list("packages", url))?;
    let names: BTreeSet<_> = projects
        .iter()
        .filter_map(|n| PackageName::parse(n).ok())
        .collect();
    Ok(names.into_iter().collect())
}

/// A response without the requested list, which differs from an empty list.
fn no_list(of: &str, url: &Url) -> IndexError {
    IndexError::BadPage {
        url: shown(url),
        reason: format!("it has no list of {of}"),
    }
}

/// The files of a package's page, checked.
pub(crate) fn releases(page: RawPage, name: &PackageName, url: &Url) -> Result<Listing, IndexError> {
    if let Some(other) = &page.name
        && PackageName::parse(other).ok().as_ref() != Some(name)
    {
        return Err(IndexError::BadPage {
            url: shown(url),
            reason: format!("it is the page of `{}`, not of {name}", tame(other, 100)),
        });
    }
    let files = page.files.ok_or_else(|| no_list("files", url))?;
    let base = page
        .base
        .as_deref()
        .and_then(|b| url.join(b).ok())
        .unwrap_or_else(|| url.clone());
    let mut listing = Listing {
        releases: Vec::with_capacity(files.len()),
        sources: Vec::new(),
        broken: Vec::new(),
        unsupported: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for file in files {
        let source = sdist_name(&file.file).filter(|(package, _)| package == name);
        if source.is_none()
            && let Some((package, version)) = source_name(&file.file)
            && package == *name
        {
            listing.unsupported.push(UnsupportedRelease {
                place: place_of(&base, &file),
                version,
                reason: UNSUPPORTED.to_owned(),
            });
        } else if source.is_some() || is_wheel(&file.file) {
            match check(&file, name, &base, url) {
                Ok(_) if !seen.insert(file.file.clone()) => listing.broken.push(BrokenRelease::new(
                    place_of(&base, &file),
                    "duplicate entry; the first is used",
                )),
                Ok(release) if release.is_sdist() => listing.sources.push(release),
                Ok(release) => listing.releases.push(release),
                Err(reason) => listing
                    .broken
                    .push(BrokenRelease::new(place_of(&base, &file), reason)),
            }
        }
    }
    sort(&mut listing.releases);
    sort(&mut listing.sources);
    Ok(listing)
}

fn check(file: &RawFile, package: &PackageName, base: &Url, page: &Url) -> Result<ReleaseFile, String> {
    let (kind, name) = match sdist_name(&file.file) {
        Some((package, version)) => (ReleaseKind::Sdist, WheelName::pure(&package, &version)),
        None => {
            let name = WheelName::parse_likely(&file.file, package);
            let name = name.map_err(|_| "invalid wheel file name".to_owned())?;
            (ReleaseKind::Wheel, name)
        }
    };
    if name.package != *package {
        return Err(format!("it is a release of {}, not of {package}", name.package));
    }
    let url = base
        .join(&file.url)
        .map_err(|e| format!("invalid link URL: {e}"))?;
    let (sha256, strong) = file.hashes.read()?;
    check_link(&url, page, sha256.is_some() || strong.is_some())?;
    if file.size.is_some_and(|size| size > MAX_WHEEL) {
        return Err(format!("it declares {} bytes", file.size.unwrap_or(0)));
    }
    let (has_metadata, metadata) = match file.core_metadata {
        CoreMetadata::Absent => (false, MetadataHashes::default()),
        CoreMetadata::Present(hashes) => (true, hashes),
    };
    let strong = StrongDigests {
        file: strong,
        metadata: metadata.strong,
    };
    let mut link = url;
    link.set_fragment(None);
    Ok(ReleaseFile {
        kind,
        file: file.file.clone(),
        package: name.package.clone(),
        version: name.version.clone(),
        name,
        lies: FileLocation::Url(String::from(link).into()),
        size: file.size,
        sha256,
        requires_python: file
            .requires_python
            .as_ref()
            .filter(|r| !r.trim().is_empty())
            .map(|r| tame(r, MAX_TEXT)),
        published_at: file.uploaded.as_deref().and_then(timestamp),
        yanked: file.yanked.as_ref().map(|reason| tame(reason, MAX_TEXT)),
        deprecated: file.deprecated.as_ref().map(|reason| tame(reason, MAX_TEXT)),
        metadata_sha256: metadata.sha256,
        strong: (strong != StrongDigests::default()).then(|| Box::new(strong)),
        has_metadata,
        modified: 0,
    })
}

/// `page` is where the page came from, whatever it says that its links are relative to.
fn check_link(url: &Url, page: &Url, has_digest: bool) -> Result<(), String> {
    match (page.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => {}
        // Only its digest, which came encrypted, makes such a file trustworthy.
        ("https", "http") if has_digest => {}
        ("https", "http") => return Err("its link is not encrypted, and it has no digest".to_owned()),
        (_, scheme) => return Err(format!("its link is `{}:`, not http or https", tame(scheme, 20))),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its link contains a user or password".to_owned());
    }
    Ok(())
}

/// How a file that is not used is called in messages.
fn place_of(base: &Url, file: &RawFile) -> Location {
    Location::Url(match base.join(&file.url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => shown(&url),
        _ => format!("{} ({})", shown(base), tame(&file.file, 100)),
    })
}
