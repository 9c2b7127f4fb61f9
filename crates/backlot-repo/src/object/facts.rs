//! What was said of the releases of a package in a store.
//!
//! A fact is only ever added, so a folder still has those that it had. A store that shows one folder at a time would be asked once for
//! each version, so those are not listed again whose time proves that no fact came. Invariant: a folder's facts are those that it has now. Its
//! time proves that if it is the one of before, it was seen long enough before they were listed that a later change would have another one (as
//! git judges its index), and it is that of the newest fact, so that this server changes it. Deliberately absent: what facts mean.

use std::collections::BTreeMap;
use std::time::Duration;

use backlot_backend::{Entry, each};
use backlot_core::Context;
use backlot_net::Kind;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::ObjectRepo;
use crate::error::Result;
use crate::fact::{FACT_LIMIT, Fact};
use crate::layout::COARSE;

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

impl ObjectRepo {
    /// All readable facts below a prefix, by the folder they lie in.
    pub(super) fn read_facts(&self, prefix: &str) -> Result<BTreeMap<String, Vec<(Ulid, Fact)>>> {
        let entries = self.list_facts(prefix)?;
        let named: Vec<(String, Ulid, Entry)> = entries
            .into_iter()
            .filter_map(|entry| {
                let (version, file) = entry.key.strip_prefix(prefix)?.rsplit_once('/')?;
                let id = Ulid::from_string(file.strip_suffix(".json")?).ok()?;
                Some((version.to_owned(), id, entry))
            })
            .collect();
        let read = each(&named, |(_, _, entry)| self.small(entry, FACT_LIMIT))?;
        let mut facts: BTreeMap<String, Vec<(Ulid, Fact)>> = BTreeMap::new();
        for ((version, id, _), bytes) in named.into_iter().zip(read) {
            if let Some(Ok(fact)) = bytes.map(|bytes| serde_json::from_slice(&bytes)) {
                facts.entry(version).or_default().push((id, fact));
            }
        }
        for list in facts.values_mut() {
            list.sort_by_key(|(id, _)| *id);
        }
        Ok(facts)
    }

    fn list_facts(&self, prefix: &str) -> Result<Vec<Entry>> {
        if !self.0.objects.traits().by_folder {
            return self.listed(prefix, true);
        }
        let there = self.listed(prefix, false)?;
        let listed = each(&there, |entry| {
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
