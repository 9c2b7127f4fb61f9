//! Which host keys are a server's own, by the files that `ssh` keeps (sshd(8) has their format).
//!
//! Invariants: a key is believed only if a line for the server has it and no line revokes it; nothing is ever added.
//! Deliberately absent: certificates (`@cert-authority` lines are skipped).

use std::path::PathBuf;

use backlot_core::wildcard::Wildcard;
use fs_err as fs;
use ring::hmac;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::{Preferred, keys::ssh_key::public::KeyData};

/// The size limit of a `known_hosts` file.
const FILE_LIMIT: u64 = 16 << 20;

/// The known keys of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    keys: Vec<(KeyData, Algorithm, String)>,
    revoked: Vec<KeyData>,
}

/// The status of a server's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostKeyStatus {
    Known,
    /// No line is about the server.
    Unknown,
    /// Another key is known, by the line at this place.
    Changed(String),
    Revoked,
}

impl Known {
    /// Read the entries of a server. Missing files and unreadable lines are ignored.
    pub(super) fn read(files: &[PathBuf], host: &str, port: u16) -> Self {
        let mut known = Self::default();
        for path in files {
            let small = fs::metadata(path).is_ok_and(|about| about.len() <= FILE_LIMIT);
            if let Some(bytes) = small.then(|| fs::read(path).ok()).flatten() {
                known.add(
                    &String::from_utf8_lossy(&bytes),
                    &path.display().to_string(),
                    host,
                    port,
                );
            }
        }
        known
    }

    fn add(&mut self, text: &str, place: &str, host: &str, port: u16) {
        let host = name(host, port);
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().take(5).collect();
            if words.first().is_none_or(|first| first.starts_with('#')) {
                continue;
            }
            let Ok(entry) = words.join(" ").parse::<Entry>() else {
                continue;
            };
            if !is_about(entry.host_patterns(), &host) {
                continue;
            }
            let key = entry.public_key();
            match entry.marker() {
                None => self.keys.push((
                    key.key_data().clone(),
                    key.algorithm(),
                    format!("{place}:{}", number + 1),
                )),
                Some(Marker::Revoked) => self.revoked.push(key.key_data().clone()),
                Some(Marker::CertAuthority) => {}
            }
        }
    }

    /// The status of a key that the server presented.
    pub(super) fn judge(&self, key: &PublicKey) -> HostKeyStatus {
        if self.revoked.contains(key.key_data()) {
            return HostKeyStatus::Revoked;
        }
        if self.keys.iter().any(|(known, _, _)| known == key.key_data()) {
            return HostKeyStatus::Known;
        }
        // The line about a key of the same kind, if there is one.
        let same = self.keys.iter().find(|(_, kind, _)| *kind == key.algorithm());
        let line = same.or_else(|| self.keys.first());
        line.map_or(HostKeyStatus::Unknown, |(_, _, line)| {
            HostKeyStatus::Changed(line.clone())
        })
    }

    /// The kinds of keys to ask the server for: known ones first, so that of several it shows the one that is known. Never
    /// SHA-1.
    pub(super) fn preferred(&self) -> Preferred {
        let is_known = |kind: &Algorithm| {
            let plain = |kind: &Algorithm| match kind {
                Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
                other => other.clone(),
            };
            self.keys.iter().any(|(_, known, _)| plain(known) == plain(kind))
        };
        let mut kinds: Vec<Algorithm> = Preferred::DEFAULT.key.to_vec();
        kinds.retain(|kind| *kind != Algorithm::Rsa { hash: None });
        kinds.sort_by_key(|kind| !is_known(kind));
        Preferred {
            key: kinds.into(),
            ..Preferred::DEFAULT
        }
    }
}

/// A key for people, as `ssh` shows it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

/// A server as the files name it.
pub(super) fn name(host: &str, port: u16) -> String {
    if port == 22 {
        host.to_owned()
    } else {
        format!("[{host}]:{port}")
    }
}

fn is_about(patterns: &HostPatterns, host: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, host.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let fits = |pattern: &str| Wildcard::new(&pattern.to_lowercase()).fits(host);
            let not = patterns.iter().filter_map(|p| p.strip_prefix('!'));
            !not.into_iter().any(fits) && patterns.iter().any(|p| !p.starts_with('!') && fits(p))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]
mod tests {
    use russh::keys::{Algorithm, PublicKey};

    use super::{HostKeyStatus, Known};

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G2sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";
    const HASHED: &str = "|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak=";

    fn judge(text: &str, host: &str, port: u16, key: &str) -> HostKeyStatus {
        let mut known = Known::default();
        known.add(text, "hosts", host, port);
        known.judge(&PublicKey::from_openssh(key).unwrap())
    }

    #[test]
    fn a_key_is_known_only_by_a_line_about_its_server() {
        for (line, host, port) in [
            (format!("files.studio.lan {ONE}"), "files.studio.lan", 22),
            (
                format!("10.0.0.9,FILES.studio.lan\t{ONE} a comment"),
                "files.studio.lan",
                22,
            ),
            (
                format!("# old\n\nnonsense\n*.studio.lan {ONE}"),
                "files.studio.lan",
                22,
            ),
            (format!("[files.studio.lan]:2222 {ONE}"), "files.studio.lan", 2222),
            (format!("{HASHED} {ONE}"), "example.com", 22),
            (format!("a {TWO}\na {ONE}"), "a", 22),
        ] {
            assert_eq!(judge(&line, host, port, ONE), HostKeyStatus::Known, "{line}");
        }
        for (line, host, port) in [
            (format!("files.studio.lan {ONE}"), "files.studio.lan", 2222),
            (format!("[files.studio.lan]:2222 {ONE}"), "files.studio.lan", 22),
            (format!("other.studio.lan {ONE}"), "files.studio.lan", 22),
            (format!("*.lan,!files.* {ONE}"), "files.studio.lan", 22),
            (format!("#files.studio.lan {ONE}"), "files.studio.lan", 22),
            (
                format!("@cert-authority files.studio.lan {ONE}"),
                "files.studio.lan",
                22,
            ),
            (format!("{HASHED} {ONE}"), "example.org", 22),
            (
                "files.studio.lan ssh-ed25519 AAAA".to_owned(),
                "files.studio.lan",
                22,
            ),
        ] {
            assert_eq!(judge(&line, host, port, ONE), HostKeyStatus::Unknown, "{line}");
        }
    }

    #[test]
    fn another_key_and_a_revoked_one_are_told_apart() {
        let changed = HostKeyStatus::Changed("hosts:2".to_owned());
        assert_eq!(judge(&format!("b {ONE}\na {TWO}"), "a", 22, ONE), changed);
        let revoked = format!("a {ONE}\n@revoked * {ONE}");
        assert_eq!(judge(&revoked, "a", 22, ONE), HostKeyStatus::Revoked);
    }

    #[test]
    fn the_kind_that_is_known_is_asked_for_first() {
        let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC5";
        let mut known = Known::default();
        known.add(&format!("a {ONE}"), "hosts", "a", 22);
        let kinds = known.preferred().key;
        assert_eq!(kinds[0], Algorithm::Ed25519);
        assert!(!kinds.contains(&Algorithm::Rsa { hash: None }));
        // Truncated, it is not a key.
        known.add(&format!("a {rsa}"), "hosts", "a", 22);
        assert_eq!(known.keys.len(), 1);
    }
}
