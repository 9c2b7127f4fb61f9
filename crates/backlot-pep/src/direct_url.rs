//! A file named by its URL (`Table @ https://host/table-1.0-py3-none-any.whl#sha256=...`): what PEP 508 and PEP 610 allow,
//! as far as it can be fetched without starting another program.
//!
//! Invariants: http, https or file; no user and no password; digests are SHA-256, SHA-384 or SHA-512. Printing it leaves
//! out the query, which may be a signature. Deliberately absent: version control, folders inside archives, fetching.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use backlot_core::digest::{Sha256, StrongDigest};
use backlot_core::error::Class;
use backlot_core::web::{percent_decode, shown};

/// The URL of one file, with the digest that its fragment promises.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectUrl {
    /// Without its fragment.
    url: Url,
    file: String,
    sha256: Option<Sha256>,
    strong: Option<StrongDigest>,
}

/// A URL that no file can be taken from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectUrlError {
    /// A checkout of version control.
    #[error("unsupported URL `{url}`: Backlot does not run version control programs")]
    VersionControl {
        /// As far as it may be shown.
        url: String,
    },
    /// It has a user or a password in it.
    #[error("`{url}` contains a user or password")]
    Secret {
        /// Without them.
        url: String,
    },
    /// Anything else that cannot be followed.
    #[error("unsupported URL `{url}`: {reason}")]
    Invalid {
        /// As far as it may be shown.
        url: String,
        /// Why not.
        reason: String,
    },
}

impl DirectUrlError {
    /// The URL, as far as it may be shown.
    pub fn url(&self) -> &str {
        match self {
            Self::VersionControl { url } | Self::Secret { url } | Self::Invalid { url, .. } => url,
        }
    }
}

backlot_core::coded! {
    DirectUrlError {
        Self::VersionControl { .. } => "direct_url::version_control", Class::User,
            "build a wheel and use its URL, publish it to a repo, or clone it into `outputs/` to work on it";
        Self::Secret { .. } => "direct_url::secret", Class::User,
            "remove them: credentials come from ~/.netrc or from a repo on the same server";
        Self::Invalid { .. } => "direct_url::invalid", Class::User,
            "write `NAME @ https://host/path/name-1.0-py3-none-any.whl#sha256=...`, or `file:///path/...`";
    }
}

/// Digests that others write into fragments.
const OTHER_DIGESTS: [&str; 5] = ["md5", "sha1", "sha224", "blake2b", "blake2s"];

impl DirectUrl {
    /// Read a URL.
    pub fn parse(text: &str) -> Result<Self, DirectUrlError> {
        let mut url = Url::parse(text).map_err(|e| DirectUrlError::Invalid {
            // A text that is not a URL may still contain a password, so it is not repeated.
            url: "…".to_owned(),
            reason: e.to_string(),
        })?;
        let secret = !url.username().is_empty() || url.password().is_some();
        let invalid = |url: &Url, reason: String| DirectUrlError::Invalid {
            url: shown(url),
            reason,
        };
        match url.scheme() {
            "http" | "https" if secret => return Err(DirectUrlError::Secret { url: shown(&url) }),
            "http" | "https" => {}
            "file" if url.host_str().is_none_or(str::is_empty) => {}
            "file" => {
                return Err(invalid(&url, "a file URL has no host".to_owned()));
            }
            scheme if is_version_control(scheme) => {
                return Err(DirectUrlError::VersionControl { url: shown(&url) });
            }
            _ => return Err(invalid(&url, "the scheme is not http, https or file".to_owned())),
        }
        let digests = digests(url.fragment().unwrap_or_default());
        let (sha256, strong) = digests.map_err(|reason| invalid(&url, reason))?;
        url.set_fragment(None);
        let last = url.path_segments().and_then(|mut parts| parts.next_back());
        let file = last.and_then(percent_decode).unwrap_or_default();
        let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
        if (file.is_empty() && url.scheme() != "file") || !file.chars().all(is_plain) || file == ".." {
            return Err(invalid(&url, "it does not end in a file name".to_owned()));
        }
        Ok(Self {
            url,
            file,
            sha256,
            strong,
        })
    }

    /// Without its fragment. Its query may be a signature: not for messages.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }
    /// The URL itself, without its fragment.
    pub fn url(&self) -> &Url {
        &self.url
    }
    /// The SHA-256 that its fragment promises.
    pub fn sha256(&self) -> Option<Sha256> {
        self.sha256
    }
    /// The SHA-384 or SHA-512 that its fragment promises.
    pub fn strong(&self) -> Option<&StrongDigest> {
        self.strong.as_ref()
    }
    /// The same with another SHA-256 promised, or none.
    #[must_use]
    pub fn promising(self, sha256: Option<Sha256>) -> Self {
        Self { sha256, ..self }
    }
    /// The same with another SHA-384 or SHA-512 promised, or none.
    #[must_use]
    pub fn promising_strong(self, strong: Option<StrongDigest>) -> Self {
        Self { strong, ..self }
    }
    /// The same with the digests that another URL of the file promises, where this one has none of the kind.
    #[must_use]
    pub fn with_promises_of(self, other: &Self) -> Self {
        Self {
            sha256: self.sha256.or(other.sha256),
            strong: self.strong.or(other.strong),
            ..self
        }
    }
    /// The digest in its fragment, for messages: `SHA-256 ab12...`; empty if nothing.
    pub fn shown_digest(&self) -> String {
        match (self.sha256, self.strong) {
            (Some(sha256), _) => format!("SHA-256 {sha256}"),
            (None, Some(strong)) => strong.to_string(),
            (None, None) => String::new(),
        }
    }
    /// The name of the file at its end; empty for a folder.
    pub fn file(&self) -> &str {
        &self.file
    }
    /// The path, if it is a local file.
    pub fn path(&self) -> Option<PathBuf> {
        (self.url.scheme() == "file")
            .then(|| self.url.to_file_path().ok())
            .flatten()
    }
    /// Whether both name one file: the same URL, and no two digests.
    pub fn agrees(&self, other: &Self) -> bool {
        let sha256 = self.sha256.is_none() || other.sha256.is_none() || self.sha256 == other.sha256;
        let of_one_kind = |(a, b): (StrongDigest, StrongDigest)| a.as_bytes().len() == b.as_bytes().len();
        let both = self.strong.zip(other.strong).filter(|both| of_one_kind(*both));
        self.url == other.url && sha256 && both.is_none_or(|(own, other)| own == other)
    }
}

impl fmt::Display for DirectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.url))
    }
}

/// The schemes of pip's version control, with and without `+`.
fn is_version_control(scheme: &str) -> bool {
    let tool = scheme.split('+').next().unwrap_or_default();
    matches!(tool, "git" | "hg" | "svn" | "bzr" | "ssh")
}

/// The digests of a fragment (`sha256=...&egg=...`), or why it cannot be followed.
fn digests(fragment: &str) -> Result<(Option<Sha256>, Option<StrongDigest>), String> {
    let (mut digest, mut strong) = (None, None);
    for part in fragment.split('&') {
        match part.split_once('=') {
            Some(("sha256", hex)) => {
                digest = Some(hex.parse().map_err(|_| "its sha256 is malformed".to_owned())?);
            }
            Some((name @ ("sha384" | "sha512"), hex)) => {
                let found = StrongDigest::parse(name, hex).and_then(Result::ok);
                strong = strong.max(Some(found.ok_or_else(|| format!("its {name} is malformed"))?));
            }
            Some(("subdirectory", _)) => {
                return Err("a project in a subfolder of an archive is not supported".to_owned());
            }
            Some((name, _)) if OTHER_DIGESTS.contains(&name) => {
                return Err(format!(
                    "it gives its {name}, but only sha256, sha384 and sha512 are supported"
                ));
            }
            // `egg=` and unknown keys do not describe the file.
            _ => {}
        }
    }
    Ok((digest, strong))
}

#[cfg(test)]
mod tests {
    use super::DirectUrl;
    use backlot_core::error::Diagnostic as _;

    #[test]
    fn a_file_is_named_with_its_digest_and_shown_without_secrets() {
        let digest = "ab".repeat(32);
        let text = format!("https://host:8080/a/table-1.0%2Bx-py3-none-any.whl?sig=s#egg=t&sha256={digest}");
        let url = DirectUrl::parse(&text).expect("valid");
        assert_eq!(url.file(), "table-1.0+x-py3-none-any.whl");
        assert_eq!(
            url.to_string(),
            "https://host:8080/a/table-1.0%2Bx-py3-none-any.whl"
        );
        assert!(url.as_str().ends_with("?sig=s"));
        assert_eq!(url.sha256().map(|d| d.to_hex()), Some(digest));
        let plain =
            DirectUrl::parse("https://HOST:8080/a/table-1.0%2Bx-py3-none-any.whl?sig=s").expect("valid");
        assert!(url.agrees(&plain) && plain.agrees(&url));
        let other = url
            .clone()
            .promising(Some(backlot_core::Sha256::from_bytes([1; 32])));
        assert!(!url.agrees(&other));
        let local = DirectUrl::parse("file:///a%20b/t-1.tar.gz").expect("valid");
        assert_eq!(local.path(), Some("/a b/t-1.tar.gz".into()));
        assert_eq!(
            DirectUrl::parse("file://localhost/t").expect("valid").path(),
            Some("/t".into())
        );
    }

    #[test]
    fn what_cannot_be_followed_is_named_and_its_secrets_are_not() {
        for (text, code) in [
            ("git+https://pw@host/table.git@v1", "direct_url::version_control"),
            ("git+ssh://git@host/table.git", "direct_url::version_control"),
            ("https://ana:pw@host/t.whl", "direct_url::secret"),
            ("ftp://host/t.whl", "direct_url::invalid"),
            ("https://host/", "direct_url::invalid"),
            ("https://host/a%2Fb.whl", "direct_url::invalid"),
            ("https://host/t.whl#sha256=12", "direct_url::invalid"),
            ("https://host/t.whl#md5=12", "direct_url::invalid"),
            ("https://host/t.whl#sha512=12", "direct_url::invalid"),
            ("https://host/t.tar.gz#subdirectory=x", "direct_url::invalid"),
            ("file://server/share/t.whl", "direct_url::invalid"),
            ("pw@host", "direct_url::invalid"),
        ] {
            let error = DirectUrl::parse(text).expect_err(text);
            assert_eq!(error.code(), code, "{text}");
            assert!(
                !error.to_string().contains("pw") && error.help().is_some(),
                "{error}"
            );
        }
    }
}
