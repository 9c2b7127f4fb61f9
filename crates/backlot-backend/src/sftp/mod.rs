//! The verbs on a folder of an SFTP server, over SSH in Rust: no `ssh` is started.
//!
//! Invariants: a file is written under a name of its own, brought to the server's disk, and only then gets its name: by a
//! hard link where it must be new (link(2) refuses a name that is taken, in any race), by a rename that replaces elsewhere.
//! A link is never sent again after its answer was lost. One connection, at most [`PARALLEL`] verbs on it at once; after a
//! drop it is reopened, once per operation. Deliberately absent: committing by a rename (many servers check and then rename, or
//! replace), and syncing folders, which SFTP cannot.

mod account;
mod connection;
mod hosts;
mod long;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use backlot_core::web::{percent_decode, shown};
use backlot_net::{Credential, Network, PlaceName};
use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};
use ulid::Ulid;
use url::Url;

use crate::each::by_level;
use crate::error::{Error, Result};
use crate::service::clean;
use crate::store::{CommitBy, Entry, ObjectStore, ObjectWriter, Put, RenameOutcome, Traits};
use crate::upload::{BufferPool, Upload, Uploads};
use account::Account;
use connection::{Asked, Connection, SftpError};
use wire::Kind;

/// Verbs on the connection at once.
const PARALLEL: usize = 8;

/// The age, by the server's clock, after which a staged file counts as abandoned.
const STALE_SECONDS: u32 = 24 * 60 * 60;

/// The prefix of staged files.
const STAGED: &str = "put-";

/// A folder on an SFTP server.
pub(crate) struct Sftp {
    account: Account,
    /// Where the password comes from.
    credentials: backlot_net::Account,
    network: Network,
    /// Without a `/` at its end; empty for the folder one comes to.
    root: String,
    place: String,
    line: Mutex<Option<Arc<Connection>>>,
    permits: Semaphore,
    swept: AtomicBool,
    spares: Arc<BufferPool>,
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sftp").field(&self.place).finish()
    }
}

fn in_network(error: backlot_net::Error) -> SftpError {
    SftpError::Failed(error.into())
}

/// Whether a credential is for a user: not another user's password. A token has no user.
fn is_of(found: &Credential, user: &str) -> bool {
    found.is_token() || found.user.is_empty() || found.user == user
}

impl Sftp {
    /// Open the folder behind `sftp://user@host:port/path`, as `name` for credentials. A path that begins with `/~/` begins
    /// where one comes to. Nothing is asked yet.
    pub(crate) fn open(network: &Network, name: &PlaceName, url: &Url) -> Result<Self> {
        let bad = |reason: &str| Error::BadStore {
            url: shown(url),
            reason: reason.to_owned(),
        };
        let text = |part: &str| percent_decode(part).filter(|text| !text.contains(char::is_control));
        let path = text(url.path()).ok_or_else(|| bad("its path is not valid UTF-8"))?;
        let path = path.trim_end_matches('/');
        if path.split('/').any(|part| part == "..") {
            return Err(bad("its path has `..`"));
        }
        let root = match path.strip_prefix("/~") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
            _ if path.is_empty() => return Err(bad("it names no folder")),
            _ => path,
        };
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
        if host.contains(odd) || host.starts_with('-') {
            return Err(bad("its host is none"));
        }
        let named = text(url.username()).ok_or_else(|| bad("its user is not text"))?;
        let named = Some(named).filter(|user| !user.is_empty());
        let options = &network.options().ssh;
        let credentials = backlot_net::Account::open(network, name, url)?;
        let credential = credentials.credential()?;
        let credential = credential.filter(|found| named.as_ref().is_none_or(|user| is_of(found, user)));
        let found = credential.as_ref().filter(|found| !found.is_token());
        let found = found
            .map(|found| found.user.clone())
            .filter(|user| !user.is_empty());
        let user = named.or(found).or_else(|| options.user.clone());
        let account = Account {
            host,
            port: url.port().unwrap_or(22),
            user: user.ok_or_else(|| bad("it names no user: `sftp://user@host/path`"))?,
            variables: name.variables(),
            key: network.key(name),
            // Looked up for each connection: it may have changed.
            password: None,
            agent: options.agent.clone(),
            keys: options.keys.clone(),
            known_hosts: options.known_hosts.clone(),
            connect_patience: network.options().connect_timeout,
        };
        Ok(Self {
            spares: Arc::default(),
            account,
            credentials,
            network: network.clone(),
            root: root.to_owned(),
            place: url.as_str().trim_end_matches('/').to_owned(),
            line: Mutex::new(None),
            permits: Semaphore::new(PARALLEL),
            swept: AtomicBool::new(false),
        })
    }

    fn path(&self, key: &str) -> String {
        let key = key.trim_end_matches('/');
        match (self.root.as_str(), key) {
            ("", "") => ".".to_owned(),
            ("", key) => key.to_owned(),
            (root, "") => root.to_owned(),
            (root, key) => format!("{root}/{key}"),
        }
    }

    fn failed(&self, key: &str, trouble: SftpError) -> Error {
        let (reason, temporary) = match trouble {
            SftpError::Failed(error) => return error,
            SftpError::Unfit(reason) => {
                return Error::NoExclusiveCreate {
                    place: self.place.clone(),
                    reason: reason.to_owned(),
                };
            }
            SftpError::Dropped(reason) => (clean(&reason), true),
            SftpError::Nonsense(reason) => (reason.to_owned(), false),
            SftpError::Refused { code, message } => {
                let message = clean(&message);
                let what = match code {
                    wire::NO_SUCH_FILE => "there is no such file",
                    wire::DENIED => "not allowed",
                    _ => "the server refused",
                };
                (format!("{what} (status {code}: {message})"), false)
            }
        };
        Error::Store {
            place: format!("{}/{key}", self.place),
            reason,
            temporary,
        }
    }

    /// Whether there is another credential than one that was refused.
    async fn has_other(&self, refused: Option<&Credential>) -> Asked<bool> {
        match refused {
            Some(refused) => self.credentials.renew(refused).await.map_err(in_network),
            None => Ok(false),
        }
    }

    /// The connection, opened if needed.
    async fn line(&self) -> Asked<Arc<Connection>> {
        let mut line = self.line.lock().await;
        if let Some(open) = line.as_ref().filter(|line| line.is_open()) {
            return Ok(Arc::clone(open));
        }
        let (mut pauses, mut renewed, started) = (self.network.pauses(), false, Instant::now());
        loop {
            let credential = self.credentials.current().await.map_err(in_network)?;
            let mut account = self.account.clone();
            let fitting = credential.as_ref().filter(|found| is_of(found, &account.user));
            account.password = fitting.map(|found| found.password.clone());
            let opened = Box::pin(Connection::open(&account)).await;
            // A server that is asked by many at once drops some. One that does not answer at all is not waited for again.
            let soon = started.elapsed() < self.account.connect_patience;
            match opened {
                Ok(opened) => {
                    self.credentials.worked();
                    return Ok(Arc::clone(line.insert(Arc::new(opened))));
                }
                Err(SftpError::Failed(Error::SignIn { .. }))
                    if !renewed && self.has_other(credential.as_ref()).await? =>
                {
                    renewed = true;
                }
                Err(SftpError::Dropped(_)) if soon && pauses.wait(None).await => {}
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Run an operation on the connection; once more after a drop, if that is safe. `None` if its object does not exist.
    fn ask<T>(
        &self,
        key: &str,
        again: bool,
        mut verb: impl AsyncFnMut(&Connection) -> Asked<T>,
    ) -> Result<Option<T>> {
        self.network.check_online(key, &self.place)?;
        self.network.block(async {
            let _permit = self.permits.acquire().await.expect("never closed");
            let mut again = again;
            loop {
                let done = match self.line().await {
                    Ok(line) => match verb(&line).await {
                        Err(SftpError::Dropped(_)) if again => {
                            again = false;
                            continue;
                        }
                        done => done,
                    },
                    Err(trouble) => Err(trouble),
                };
                return match done {
                    Ok(value) => Ok(Some(value)),
                    Err(trouble) if trouble.is_missing() => Ok(None),
                    Err(trouble) => Err(self.failed(key, trouble)),
                };
            }
        })
    }

    fn gone(&self, key: &str) -> Error {
        self.failed(
            key,
            SftpError::Refused {
                code: wire::NO_SUCH_FILE,
                message: "its folder".to_owned(),
            },
        )
    }

    /// Create the missing folders of a path. Conflicts are reported by the following operation.
    async fn make_folders(&self, line: &Connection, path: &str) -> Asked<()> {
        let mut missing = Vec::new();
        let mut folder = path;
        loop {
            match line.make_folder(folder).await {
                Err(trouble) if trouble.is_missing() => {}
                Err(SftpError::Refused { .. }) | Ok(()) => break,
                Err(trouble) => return Err(trouble),
            }
            missing.push(folder);
            match folder.rsplit_once('/') {
                Some((above, _)) if !above.is_empty() => folder = above,
                _ => break,
            }
        }
        for folder in missing.into_iter().rev() {
            match line.make_folder(folder).await {
                // Another client created it.
                Err(SftpError::Refused { .. }) | Ok(()) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// Do something that needs the folder of a path; it is made if that is why it failed.
    async fn in_folder<T>(
        &self,
        line: &Connection,
        path: &str,
        work: impl AsyncFn() -> Asked<T>,
    ) -> Asked<T> {
        match work().await {
            Err(trouble) if trouble.is_missing() => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.make_folders(line, folder).await?;
                work().await
            }
            outcome => outcome,
        }
    }

    /// A unique path for a staged file.
    fn staged(&self) -> String {
        let id = Ulid::generate().to_string().to_lowercase();
        self.path(&format!("staged/{STAGED}{id}"))
    }

    /// Write a file under a name of its own. Returns its path.
    async fn put(&self, line: &Connection, pieces: &[Bytes]) -> Asked<String> {
        let path = self.staged();
        self.in_folder(line, &path, async || line.put(&path, pieces).await)
            .await?;
        if !self.swept.swap(true, Ordering::Relaxed) {
            self.sweep(line, &path).await.ok();
        }
        Ok(path)
    }

    /// Remove what those staged who died, by the server's own clock.
    async fn sweep(&self, line: &Connection, mine: &str) -> Asked<()> {
        let now = line.about(mine, false).await?.modified;
        for (name, about) in line.entries(&self.path("staged")).await? {
            let is_stale = about.modified.saturating_add(STALE_SECONDS) < now;
            if is_stale && name.starts_with(STAGED) && about.kind == Kind::File {
                line.remove(&self.path(&format!("staged/{name}"))).await?;
            }
        }
        Ok(())
    }

    /// Write an object, whatever has its name.
    fn write_all(&self, key: &str, pieces: &[Bytes]) -> Result<()> {
        let written = self.ask(key, true, async |line| self.replace(line, key, pieces).await)?;
        written.ok_or_else(|| self.gone(key))
    }

    async fn replace(&self, line: &Connection, key: &str, pieces: &[Bytes]) -> Asked<()> {
        Self::check_replaces(line)?;
        let staged = self.put(line, pieces).await?;
        let moved = self.place_staged(line, &staged, &self.path(key)).await;
        if moved.is_err() {
            line.remove(&staged).await.ok();
        }
        moved
    }

    /// An error, before anything is sent, if the server cannot give a staged file a name that is taken.
    fn check_replaces(line: &Connection) -> Asked<()> {
        if line.offers.replace {
            return Ok(());
        }
        Err(SftpError::Unfit(
            "it cannot replace a file in one step (`posix-rename@openssh.com`)",
        ))
    }

    /// Give a staged file its name, whatever has it.
    async fn place_staged(&self, line: &Connection, staged: &str, path: &str) -> Asked<()> {
        self.in_folder(line, path, async || line.replace(staged, path).await)
            .await
    }

    /// Link a file to a name that must be free.
    async fn link(&self, line: &Connection, from: &str, to: &str) -> Asked<Put> {
        if !line.offers.link {
            return Err(SftpError::Unfit(
                "it makes no hard links (`hardlink@openssh.com`)",
            ));
        }
        match self.in_folder(line, to, async || line.link(from, to).await).await {
            Ok(()) => Ok(Put::New),
            // In version 3, a failure cannot be distinguished from a taken name.
            Err(refused @ SftpError::Refused { .. }) if !refused.is_missing() => {
                match line.about(to, false).await {
                    Ok(_) => Ok(Put::Exists),
                    Err(trouble) if trouble.is_missing() => Err(refused),
                    Err(trouble) => Err(trouble),
                }
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// The entries of a folder.
    async fn entries(&self, line: &Connection, prefix: &str) -> Asked<Vec<Entry>> {
        let mut found = Vec::new();
        for (name, mut about) in line.entries(&self.path(prefix)).await? {
            let key = format!("{prefix}{name}");
            if about.kind == Kind::Link {
                // To a file it is one; to a folder it may lead in circles.
                match line.about(&self.path(&key), true).await {
                    Ok(target) if target.kind == Kind::File => about = target,
                    Ok(_) | Err(SftpError::Refused { .. }) => continue,
                    Err(trouble) => return Err(trouble),
                }
            }
            match about.kind {
                Kind::File => found.push(entry(key, &about)),
                Kind::Folder => found.push(Entry {
                    size: 0,
                    ..entry(format!("{key}/"), &about)
                }),
                _ => {}
            }
        }
        Ok(found)
    }
}

impl ObjectStore for Sftp {
    fn place(&self) -> &str {
        &self.place
    }

    fn traits(&self) -> Traits {
        Traits {
            concurrency: PARALLEL,
            gap: 256 << 10,
            lists: true,
            by_folder: true,
            exclusive: true,
        }
    }

    fn commit_by(&self) -> CommitBy {
        CommitBy::Create
    }

    fn is_offline(&self) -> bool {
        self.network.is_offline()
    }

    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        if deep {
            return by_level(prefix, &self.place, |folder| self.list(folder, false));
        }
        let found = self.ask(prefix, true, async |line| self.entries(line, prefix).await)?;
        Ok(found.unwrap_or_default())
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let most = usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX);
        self.ask(key, true, async |line| {
            let mut bytes = Vec::new();
            line.read(&self.path(key), 0, &mut |block| {
                let wanted = block.len().min(most - bytes.len());
                bytes.extend_from_slice(&block[..wanted]);
                bytes.len() < most
            })
            .await?;
            Ok(bytes)
        })
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        let found = self.ask(key, true, async |line| line.about(&self.path(key), true).await)?;
        Ok(found
            .filter(|about| about.kind == Kind::File)
            .map(|about| entry(key.to_owned(), &about)))
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let mut at = 0;
        let read = self.ask(key, true, async |line| {
            // After a drop, from where it was.
            let from = at;
            let mut take = |block: &[u8]| {
                at += block.len() as u64;
                sink(block)
            };
            line.read(&self.path(key), from, &mut take).await
        })?;
        Ok(read.is_some())
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let read = self.ask(key, true, async |line| {
            bytes.clear();
            let mut take = |block: &[u8]| {
                let left = usize::try_from(length).unwrap_or(usize::MAX) - bytes.len();
                bytes.extend_from_slice(&block[..block.len().min(left)]);
                (bytes.len() as u64) < length
            };
            line.read(&self.path(key), start, &mut take).await
        })?;
        Ok(read.map(|()| bytes))
    }

    fn write(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<()> {
        self.write_all(key, &[bytes.into()])
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        self.network.check_online(key, &self.place)?;
        Ok(Box::new(Upload::new(self, key)))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.create(key, bytes, "").map(drop)
    }

    fn create(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<Put> {
        let pieces = [bytes.into()];
        let created = self.ask(key, false, async |line| {
            let staged = self.put(line, &pieces).await?;
            let linked = self.link(line, &staged, &self.path(key)).await;
            // Remaining files are removed one day later.
            line.remove(&staged).await.ok();
            linked
        })?;
        created.ok_or_else(|| self.gone(key))
    }

    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome> {
        let moved = self.ask(to, false, async |line| {
            let from = self.path(from);
            let linked = self.link(line, &from, &self.path(to)).await?;
            if linked == Put::New {
                line.remove(&from).await.ok();
            }
            Ok(linked)
        })?;
        Ok(match moved {
            Some(Put::New) => RenameOutcome::Done,
            Some(Put::Exists) => RenameOutcome::Exists,
            None => RenameOutcome::Gone,
        })
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.ask(key, true, async |line| line.remove(&self.path(key)).await)
            .map(drop)
    }
}

impl Uploads for Sftp {
    fn spares(&self) -> &Arc<BufferPool> {
        &self.spares
    }

    fn whole(&self, key: &str, pieces: Vec<Bytes>) -> Result<()> {
        self.write_all(key, &pieces)
    }

    fn begin(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(long::Long::begin(self, key)?))
    }
}

fn entry(key: String, about: &wire::About) -> Entry {
    let modified = u64::from(about.modified) * 1000;
    Entry {
        key,
        size: about.size,
        modified,
        tag: if modified == 0 {
            String::new()
        } else {
            modified.to_string()
        },
    }
}
