//! A workspace on disk: where its parts lie, its locks, and the doors to cache, repos and remotes.
//!
//! Invariant: whatever changes the workspace holds the exclusive lock `.backlot/lock` while it does; readers do not
//! wait. Everything in `.backlot/` but what runs of stages keep in `pipelines/` can be deleted and is made again.

pub(crate) mod auth;
pub(crate) mod call;
pub(crate) mod cascade_section;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod doctor;
mod elsewhere;
mod from_env;
pub(crate) mod held;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod known_names;
pub(crate) mod local_cache;
pub(crate) mod movers;
pub(crate) mod places;
pub(crate) mod policies;
pub(crate) mod problems;
pub(crate) mod rename_journal;
pub(crate) mod rules;
pub(crate) mod set_policy;
pub(crate) mod settings;
pub(crate) mod user_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use backlot_backend::StoreOptions;
use backlot_cascade::CascadeId;
use backlot_core::{Context, FileLock, PlaceIdentity, file, text};
use backlot_dvc::DvcConfig;
use backlot_net::Network;
use backlot_repo::{Allowlist, IndexRepo, RecordedCheck, ReleaseStore, Repo};
use backlot_store::{Cache, Remote, RemoteLayout, StatCache};
use backlot_wheel::Interpreter;
use fs_err as fs;

use crate::error::{Result, WorkspaceError};
use crate::workspace::config::{Config, FILE_NAME, RemoteEntry, RepoEntry, RepoPlace};
use crate::workspace::connect::{Address, NO_SITE_CACHE};
use crate::workspace::settings::{Host, Settings};

/// How long a command waits for another one to finish changing the workspace.
const PATIENCE: Duration = Duration::from_mins(1);

/// State shared by all calls on a workspace: its location, user, and what is expensive to set up.
#[derive(Debug)]
pub(crate) struct Shared {
    root: PathBuf,
    host: Host,
    /// The network that keeps answers in the cache of this folder.
    network: Mutex<Option<(PathBuf, Network)>>,
    /// Known states of files in this workspace, beside the cache of this folder.
    stat_cache: Mutex<Option<(PathBuf, Arc<StatCache>)>>,
    /// The interpreter that the search path has for a version, once one was found: it may have been run to tell.
    on_path: Mutex<BTreeMap<Option<String>, Interpreter>>,
    /// The cascade that this workspace was made for, as releases made in it say.
    cascade: OnceLock<CascadeId>,
    /// The blessed repo of the workspace that this one was made for, which prefers others itself.
    blessed: OnceLock<String>,
    /// What checks said of what the cascade built.
    checks: Mutex<Vec<RecordedCheck>>,
}

/// A workspace for one call: its files as they were when the call began, or when it got hold of the workspace.
#[derive(Debug)]
pub(crate) struct Opened {
    shared: Arc<Shared>,
    pub(crate) config: Config,
    settings: Settings,
    context: Context,
    cache_dir: OnceLock<PathBuf>,
    cache: OnceLock<Cache>,
    /// The open repos behind URLs, with their cached data.
    remote_repos: Mutex<BTreeMap<RepoEntry, Repo>>,
}

/// What a command holds while it changes a workspace.
#[derive(Debug)]
pub(crate) struct WorkspaceLock {
    _workspace: FileLock,
    _cache: Option<FileLock>,
}

impl Shared {
    pub(crate) fn new(root: PathBuf, host: &Host) -> Arc<Self> {
        Arc::new(Self {
            root,
            host: host.clone(),
            network: Mutex::default(),
            stat_cache: Mutex::default(),
            on_path: Mutex::default(),
            cascade: OnceLock::new(),
            blessed: OnceLock::new(),
            checks: Mutex::default(),
        })
    }
    /// A workspace in which a cascade builds an asset.
    pub(crate) fn of_cascade(root: PathBuf, host: &Host, cascade: &CascadeId) -> Arc<Self> {
        let shared = Self::new(root, host);
        shared.cascade.get_or_init(|| cascade.clone());
        shared
    }
    /// Remember the blessed repo of the workspace that this one is made for.
    pub(crate) fn set_blessed(&self, blessed: Option<&str>) {
        if let Some(blessed) = blessed {
            self.blessed.get_or_init(|| blessed.to_owned());
        }
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }
}

/// What a lock guards, also after a call that panicked: each value is replaced whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Opened {
    pub(crate) fn open(start: &Path, host: &Host, context: &Context) -> Result<Self> {
        Self::now(&Self::find(start, host)?, context)
    }

    /// The workspace that `start` is in.
    pub(crate) fn find(start: &Path, host: &Host) -> Result<Arc<Shared>> {
        let start = absolute(start)?;
        match start.ancestors().find(|folder| folder.join(FILE_NAME).is_file()) {
            Some(root) => Ok(Shared::new(root.to_path_buf(), host)),
            None => Err(WorkspaceError::NoWorkspace { start }.into()),
        }
    }

    /// The workspace as its files are now.
    pub(crate) fn now(shared: &Arc<Shared>, context: &Context) -> Result<Self> {
        let config = Config::load(&shared.root, context)?;
        Self::with_config(Arc::clone(shared), config, context)
    }

    /// Another value where the configuration is another than this one's. `warn` about unknown keys in it.
    pub(crate) fn current(&self, warn: bool) -> Result<Option<Self>> {
        match self.config.reread(warn.then_some(&self.context))? {
            None => Ok(None),
            Some(config) => Self::with_config(Arc::clone(&self.shared), config, &self.context).map(Some),
        }
    }

    /// The same workspace, without an observer: to check whether an operation would be refused before it is run.
    pub(crate) fn silently(&self) -> Result<Self> {
        let context = self.context.clone().silent();
        Self::with_config(Arc::clone(&self.shared), self.config.clone(), &context)
    }

    pub(crate) fn with_config(shared: Arc<Shared>, config: Config, context: &Context) -> Result<Self> {
        Ok(Self {
            settings: Settings::layered(&shared.root, &config, &shared.host)?,
            shared,
            config,
            context: context.clone(),
            cache_dir: OnceLock::new(),
            cache: OnceLock::new(),
            remote_repos: Mutex::default(),
        })
    }

    /// Fold the settings again after the configuration changed.
    pub(crate) fn refresh_settings(&mut self) -> Result<()> {
        self.settings = Settings::layered(&self.shared.root, &self.config, &self.shared.host)?;
        self.cache_dir = OnceLock::new();
        self.cache = OnceLock::new();
        Ok(())
    }

    /// The state shared by all calls on the workspace.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
    /// The cascade that the workspace was made for.
    pub(crate) fn cascade(&self) -> Option<&CascadeId> {
        self.shared.cascade.get()
    }
    /// The blessed repo, as people know it.
    pub(crate) fn blessed(&self) -> Option<&str> {
        let of_maker = self.shared.blessed.get().map(String::as_str);
        of_maker.or(self.config.blessed.as_deref())
    }
    /// What checks said of what a cascade built here, for its release.
    pub(crate) fn checks_of_cascade(&self) -> Vec<RecordedCheck> {
        locked(&self.shared.checks).clone()
    }
    /// Keep what checks said of what a cascade built here.
    pub(crate) fn keep_checks(&self, checks: Vec<RecordedCheck>) {
        *locked(&self.shared.checks) = checks;
    }
    pub(crate) fn root(&self) -> &Path {
        &self.shared.root
    }
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
    pub(crate) fn host(&self) -> &Host {
        &self.shared.host
    }
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
    pub(crate) fn inputs_dir(&self) -> PathBuf {
        self.shared.root.join("inputs")
    }
    pub(crate) fn outputs_dir(&self) -> PathBuf {
        self.shared.root.join("outputs")
    }
    pub(crate) fn build_dir(&self) -> PathBuf {
        self.shared.root.join("build")
    }
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.shared.root.join(".backlot")
    }
    pub(crate) fn display_path(&self, path: &Path) -> String {
        path.strip_prefix(&self.shared.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// Hold the workspace while changing it, and the cache against a cleaning.
    pub(crate) fn lock(&self) -> Result<WorkspaceLock> {
        let lock = WorkspaceLock {
            _workspace: FileLock::acquire(&self.state_dir().join("lock"), PATIENCE, &self.context)?,
            _cache: local_cache::used::hold(self.cache_dir(), &self.context)?,
        };
        rename_journal::finish_rename(self.root(), &self.context)?;
        // What killed commands left beside the files they were about to write. Outputs of before a run of stages may have such names, too.
        if !self.has_outputs_aside() && backlot_store::is_sweep_due(&self.state_dir().join("swept")) {
            for folder in ["outputs", "build", "inputs", "status"] {
                backlot_store::sweep_tree(&self.shared.root.join(folder));
            }
            for folder in ["", ".backlot", ".dvc", "external_packages"] {
                backlot_store::sweep_folder(&self.shared.root.join(folder));
            }
        }
        Ok(lock)
    }

    /// Whether outputs are set aside, by stages that run or by a run that was interrupted.
    pub(crate) fn has_outputs_aside(&self) -> bool {
        let aside = self.state_dir().join("pipelines/aside");
        fs::read_dir(aside).is_ok_and(|mut entries| entries.next().is_some())
    }

    pub(crate) fn cache(&self) -> Result<Cache> {
        if let Some(cache) = self.cache.get().filter(|cache| cache.is_there()) {
            return Ok(cache.clone());
        }
        let own = self.cache_dir();
        let mut cache = Cache::open(own)?.with_context(&self.context);
        for lower in self.caches().skip(1) {
            cache = cache.over(lower);
        }
        local_cache::used::register_workspace(own, &self.shared.root)?;
        Ok(self.cache.get_or_init(|| cache).clone())
    }

    pub(crate) fn cache_dir(&self) -> &Path {
        self.cache_dir.get_or_init(|| {
            let configured = &self.settings.cache.value;
            if !backlot_store::is_read_only_cache(configured) {
                return configured.clone();
            }
            let own = self.state_dir().join("cache");
            if !own.is_dir() {
                let (configured, own) = (configured.display(), own.display());
                let message = format!(
                    "the cache `{configured}` is not writable: it is only read, and new files go to `{own}`"
                );
                self.context.warn("cache::read_only", message);
            }
            own
        })
    }

    /// The folders of all caches that are read, the one that is written to first.
    pub(crate) fn caches(&self) -> impl Iterator<Item = &Path> {
        let own = self.cache_dir();
        let configured = self.settings.cache.value.as_path();
        std::iter::once(own).chain((configured != own).then_some(configured))
    }

    pub(crate) fn stat_cache(&self) -> Result<Arc<StatCache>> {
        let cache = self.cache()?;
        let mut known = locked(&self.shared.stat_cache);
        if let Some((beside, stat)) = known.as_ref()
            && beside == self.cache_dir()
        {
            return Ok(Arc::clone(stat));
        }
        fs::create_dir_all(self.state_dir())?;
        let stat = Arc::new(StatCache::open(&self.state_dir().join("state.db"))?.beside(&cache));
        *known = Some((self.cache_dir().to_path_buf(), Arc::clone(&stat)));
        Ok(stat)
    }

    /// The first interpreter of a version on the search path.
    pub(crate) fn interpreter_on_path(&self, wanted: Option<&str>) -> Result<Option<Interpreter>> {
        let mut known = locked(&self.shared.on_path);
        let key = wanted.map(ToOwned::to_owned);
        if let Some(known) = known.get(&key) {
            return Ok(Some(known.clone()));
        }
        let Some(path) = &self.host().path else {
            return Ok(None);
        };
        let found = backlot_wheel::find_interpreter(path, wanted, &self.context)?;
        if let Some(found) = &found {
            known.insert(key, found.clone());
        }
        Ok(found)
    }

    pub(crate) fn repos(&self) -> Vec<&RepoEntry> {
        let mut repos: Vec<&RepoEntry> = self.config.repos.iter().collect();
        repos.sort_by_key(|r| Some(r.name.as_str()) != self.config.blessed.as_deref());
        repos
    }

    pub(crate) fn repo_entry(&self, name: &str) -> Result<&RepoEntry> {
        let names = self.config.repos.iter().map(|r| r.name.as_str());
        self.config.repos.iter().find(|r| r.name == name).ok_or_else(|| {
            let nearest = text::nearest(name, names).map(ToOwned::to_owned);
            WorkspaceError::UnknownName {
                what: "repo",
                name: name.to_owned(),
                nearest,
            }
            .into()
        })
    }

    pub(crate) fn open_repo(&self, entry: &RepoEntry) -> Result<Repo> {
        let repo = self.connect_repo(entry)?;
        if let Some(found) = repo.identity()? {
            check_place(
                "repo",
                &entry.name,
                repo.place().to_string(),
                &found,
                entry.id.as_deref(),
            )?;
        }
        Ok(repo.known(entry.id.as_deref()))
    }

    /// Open whatever is at the place of a repo.
    pub(crate) fn connect_repo(&self, entry: &RepoEntry) -> Result<Repo> {
        if !entry.is_remote() {
            return Ok(Repo::open_folder(&absolute(
                &self.shared.root.join(&entry.place),
            )?)?);
        }
        let network = self.network()?;
        let mut remote = locked(&self.remote_repos);
        if let Some(known) = remote.get(entry) {
            return Ok(known.clone());
        }
        let (name, place) = (&entry.name, &entry.place);
        let repo = if entry.kind() == RepoPlace::Store {
            let repo = ReleaseStore::open(&network, name, place, &self.reached(&entry.store))?;
            Repo::Store(match self.gate_of(entry) {
                Some(gate) => repo.gated(gate),
                None => repo,
            })
        } else {
            let repo = IndexRepo::open(&network, name, place, entry.upload.as_deref())?;
            Repo::Index(match self.gate_of(entry) {
                Some(gate) => repo.gated(gate),
                None => repo,
            })
        };
        remote.insert(entry.clone(), repo.clone());
        Ok(repo)
    }

    /// The allowlist of a public repo.
    pub(crate) fn gate_of(&self, entry: &RepoEntry) -> Option<Allowlist> {
        let allow = entry.public.clone()?;
        let sources = &self.config().rules.sources;
        let names = |here: bool| {
            let some = sources.iter().filter(|(_, repo)| (**repo == entry.name) == here);
            some.map(|(package, _)| package.clone()).collect()
        };
        Some(Allowlist {
            repo: entry.name.clone(),
            allow,
            pinned: names(true),
            elsewhere: names(false),
        })
    }

    /// The way to indexes, set up when first needed.
    pub(crate) fn network(&self) -> Result<Network> {
        let mut known = locked(&self.shared.network);
        if let Some((cache, network)) = known.as_ref()
            && cache == self.cache_dir()
        {
            return Ok(network.with_context(&self.context));
        }
        let made = connect::network(self.host(), self.cache_dir(), &self.context)?;
        *known = Some((self.cache_dir().to_path_buf(), made.clone()));
        Ok(made)
    }

    pub(crate) fn remote_entry(&self, name: Option<&str>, action: &str) -> Result<&RemoteEntry> {
        let remotes = &self.config.remotes;
        let Some(name) = name.or(self.config.default_remote.as_deref()) else {
            return match remotes.as_slice() {
                [only] => Ok(only),
                _ => Err(WorkspaceError::NoneConfigured {
                    what: "remote",
                    action: action.to_owned(),
                }
                .into()),
            };
        };
        remotes.iter().find(|r| r.name == name).ok_or_else(|| {
            let nearest = text::nearest(name, remotes.iter().map(|r| r.name.as_str())).map(ToOwned::to_owned);
            WorkspaceError::UnknownName {
                what: "remote",
                name: name.to_owned(),
                nearest,
            }
            .into()
        })
    }

    pub(crate) fn open_remote(&self, entry: &RemoteEntry) -> Result<Remote> {
        let remote = self.connect_remote(entry)?;
        let place = self.resolve_place(&entry.url);
        check_place(
            "remote",
            &entry.name,
            place,
            &remote.identity()?,
            entry.id.as_deref(),
        )?;
        Ok(remote.known(entry.id.as_deref()))
    }

    /// Open whatever is at the place of a remote.
    pub(crate) fn connect_remote(&self, entry: &RemoteEntry) -> Result<Remote> {
        let mirrors = self.cache_dir().join("remotes");
        let url = self.resolve_place(&entry.url);
        let address = Address {
            name: &entry.name,
            url: &url,
            options: &self.reached(&entry.store),
            host: self.host(),
        };
        let (_, remote) = address.open(Some(entry.layout), &mirrors, || self.network())?;
        Ok(remote)
    }

    /// How a store is reached from this machine: through the site cache that it names, else through the machine's own.
    fn reached(&self, store: &StoreOptions) -> StoreOptions {
        let named = store.via.as_deref().map(|via| match via {
            NO_SITE_CACHE => via.to_owned(),
            folder => self.resolve_place(folder),
        });
        let own = self
            .host()
            .site_cache
            .as_ref()
            .map(|via| via.display().to_string());
        store
            .clone()
            .via(named.or(own).filter(|via| via != NO_SITE_CACHE))
    }

    /// A folder relative to the workspace as an absolute one; URLs as they are.
    pub(crate) fn resolve_place(&self, place: &str) -> String {
        if place.contains("://") {
            return place.to_owned();
        }
        let path = self.shared.root.join(place);
        absolute(&path).unwrap_or(path).display().to_string()
    }

    /// Keep `.dvc/config` in step, so that real DVC works here. A file that is not ours is left alone.
    pub(crate) fn write_dvc_config(&self) -> Result<()> {
        let path = self.shared.root.join(".dvc/config");
        if let Some(bytes) = file::read_if_exists(&path)?
            && !bytes.starts_with(DvcConfig::HEADER.as_bytes())
        {
            return Ok(());
        }
        let mut dvc = DvcConfig::no_scm();
        dvc.set_cache_dir(&self.settings.cache.value);
        // DVC knows its own layout only.
        let readable = |remote: &&RemoteEntry| remote.layout == RemoteLayout::Dvc;
        for remote in self.config.remotes.iter().filter(readable) {
            dvc.add_remote(&remote.name, &dvc_url(&self.resolve_place(&remote.url)));
            if let Some((key, text)) = dvc_endpoint(remote) {
                dvc.set_remote(&remote.name, key, text);
            }
            if let Some(region) = &remote.store.region {
                dvc.set_remote(&remote.name, "region", region);
            }
            if remote.store.anonymous {
                dvc.set_remote(&remote.name, "allow_anonymous_login", "true");
            }
        }
        if let Some(default) = self.remote_entry(None, "").ok().filter(readable) {
            dvc.set_default_remote(&default.name);
        }
        file::write_if_changed(&path, dvc.to_text().as_bytes())?;
        Ok(())
    }
}

/// The address of a remote as DVC writes it.
fn dvc_url(url: &str) -> String {
    let schemes = [
        ("webdav+https://", "webdavs://"),
        ("webdav+http://", "webdav://"),
        ("sftp://", "ssh://"),
    ];
    let renamed = schemes
        .iter()
        .find_map(|(ours, theirs)| Some(format!("{theirs}{}", url.strip_prefix(ours)?)));
    renamed.unwrap_or_else(|| url.to_owned())
}

/// How DVC names the server of a remote: each kind of store has its own option.
fn dvc_endpoint(remote: &RemoteEntry) -> Option<(&'static str, &str)> {
    let endpoint = remote.store.endpoint.as_deref()?;
    match remote.url.split_once("://")?.0 {
        // An account, whose server follows from its name.
        "azure" => {
            let host = endpoint.split_once("://")?.1;
            let account = host.split_once(".blob.")?.0;
            Some(("account_name", account))
        }
        "oss" => Some(("oss_endpoint", endpoint)),
        "gdrive" => None,
        _ => Some(("endpointurl", endpoint)),
    }
}

/// Succeeds if the identity found at a location is the one that was added.
fn check_place(
    what: &'static str,
    name: &str,
    place: String,
    found: &PlaceIdentity,
    remembered: Option<&str>,
) -> Result<()> {
    if found.is(remembered) {
        return Ok(());
    }
    let name = name.to_owned();
    Err(match found {
        PlaceIdentity::Absent => WorkspaceError::PlaceGone { what, name, place },
        found => WorkspaceError::OtherPlace {
            what,
            name,
            place,
            found: found.name().map(ToOwned::to_owned),
            remembered: remembered.unwrap_or_default().to_owned(),
        },
    }
    .into())
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    // Lexical, so that a path that does not exist yet, or a link the person chose, stays as it was meant.
    let path = std::path::absolute(path)?;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            other => clean.push(other),
        }
    }
    Ok(clean)
}
