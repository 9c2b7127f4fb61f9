//! Credentials in a netrc file, by host (the format of ftp's netrc, as curl and git read it).
//!
//! Invariants: it is read only when a server is used; a file that is not there, or not text, has nothing. Deliberately absent:
//! writing it.

use std::path::PathBuf;

use backlot_core::Context;

use super::{Credential, CredentialRequest, CredentialSource, FoundCredential, ListedCredential, SourceKind};
use crate::error::Result;

/// A netrc file, which need not be there.
///
/// ```
/// use backlot_net::{CredentialSource as _, Netrc};
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("netrc");
/// fs_err::write(&path, "machine index.studio.example login ana password secret").unwrap();
/// let listed = Netrc::new(path).list().unwrap();
/// assert_eq!(listed[0].host.as_deref(), Some("index.studio.example"));
/// ```
#[derive(Clone, Debug)]
pub struct Netrc {
    path: PathBuf,
}

impl Netrc {
    /// The file at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn text(&self) -> String {
        fs_err::read_to_string(&self.path).unwrap_or_default()
    }
}

impl CredentialSource for Netrc {
    fn kind(&self) -> SourceKind {
        SourceKind::Netrc
    }

    fn find(&self, request: &CredentialRequest<'_>, _context: &Context) -> Result<Option<FoundCredential>> {
        let entry = entries(&self.text()).into_iter().find(|entry| {
            entry
                .host
                .as_ref()
                .is_none_or(|host| host.eq_ignore_ascii_case(request.host()))
                && entry.password.is_some()
        });
        let found = entry.and_then(|entry| {
            Some(Credential {
                user: entry.user.unwrap_or_default(),
                password: entry.password?,
            })
        });
        // A named user is not another one of that host.
        let found = found.filter(|found| request.user.is_none_or(|user| user == found.user));
        Ok(found.map(|credential| FoundCredential {
            credential,
            source: SourceKind::Netrc,
            from: self.path.display().to_string(),
            expires: None,
        }))
    }

    fn list(&self) -> Result<Vec<ListedCredential>> {
        let entries = entries(&self.text());
        let listed = entries.into_iter().filter(|entry| entry.password.is_some());
        let from = self.path.display().to_string();
        let listed = listed.map(|entry| ListedCredential {
            source: SourceKind::Netrc,
            from: from.clone(),
            prefix: None,
            // The default entry is for every host.
            host: entry.host,
            user: entry.user,
        });
        Ok(listed.collect())
    }
}

/// An entry; the default one has no host.
#[derive(Default)]
struct NetrcEntry {
    host: Option<String>,
    user: Option<String>,
    password: Option<String>,
}

fn entries(text: &str) -> Vec<NetrcEntry> {
    let mut words = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        in_macro &= !line.trim().is_empty();
        if in_macro || line.trim_start().starts_with('#') {
            continue;
        }
        for word in line.split_whitespace() {
            // A macro goes on to the next empty line.
            in_macro |= word == "macdef";
            if !in_macro {
                words.push(word);
            }
        }
    }
    let mut entries: Vec<NetrcEntry> = Vec::new();
    let mut words = words.into_iter().map(ToOwned::to_owned);
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" => match words.next() {
                Some(host) => entries.push(NetrcEntry {
                    host: Some(host),
                    ..NetrcEntry::default()
                }),
                None => break,
            },
            "default" => entries.push(NetrcEntry::default()),
            "login" | "user" | "password" | "account" => {
                let (value, entry) = (words.next(), entries.last_mut());
                match (word.as_str(), entry) {
                    ("password", Some(entry)) => entry.password = value,
                    ("login" | "user", Some(entry)) => entry.user = value,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use backlot_core::Context;

    use super::super::{CredentialRequest, CredentialSource as _, PlaceName};
    use super::Netrc;

    fn find(text: &str, host: &str) -> Option<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netrc");
        fs_err::write(&path, text).unwrap();
        let url = format!("https://{host}/").parse().unwrap();
        let request = CredentialRequest {
            place: &PlaceName::unnamed(),
            url: &url,
            user: None,
            instead_of: None,
        };
        let found = Netrc::new(&path).find(&request, &Context::default()).unwrap();
        found.map(|found| (found.credential.user, found.credential.password))
    }

    #[test]
    fn the_entry_of_the_host_is_found_in_netrc_and_nobody_elses() {
        let text = "# mine\nmachine a.example login ana password one\nmacdef init\nmachine evil password x\n\n\
                    machine b.example\n  login ben\n  password two\ndefault login guest password three\n";
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(find(text, "a.example"), pair("ana", "one"));
        assert_eq!(find(text, "B.example"), pair("ben", "two"));
        assert_eq!(find(text, "c.example"), pair("guest", "three"));
        assert_eq!(find("machine a login x", "a"), None);
        assert_eq!(find("machine", "a"), None);
    }
}
