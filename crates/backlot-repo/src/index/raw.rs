//! A page before validation: the same for HTML and JSON.

use backlot_core::web::percent_decode;
use backlot_core::{Sha256, StrongDigest};

/// Whether the metadata of a file is available separately (PEP 658, 714).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CoreMetadata {
    #[default]
    Absent,
    Present(MetadataHashes),
}

/// The digest of METADATA on a page; a malformed one is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetadataHashes {
    pub(super) sha256: Option<Sha256>,
    pub(super) strong: Option<StrongDigest>,
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

    pub(super) fn read(&self) -> Result<(Option<Sha256>, Option<StrongDigest>), String> {
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
    /// The base of its links, if not the page itself.
    pub(crate) base: Option<String>,
    /// The files on a package's page; `None` if it is not such a page.
    pub(crate) files: Option<Vec<RawFile>>,
    /// The names on a root page; `None` if it is not such a page.
    pub(crate) projects: Option<Vec<String>>,
}

/// The file name that a link ends in.
pub(crate) fn file_of(href: &str) -> Option<String> {
    let path = href.split(['#', '?']).next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit('/').next()?;
    let decoded = percent_decode(last)?;
    let plain = !decoded.is_empty() && !decoded.contains(['/', '\\', '\0']);
    plain.then_some(decoded)
}

fn digest(text: &str) -> Option<Sha256> {
    text.trim().to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::file_of;

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
