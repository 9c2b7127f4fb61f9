//! A repo of any kind, as used by the facade.
//!
//! Invariant: callers of a [`Repo`] need not know its kind; a release is read from the repo that listed it.
//! Deliberately absent: choosing versions, and which repos there are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use backlot_core::file::TemporaryFolder;
use backlot_core::{Context, PlaceIdentity, Sha256, StrongDigest};
use backlot_pep::{PackageName, Version};
use backlot_wheel::{AssetInfo, Metadata, Sdist, WheelArchive};

use crate::allow::Allowlist;
use crate::error::{Error, Result};
use crate::expected::ExpectedFile;
use crate::feed::{Feed, FeedPosition};
use crate::index::{IndexError, IndexRepo};
use crate::layout::RepoKind;
use crate::listing::Listing;
use crate::location::Location;
use crate::publish::{Checked, Publication, PublishPlan};
use crate::record::strong_of_file;
use crate::reindex::ReindexReport;
use crate::release::ReleaseFile;
use crate::release_event::ReleaseEvent;
use crate::release_event::ReleaseStatus;
use crate::status_change::{ImportedEvent, StatusChange, StatusChangeReport};
use crate::store::{LabelEvent, LabelMove, ReleaseStore, Withdrawn};
use crate::upkeep::Upkeep;
use crate::whole::{Release, whole_releases};

/// A repo. Cheap to clone; clones share their caches.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Repo {
    /// In a store that is looked after from here: a folder, a bucket, a server.
    Store(ReleaseStore),
    /// Behind HTTP.
    Index(IndexRepo),
}

impl Repo {
    /// Open a repo in a folder; see [`ReleaseStore::open_folder`].
    pub fn open_folder(root: &Path) -> Result<Self> {
        Ok(Self::Store(ReleaseStore::open_folder(root)?))
    }

    /// Where it is.
    pub fn place(&self) -> Location {
        match self {
            Self::Index(repo) => repo.place(),
            Self::Store(repo) => repo.place(),
        }
    }

    /// Whether the repo may be asked for a package at all; see [`Allowlist`].
    pub fn admits(&self, name: &PackageName) -> bool {
        self.gate().is_none_or(|gate| gate.admits(name))
    }

    /// Fine if the repo may be asked for a package; see [`Allowlist`].
    pub fn check_admits(&self, name: &PackageName) -> Result<()> {
        self.gate().map_or(Ok(()), |gate| gate.check(name))
    }

    /// Whether it is outside the studio: only what its list names goes there or comes from it.
    pub fn is_public(&self) -> bool {
        self.gate().is_some()
    }

    fn gate(&self) -> Option<&Allowlist> {
        match self {
            Self::Index(repo) => repo.gate(),
            Self::Store(repo) => repo.gate(),
        }
    }

    /// Make the repo if its place is empty and it can be made from here. Returns whether it was made.
    pub fn make(&self) -> Result<bool> {
        Ok(match self {
            Self::Index(_) => false,
            Self::Store(repo) => repo.make_new()?,
        })
    }

    /// Which repo is at its place now. A server with an index has none but its URL, and a store that may not be asked
    /// (offline) counts as unchanged: `None`.
    pub fn identity(&self) -> Result<Option<PlaceIdentity>> {
        Ok(match self {
            Self::Index(_) => None,
            Self::Store(repo) => repo.identity()?,
        })
    }

    /// From now on publish only to this very repo; see [`ReleaseStore::known`].
    #[must_use]
    pub fn known(self, identity: Option<&str>) -> Self {
        match self {
            Self::Store(repo) => Self::Store(repo.known(identity)),
            Self::Index(_) => self,
        }
    }

    /// The packages that have at least one wheel or source distribution (by its file name), sorted.
    pub fn packages(&self) -> Result<Vec<PackageName>> {
        match self {
            Self::Index(repo) => repo.packages(),
            Self::Store(repo) => repo.packages(),
        }
    }

    /// The packages, and those of which nothing is left but a place, sorted: none of them is looked into.
    pub fn package_names(&self) -> Result<Vec<PackageName>> {
        match self {
            Self::Index(repo) => repo.packages(),
            Self::Store(repo) => repo.package_names(),
        }
    }

    /// The releases of a package, oldest version first: one for each version, one that runs everywhere where there is.
    pub fn releases(&self, name: &PackageName, context: &Context) -> Result<Vec<ReleaseFile>> {
        let mut releases = self.wheels(name, context)?;
        releases.dedup_by(|next, kept| next.version == kept.version);
        Ok(releases)
    }

    /// The good wheels of a package, oldest version first, then the one that runs everywhere first. Those that cannot be
    /// used are warned about once.
    pub fn wheels(&self, name: &PackageName, context: &Context) -> Result<Vec<ReleaseFile>> {
        match self {
            Self::Index(repo) => repo.wheels(name),
            Self::Store(repo) => repo.wheels(name, context),
        }
    }

    /// All releases of a package in the repo, with the status of each: the input of resolution. Shared, and
    /// read from an index page if that is provably current. Unusable files cause one warning each.
    pub fn listing(&self, name: &PackageName, context: &Context) -> Result<Arc<Listing>> {
        match self {
            Self::Index(repo) => repo.listed(name),
            Self::Store(repo) => Ok(Arc::new(repo.listing(name, context)?)),
        }
    }

    /// The releases of a package with all their files, oldest version first. Unusable files cause one warning each.
    pub fn whole_releases(&self, name: &PackageName, context: &Context) -> Result<Vec<Release>> {
        Ok(whole_releases(name, &*self.listing(name, context)?, context))
    }

    /// The files of a package that are in the repo itself, whatever it inherits from others.
    pub fn own_files(&self, name: &PackageName, context: &Context) -> Result<Vec<ReleaseFile>> {
        let listing = self.listing(name, context)?;
        Ok(listing
            .files()
            .filter(|file| !self.inherits(file))
            .cloned()
            .collect())
    }

    /// Whether a file of an index belongs to another index that it inherits from.
    pub fn inherits(&self, file: &ReleaseFile) -> bool {
        match self {
            Self::Index(repo) => repo.inherits(file),
            Self::Store(_) => false,
        }
    }

    /// The same for a warning, for which recently cached data is sufficient.
    pub fn recent_listing(&self, name: &PackageName, context: &Context) -> Result<Arc<Listing>> {
        match self {
            Self::Store(repo) => Ok(Arc::new(repo.recent_listing(name, context)?)),
            Self::Index(_) => self.listing(name, context),
        }
    }

    /// The installable releases of a package: its good wheels, and source distributions of versions that have none; oldest
    /// version first.
    pub fn offered(&self, name: &PackageName, context: &Context) -> Result<Vec<ReleaseFile>> {
        let listing = self.listing(name, context)?;
        Ok(listing.offered().into_iter().cloned().collect())
    }

    /// The source distributions of a package, oldest version first.
    pub fn sources(&self, name: &PackageName) -> Result<Vec<ReleaseFile>> {
        Ok(match self {
            Self::Index(repo) => repo.releases_with_problems(name)?.sources.clone(),
            Self::Store(repo) => repo.sources(name)?,
        })
    }

    /// Read many packages of the repo, concurrently if that is faster.
    pub fn prefetch(&self, names: &[PackageName]) -> Result<()> {
        match self {
            Self::Index(repo) => repo.prefetch(names),
            Self::Store(repo) => repo.prefetch(names),
        }
    }

    /// Read the metadata of many releases, many at once where that is faster.
    pub fn prefetch_metadata(&self, releases: &[&ReleaseFile]) -> Result<()> {
        match self {
            Self::Index(repo) => repo.prefetch_metadata(releases),
            Self::Store(repo) => repo.prefetch_metadata(releases),
        }
    }

    /// Fetch many wheels, many at once where that is faster; [`Self::open_wheel`] is then quick.
    pub fn prefetch_wheels(&self, releases: &[&ReleaseFile]) -> Result<()> {
        match self {
            Self::Index(repo) => repo.prefetch_wheels(releases),
            Self::Store(repo) => repo.prefetch_wheels(releases),
        }
    }

    /// Whether asking it costs a journey, so that many questions are better asked together.
    pub fn is_remote(&self) -> bool {
        match self {
            Self::Store(repo) => !repo.is_local(),
            Self::Index(_) => true,
        }
    }

    /// One release.
    pub fn release(&self, name: &PackageName, version: &Version, context: &Context) -> Result<ReleaseFile> {
        self.check_admits(name)?;
        let releases = self.releases(name, context)?;
        let found = releases.into_iter().find(|r| r.version == *version);
        found.ok_or_else(|| Error::NoRelease {
            package: name.clone(),
            version: version.clone(),
            repo: self.place(),
        })
    }

    /// All files of a package in the repo: every good wheel, and unusable ones with the reason.
    pub fn releases_with_problems(&self, name: &PackageName) -> Result<Listing> {
        match self {
            Self::Index(repo) => Ok(Listing::clone(&*repo.releases_with_problems(name)?)),
            Self::Store(repo) => repo.releases_with_problems(name),
        }
    }

    /// The metadata of a release, proven where a digest of it is known. Of a source distribution: if it can be built.
    pub fn metadata(&self, release: &ReleaseFile) -> Result<Metadata> {
        if release.is_sdist() {
            let source = self.source(release)?;
            source.check_buildable()?;
            return Ok(source.metadata().clone());
        }
        match self {
            Self::Index(repo) => repo.metadata(release),
            Self::Store(repo) => repo.metadata(release),
        }
    }

    /// The wheel of a release, open.
    pub fn archive(&self, release: &ReleaseFile) -> Result<WheelArchive> {
        match self {
            Self::Index(repo) => repo.archive(release),
            Self::Store(repo) => repo.archive(release),
        }
    }

    /// The source distribution that a release is.
    pub fn source(&self, release: &ReleaseFile) -> Result<Sdist> {
        match self {
            Self::Index(repo) => repo.source(release),
            Self::Store(repo) => repo.source(release),
        }
    }

    /// The metadata of a release with the asset it is of, out of its file.
    pub fn describe(&self, release: &ReleaseFile) -> Result<(Metadata, Option<AssetInfo>)> {
        if release.is_sdist() {
            let source = self.source(release)?;
            return Ok((source.metadata().clone(), source.asset_info()));
        }
        let archive = self.archive(release)?;
        Ok((archive.metadata().clone(), archive.asset_info()))
    }

    /// The digest of a release's file.
    pub fn digest(&self, release: &ReleaseFile) -> Result<Sha256> {
        match self {
            Self::Index(repo) => repo.digest(release),
            Self::Store(repo) => repo.digest_of(release),
        }
    }

    /// The digest of a release's file of the kind of another one: what its index promises, else that of the file, which is
    /// fetched into `scratch` if it is remote.
    pub fn strong_digest(
        &self,
        release: &ReleaseFile,
        like: &StrongDigest,
        scratch: &Path,
        context: &Context,
    ) -> Result<StrongDigest> {
        if let Some(known) = release.strong()
            && std::mem::discriminant(known) == std::mem::discriminant(like)
        {
            return Ok(*known);
        }
        match release.path() {
            Some(path) => strong_of_file(&path, like),
            None => {
                let folder = TemporaryFolder::in_folder(scratch)?;
                let copy = folder.path().join(&release.file);
                self.open_wheel(release, &copy, context)?;
                strong_of_file(&copy, like)
            }
        }
    }

    /// Copy a release's file to `target` if it has the right size and digest; see [`ReleaseStore::open_wheel`].
    pub fn open_wheel(&self, release: &ReleaseFile, target: &Path, context: &Context) -> Result<()> {
        match self {
            Self::Index(repo) => repo.open_wheel(release, target, context),
            Self::Store(repo) => repo.open_wheel(release, target, context),
        }
    }

    /// The status of a release: its author, whether it is yanked.
    pub fn status(&self, release: &ReleaseFile) -> Result<ReleaseStatus> {
        match self {
            Self::Index(_) => Ok(IndexRepo::status(release)),
            Self::Store(repo) => repo.status(release),
        }
    }

    /// Say something of a release; see [`ReleaseStore::set_status`].
    pub fn set_status(
        &self,
        release: &ReleaseFile,
        verdict: StatusChange,
        by: &Publication,
        dry_run: bool,
        context: &Context,
    ) -> Result<StatusChangeReport> {
        match self {
            Self::Store(repo) => repo.set_status(release, verdict, by, dry_run, context),
            Self::Index(repo) => Err(IndexError::NoFacts {
                url: repo.place().to_string(),
            }
            .into()),
        }
    }

    /// The versions of a package whose files were given to a collection, with the fact; an index has none.
    pub fn dropped(&self, package: &PackageName) -> Result<BTreeMap<Version, ReleaseEvent>> {
        match self {
            Self::Index(_) => Ok(BTreeMap::new()),
            Self::Store(repo) => repo.dropped(package),
        }
    }

    /// The versions of a package that are deprecated or yanked and whose files were not given to a collection; see [`ReleaseStore::withdrawn`].
    pub fn withdrawn(&self, package: &PackageName) -> Result<Vec<Withdrawn>> {
        match self {
            Self::Index(_) => Ok(Vec::new()),
            Self::Store(repo) => repo.withdrawn(package),
        }
    }

    /// Record that the files of a release are given to a collection.
    pub fn drop_files(
        &self,
        package: &PackageName,
        what: &Withdrawn,
        by: &Publication,
        context: &Context,
    ) -> Result<()> {
        match self {
            Self::Store(repo) => repo.drop_files(package, what, by, context),
            Self::Index(repo) => Err(IndexError::NoFacts {
                url: repo.place().to_string(),
            }
            .into()),
        }
    }

    /// The labels of a package that are at a release; an index has none.
    pub fn labels(&self, package: &PackageName) -> Result<BTreeMap<String, LabelEvent>> {
        match self {
            Self::Index(_) => Ok(BTreeMap::new()),
            Self::Store(repo) => repo.labels(package),
        }
    }

    /// Move a label of a package to a version, or remove it; see [`ReleaseStore::move_label`].
    pub fn move_label(
        &self,
        label: (&PackageName, &str),
        to: Option<&Version>,
        by: &Publication,
        dry_run: bool,
        context: &Context,
    ) -> Result<LabelMove> {
        match self {
            Self::Store(repo) => repo.move_label(label, to, by, dry_run, context),
            Self::Index(repo) => Err(IndexError::NoFacts {
                url: repo.place().to_string(),
            }
            .into()),
        }
    }

    /// The status events of a release, under each spelling of its version; see [`ReleaseStore::events_to_import`].
    pub fn events_to_import<'a>(
        &self,
        release: &'a Release,
    ) -> Result<Vec<(&'a ReleaseFile, Vec<ImportedEvent>)>> {
        let mut all: Vec<(&ReleaseFile, Vec<ImportedEvent>)> = Vec::new();
        for file in &release.files {
            if all
                .iter()
                .any(|(known, _)| known.version.to_string() == file.version.to_string())
            {
                continue;
            }
            let facts = match self {
                Self::Index(repo) => repo.events_to_import(release, file),
                Self::Store(repo) => repo.events_to_import(file)?,
            };
            all.push((file, facts));
        }
        Ok(all)
    }

    /// Import status events of a release; see [`ReleaseStore::import_events`].
    pub fn import_events(
        &self,
        release: &ReleaseFile,
        facts: &[ImportedEvent],
        dry_run: bool,
        context: &Context,
    ) -> Result<u64> {
        match self {
            Self::Store(repo) => repo.import_events(release, facts, dry_run, context),
            Self::Index(repo) => {
                if !facts.is_empty() {
                    let (package, version) = (&release.package, &release.version);
                    let message = format!(
                        "the status of {package} {version} was not copied: `{}` does not support status events",
                        repo.place()
                    );
                    context.warn("index::facts_left_behind", message);
                }
                Ok(0)
            }
        }
    }

    /// Rebuild derived files that do not agree with the releases; see [`Upkeep::reindex`].
    pub fn reindex(&self, dry_run: bool, context: &Context) -> Result<ReindexReport> {
        self.upkeep(dry_run)?.reindex(context)
    }

    /// Look after it, for real or as a dry run. The server of a package index maintains that.
    pub fn upkeep(&self, dry_run: bool) -> Result<Upkeep> {
        match self {
            Self::Store(repo) => Upkeep::of(repo, dry_run),
            Self::Index(repo) => Err(IndexError::OwnPages {
                url: repo.place().to_string(),
            }
            .into()),
        }
    }

    /// The same repo without local caches: for checking the repo itself.
    #[must_use]
    pub fn without_cache(self) -> Self {
        match self {
            Self::Store(repo) => Self::Store(repo.without_cache()),
            other => other,
        }
    }

    /// The names of all packages, also of those whose files are gone.
    pub fn all_names(&self) -> Result<Vec<PackageName>> {
        match self {
            Self::Index(repo) => repo.packages(),
            Self::Store(repo) => repo.all_names(),
        }
    }

    /// The files of a package that are there, or that a record or a page names; sorted by name. None of an index and of a
    /// plain folder of wheels, which say nothing about them.
    pub fn expected_files(&self, name: &PackageName) -> Result<Vec<ExpectedFile>> {
        match self {
            Self::Index(_) => Ok(Vec::new()),
            Self::Store(repo) => repo.expected_files(name),
        }
    }

    /// The files of a package that its records or its page name and that are not there.
    pub fn missing_files(&self, name: &PackageName) -> Result<Vec<Location>> {
        match self {
            Self::Index(_) => Ok(Vec::new()),
            Self::Store(repo) => repo.missing_files(name),
        }
    }

    /// The plan of [`Self::publish`]. Changes nothing.
    pub fn plan_publish(&self, file: &Checked) -> Result<PublishPlan> {
        match self {
            Self::Index(repo) => repo.plan(&file.0),
            Self::Store(repo) => repo.plan(&file.0),
        }
    }

    /// Publish a wheel, or a file of a release that may have others. A conflict, by its name or as another release
    /// under its version, is [`Error::ReleaseExists`].
    pub fn publish(&self, file: &Checked, publication: &Publication, context: &Context) -> Result<()> {
        match self {
            // An index keeps no record of who and why beyond the account.
            Self::Index(repo) => repo.commit(&file.0, context),
            Self::Store(repo) => repo.offer(&file.0, publication, context).map(drop),
        }
    }

    /// Ensure that the derived files of some packages list all their files, if a publisher was killed.
    /// Where it does, little is read and nothing written; the pages of an index are its server's.
    pub fn complete(&self, names: &[PackageName], context: &Context) -> Result<()> {
        match self {
            Self::Store(repo) => repo.complete_all(names, context),
            Self::Index(_) => Ok(()),
        }
    }

    /// Whether it keeps events: an index and a plain folder of packages do not.
    pub fn keeps_events(&self) -> Result<bool> {
        match self {
            Self::Store(repo) => Ok(repo.kind()? != RepoKind::Flat),
            Self::Index(_) => Ok(false),
        }
    }

    fn with_feed(&self) -> Result<&ReleaseStore> {
        match self {
            Self::Store(repo) => Ok(repo),
            Self::Index(_) => Err(Error::NoEvents { place: self.place() }),
        }
    }

    /// Up to `most` events after a position; see [`ReleaseStore::feed`].
    pub fn feed(&self, from: FeedPosition, most: usize, context: &Context) -> Result<Feed> {
        self.with_feed()?.feed(from, most, context)
    }

    /// The position after the last event; see [`ReleaseStore::feed_end`].
    pub fn feed_end(&self) -> Result<FeedPosition> {
        self.with_feed()?.feed_end()
    }
}
