//! The release that an output was edited from, and how output and releases stand to each other.
//!
//! Invariant: an output knows its base (version, digest of the wheel, what was in it) from the moment it appears, and a publish
//! moves it. What is about to be published is noted before, so a publish that was killed after it created the release is known
//! to be ours. Kept in the output's folder, so it goes where the output goes. Deliberately absent: merging (`rebase.rs`).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use backlot_core::{Diagnostic as _, Sha256, Timestamp, file};
use backlot_dvc::FileChanges;
use backlot_pep::{PackageName, Version};
use backlot_repo::{Listing, ReleaseFile, Repo};
use backlot_store::ObjectId;
use serde::{Deserialize, Serialize};

use crate::error::{EditError, Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::project::content::Content;
use crate::project::output::Output;
use crate::workspace::Opened;

/// Name of the record in the folder of an output.
pub(crate) const BASE_FILE: &str = ".backlot-base.json";
const FORMAT: u64 = 1;
/// How many names of changes are carried.
const MAX_NAMES: usize = 20;

/// A release that an output was edited from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BaseRelease {
    pub(crate) package: PackageName,
    pub(crate) version: Version,
    pub(crate) sha256: Sha256,
    pub(crate) content: Content,
    /// The version that this release was edited from itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) edited_from: Option<Version>,
}

impl BaseRelease {
    /// The package of the release that an output was edited from or published as, whatever the output is called now.
    pub(crate) fn package_of(output: &Output) -> Result<Option<PackageName>> {
        let record = read(&output.project.root, &mut |_, _| {})?;
        Ok(record.base.map(|base| base.package))
    }

    /// The version that an output of this version was edited from. It stays the same when the output is published and is then its own base, so
    /// that the same version is built with the same bytes again.
    pub(crate) fn before(output: &Output) -> Result<Option<Version>> {
        // An unreadable one is reported where it matters.
        let record = read(&output.project.root, &mut |_, _| {})?;
        let version = &output.project.metadata.version;
        let own = |base: &Self| base.package == output.package();
        if let Some(pending) = record
            .pending
            .filter(|next| own(next) && next.version == *version)
        {
            return Ok(pending.edited_from);
        }
        Ok(match record.base.filter(own) {
            Some(base) if base.version == *version => base.edited_from,
            base => base.map(|base| base.version),
        })
    }
}

/// The record of an output.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct BaseFile {
    format: u64,
    base: Option<BaseRelease>,
    /// The release about to be published: the base, if a repo has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<BaseRelease>,
}

/// The state of an output relative to the releases of its package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BaseState {
    /// It has no release.
    Unpublished,
    /// It matches the newest release.
    Unchanged,
    /// It has changes that the newest release has not.
    Ahead,
    /// The newest release has changes that it has not.
    Behind,
    /// Both have changes that the other has not.
    Diverged,
    /// A repo could not be read.
    Unknown,
}

/// A release that is newer than the one an output was edited from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewerRelease {
    /// Its version.
    pub version: Version,
    /// The repo that has it.
    pub repo: String,
    /// Its author, if known.
    pub author: Option<String>,
    /// When, where known.
    pub at: Option<Timestamp>,
}

/// The state of an output relative to the release that it was edited from, and to newer ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BaseStatus {
    /// In a word.
    pub state: BaseState,
    /// The release it was edited from, or was last published as.
    pub base: Option<Version>,
    /// The newest release, if it is newer than that.
    pub newer: Option<NewerRelease>,
    /// Changes relative to the release, by path in the package.
    pub changes: FileChanges,
}

/// The releases of a package in one repo.
pub(crate) struct KnownReleases {
    pub(crate) repo: String,
    pub(crate) opened: Repo,
    pub(crate) listing: Arc<Listing>,
}

/// A release that is newer than a base, and where it is.
pub(crate) struct Newer<'k> {
    pub(crate) known: &'k KnownReleases,
    pub(crate) release: ReleaseFile,
}

impl Newer<'_> {
    pub(crate) fn described(&self) -> Result<NewerRelease> {
        let published = self.known.opened.status(&self.release)?.published;
        Ok(NewerRelease {
            version: self.release.version.clone(),
            repo: self.known.repo.clone(),
            author: published.as_ref().map(|fact| fact.author.clone()),
            at: published.map(|fact| fact.at),
        })
    }

    /// The refusal to publish beside it.
    pub(crate) fn refusal(&self, asset: &str, base: Option<&BaseRelease>) -> Result<EditError> {
        Ok(EditError::Diverged {
            asset: asset.to_owned(),
            base: base.map(|base| base.version.clone()),
            newer: Box::new(self.described()?),
        })
    }
}

impl KnownReleases {
    fn has(&self, version: &Version, sha256: &Sha256) -> Result<bool> {
        for release in self.listing.files().filter(|r| &r.version == version) {
            if &self.opened.digest(release)? == sha256 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Opened {
    /// The releases of a package in the studio's repos. Repos that cannot be read are warned about once, and counted in `unread`.
    pub(crate) fn known_releases(
        &self,
        package: &PackageName,
        unread: &mut BTreeSet<String>,
    ) -> Vec<KnownReleases> {
        let mut all = Vec::new();
        for entry in self.repos() {
            if unread.contains(&entry.name) || entry.public.is_some() {
                continue;
            }
            let found = self.open_repo(entry).and_then(|opened| {
                let listing = opened.listing(package, self.context())?;
                Ok((opened, listing))
            });
            match found {
                Ok((opened, listing)) => all.push(KnownReleases {
                    repo: entry.name.clone(),
                    opened,
                    listing,
                }),
                Err(error) => {
                    let message = format!("cannot determine which releases are in `{}`: {error}", entry.name);
                    self.context().warn(error.code(), message);
                    unread.insert(entry.name.clone());
                }
            }
        }
        all
    }

    /// The newest release that is not the base, nor older. Yanked ones do not count.
    pub(crate) fn newer_release<'k>(
        base: Option<&BaseRelease>,
        known: &'k [KnownReleases],
    ) -> Result<Option<Newer<'k>>> {
        // Another release of the base's version stands in for it only where it is not in any repo itself.
        let mut is_there = false;
        if let Some(base) = base {
            for one in known {
                is_there = is_there || one.has(&base.version, &base.sha256)?;
            }
        }
        let mut newest: Option<Newer<'k>> = None;
        for one in known {
            for release in one.listing.offered().into_iter().filter(|r| r.yanked.is_none()) {
                let version = &release.version;
                if newest
                    .as_ref()
                    .is_some_and(|newest| &newest.release.version >= version)
                {
                    continue;
                }
                let is_newer = match base {
                    None => true,
                    Some(base) if *version == base.version => !is_there,
                    Some(base) => *version > base.version,
                };
                if is_newer {
                    newest = Some(Newer {
                        known: one,
                        release: release.clone(),
                    });
                }
            }
        }
        Ok(newest)
    }

    /// The record of an output. One that is damaged counts as absent: then nothing is known to be its base, so that any release
    /// is a newer one, which a publish does not pass over.
    fn base_record(&self, output: &Output) -> Result<BaseFile> {
        read(&output.project.root, &mut |path, reason| {
            let message = format!(
                "cannot read `{}`, so the release that {} was edited from is unknown: {reason}",
                path.display(),
                output.name
            );
            self.context().warn("output::base_unreadable", message);
        })
    }

    /// The release that an output was edited from, or that it was published as.
    pub(crate) fn base_of(&self, output: &Output, known: &[KnownReleases]) -> Result<Option<BaseRelease>> {
        let record = self.base_record(output)?;
        let own = |base: &BaseRelease| base.package == output.package();
        if let Some(pending) = record.pending.filter(own) {
            for one in known {
                if one.has(&pending.version, &pending.sha256)? {
                    return Ok(Some(pending));
                }
            }
        }
        Ok(record.base.filter(own))
    }

    /// The tracked content of the release that an output was edited from, or was published as.
    pub(crate) fn released_objects(&self, output: &Output) -> Result<Vec<ObjectId>> {
        let record = self.base_record(output)?;
        let content = record.base.iter().flat_map(|base| &base.content);
        let pointers = content.filter(|(path, _)| path.ends_with(".dvc"));
        Ok(pointers
            .flat_map(|(_, ids)| ids.split(',').filter_map(|id| id.parse().ok()))
            .collect())
    }

    /// Record the release about to be published.
    pub(crate) fn note_pending(output: &Output, base: Option<BaseRelease>, next: BaseRelease) -> Result<()> {
        let record = BaseFile {
            format: FORMAT,
            base,
            pending: Some(next),
        };
        // Lost in a power cut, it only costs a question.
        Ok(file::write_for_now(
            &output.project.root.join(BASE_FILE),
            &bytes(&record),
        )?)
    }

    /// Note the release that an output stands on.
    pub(crate) fn note_base(root: &Path, base: BaseRelease) -> Result<()> {
        let record = BaseFile {
            format: FORMAT,
            base: Some(base),
            pending: None,
        };
        file::write_if_changed(&root.join(BASE_FILE), &bytes(&record))?;
        Ok(())
    }

    /// An output as a release.
    pub(crate) fn as_base(output: &Output, content: Content, sha256: Sha256) -> Result<BaseRelease> {
        Ok(BaseRelease {
            package: output.package(),
            version: output.project.metadata.version.clone(),
            sha256,
            content,
            edited_from: BaseRelease::before(output)?,
        })
    }

    /// How an output stands to releases. `modified` are tracked paths whose changes no pointer names yet.
    pub(crate) fn base_status(
        &self,
        output: &Output,
        tracked: &Tracked,
        known: &[KnownReleases],
        modified: &[String],
        unread: bool,
    ) -> Result<BaseStatus> {
        let base = self.base_of(output, known)?;
        let newer = Self::newer_release(base.as_ref(), known)?;
        let changes = match &base {
            Some(base) => changes(&base.content, &self.content_of(output, tracked)?, modified),
            None => FileChanges::default(),
        };
        let state = match (&base, &newer) {
            (Some(_), Some(_)) if changes.is_empty() => BaseState::Behind,
            (_, Some(_)) => BaseState::Diverged,
            _ if unread => BaseState::Unknown,
            (None, None) => BaseState::Unpublished,
            (Some(_), None) if changes.is_empty() => BaseState::Unchanged,
            (Some(_), None) => BaseState::Ahead,
        };
        Ok(BaseStatus {
            state,
            base: base.map(|base| base.version),
            newer: newer.map(|newer| newer.described()).transpose()?,
            changes,
        })
    }
}

/// The format of a record, whatever else is in it.
#[derive(Deserialize)]
struct FormatOnly {
    format: u64,
}

/// The record of an output; an empty one if there is none, or none that can be read, which is told.
fn read(root: &Path, unreadable: &mut dyn FnMut(&Path, &str)) -> Result<BaseFile> {
    let path = root.join(BASE_FILE);
    let none = BaseFile {
        format: FORMAT,
        base: None,
        pending: None,
    };
    let Some(bytes) = file::read_if_exists(&path)? else {
        return Ok(none);
    };
    // What a newer Backlot wrote may look like anything but for this.
    if let Ok(FormatOnly { format }) = serde_json::from_slice(&bytes)
        && format > FORMAT
    {
        return Err(WorkspaceError::NewerFormat {
            path,
            found: format,
            known: FORMAT,
        }
        .into());
    }
    match serde_json::from_slice(&bytes) {
        Ok(record) => Ok(record),
        Err(error) => {
            unreadable(&path, &error.to_string());
            Ok(none)
        }
    }
}

fn bytes(record: &BaseFile) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(record).expect("a record is plain data");
    bytes.push(b'\n');
    bytes
}

/// The differences from a base, and those that no pointer has yet.
fn changes(base: &Content, now: &Content, modified: &[String]) -> FileChanges {
    let (mut new, mut gone, mut changed) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (path, content) in now {
        match base.get(path) {
            None => new.push(named(path)),
            Some(before) if before != content => drop(changed.insert(named(path))),
            Some(_) => {}
        }
    }
    gone.extend(
        base.keys()
            .filter(|path| !now.contains_key(*path))
            .map(|p| named(p)),
    );
    changed.extend(modified.iter().filter(|path| !new.contains(path)).cloned());
    let mut names = Vec::new();
    let changed: Vec<String> = changed.into_iter().collect();
    for (sign, paths) in [('+', &new), ('-', &gone), ('~', &changed)] {
        names.extend(paths.iter().take(MAX_NAMES).map(|path| format!("{sign} {path}")));
    }
    FileChanges {
        new: new.len() as u64,
        changed: changed.len() as u64,
        gone: gone.len() as u64,
        names,
    }
}

/// A pointer, by its tracked path.
fn named(path: &str) -> String {
    path.strip_suffix(".dvc").unwrap_or(path).to_owned()
}
