//! Credentials for repos and remotes: the environment first, then netrc.
//!
//! Invariants: nothing found here is printed or written down; netrc is read only when a server is used. A secret belongs to a
//! host: the one of its entry in netrc, or that in `BACKLOT_REPO_<NAME>_HOST` or `BACKLOT_REMOTE_<NAME>_HOST`; a name in a project
//! file proves nothing, since
//! a project may come from anywhere. This machine needs no such variable. Deliberately absent: keyrings and helpers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use backlot::{Credential, Credentials, PlaceName, is_loopback};

/// What the environment says, and where netrc lies.
#[derive(Clone, Default)]
pub(crate) struct FromEnvironment {
    /// The variables that begin with `BACKLOT_REPO_` or `BACKLOT_REMOTE_`.
    pub(crate) variables: BTreeMap<String, String>,
    /// The netrc file, which need not be there.
    pub(crate) netrc: Option<PathBuf>,
}

impl fmt::Debug for FromEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromEnvironment")
            .field("netrc", &self.netrc)
            .finish_non_exhaustive()
    }
}

impl Credentials for FromEnvironment {
    fn find(&self, place: &PlaceName, host: &str) -> Option<Credential> {
        let get = |what: &str| self.variable(place, what);
        let user = get("USERNAME");
        let is_bound = is_loopback(host) || get("HOST").is_some_and(|bound| bound.eq_ignore_ascii_case(host));
        let password = get("TOKEN").or_else(|| get("PASSWORD")).filter(|_| is_bound);
        if let Some(password) = password {
            let user = user.unwrap_or_else(|| Credential::TOKEN_USER.to_owned());
            return Some(Credential { user, password });
        }
        let text = fs_err::read_to_string(self.netrc.as_ref()?).ok()?;
        let found = find_in_netrc(&text, host)?;
        // A user who is named in the environment is not somebody else of that host.
        user.is_none_or(|user| user == found.user).then_some(found)
    }

    fn key(&self, place: &PlaceName) -> Option<PathBuf> {
        self.variable(place, "KEY").map(PathBuf::from)
    }
}

impl FromEnvironment {
    fn variable(&self, place: &PlaceName, what: &str) -> Option<String> {
        let name = format!("{}_{what}", place.variables());
        self.variables
            .get(&name)
            .filter(|value| !value.is_empty())
            .cloned()
    }
}

/// The entry of a host, or the default one (the format of ftp's netrc).
fn find_in_netrc(text: &str, host: &str) -> Option<Credential> {
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
    let mut matching = false;
    let (mut user, mut password) = (None, None);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" if matching && password.is_some() => break,
            "machine" => matching = words.next()?.eq_ignore_ascii_case(host),
            "default" => matching = true,
            "login" | "user" => user = words.next().filter(|_| matching).or(user),
            "password" => password = words.next().filter(|_| matching).or(password),
            "account" => drop(words.next()),
            _ => {}
        }
    }
    Some(Credential {
        user: user.unwrap_or_default().to_owned(),
        password: password?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{FromEnvironment, find_in_netrc};
    use backlot::{Credential, Credentials as _, PlaceName};

    fn repo(name: &str) -> PlaceName {
        PlaceName::Repo(name.to_owned())
    }

    fn pair(user: &str, password: &str) -> Credential {
        Credential {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn the_entry_of_the_host_is_found_in_netrc_and_nobody_elses() {
        let text = "# mine\nmachine a.example login ana password one\nmacdef init\nmachine evil password x\n\n\
                    machine b.example\n  login ben\n  password two\ndefault login guest password three\n";
        assert_eq!(find_in_netrc(text, "a.example"), Some(pair("ana", "one")));
        assert_eq!(find_in_netrc(text, "B.example"), Some(pair("ben", "two")));
        assert_eq!(find_in_netrc(text, "c.example"), Some(pair("guest", "three")));
        assert_eq!(find_in_netrc("machine a login x", "a"), None);
        assert_eq!(find_in_netrc("machine", "a"), None);
    }

    #[test]
    fn the_environment_goes_by_the_name_of_the_repo_or_remote() {
        let variables = [
            ("BACKLOT_REPO_MY_INDEX_HOST", "h"),
            ("BACKLOT_REPO_MY_INDEX_TOKEN", "t"),
            ("BACKLOT_REPO_OTHER_HOST", "H"),
            ("BACKLOT_REPO_OTHER_USERNAME", "u"),
            ("BACKLOT_REPO_OTHER_PASSWORD", "p"),
            ("BACKLOT_REPO_OTHER_KEY", "/keys/studio"),
            ("BACKLOT_REMOTE_OTHER_HOST", "h"),
            ("BACKLOT_REMOTE_OTHER_TOKEN", "files"),
        ];
        let source = FromEnvironment {
            variables: variables.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            netrc: None,
        };
        assert_eq!(source.find(&repo("my-index"), "h"), Some(pair("__token__", "t")));
        assert_eq!(source.find(&repo("other"), "h"), Some(pair("u", "p")));
        let remote = PlaceName::Remote("other".to_owned());
        assert_eq!(source.find(&remote, "h"), Some(pair("__token__", "files")));
        assert_eq!(source.key(&remote), None);
        assert_eq!(source.find(&repo("third"), "h"), None);
        // Another server is not sent it, whatever a project names it.
        assert_eq!(source.find(&repo("my-index"), "evil"), None);
        assert_eq!(source.find(&repo("my-index"), ""), None);
        assert_eq!(
            source.find(&repo("my-index"), "127.0.0.1"),
            Some(pair("__token__", "t"))
        );
        assert_eq!(source.key(&repo("other")), Some("/keys/studio".into()));
        assert_eq!(source.key(&repo("third")), None);
        assert!(!format!("{source:?}").contains("\"p\""));
    }
}
