//! The users of a remote: a record of each repo whose releases have files there.
//!
//! A publisher leaves it before the release is created, so whoever collects knows all repos that have to be read, whatever its own
//! workspace lists. Invariants: the name of a record follows from the repo, so writing it twice is the same record; a record is
//! never taken for a permission or an address to ask: what is in it comes from other people. Format in
//! `docs/format/remote-chunked.md`. Deliberately absent: reading the repos, which the caller does.

use std::time::Duration;

use backlot_core::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::push::ChunkedRepository;
use crate::error::Result;

const USERS: &str = "v1/users/";
const FORMAT: u32 = 1;
/// How old a record may be before a publisher writes it again.
const RENEWED: Duration = Duration::from_hours(30 * 24);
/// The longest record that is read.
const MOST_BYTES: usize = 64 << 10;

/// A repo with releases that have files on a remote, as a publisher recorded it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteUser {
    format: u32,
    /// The folder of the repo as the publisher has it, or its URL without credentials.
    pub repo: String,
    /// The identity of the repo, where it has one.
    pub identity: Option<String>,
    /// Its name in the publisher's workspace.
    pub name: String,
    /// The publisher's workspace.
    pub workspace: String,
    /// The publisher's machine.
    pub machine: String,
    /// The publisher.
    pub user: String,
    /// When, in milliseconds since the epoch by the clock of the publisher, to 30 days.
    pub seen: Timestamp,
}

/// A record as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundUser {
    /// Its name.
    pub id: String,
    /// Its contents, or why they cannot be read.
    pub user: std::result::Result<RemoteUser, String>,
}

impl RemoteUser {
    /// A record of a repo.
    pub fn new(repo: &str, identity: Option<&str>, name: &str) -> Self {
        Self {
            format: FORMAT,
            repo: repo.to_owned(),
            identity: identity.map(ToOwned::to_owned),
            name: name.to_owned(),
            workspace: String::new(),
            machine: String::new(),
            user: String::new(),
            seen: Timestamp(0),
        }
    }

    /// The name of its record: the same for everybody who publishes to the repo.
    pub fn id(&self) -> String {
        let what = self.identity.as_deref().unwrap_or(&self.repo);
        blake3::hash(what.as_bytes()).to_hex()[..32].to_owned()
    }
}

fn parse(bytes: &[u8]) -> std::result::Result<RemoteUser, String> {
    if bytes.len() > MOST_BYTES {
        return Err("it is too long".to_owned());
    }
    let user: RemoteUser = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if user.format == FORMAT {
        Ok(user)
    } else {
        Err(format!(
            "it has format {}, but this version of Backlot supports format {FORMAT}",
            user.format
        ))
    }
}

fn key(id: &str) -> String {
    format!("{USERS}{id}.json")
}

impl ChunkedRepository {
    /// Leave the record of a repo, unless there is one that is not old.
    pub(super) fn note_user(&self, user: &RemoteUser) -> Result<()> {
        let key = key(&user.id());
        let known = self.blobs.read(&key)?.and_then(|bytes| parse(&bytes).ok());
        let age = u64::try_from(RENEWED.as_millis()).unwrap_or(u64::MAX);
        if known.is_some_and(|known| user.seen.0.saturating_sub(known.seen.0) < age) {
            return Ok(());
        }
        let mut bytes = serde_json::to_vec_pretty(user).unwrap_or_default();
        bytes.push(b'\n');
        self.blobs.put(&key, &bytes)
    }

    /// All records, sorted.
    pub(super) fn users(&self) -> Result<Vec<FoundUser>> {
        let mut users = Vec::new();
        for entry in self.blobs.list(USERS)? {
            let id = entry
                .key
                .strip_prefix(USERS)
                .and_then(|n| n.strip_suffix(".json"));
            let Some(id) = id else { continue };
            // Forgotten since it was listed.
            let Some(bytes) = self.blobs.read(&entry.key)? else {
                continue;
            };
            users.push(FoundUser {
                id: id.to_owned(),
                user: parse(&bytes),
            });
        }
        Ok(users)
    }

    /// Drop a record.
    pub(super) fn forget_user(&self, id: &str) -> Result<()> {
        self.blobs.delete(&key(id))?;
        self.blobs.sync_deleted(USERS)
    }
}

#[cfg(test)]
mod tests {
    use super::{RemoteUser, parse};

    #[test]
    fn a_record_is_read_back_and_one_of_another_format_is_unknown() {
        let mut user = RemoteUser::new("/shows/review", Some("01h"), "review");
        let bytes = serde_json::to_vec(&user).expect("written");
        assert_eq!(parse(&bytes), Ok(user.clone()));
        assert_eq!(
            user.id(),
            RemoteUser::new("/mnt/review", Some("01h"), "other").id()
        );
        assert_ne!(user.id(), RemoteUser::new("/shows/review", None, "review").id());
        user.format = 2;
        let bytes = serde_json::to_vec(&user).expect("written");
        assert!(parse(&bytes).is_err_and(|why| why.contains("format 2")));
        assert!(parse(b"{").is_err());
    }
}
