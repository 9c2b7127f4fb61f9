//! Facts about releases: small files that are only ever added, folded in order into a status.
//!
//! Invariant: a fact is created exclusively under a unique name, so facts never overwrite each other. A `published` fact
//! counts only if it names the digest of the wheel that is there: it is written before the wheel is committed, and one
//! left behind by a publisher that lost or died names other bytes or no wheel at all. Deliberately absent: when facts are
//! written (`publish`, `verdict`), and removing any but one's own ineffective one.

use std::collections::BTreeMap;

use backlot_core::{Sha256, Timestamp};
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The most a fact may have.
pub(crate) const FACT_LIMIT: u64 = 64 * 1024;

/// The kind of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReleaseEventKind {
    /// The release was published.
    Published,
    /// It should not be chosen any more, unless pinned.
    Yanked,
    /// A yank was taken back.
    Unyanked,
    /// It works but should be moved away from.
    Deprecated,
    /// Approved.
    Approved,
    /// Its tracked files were given to a collection.
    Dropped,
    /// A kind of a later Backlot; kept, and without effect here.
    #[serde(other)]
    Unknown,
}

/// The result of a check of a release when it was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCheck {
    /// Its id.
    pub check: String,
    /// The asset with the studio's checks that asked for it, as `studio-checks 1.2`; the asset itself otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its level: `info`, `warn` or `error`.
    pub level: String,
    /// Its outcome: `pass`, `fail`, `skip`, `crash` or `timeout`.
    pub outcome: String,
    /// How many things it found.
    #[serde(default)]
    pub findings: u64,
    /// The waiver of its findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<RecordedWaiver>,
    /// The digest of its findings.
    pub sha256: Sha256,
}

/// A waiver of a check: by whom, why, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedWaiver {
    /// Why.
    pub reason: String,
    /// The author.
    pub by: String,
    /// The last day on which it holds, as `2026-12-31`.
    pub until: String,
}

/// One fact, as its file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseEvent {
    /// The format of the file: 1.
    pub format: u32,
    /// The kind.
    pub kind: ReleaseEventKind,
    /// About which package.
    pub package: PackageName,
    /// About which version.
    pub version: Version,
    /// The wheel's file name; only for `published`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The wheel's digest; only for `published`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The wheel's modification time in milliseconds; only for `published`. Tells which of several publishers of the same
    /// bytes was the one whose file is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<u64>,
    /// The remotes that have the files of the release, as its publisher reached them; only for `published`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<ReleaseRemote>,
    /// The checks that were run before; only for `published`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<RecordedCheck>,
    /// The status that its files were given up for, `deprecated` or `yanked`; only for `dropped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When that status was set; only for `dropped`. An approval, or the end of a yank, that is not before it calls the files back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The author.
    pub author: String,
    /// Why: `manual`, or in words.
    pub reason: String,
    /// On which machine.
    pub machine: String,
    /// With which tool: `backlot 0.1.0`.
    pub tool: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// The same for people, RFC 3339 in UTC.
    pub time: String,
}

/// A remote as recorded by another workspace. It is untrusted: it is contacted only after a user adds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRemote {
    /// Its name there, which pointers may name.
    pub name: String,
    /// Its folder or URL, whole.
    pub url: String,
    /// The layout: `chunked` or `dvc`.
    pub layout: String,
    /// The server of a bucket, if it is not the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region of a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// The combined status of all facts about a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// How it was published; `None` for a wheel that was put into the folder by other means.
    pub published: Option<ReleaseEvent>,
    /// The yank in effect.
    pub yanked: Option<ReleaseEvent>,
    /// The latest deprecation.
    pub deprecated: Option<ReleaseEvent>,
    /// All approvals, oldest first.
    pub approved: Vec<ReleaseEvent>,
    /// Its tracked files were given to a collection, and it was neither approved nor unyanked since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<ReleaseEvent>,
}

impl ReleaseStatus {
    /// Fold facts, oldest first, about the release whose wheel has this digest and modification time.
    pub(crate) fn fold(
        facts: impl IntoIterator<Item = ReleaseEvent>,
        sha256: &Sha256,
        modified: u64,
    ) -> Self {
        let mut status = Self::default();
        // Of the last word that a release is wanted: a collector may not have heard it when it wrote.
        let mut wanted = None;
        for fact in facts {
            if matches!(fact.kind, ReleaseEventKind::Approved | ReleaseEventKind::Unyanked) {
                wanted = wanted.max(Some(fact.at));
            }
            match fact.kind {
                ReleaseEventKind::Published if fact.sha256.as_ref() == Some(sha256) => {
                    // The same bytes may have been offered more than once (a publisher that died before its commit, a
                    // rerun): the file's time tells whose they are, and survives most copies of a repo; else the last.
                    let known = status.published.as_ref().and_then(|f| f.modified);
                    if known != Some(modified) {
                        status.published = Some(fact);
                    }
                }
                ReleaseEventKind::Yanked => status.yanked = Some(fact),
                ReleaseEventKind::Unyanked => status.yanked = None,
                ReleaseEventKind::Deprecated => status.deprecated = Some(fact),
                ReleaseEventKind::Approved => status.approved.push(fact),
                ReleaseEventKind::Dropped => status.dropped = Some(fact),
                ReleaseEventKind::Published | ReleaseEventKind::Unknown => {}
            }
        }
        status.dropped = status.dropped.filter(|dropped| wanted < dropped.since);
        status
    }
}

/// The file name of a fact.
pub(crate) fn fact_name(id: Ulid) -> String {
    format!("{}.json", id.to_string().to_lowercase())
}

/// The bytes of a fact's file.
pub(crate) fn fact_bytes(fact: &ReleaseEvent) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(fact).expect("a fact is plain data");
    text.push(b'\n');
    text
}

/// The digests that a file was published with, and the modification times it had.
pub(crate) type Published = BTreeMap<Sha256, Option<u64>>;

/// Whether a file may have a digest: it was published with it, or nothing says with which.
pub(crate) fn may_be(published: &Published, digest: Sha256) -> bool {
    published.is_empty() || published.contains_key(&digest)
}

/// The digests with which a file was published, by the facts of its version.
pub(crate) fn published_digests<'a>(
    facts: impl IntoIterator<Item = &'a ReleaseEvent>,
    file: &str,
) -> Published {
    let published = facts
        .into_iter()
        .filter(|fact| fact.kind == ReleaseEventKind::Published && fact.file.as_deref() == Some(file));
    published
        .filter_map(|fact| Some((fact.sha256?, fact.modified)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{ReleaseEvent, ReleaseEventKind, ReleaseStatus};
    use backlot_core::{Sha256, Timestamp};
    use backlot_pep::{PackageName, Version};

    const WHEEL: Sha256 = Sha256::from_bytes([1; 32]);

    fn fact(kind: ReleaseEventKind, at: u64, author: &str) -> ReleaseEvent {
        ReleaseEvent {
            format: 1,
            kind,
            package: PackageName::parse("chair").unwrap(),
            version: Version::parse("1.0").unwrap(),
            file: None,
            sha256: (kind == ReleaseEventKind::Published).then_some(WHEEL),
            modified: (kind == ReleaseEventKind::Published).then_some(at),
            remotes: Vec::new(),
            checks: Vec::new(),
            status: None,
            since: None,
            author: author.to_owned(),
            reason: "manual".to_owned(),
            machine: "here".to_owned(),
            tool: "backlot 0".to_owned(),
            at: Timestamp(at),
            time: Timestamp(at).to_string(),
        }
    }

    #[test]
    fn facts_fold_in_their_order() {
        let facts = [
            (ReleaseEventKind::Published, 10),
            (ReleaseEventKind::Yanked, 20),
            (ReleaseEventKind::Approved, 25),
            (ReleaseEventKind::Unyanked, 30),
            (ReleaseEventKind::Yanked, 40),
        ];
        let facts = facts.map(|(kind, at)| fact(kind, at, "ana"));
        let status = ReleaseStatus::fold(facts, &WHEEL, 10);
        assert_eq!(status.published.map(|f| f.at), Some(Timestamp(10)));
        assert_eq!(status.yanked.map(|f| f.at), Some(Timestamp(40)));
        assert_eq!(status.approved.len(), 1);
        assert_eq!(status.deprecated, None);
    }

    #[test]
    fn a_published_fact_about_other_bytes_does_not_count() {
        let facts = vec![fact(ReleaseEventKind::Published, 1, "loser")];
        let status = ReleaseStatus::fold(facts, &Sha256::from_bytes([2; 32]), 1);
        assert_eq!(status.published, None);
    }

    #[test]
    fn of_several_publishers_of_the_same_bytes_the_one_whose_file_is_there_counts() {
        let facts = || [10, 20, 30].map(|at| fact(ReleaseEventKind::Published, at, "ana"));
        let at = |modified| {
            ReleaseStatus::fold(facts(), &WHEEL, modified)
                .published
                .map(|f| f.at)
        };
        assert_eq!(at(10), Some(Timestamp(10)));
        assert_eq!(at(20), Some(Timestamp(20)));
        assert_eq!(at(99), Some(Timestamp(30)), "a copy without times: the last");
    }

    #[test]
    fn dropped_files_are_called_back_by_who_wants_the_release_whenever_the_collector_heard_of_it() {
        let dropped = |at, since| ReleaseEvent {
            since: Some(Timestamp(since)),
            ..fact(ReleaseEventKind::Dropped, at, "ana")
        };
        let fold = |facts: &[ReleaseEvent]| ReleaseStatus::fold(facts.to_vec(), &WHEEL, 1).dropped;
        let deprecated = fact(ReleaseEventKind::Deprecated, 10, "ana");
        let approved = |at| fact(ReleaseEventKind::Approved, at, "ben");
        assert!(fold(&[deprecated.clone(), dropped(20, 10)]).is_some());
        assert!(fold(&[approved(5), deprecated.clone(), dropped(20, 10)]).is_some());
        for at in [10, 15, 20, 25] {
            let (before, after) = (approved(at), approved(at));
            let facts = if at < 20 {
                vec![deprecated.clone(), before, dropped(20, 10)]
            } else {
                vec![deprecated.clone(), dropped(20, 10), after]
            };
            assert_eq!(fold(&facts), None, "{at}");
        }
        // Deprecated anew: what was given up before does not count again.
        let again = [
            deprecated,
            dropped(20, 10),
            approved(30),
            fact(ReleaseEventKind::Deprecated, 40, "ana"),
        ];
        assert_eq!(fold(&again), None);
        let unyanked = [
            fact(ReleaseEventKind::Yanked, 10, "ana"),
            dropped(20, 10),
            fact(ReleaseEventKind::Unyanked, 30, "ana"),
        ];
        assert_eq!(fold(&unyanked), None);
    }

    #[test]
    fn a_kind_of_a_later_version_is_read_and_has_no_effect() {
        let mut value = serde_json::to_value(fact(ReleaseEventKind::Yanked, 1, "ana")).unwrap();
        value["kind"] = "embargoed".into();
        value["until"] = "later".into();
        let read: ReleaseEvent = serde_json::from_value(value).unwrap();
        assert_eq!(read.kind, ReleaseEventKind::Unknown);
        assert_eq!(ReleaseStatus::fold([read], &WHEEL, 1), ReleaseStatus::default());
    }
}
