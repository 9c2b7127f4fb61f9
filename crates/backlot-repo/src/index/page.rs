//! What an index page says, checked line by line: nothing on it is believed that need not be.
//!
//! Invariants: a file that is kept is named as a wheel or source distribution of the package that was asked for and has a link over HTTP without
//! user or password; all others are named with the reason, and stop nobody. Deliberately absent: how pages are written;
//! see [`super::json`] and [`super::html`]. Sources: PEP 503, 592, 629, 658, 691, 700, 714.

use std::collections::BTreeSet;

use backlot_core::web::{percent_decode, shown};
use backlot_core::{PackageName, Sha256, StrongDigest, Timestamp};
use backlot_net::tame;
use backlot_wheel::{WheelName, sdist_name};
use url::Url;

use super::error::IndexError;
use super::{html, json};
use crate::layout::is_wheel;
use crate::listing::{BrokenRelease, Listing, UNSUPPORTED, UnsupportedRelease, sort, source_name};
use crate::place::Place;
use crate::release::{Lies, Release, ReleaseKind, StrongDigests};

/// The most that is shown of a text on a page.
const MAX_TEXT: usize = 300;
/// The largest wheel that is believed.
const MAX_WHEEL: u64 = 64 << 30;

/// Whether the metadata of a file lies beside it (PEP 658, 714).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CoreMetadata {
    #[default]
    Absent,
    Present(MetadataHashes),
}

/// What a page promises of METADATA; a digest that is none says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetadataHashes {
    sha256: Option<Sha256>,
    strong: Option<StrongDigest>,
}

impl MetadataHashes {
    pub(crate) fn with(mut self, algorithm: &str, text: &str) -> Self {
        if algorithm == "sha256" {
            self.sha256 = digest(text);
        } else if let Some(Ok(found)) = StrongDigest::parse(algorithm, text.trim()) {
            self.strong = self.strong.max(Some(found));
        }
        self
    }
}

/// The digests of a file as a page writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawHashes {
    sha256: Option<String>,
    /// SHA-512, else SHA-384, with its name.
    strong: Option<(&'static str, String)>,
}

impl RawHashes {
    /// Take a digest; those of other algorithms say nothing, and one that is no text is kept as one that is none.
    pub(crate) fn add(&mut self, algorithm: &str, digest: Option<&str>) {
        let digest = digest.unwrap_or_default().to_owned();
        match algorithm {
            "sha256" if self.sha256.is_none() => self.sha256 = Some(digest),
            "sha512" => self.strong = Some(("sha512", digest)),
            "sha384" if self.strong.is_none() => self.strong = Some(("sha384", digest)),
            _ => {}
        }
    }

    fn read(&self) -> Result<(Option<Sha256>, Option<StrongDigest>), String> {
        let sha256 = match &self.sha256 {
            Some(text) => Some(digest(text).ok_or("its SHA-256 is none")?),
            None => None,
        };
        let strong = match &self.strong {
            Some((algorithm, text)) => {
                let found = StrongDigest::parse(algorithm, text.trim()).and_then(Result::ok);
                Some(found.ok_or_else(|| format!("its {algorithm} is none"))?)
            }
            None => None,
        };
        Ok((sha256, strong))
    }
}

/// One file as a page has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawFile {
    pub(crate) file: String,
    pub(crate) url: String,
    pub(crate) hashes: RawHashes,
    pub(crate) requires_python: Option<String>,
    pub(crate) core_metadata: CoreMetadata,
    pub(crate) yanked: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) uploaded: Option<String>,
    pub(crate) deprecated: Option<String>,
}

/// A page of either kind, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawPage {
    /// The version it says it has.
    pub(crate) version: Option<String>,
    /// The package it says it is about.
    pub(crate) name: Option<String>,
    /// What its links are relative to, if not to itself.
    pub(crate) base: Option<String>,
    /// What a package's page lists; `None` where it is no such page.
    pub(crate) files: Option<Vec<RawFile>>,
    /// The names on a root page; `None` where it is no such page.
    pub(crate) projects: Option<Vec<String>>,
}

/// Read the page that an index at `url` has of a package, of a content type, as [`super::IndexRepo`] does.
pub fn read_package_page(
    content_type: &str,
    body: &[u8],
    url: &str,
    package: &PackageName,
) -> Result<Listing<Release>, IndexError> {
    let url = Url::parse(url).map_err(|e| backlot_net::Error::BadUrl {
        url: "…".to_owned(),
        reason: e.to_string(),
    })?;
    releases(read(Some(content_type), body, &url)?, package, &url)
}

/// Read a page by what it says it is.
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

/// An answer that says nothing of what was asked for, which is not the same as that there is none.
fn no_list(of: &str, url: &Url) -> IndexError {
    IndexError::BadPage {
        url: shown(url),
        reason: format!("it has no list of {of}"),
    }
}

/// The files of a package's page, checked.
pub(crate) fn releases(page: RawPage, name: &PackageName, url: &Url) -> Result<Listing<Release>, IndexError> {
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
                    "the page has it twice; the first is used",
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

fn check(file: &RawFile, package: &PackageName, base: &Url, page: &Url) -> Result<Release, String> {
    let (kind, name) = match sdist_name(&file.file) {
        Some((package, version)) => (ReleaseKind::Sdist, WheelName::pure(&package, &version)),
        None => {
            let name = WheelName::parse_likely(&file.file, package);
            let name = name.map_err(|_| "its name is not that of a wheel".to_owned())?;
            (ReleaseKind::Wheel, name)
        }
    };
    if name.package != *package {
        return Err(format!("it is a release of {}, not of {package}", name.package));
    }
    let url = base
        .join(&file.url)
        .map_err(|e| format!("its link is no URL: {e}"))?;
    let (sha256, strong) = file.hashes.read()?;
    check_link(&url, page, sha256.is_some() || strong.is_some())?;
    if file.size.is_some_and(|size| size > MAX_WHEEL) {
        return Err(format!("it says that it has {} bytes", file.size.unwrap_or(0)));
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
    Ok(Release {
        kind,
        file: file.file.clone(),
        package: name.package.clone(),
        version: name.version.clone(),
        name,
        lies: Lies::Behind(String::from(link).into()),
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
        return Err("its link has a user or a password in it".to_owned());
    }
    Ok(())
}

/// How a file that is not used is called in messages.
fn place_of(base: &Url, file: &RawFile) -> Place {
    Place::Url(match base.join(&file.url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => shown(&url),
        _ => format!("{} ({})", shown(base), tame(&file.file, 100)),
    })
}

fn digest(text: &str) -> Option<Sha256> {
    text.trim().to_ascii_lowercase().parse().ok()
}

/// The file name that a link ends in.
pub(crate) fn file_of(href: &str) -> Option<String> {
    let path = href.split(['#', '?']).next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit('/').next()?;
    let decoded = percent_decode(last)?;
    let plain = !decoded.is_empty() && !decoded.contains(['/', '\\', '\0']);
    plain.then_some(decoded)
}

/// RFC 3339 in UTC, as PEP 700 has it: `2026-11-20T23:48:00.123456Z`.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text
        .trim()
        .strip_suffix('Z')
        .or_else(|| text.trim().strip_suffix("+00:00"))?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|n| n.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(|n| n.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let sane = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !sane {
        return None;
    }
    let mut millis = 0;
    for place in 0..3 {
        let digit = fraction
            .as_bytes()
            .get(place)
            .map_or(Some(0), |b| char::from(*b).to_digit(10));
        millis = millis * 10 + u64::from(digit?);
    }
    // Days since 1970-01-01 by eras of 400 years that start in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (year / 400, year % 400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(Timestamp(
        (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis,
    ))
}

#[cfg(test)]
mod tests {
    use super::{file_of, timestamp};

    #[test]
    fn times_are_read_back_as_they_print() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T12:34:56Z",
            "2099-12-31T23:59:59Z",
        ] {
            assert_eq!(timestamp(text).unwrap().to_string(), text);
        }
        assert_eq!(timestamp("2024-02-29T12:34:56.789123Z").unwrap().0 % 1000, 789);
        for text in [
            "",
            "2024-02-29",
            "2024-13-01T00:00:00Z",
            "1969-01-01T00:00:00Z",
            "x-y-zT1:2:3Z",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_links_last_part_is_the_file_unless_it_hides_a_path() {
        assert_eq!(
            file_of("../../a-1%212-py3-none-any.whl#sha256=0"),
            Some("a-1!2-py3-none-any.whl".to_owned())
        );
        assert_eq!(file_of("x/..%2f..%2fetc"), None);
        assert_eq!(file_of("x/%zz"), None);
    }
}
