//! The one request that makes a release, in a race with any number of other publishers.
//!
//! **By create**: the wheel is written under its name on the condition that there is none (`If-None-Match: *`; in a folder, a hard link to
//! what was written beside it), in one request. **By move**, where there is no such condition: each publisher stages its wheel under a name of its own, and
//! then (1) lists what is staged, (2) removes what others staged for the version, (3) looks that the version is not there,
//! (4) moves its own. A publisher whose staged wheel was removed begins again under a new name.
//!
//! Invariant of the second: at most one move succeeds. Of two that would, take the one that staged later: it listed after
//! both had staged, so it removed the other's (which can then never be moved) or did not find it any more (because it was
//! moved, which step 3 sees). No clock takes part: how long a rival is given before it is removed decides only who
//! wins. `tests/model.rs` goes through all interleavings. A staged object is never written twice (a request that arrives
//! late could revive what was removed), and the store refuses to move over something, should its move be two steps.
//! Deliberately absent: taking back a commit.

use std::collections::HashMap;
use std::io::Read;
use std::time::{Duration, Instant};

use backlot_backend::{CommitBy, Error as BackendError, How, Put, RenameOutcome};
use backlot_core::{Context, FileError, Timestamp};
use backlot_net::Pauses;
use backlot_pep::{PackageName, Version};
use backlot_wheel::{WheelName, sdist_name};
use fs_err as fs;
use sha2::Digest as _;
use ulid::Ulid;

use super::{ReleaseStore, SDIST, WHEEL};
use crate::error::{Error, Result};
use crate::publish::PublishCandidate;

/// How often a commit whose answer was lost is sent again, and the first pause before.
const RETRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a wheel is staged again because others removed it.
const GENERATIONS: u32 = 100;

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    Won,
    /// Another publisher's release exists.
    Lost,
    /// A release exists, and the response for ours was lost.
    Unclear,
}

/// A wheel that is about to be moved to its name.
struct Staged {
    key: String,
    id: Ulid,
    version: Version,
}

impl ReleaseStore {
    pub(super) fn commit(
        &self,
        offer: &PublishCandidate,
        at: Timestamp,
        target: &str,
        context: &Context,
    ) -> Result<Committed> {
        match self.0.objects.commit_by() {
            CommitBy::Create => self.commit_by_create(offer, at, target, context),
            CommitBy::Move => self.commit_by_move(offer, &read_offered(offer, context)?, target, context),
        }
    }

    fn commit_by_create(
        &self,
        offer: &PublishCandidate,
        at: Timestamp,
        target: &str,
        context: &Context,
    ) -> Result<Committed> {
        let mut lost = LostAnswers::default();
        loop {
            context.check()?;
            match self.put_offered(offer, target, How::Create, at.0, context)? {
                Ok(Put::New) => return Ok(Committed::Won),
                Ok(Put::Exists) => return Ok(lost.outcome()),
                Err(error) => lost.another(error)?,
            }
        }
    }

    /// Send the candidate; the inner error is the store's.
    pub(super) fn put_offered(
        &self,
        offer: &PublishCandidate,
        target: &str,
        how: How,
        modified: u64,
        context: &Context,
    ) -> Result<Result<Put, BackendError>> {
        let mut source = Source::open(offer, context)?;
        // pip unpacks a file as what its server says it is.
        let kind = if offer.is_sdist() { SDIST } else { WHEEL };
        let put = self.0.objects.put_from(target, &mut source, how, modified, kind);
        match source.refused {
            Some(error) => Err(error),
            None => Ok(put),
        }
    }

    fn commit_by_move(
        &self,
        offer: &PublishCandidate,
        bytes: &[u8],
        target: &str,
        context: &Context,
    ) -> Result<Committed> {
        let mut mine = None;
        let outcome = self.race(offer, bytes, target, &mut mine, context);
        if let Some(id) = mine
            && !matches!(outcome, Ok(Committed::Won))
        {
            // Else the next publisher of the version does it.
            self.0.objects.delete(&staged_key(offer, id)).ok();
        }
        outcome
    }

    /// Race until a release exists. `mine` is the staged file, which has to be removed if another one wins.
    fn race(
        &self,
        offer: &PublishCandidate,
        bytes: &[u8],
        target: &str,
        mine: &mut Option<Ulid>,
        context: &Context,
    ) -> Result<Committed> {
        let objects = &self.0.objects;
        let (mut lost, mut generations, mut last) = (LostAnswers::default(), 0, Ulid::nil());
        let mut seen: HashMap<Ulid, Instant> = HashMap::new();
        loop {
            context.check()?;
            let Some(id) = *mine else {
                if last != Ulid::nil() && self.has_version(offer)? {
                    return Ok(lost.outcome());
                }
                if generations == GENERATIONS {
                    return Err(self.in_the_way(
                        target,
                        "others remove what is staged, and do not publish",
                        true,
                    ));
                }
                generations += 1;
                let id = after_all(last);
                last = id;
                match objects.stage(&staged_key(offer, id), bytes.to_vec()) {
                    Ok(()) => *mine = Some(id),
                    Err(error) => {
                        // It may have arrived.
                        objects.delete(&staged_key(offer, id)).ok();
                        lost.another(error)?;
                    }
                }
                continue;
            };
            let rivals = self.rivals(offer, id)?;
            last = rivals.iter().map(|r| r.id).fold(last, Ord::max);
            // The first to stage goes first; one that does not proceed counts as dead.
            let waits = rivals.iter().any(|rival| {
                rival.id < id && seen.entry(rival.id).or_insert_with(Instant::now).elapsed() < self.0.patience
            });
            if !waits {
                for rival in &rivals {
                    objects.delete(&rival.key)?;
                }
            }
            if self.has_version(offer)? {
                return Ok(lost.outcome());
            }
            if waits {
                pause(50);
                continue;
            }
            match objects.rename(&staged_key(offer, id), target) {
                Ok(RenameOutcome::Done) => return Ok(Committed::Won),
                // Removed by a publisher that is now first, or moved by a request whose response was lost.
                Ok(RenameOutcome::Gone) => *mine = None,
                Ok(RenameOutcome::Exists) if self.has_version(offer)? => return Ok(lost.outcome()),
                Ok(RenameOutcome::Exists) => {
                    return Err(self.in_the_way(target, "a file that is not a wheel has this name", false));
                }
                Err(error) => lost.another(error)?,
            }
            if mine.is_none() {
                // The one that removed it is about to commit: a wheel is not sent again in vain.
                let until = Instant::now() + self.0.patience / 10;
                while Instant::now() < until && !self.has_version(offer)? {
                    pause(50);
                }
            }
        }
    }

    /// The files that others have staged for the version.
    fn rivals(&self, offer: &PublishCandidate, mine: Ulid) -> Result<Vec<Staged>> {
        let staged = self.staged(&offer.name.package)?.into_iter();
        let rivals = staged.filter(|s| s.id != mine && s.version == offer.name.version);
        Ok(rivals.collect())
    }

    fn staged(&self, package: &PackageName) -> Result<Vec<Staged>> {
        let prefix = staged_prefix(package);
        let entries = self.0.objects.list(&prefix, false)?;
        let staged = entries.into_iter().filter_map(|entry| {
            let (id, file) = entry.key.strip_prefix(&prefix)?.split_once('-')?;
            Some(Staged {
                id: Ulid::from_string(id).ok()?,
                version: version_of(file)?,
                key: entry.key,
            })
        });
        Ok(staged.collect())
    }

    pub(super) fn in_the_way(&self, target: &str, reason: &str, temporary: bool) -> Error {
        Error::Backend(BackendError::Store {
            place: self.at(target).to_string(),
            reason: reason.to_owned(),
            temporary,
        })
    }
}

/// The file as it is sent: exactly the checked data, or an error at its end.
struct Source<'a> {
    file: fs::File,
    offer: &'a PublishCandidate,
    context: &'a Context,
    hasher: sha2::Sha256,
    /// Why it is not sent, if so.
    refused: Option<Error>,
}

impl<'a> Source<'a> {
    fn open(offer: &'a PublishCandidate, context: &'a Context) -> Result<Self> {
        Ok(Self {
            file: fs::File::open(&offer.source)?,
            offer,
            context,
            hasher: sha2::Sha256::new(),
            refused: None,
        })
    }

    fn refuse(&mut self, error: Error) -> std::io::Error {
        let reason = std::io::Error::other(error.to_string());
        self.refused = Some(error);
        reason
    }
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if let Err(stopped) = self.context.check() {
            return Err(self.refuse(stopped.into()));
        }
        let length = self.file.read(into)?;
        self.hasher.update(&into[..length]);
        if length == 0
            && !into.is_empty()
            && self.hasher.clone().finalize()[..] != *self.offer.sha256.as_bytes()
        {
            let path = self.offer.source.clone();
            return Err(self.refuse(Error::WheelChanged { path }));
        }
        Ok(length)
    }
}

/// The offered file, whole.
pub(super) fn read_offered(offer: &PublishCandidate, context: &Context) -> Result<Vec<u8>> {
    let (mut source, mut bytes) = (Source::open(offer, context)?, Vec::new());
    let read = source.read_to_end(&mut bytes);
    match source.refused {
        Some(error) => Err(error),
        None => Ok(read.map(|_| bytes).map_err(FileError::from)?),
    }
}

/// The version of a wheel or source distribution.
fn version_of(file: &str) -> Option<Version> {
    let wheel = file.parse::<WheelName>().ok().map(|name| name.version);
    wheel.or_else(|| sdist_name(file).map(|(_, version)| version))
}

fn staged_prefix(package: &PackageName) -> String {
    format!("staged/{package}/")
}

pub(super) fn staged_key(offer: &PublishCandidate, id: Ulid) -> String {
    let id = id.to_string().to_lowercase();
    format!("{}{id}-{}", staged_prefix(&offer.name.package), offer.file)
}

/// A unique ID, later than all existing ones. Random below the millisecond also where another clock is
/// ahead of ours: two that follow the same rival must not meet.
pub(super) fn after_all(last: Ulid) -> Ulid {
    let id = Ulid::generate();
    if id > last {
        return id;
    }
    let later = Ulid::from_parts(last.timestamp_ms().saturating_add(1), id.random());
    // Nothing is later than the end of time, which somebody made up.
    if later > last { later } else { id }
}

/// Answers about our commit that were lost so far.
pub(super) struct LostAnswers {
    pauses: Pauses,
    any: bool,
}

impl Default for LostAnswers {
    fn default() -> Self {
        Self {
            pauses: Pauses::new(RETRIES, FIRST_PAUSE),
            any: false,
        }
    }
}

impl LostAnswers {
    /// The outcome if another publisher's release exists.
    fn outcome(&self) -> Committed {
        if self.any {
            Committed::Unclear
        } else {
            Committed::Lost
        }
    }

    /// After a failure that may pass: once more, a little later.
    pub(super) fn another(&mut self, error: BackendError) -> Result<()> {
        self.any = true;
        let may_pass = matches!(error, BackendError::Store { temporary: true, .. });
        if may_pass && self.pauses.wait_here() {
            Ok(())
        } else {
            Err(error.into())
        }
    }
}

/// Wait for about this many milliseconds.
pub(super) fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(
        milliseconds / 2 + fastrand::u64(0..=milliseconds),
    ));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ulid::Ulid;

    use super::after_all;

    #[test]
    fn those_who_follow_the_same_rival_do_not_meet() {
        let ahead = Ulid::from_parts(Ulid::generate().timestamp_ms() + 60_000, 7);
        for last in [Ulid::nil(), ahead, Ulid::from_parts(u64::MAX, u128::MAX)] {
            let ids: HashSet<Ulid> = (0..100).map(|_| after_all(last)).collect();
            assert_eq!(ids.len(), 100);
            assert!(last.timestamp_ms() >> 47 == 1 || ids.iter().all(|id| *id > last));
        }
    }
}
