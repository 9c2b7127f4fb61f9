//! What a stored credential is for: a scheme, a host, a port, and the beginning of a path.
//!
//! Invariants: nothing matches another host, port or scheme; a path matches by whole parts, so `/team` does not cover
//! `/team-b`; the longest prefix wins. Deliberately absent: patterns.

use std::fmt;

use backlot_core::web::{may_carry_secret, shown_text};
use url::Url;

use crate::error::{Error, Result};

/// The beginning of addresses.
///
/// ```
/// use backlot_net::UrlPrefix;
///
/// let team = UrlPrefix::parse("https://s3.studio.example/team").unwrap();
/// assert!(team.covers(&"https://s3.studio.example/team/frames".parse().unwrap()));
/// assert!(!team.covers(&"https://s3.studio.example/teams".parse().unwrap()));
/// assert!(UrlPrefix::parse("http://s3.studio.example/").is_err(), "a secret would be sent unencrypted");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UrlPrefix {
    scheme: String,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
}

/// A server's address as credentials are found by it: a scheme that only names another way of talking (`webdav+https`) is what
/// it ends in.
pub fn server_url(url: &Url) -> Url {
    let rest = url.as_str().split_once('+').filter(|(kind, _)| *kind == "webdav");
    rest.and_then(|(_, rest)| Url::parse(rest).ok())
        .unwrap_or_else(|| url.clone())
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        "sftp" => Some(22),
        _ => None,
    }
}

fn port_of(url: &Url) -> Option<u16> {
    url.port().or_else(|| usual_port(url.scheme()))
}

impl UrlPrefix {
    /// The prefix that a URL is. One that is spoken unencrypted to another machine is refused, as is one with a password.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason: &str| Error::BadPrefix {
            url: shown_text(text),
            reason: reason.to_owned(),
        };
        if !text.contains("://") {
            return Err(bad("it is not a URL"));
        }
        Self::of(&Url::parse(text).map_err(|e| bad(&e.to_string()))?)
    }

    /// The same for a URL.
    pub fn of(url: &Url) -> Result<Self> {
        let url = server_url(url);
        let bad = |reason: &str| Error::BadPrefix {
            url: shown_text(url.as_str()),
            reason: reason.to_owned(),
        };
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(bad("it has no host or bucket"));
        };
        let is_sftp = url.scheme() == "sftp";
        if url.password().is_some() || !is_sftp && !url.username().is_empty() {
            return Err(bad("it contains a user or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it contains `?` or `#`"));
        }
        if url.scheme() == "file" {
            return Err(bad("a folder needs no credentials"));
        }
        if !may_carry_secret(&url) {
            return Err(Error::PlainHttp {
                url: shown_text(url.as_str()),
            });
        }
        Ok(Self {
            scheme: url.scheme().to_owned(),
            user: Some(url.username().to_owned()).filter(|user| !user.is_empty()),
            host: host.to_ascii_lowercase(),
            port: port_of(&url),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Whether an address begins with it.
    pub fn covers(&self, url: &Url) -> bool {
        let rest = url.path().strip_prefix(self.path.as_str());
        self.scheme == url.scheme()
            && url
                .host_str()
                .is_some_and(|host| host.eq_ignore_ascii_case(&self.host))
            && self.port == port_of(url)
            && self.user.as_ref().is_none_or(|user| user == url.username())
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// How much it says, to compare those that cover the same address.
    pub fn length(&self) -> usize {
        self.path.len() + usize::from(self.user.is_some())
    }

    /// The host it is bound to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path it begins with, without `/` at its ends; empty for all of the host.
    pub fn path(&self) -> &str {
        self.path.trim_start_matches('/')
    }

    /// The user in it, as SSH addresses may have one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = usual_port(&self.scheme);
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port.filter(|port| Some(*port) != usual) {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::Diagnostic as _;

    use super::{UrlPrefix, server_url};

    #[test]
    fn a_prefix_covers_whole_parts_of_a_path_on_its_own_server() {
        for (prefix, url, covers) in [
            ("https://host/team", "https://host/team", true),
            ("https://host/team/", "https://host/team/dev/simple/", true),
            ("https://host/team", "https://host/team-b", false),
            ("https://host/team", "https://host/other", false),
            ("https://host", "https://HOST:443/x", true),
            ("https://host", "https://host:8443/x", false),
            ("https://host", "https://host.evil/x", false),
            ("https://host", "http://host/x", false),
            ("https://host/team", "https://host/team/../other", false),
            ("webdav+https://host/x", "webdav+https://host/x/y", true),
            ("https://host/x", "webdav+https://host/x/y", true),
            ("http://127.0.0.1:1/x", "webdav+http://127.0.0.1:1/x", true),
            ("s3://assets/team", "s3://assets/team/repo", true),
            ("s3://assets", "s3://assets-b/team", false),
            ("sftp://ana@host/srv", "sftp://ana@host:22/srv/repo", true),
            ("sftp://ana@host/srv", "sftp://ben@host/srv/repo", false),
            ("sftp://host/srv", "sftp://ben@host/srv/repo", true),
        ] {
            let url = server_url(&url.parse().unwrap());
            assert_eq!(
                UrlPrefix::parse(prefix).unwrap().covers(&url),
                covers,
                "{prefix} {url}"
            );
        }
    }

    #[test]
    fn a_prefix_reads_back_as_it_prints() {
        for (text, printed) in [
            ("https://Host:443/team/", "https://host/team"),
            ("webdav+https://host:8443/", "https://host:8443"),
            ("sftp://ana@host:2222/srv", "sftp://ana@host:2222/srv"),
            ("s3://assets/team", "s3://assets/team"),
        ] {
            let prefix = UrlPrefix::parse(text).unwrap();
            assert_eq!(prefix.to_string(), printed);
            assert_eq!(UrlPrefix::parse(printed).unwrap(), prefix);
        }
    }

    #[test]
    fn what_cannot_hold_a_secret_is_refused() {
        for (text, code) in [
            ("http://host/x", "auth::plain_http"),
            ("webdav+http://host/x", "auth::plain_http"),
            ("https://ana:pw@host/x", "auth::bad_url"),
            ("https://host/x?y", "auth::bad_url"),
            ("host/x", "auth::bad_url"),
            ("file:///x", "auth::bad_url"),
            ("https://", "auth::bad_url"),
        ] {
            let error = UrlPrefix::parse(text).unwrap_err();
            assert_eq!(error.code(), code, "{text}: {error}");
            assert!(!error.to_string().contains("pw"), "{error}");
        }
    }
}
