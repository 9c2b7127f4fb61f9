//! Naming the repos and remotes of a workspace.
//!
//! Invariant: adding one that is named already is a conflict, never a silent change; removing one deletes no data.

use backlot_backend::{StoreOptions, is_store_url};
use backlot_core::options;
use backlot_core::{Diagnostic as _, PlaceIdentity};
use backlot_pep::AssetName;
use backlot_repo::{AllowedName, IndexRepo, ReindexReport, ReleaseStore};
use backlot_store::RemoteLayout;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, WorkspaceError};
use crate::workspace::Opened;
use crate::workspace::config::{RemoteEntry, RepoEntry, RepoPlace, is_url};
use crate::workspace::connect::Address;

/// A repo as listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepoStatus {
    /// Its name.
    pub name: String,
    /// Its folder or URL, as configured.
    pub place: String,
    /// Its kind.
    pub kind: RepoPlace,
    /// Installs prefer it.
    pub blessed: bool,
    /// Publishes go to it.
    pub publish_to: bool,
    /// The packages that may be requested from it, if it is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<AllowedName>>,
    /// The number of packages; `None` if unreadable, and for a URL, which is not contacted.
    pub packages: Option<usize>,
    /// It was made just now, by adding it; or would be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Why it cannot be used, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<PlaceProblem>,
}

/// Why a repo or remote cannot be used.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlaceProblem {
    /// The code of the error that using it gives.
    pub code: String,
    /// Its message.
    pub message: String,
}

impl From<Error> for PlaceProblem {
    fn from(error: Error) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
        }
    }
}

/// A remote as listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RemoteStatus {
    /// Its name.
    pub name: String,
    /// Folder or URL.
    pub url: String,
    /// Layout.
    pub layout: RemoteLayout,
    /// Push and pull use it.
    pub default: bool,
    /// It was made just now, by adding it; or would be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Why it cannot be used, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<PlaceProblem>,
}

options! {
    /// How to add a repo.
    #[derive(Default)]
    pub struct AddRepo {
        /// Make it the preferred source of installs.
        pub blessed: bool,
        /// Make it the target of publishes.
        pub publish_to: bool,
        /// Where releases are uploaded to, if that does not follow from an index's URL.
        pub upload: Option<String>,
        /// How a store of objects is reached.
        pub store: StoreOptions,
        /// It is outside the studio: only these packages may be requested from it.
        pub public: Option<Vec<String>>,
        /// It is an index of devpi: make it if it is not there, inheriting from these (`user/index`).
        pub create: Option<Vec<String>>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

options! {
    /// How to add a remote.
    #[derive(Default)]
    pub struct AddRemote {
        /// The layout; by default that of an existing remote, else chunks.
        pub layout: Option<RemoteLayout>,
        /// Make it the remote that push and pull use.
        pub as_default: bool,
        /// How a store of objects is reached.
        pub store: StoreOptions,
        /// Change nothing.
        pub dry_run: bool,
    }
}

fn check_name(name: &str) -> Result<()> {
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if plain {
        Ok(())
    } else {
        AssetName::parse(&format!("{name}/"))
            .map(|_| ())
            .map_err(Error::from)
    }
}

impl Opened {
    pub(crate) fn add_repo(&mut self, name: &str, place: &str, options: &AddRepo) -> Result<RepoStatus> {
        self.change(options.dry_run, |workspace| {
            workspace.put_repo(name, place, options)
        })
    }

    /// The same without hold of the workspace; a dry run is known to this value alone.
    pub(crate) fn put_repo(&mut self, name: &str, place: &str, options: &AddRepo) -> Result<RepoStatus> {
        check_name(name)?;
        if let Some(existing) = self.config.repos.iter().find(|r| r.name == name) {
            let existing = existing.place.clone();
            return Err(WorkspaceError::NameTaken {
                what: "repo",
                name: name.to_owned(),
                existing,
            }
            .into());
        }
        let names = options.public.as_ref();
        let public = names
            .map(|names| names.iter().map(|name| AllowedName::parse(name)).collect())
            .transpose()?;
        if public.is_some() && !is_url(place) {
            return Err(WorkspaceError::NotPublic {
                repo: name.to_owned(),
                folder: true,
            }
            .into());
        }
        let (blessed, publish, takes_blessing) = self.roles(name, options);
        if !ReleaseStore::knows(place) && options.store != StoreOptions::default() {
            return Err(Error::from(backlot_repo::Error::BadStore {
                url: name.to_owned(),
                reason: "an endpoint, a region, `anonymous` and a site cache require a store with a URL"
                    .to_owned(),
            }));
        }
        let place = self.find_place(name, place, options)?;
        let mut entry = RepoEntry {
            name: name.to_owned(),
            place,
            upload: options.upload.clone(),
            store: options.store.clone(),
            public,
            id: None,
            checks: None,
        };
        let (created, id) = self.make_repo(&entry, options.dry_run)?;
        entry.id = id;
        self.config.add_repo(entry);
        if blessed || takes_blessing {
            self.config.set_blessed(Some(name));
        }
        if publish {
            self.config.set_publish_to(Some(name));
        }
        let mut status = self.named_repo(self.repo_entry(name)?);
        status.created = created;
        if !options.dry_run {
            self.config.save()?;
        }
        if !(created && options.dry_run) {
            self.look_into(&mut status)?;
        }
        Ok(status)
    }

    /// Make a repo where none is, by the person who names it: anywhere else, a folder that is absent is an unmounted disk.
    /// Returns whether it was made, and which it is.
    pub(crate) fn make_repo(&self, entry: &RepoEntry, dry_run: bool) -> Result<(bool, Option<String>)> {
        let repo = self.connect_repo(entry)?;
        if dry_run {
            return Ok((repo.identity()? == Some(PlaceIdentity::Absent), None));
        }
        let created = repo.make()?;
        let found = repo.identity()?;
        Ok((
            created,
            found.and_then(|found| found.name().map(ToOwned::to_owned)),
        ))
    }

    /// Where a new repo is: an index is looked for, or made.
    fn find_place(&self, name: &str, place: &str, options: &AddRepo) -> Result<String> {
        if let Some(bases) = &options.create {
            let network = self.network()?;
            if options.dry_run {
                return Ok(IndexRepo::plan_create(&network, name, place)?);
            }
            let (url, made) = IndexRepo::create(&network, name, place, bases)?;
            if !made {
                let message = format!("`{url}` already exists and is unchanged");
                self.context().warn("index::exists", message);
            }
            return Ok(url);
        }
        if is_url(place) && !ReleaseStore::knows(place) {
            return Ok(IndexRepo::find(&self.network()?, name, place)?);
        }
        Ok(place.to_owned())
    }

    /// Whether a new repo becomes the preferred source, the publish target, and the preferred source in place of another.
    fn roles(&self, name: &str, options: &AddRepo) -> (bool, bool, bool) {
        let (blessed, publish) = (&self.config.blessed, &self.config.publish_to);
        // A repo outside the studio is neither, unless configured.
        if options.public.is_some() {
            return (options.blessed, options.publish_to, false);
        }
        let first = self.config.repos.iter().all(|repo| repo.public.is_some());
        let becomes_blessed = options.blessed || (name == "blessed" || first) && blessed.is_none();
        let becomes_target = options.publish_to
            || (name == "review" || first) && publish.is_none()
            // A later `review` takes over from a first repo that only became the target for want of another.
            || name == "review" && publish == blessed;
        (
            becomes_blessed,
            becomes_target,
            name == "blessed" && blessed == publish,
        )
    }

    pub(crate) fn reindex_repo(&self, name: &str, dry_run: bool) -> Result<ReindexReport> {
        let repo = self.open_repo(&self.repo_entry(name)?.itself())?;
        Ok(repo.reindex(dry_run, self.context())?)
    }

    pub(crate) fn remove_repo(&mut self, name: &str, dry_run: bool) -> Result<RepoStatus> {
        self.change(dry_run, |workspace| workspace.drop_repo(name, dry_run))
    }

    fn drop_repo(&mut self, name: &str, dry_run: bool) -> Result<RepoStatus> {
        let entry = self.repo_entry(name)?.clone();
        let status = self.repo_status(&entry);
        self.config.remove_repo(name);
        if !dry_run {
            self.config.save()?;
        }
        Ok(status)
    }

    pub(crate) fn list_repos(&self) -> Vec<RepoStatus> {
        self.repos()
            .into_iter()
            .map(|entry| self.repo_status(entry))
            .collect()
    }

    fn repo_status(&self, entry: &RepoEntry) -> RepoStatus {
        let mut status = self.named_repo(entry);
        if let Err(error) = self.look_into(&mut status) {
            status.problem = Some(error.into());
        }
        status
    }

    /// Count the packages of a repo in a folder.
    fn look_into(&self, status: &mut RepoStatus) -> Result<()> {
        let entry = self.repo_entry(&status.name)?;
        if !entry.is_remote() {
            status.packages = Some(self.open_repo(entry)?.packages()?.len());
        }
        Ok(())
    }

    /// The settings of a repo in the workspace.
    fn named_repo(&self, entry: &RepoEntry) -> RepoStatus {
        RepoStatus {
            name: entry.name.clone(),
            place: entry.place.clone(),
            kind: entry.kind(),
            blessed: self.config.blessed.as_ref() == Some(&entry.name),
            publish_to: self.config.publish_to.as_ref() == Some(&entry.name),
            allow: entry.public.clone(),
            packages: None,
            created: false,
            problem: None,
        }
    }

    pub(crate) fn publish_target(&self, name: Option<&str>) -> Result<&RepoEntry> {
        match name.or(self.config.publish_to.as_deref()) {
            Some(name) => self.repo_entry(name),
            None => Err(WorkspaceError::NoneConfigured {
                what: "repo",
                action: "publishing".to_owned(),
            }
            .into()),
        }
    }

    pub(crate) fn add_remote(&mut self, name: &str, url: &str, options: &AddRemote) -> Result<RemoteStatus> {
        self.change(options.dry_run, |workspace| {
            workspace.put_remote(name, url, options)
        })
    }

    /// The same without hold of the workspace; a dry run is known to this value alone.
    pub(crate) fn put_remote(&mut self, name: &str, url: &str, options: &AddRemote) -> Result<RemoteStatus> {
        let dry_run = options.dry_run;
        check_name(name)?;
        if let Some(existing) = self.config.remotes.iter().find(|r| r.name == name) {
            let existing = existing.url.clone();
            return Err(WorkspaceError::NameTaken {
                what: "remote",
                name: name.to_owned(),
                existing,
            }
            .into());
        }
        if !is_store_url(url) && options.store != StoreOptions::default() {
            return Err(Error::from(backlot_store::Error::BadRemote {
                url: name.to_owned(),
                reason: "an endpoint, a region, `anonymous` and a site cache require a store with a URL"
                    .to_owned(),
            }));
        }
        let place = self.resolve_place(url);
        let address = Address {
            name,
            url: &place,
            options: &options.store,
            host: self.host(),
        };
        // A place that cannot be a remote is refused before it is written down; where none is, it is made here alone.
        let mirrors = self.cache_dir().join("remotes");
        let (layout, remote) = address.open(options.layout, &mirrors, || self.network())?;
        let mut entry = RemoteEntry {
            name: name.to_owned(),
            url: url.to_owned(),
            layout,
            store: options.store.clone(),
            id: None,
        };
        let created = if dry_run {
            remote.identity()? == PlaceIdentity::Absent
        } else {
            remote.make()?
        };
        entry.id = remote.identity()?.name().map(ToOwned::to_owned);
        let default = options.as_default || self.config.remotes.is_empty();
        self.config.add_remote(entry);
        if default {
            self.config.set_default_remote(Some(name));
        }
        self.save_remotes(dry_run)?;
        Ok(RemoteStatus {
            created,
            ..self.remote_status(name)?
        })
    }

    pub(crate) fn remove_remote(&mut self, name: &str, dry_run: bool) -> Result<RemoteStatus> {
        self.change(dry_run, |workspace| {
            let status = workspace.remote_status(name)?;
            workspace.config.remove_remote(name);
            workspace.save_remotes(dry_run)?;
            Ok(status)
        })
    }

    pub(crate) fn default_remote(&mut self, name: &str, dry_run: bool) -> Result<RemoteStatus> {
        self.change(dry_run, |workspace| {
            workspace.remote_status(name)?;
            workspace.config.set_default_remote(Some(name));
            workspace.save_remotes(dry_run)?;
            workspace.remote_status(name)
        })
    }

    fn save_remotes(&self, dry_run: bool) -> Result<()> {
        if dry_run {
            return Ok(());
        }
        self.config.save()?;
        self.write_dvc_config()
    }

    pub(crate) fn list_remotes(&self) -> Vec<RemoteStatus> {
        let look = |entry: &RemoteEntry| RemoteStatus {
            problem: self.open_remote(entry).err().map(PlaceProblem::from),
            ..self.status_of(entry)
        };
        self.config.remotes.iter().map(look).collect()
    }

    fn remote_status(&self, name: &str) -> Result<RemoteStatus> {
        Ok(self.status_of(self.remote_entry(Some(name), "")?))
    }

    fn status_of(&self, entry: &RemoteEntry) -> RemoteStatus {
        RemoteStatus {
            name: entry.name.clone(),
            url: entry.url.clone(),
            layout: entry.layout,
            default: self.config.default_remote.as_ref() == Some(&entry.name),
            created: false,
            problem: None,
        }
    }
}
