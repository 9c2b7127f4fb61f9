//! The verbs on an OpenDAL service.
//!
//! Invariants: what decides a race (`create`, `rename`, `stage`) is sent once, so that its answer is about the one request;
//! all else is asked again after a failure that may pass. Requests go through the program's HTTP client, with its proxies
//! and certificates; responses are bounded, and none causes a panic. Deliberately absent: parts of an
//! upload where a condition decides (stores that honour one on a whole object have been measured to ignore it on the last
//! part of one), and there OpenDAL's layer for asking again: behind it, a failure that may pass looks like one that stays.

mod connect;
mod folders;
mod gate;
mod long;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use backlot_core::web::percent_decode;
use backlot_net::{Account, Credential, Network};
use bytes::Bytes;
use futures_lite::{FutureExt as _, StreamExt as _};
use opendal::{Buffer, ErrorKind, FuturesBytesStream, Operator};
use url::Url;

use self::gate::{Bounds, Gate};
use self::transport::Shared;
use crate::each::{ENTRIES_LIMIT, by_level};
use crate::error::{Error, Result};
use crate::open::StoreOptions;
use crate::store::{CommitBy, Entry, ObjectStore, ObjectWriter, Put, RenameOutcome, Traits, Within};
use crate::upload::{BufferPool, Upload, Uploads};

/// How many objects are removed at once; a service makes several requests of it if it takes fewer.
const DELETED: usize = 1000;
/// Bytes that are made room for before a part of an object comes.
const ROOM: u64 = 16 << 20;

/// An OpenDAL service.
pub(crate) struct Service {
    made: Mutex<Made>,
    /// How to recreate it.
    recipe: Recipe,
    network: Network,
    commit_by: CommitBy,
    traits: Traits,
    place: String,
    long: long::Way,
    spares: Arc<BufferPool>,
    /// Whether it removes many objects with one request.
    deletes_many: bool,
}

/// An operator, and the credential that is in it.
#[derive(Clone)]
struct Made {
    operator: Operator,
    credential: Option<Credential>,
}

/// The settings of an operator.
struct Recipe {
    url: Url,
    options: StoreOptions,
    account: Account,
    /// The transport of its requests, also with another credential.
    shared: OnceLock<Shared>,
}

impl Recipe {
    fn connect(
        &self,
        network: &Network,
        credential: Option<Credential>,
    ) -> Result<(connect::Connection, Made)> {
        self.connect_to(&self.url, network, credential)
    }

    /// The same, for another path of the service.
    fn connect_to(
        &self,
        url: &Url,
        network: &Network,
        credential: Option<Credential>,
    ) -> Result<(connect::Connection, Made)> {
        let given = connect::Given {
            url,
            options: &self.options,
            credential: credential.as_ref(),
        };
        let connection = given.connect()?;
        let traits = connection.traits;
        let shared = self.shared.get_or_init(|| Shared {
            gate: Gate::new(Bounds::up_to(traits.concurrency)),
            folders: traits.by_folder.then(Arc::default),
        });
        let (scheme, instead) = (connection.scheme, connection.instead.clone());
        let transport = transport::through(network, scheme, instead, shared.clone())?;
        let operator = connection.operator.clone();
        let context = operator.base_context().with_http_transport(transport);
        let made = Made {
            operator: operator.with_context(context),
            credential,
        };
        Ok((connection, made))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(&self.place).finish()
    }
}

impl Service {
    /// Open the store behind a URL.
    pub(crate) fn open(
        network: &Network,
        url: &Url,
        options: &StoreOptions,
        account: Account,
    ) -> Result<Self> {
        let credential = account.credential()?;
        let recipe = Recipe {
            url: url.clone(),
            options: options.clone(),
            account,
            shared: OnceLock::new(),
        };
        let (connection, made) = recipe.connect(network, credential)?;
        let most = made.operator.info().capability().delete_max_size;
        Ok(Self {
            spares: Arc::default(),
            deletes_many: most.is_some_and(|most| most > 1),
            made: Mutex::new(made),
            recipe,
            network: network.clone(),
            commit_by: connection.commit_by,
            traits: connection.traits,
            place: url.as_str().trim_end_matches('/').to_owned(),
            long: connection.long,
        })
    }

    /// Whether it may be asked.
    fn check(&self, key: &str) -> Result<()> {
        Ok(self.network.check_online(key, &self.place)?)
    }

    fn failed(&self, key: &str, error: &opendal::Error) -> Error {
        let mut reason = format!("{}: {}", error.kind(), clean(error.message()));
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            cause = inner.source();
            if cause.is_none() {
                reason = format!("{reason}: {}", clean(&inner.to_string()));
            }
        }
        Error::Store {
            place: self.at(key),
            reason,
            temporary: error.is_temporary(),
        }
    }

    fn gone(&self, key: &str) -> Error {
        Error::Store {
            place: self.at(key),
            reason: "it does not exist".to_owned(),
            temporary: false,
        }
    }

    fn at(&self, key: &str) -> String {
        format!("{}/{key}", self.place)
    }

    /// Read `length` bytes of an object from `start` on, all of which it has.
    fn part_within(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        self.ask(key, async |operator| {
            let reader = operator.reader(key).await?;
            let mut blocks = reader.into_bytes_stream(start..start + length).await?;
            let mut bytes = Vec::with_capacity(usize::try_from(length.min(ROOM)).unwrap_or(0));
            while let Some(block) = blocks.next().await {
                bytes.extend_from_slice(&block.map_err(unwrapped)?);
                // A server that does not do parts sends all of it.
                if bytes.len() as u64 > length {
                    break;
                }
            }
            Ok(bytes)
        })
    }

    /// The current operator: recreated if the credential has changed.
    async fn made(&self) -> Result<Made> {
        let known = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let credential = self.recipe.account.current().await?;
        if known().credential == credential {
            return Ok(known().clone());
        }
        let (_, made) = self.recipe.connect(&self.network, credential)?;
        *known() = made.clone();
        Ok(made)
    }

    /// After a refusal: whether there is another credential now, so that asking again makes sense.
    async fn renewed(&self, error: &opendal::Error, refused: Option<&Credential>) -> Result<bool> {
        Ok(error.kind() == ErrorKind::PermissionDenied && self.has_other(refused).await?)
    }

    /// Whether there is another credential than one that was refused.
    async fn has_other(&self, refused: Option<&Credential>) -> Result<bool> {
        match refused {
            Some(refused) => Ok(self.recipe.account.renew(refused).await?),
            None => Ok(false),
        }
    }

    /// The credentials were accepted.
    fn worked(&self) {
        self.recipe.account.worked();
    }

    /// Ask once.
    fn once<T>(
        &self,
        key: &str,
        request: impl Future<Output = opendal::Result<T>>,
    ) -> Result<opendal::Result<T>> {
        self.check(key)?;
        self.network.block(async { Ok(guarded(request).await) })
    }

    /// Ask once: an answer is about the one request. Only one that was refused for want of credentials, which has done nothing,
    /// is sent again with others.
    fn decide<T>(
        &self,
        key: &str,
        mut request: impl AsyncFnMut(Operator) -> opendal::Result<T>,
    ) -> Result<opendal::Result<T>> {
        self.check(key)?;
        self.network.block(async {
            let made = self.made().await?;
            match guarded(request(made.operator)).await {
                Err(e) if self.renewed(&e, made.credential.as_ref()).await? => {
                    let made = self.made().await?;
                    Ok(guarded(request(made.operator)).await.inspect(|_| self.worked()))
                }
                outcome => Ok(outcome.inspect(|_| self.worked())),
            }
        })
    }

    /// Send a request, and again after a temporary failure; `None` if its object does not exist.
    fn ask<T>(
        &self,
        key: &str,
        mut request: impl AsyncFnMut(Operator) -> opendal::Result<T>,
    ) -> Result<Option<T>> {
        self.check(key)?;
        self.network.block(async {
            let (mut pauses, mut renewed) = (self.network.pauses(), false);
            loop {
                let made = self.made().await?;
                match guarded(request(made.operator)).await {
                    Ok(value) => {
                        self.worked();
                        return Ok(Some(value));
                    }
                    Err(e) if e.kind() == ErrorKind::NotFound => {
                        self.worked();
                        return Ok(None);
                    }
                    Err(e) if !renewed && self.renewed(&e, made.credential.as_ref()).await? => renewed = true,
                    Err(e) if e.is_temporary() && pauses.wait(None).await => {}
                    Err(e) => return Err(self.failed(key, &e)),
                }
            }
        })
    }

    /// Write an object in one request.
    fn write_all(&self, key: &str, bytes: &Buffer, kind: &'static str) -> Result<()> {
        let written = self.ask(key, async |operator| {
            let write = operator.write_with(key, bytes.clone());
            write.content_type(kind).await
        })?;
        written.map(drop).ok_or_else(|| self.gone(key))
    }
}

impl ObjectStore for Service {
    fn place(&self) -> &str {
        &self.place
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    fn commit_by(&self) -> CommitBy {
        self.commit_by
    }

    fn is_offline(&self) -> bool {
        self.network.is_offline()
    }

    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        if deep && self.traits.by_folder {
            return by_level(prefix, &self.place, |folder| self.list(folder, false));
        }
        let found = self.ask(prefix, async |operator| {
            let mut lister = operator.lister_with(prefix).recursive(deep).await?;
            let mut found = Vec::new();
            while let Some(entry) = lister.next().await {
                found.push(entry?);
                if found.len() > ENTRIES_LIMIT {
                    return Err(unexpected("its listing does not end"));
                }
            }
            Ok(found)
        })?;
        let found = found.unwrap_or_default();
        let entries = found.iter().filter(|e| e.path() != prefix);
        Ok(entries.map(|e| entry(e.path(), e.metadata())).collect())
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        // Where folders exist by themselves, one is found by its name, too.
        let found = self.ask(key, async |operator| operator.stat(key).await)?;
        let found = found.filter(|found| !found.is_dir());
        Ok(found.map(|found| entry(key, &found)))
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.ask(key, async |operator| {
            let reader = operator.reader(key).await?;
            let mut blocks = reader.into_bytes_stream(..).await?;
            let mut bytes = Vec::new();
            while let Some(block) = blocks.next().await {
                bytes.extend_from_slice(&block.map_err(unwrapped)?);
                if bytes.len() as u64 > limit {
                    bytes.truncate(usize::try_from(limit + 1).unwrap_or(usize::MAX));
                    break;
                }
            }
            Ok(bytes)
        })
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let (mut at, mut first) = (0, None);
        let read = self.ask(key, async |operator| {
            let reader = operator.reader(key).await?;
            let mut blocks = reader.into_bytes_stream(at..).await?;
            let now = sign(key, &mut blocks).await?;
            if at == 0 {
                first = Some(now);
            } else if first.as_ref() != Some(&now) {
                return Err(unexpected("it was replaced while it was read"));
            }
            while let Some(block) = blocks.next().await {
                let block = block.map_err(unwrapped)?;
                at += block.len() as u64;
                if !sink(&block) {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(read.is_some())
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        let error = match self.part_within(key, start, length) {
            Err(error) => error,
            read => return read,
        };
        // Errors past the end are from OpenDAL or the service.
        match self.stat(key)? {
            Some(found) if found.size <= start => Ok(Some(Vec::new())),
            Some(found) if found.size < start + length => self.part_within(key, start, found.size - start),
            _ => Err(error),
        }
    }

    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        self.write_all(key, &Buffer::from(bytes), kind)
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        self.check(key)?;
        Ok(Box::new(Upload::new(self, key)))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let bytes = Buffer::from(bytes);
        let outcome = self.decide(key, async |operator| operator.write(key, bytes.clone()).await)?;
        outcome.map(drop).map_err(|e| self.failed(key, &e))
    }

    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<Put> {
        let bytes = Buffer::from(bytes);
        let written = self.decide(key, async |operator| {
            let write = operator.write_with(key, bytes.clone());
            write.content_type(kind).if_not_exists(true).await
        })?;
        match written {
            Ok(_) => Ok(Put::New),
            Err(e) if matches!(e.kind(), ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists) => {
                Ok(Put::Exists)
            }
            Err(e) if e.kind() == ErrorKind::Unsupported => Err(Error::NoExclusiveCreate {
                place: self.place.clone(),
                reason: "it takes one name twice".to_owned(),
            }),
            Err(e) => Err(self.failed(key, &e)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome> {
        match self.decide(to, async |operator| operator.rename(from, to).await)? {
            Ok(()) => Ok(RenameOutcome::Done),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(RenameOutcome::Gone),
            Err(e) if e.kind() == ErrorKind::ConditionNotMatch => Ok(RenameOutcome::Exists),
            Err(e) => Err(self.failed(to, &e)),
        }
    }

    fn within(&self) -> Option<Within> {
        let url = &self.recipe.url;
        let path = percent_decode(url.path())?;
        let known = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = known.operator.info().capability().copy;
        copies.then(|| Within {
            service: format!(
                "{}://{}{} {:?}",
                url.scheme(),
                url.host_str().unwrap_or_default(),
                url.port().map_or_else(String::new, |port| format!(":{port}")),
                (&self.recipe.options.endpoint, &self.recipe.options.region)
            ),
            path: format!("{}/", path.trim_matches('/'))
                .trim_start_matches('/')
                .to_owned(),
        })
    }

    fn copy_within(&self, source: &Within, from: &str, to: &str) -> Result<bool> {
        let Some(own) = self.within().filter(|own| own.service == source.service) else {
            return Ok(false);
        };
        self.check(to)?;
        let mut top = self.recipe.url.clone();
        top.set_path("/");
        let (from, to) = (format!("{}{from}", source.path), format!("{}{to}", own.path));
        self.network.block(async {
            let credential = self.recipe.account.current().await?;
            let (_, made) = self.recipe.connect_to(&top, &self.network, credential)?;
            let copy = async {
                if let Some((folder, _)) = to.rsplit_once('/').filter(|_| self.traits.by_folder) {
                    made.operator.create_dir(&format!("{folder}/")).await?;
                }
                made.operator.copy(&from, &to).await
            };
            Ok(guarded(copy).await.is_ok())
        })
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.ask(key, async |operator| operator.delete(key).await)
            .map(drop)
    }

    fn delete_many(&self, keys: &[String]) -> Result<()> {
        if !self.deletes_many {
            return crate::each::each(keys, |key| self.delete(key)).map(drop);
        }
        for some in keys.chunks(DELETED) {
            let delete = async |operator: Operator| operator.delete_iter(some.to_vec()).await;
            self.ask(&some[0], delete).map(drop)?;
        }
        Ok(())
    }
}

impl Uploads for Service {
    fn spares(&self) -> &Arc<BufferPool> {
        &self.spares
    }

    fn whole(&self, key: &str, pieces: Vec<Bytes>) -> Result<()> {
        self.write_all(key, &Buffer::from(pieces), "application/octet-stream")
    }

    fn begin(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        Ok(match self.long {
            long::Way::Parts => Box::new(long::Parts::begin(self, key)?),
            long::Way::Streamed(_) => Box::new(long::Spool::begin(self, key)?),
            long::Way::Gathered => Box::new(long::Gathered::begin(self, key)),
        })
    }
}

fn entry(key: &str, about: &opendal::Metadata) -> Entry {
    let modified = about.last_modified().map(|at| at.into_inner().as_millisecond());
    let modified = modified.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
    let by_time = || {
        if modified == 0 {
            String::new()
        } else {
            modified.to_string()
        }
    };
    Entry {
        key: key.to_owned(),
        size: about.content_length(),
        modified,
        tag: about.etag().map_or_else(by_time, ToOwned::to_owned),
    }
}

/// The identity of an object version in the request of a stream: its size, and its tag or the time
/// it was written.
async fn sign(key: &str, blocks: &mut FuturesBytesStream) -> opendal::Result<Option<(u64, String)>> {
    match blocks.metadata().await {
        Ok(about) => {
            let about = entry(key, &about);
            Ok(Some((about.size, about.tag)))
        }
        Err(e) if e.kind() == ErrorKind::Unsupported => Ok(None),
        Err(e) => Err(e),
    }
}

/// OpenDAL takes a listing of a shape that it does not expect for an error of its own, and panics; it is the store's.
async fn guarded<T>(request: impl Future<Output = opendal::Result<T>>) -> opendal::Result<T> {
    let outcome = AssertUnwindSafe(request).catch_unwind().await;
    let nonsense = |_| Err(unexpected("it answers what makes no sense"));
    outcome.unwrap_or_else(nonsense)
}

fn unexpected(message: &str) -> opendal::Error {
    opendal::Error::new(ErrorKind::Unexpected, message)
}

/// An error of a stream is OpenDAL's own in an envelope of the standard library.
fn unwrapped(error: std::io::Error) -> opendal::Error {
    let text = error.to_string();
    match error
        .into_inner()
        .map(<dyn std::error::Error + Send + Sync>::downcast::<opendal::Error>)
    {
        Some(Ok(inner)) => *inner,
        _ => opendal::Error::new(ErrorKind::Unexpected, text).set_temporary(),
    }
}

/// A server's message, without control characters and cut.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
