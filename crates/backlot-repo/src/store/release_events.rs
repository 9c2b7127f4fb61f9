//! Status events of the releases of a package in a store.
//!
//! A fact is only ever added, so a folder still has those that it had. A store that shows one folder at a time would be asked once for
//! each version, so those are not listed again whose time proves that no fact came. Invariant: a folder's facts are those that it has now. Its
//! time proves that if it is the one of before, it was seen long enough before they were listed that a later change would have another one (as
//! git judges its index), and it is that of the newest fact, so that this server changes it. Deliberately absent: what facts mean.

use std::collections::BTreeMap;
use std::time::Duration;

use backlot_backend::Entry;
use backlot_core::{Context, Timestamp};
use backlot_net::Kind;
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{JSON, ReleaseStore, status_prefix};
use crate::error::Result;
use crate::layout::{COARSE, RepoKind};
use crate::release_event::{FACT_LIMIT, ReleaseEvent, fact_bytes, fact_name};

/// A folder of facts as it was listed; times in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    /// Its time.
    modified: u64,
    /// When this machine saw that time first.
    since: u64,
    /// When it was listed.
    listed: u64,
    facts: Vec<Entry>,
}

impl Seen {
    fn holds(&self, folder: &Entry) -> bool {
        let are_one = |one: u64, other: u64| Duration::from_millis(one.abs_diff(other)) <= COARSE;
        let newest = self.facts.iter().map(|fact| fact.modified).max();
        self.modified == folder.modified
            && newest.is_some_and(|newest| newest != 0 && are_one(newest, self.modified))
            && self.listed > self.since
            && !are_one(self.listed, self.since)
    }
}

/// The status of a version, from the readable events.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The facts under their names, oldest first.
    pub(super) named: Vec<(Ulid, ReleaseEvent)>,
    /// The last name of a fact, though that may not be readable as one.
    pub(super) last: Option<Ulid>,
}

impl Said {
    /// The facts, oldest first.
    pub(super) fn facts(&self) -> impl Iterator<Item = &ReleaseEvent> {
        self.named.iter().map(|(_, fact)| fact)
    }
}

impl ReleaseStore {
    /// The current status of a version.
    pub(super) fn said(&self, package: &PackageName, version: &Version) -> Result<Said> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(Said::default());
        }
        let prefix = status_prefix(package, version);
        let entries = if self.is_local() {
            // Their names are all that reading them needs.
            let names = self.0.objects.names(&prefix)?.into_iter();
            let named = |name| Entry {
                key: format!("{prefix}{name}"),
                size: 0,
                modified: 0,
                tag: String::new(),
            };
            names.map(named).collect()
        } else {
            self.listed(&prefix, false)?
        };
        let said = self.read_named(&prefix, entries)?;
        Ok(said.into_values().next().unwrap_or_default())
    }

    /// The status of all versions of a package, by folder.
    pub(super) fn read_facts(&self, package: &PackageName) -> Result<BTreeMap<String, Said>> {
        let prefix = format!("status/{package}/");
        let entries = self.list_facts(&prefix)?;
        self.read_named(&prefix, entries)
    }

    /// The facts among what is listed below a prefix, by the folder they lie in. Unreadable facts are skipped.
    fn read_named(&self, prefix: &str, entries: Vec<Entry>) -> Result<BTreeMap<String, Said>> {
        let named: Vec<(String, Ulid, Entry)> = entries
            .into_iter()
            .filter_map(|entry| {
                let below = entry.key.strip_prefix(prefix)?;
                let (version, file) = below.rsplit_once('/').unwrap_or(("", below));
                Some((version.to_owned(), fact_id(file)?, entry))
            })
            .collect();
        let read = self.each(&named, |(_, _, entry)| self.small(entry, FACT_LIMIT))?;
        let mut all: BTreeMap<String, Said> = BTreeMap::new();
        for ((version, id, _), bytes) in named.into_iter().zip(read) {
            let said = all.entry(version).or_default();
            said.last = said.last.max(Some(id));
            if let Some(Ok(fact)) = bytes.map(|bytes| serde_json::from_slice(&bytes)) {
                said.named.push((id, fact));
            }
        }
        for said in all.values_mut() {
            said.named.sort_by_key(|(id, _)| *id);
        }
        Ok(all)
    }

    fn list_facts(&self, prefix: &str) -> Result<Vec<Entry>> {
        if !self.0.objects.traits().by_folder {
            return self.listed(prefix, true);
        }
        let there = self.listed(prefix, false)?;
        let listed = self.each(&there, |entry| {
            if entry.key.ends_with('/') {
                self.list_folder(entry)
            } else {
                Ok(vec![entry.clone()])
            }
        })?;
        Ok(listed.into_iter().flatten().collect())
    }

    /// The facts in a folder, listed only if one may have come.
    fn list_folder(&self, folder: &Entry) -> Result<Vec<Entry>> {
        if self.is_local() {
            return Ok(self.0.objects.list(&folder.key, false)?);
        }
        let key = format!("facts {}", self.at(&folder.key));
        let kept = self.find_kept(Kind::Metadata, &key);
        let seen = kept.and_then(|kept| serde_json::from_slice::<Seen>(&kept.body).ok());
        if let Some(seen) = &seen
            && (seen.holds(folder) || self.0.objects.is_offline())
        {
            return Ok(seen.facts.clone());
        }
        let now = Context::default().now().0;
        let facts = self.0.objects.list(&folder.key, false)?;
        let same = seen.filter(|seen| seen.modified == folder.modified);
        let seen = Seen {
            modified: folder.modified,
            since: same.map_or(now, |seen| seen.since),
            listed: now,
            facts,
        };
        let bytes = serde_json::to_vec(&seen).expect("entries are plain data");
        self.keep(&key, &folder.key, &bytes);
        Ok(seen.facts)
    }

    /// Add a fact under a new, unique name. Returns its key.
    pub(super) fn add_fact(&self, fact: &ReleaseEvent) -> Result<String> {
        self.add_named(new_id(fact.at), fact)
    }

    /// The same under a name that it was given.
    pub(super) fn add_named(&self, id: Ulid, fact: &ReleaseEvent) -> Result<String> {
        let key = format!("{}{}", status_prefix(&fact.package, &fact.version), fact_name(id));
        self.0.objects.write(&key, fact_bytes(fact), JSON)?;
        Ok(key)
    }
}

/// A unique name for a file that is written at a time.
pub(super) fn new_id(at: Timestamp) -> Ulid {
    Ulid::from_parts(at.0, Ulid::generate().random())
}

/// The ID of a fact by its file name; `None` if it is not one.
fn fact_id(file: &str) -> Option<Ulid> {
    Ulid::from_string(file.strip_suffix(".json")?).ok()
}

#[cfg(test)]
mod tests {
    use backlot_backend::Entry;

    use super::Seen;

    fn entry(modified: u64) -> Entry {
        Entry {
            key: "status/chair/1.0/".to_owned(),
            size: 0,
            modified,
            tag: String::new(),
        }
    }

    #[test]
    fn a_folder_is_believed_only_if_a_change_would_have_shown() {
        let seen = |modified, since, listed, facts: &[u64]| Seen {
            modified,
            since,
            listed,
            facts: facts.iter().map(|at| entry(*at)).collect(),
        };
        let sound = seen(50_000, 90_000, 93_000, &[10_000, 49_000]);
        assert!(sound.holds(&entry(50_000)));
        assert!(!sound.holds(&entry(51_000)), "a fact came or went");
        for (why, doubtful) in [
            ("listed too soon", seen(50_000, 90_000, 91_000, &[50_000])),
            ("a clock was put back", seen(50_000, 90_000, 80_000, &[50_000])),
            (
                "its time is not that of a fact",
                seen(50_000, 90_000, 93_000, &[40_000]),
            ),
            ("nothing tells", seen(50_000, 90_000, 93_000, &[])),
        ] {
            assert!(!doubtful.holds(&entry(50_000)), "{why}");
        }
        assert!(!seen(0, 90_000, 93_000, &[0]).holds(&entry(0)), "no times");
    }
}
