//! One connection to an SFTP server: signed in to, its host key checked, shared by all who ask.
//!
//! Invariants: no credential is sent before the host key is verified; an answer has a size limit and a time limit; after one
//! that makes no sense or does not come, the connection is not used again. Deliberately absent: asking again (`mod.rs`).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::client;
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::account::Account;
use super::hosts::{HostKeyStatus, Known, fingerprint, name};
use super::wire::{self, Answer, Extensions};
use crate::each::ENTRIES_LIMIT;
use crate::error::Error;

/// How long one answer may take.
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);

/// How long a server may take to have a whole wheel on its disk.
const SYNC_PATIENCE: Duration = Duration::from_mins(10);

/// How long the exchange of keys may take, and each attempt to sign in.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);

/// Bytes asked for or sent at once; what every server takes.
const BLOCK: u32 = 32 * 1024;

/// Blocks under way at once, for one file: what fills a line of 160 Mbit/s and 100 ms.
const WINDOW: usize = 64;

/// The receive window: eight files that are read at once.
const UNREAD: u32 = 16 << 20;

/// Why something that was asked failed.
#[derive(Debug)]
pub(super) enum SftpError {
    /// The connection is gone; whether the request arrived is not known.
    Dropped(String),
    /// The server refused.
    Refused { code: u32, message: String },
    /// The server's answer makes no sense, or has no end.
    Nonsense(&'static str),
    /// The server cannot do what publishing needs.
    Unfit(&'static str),
    /// The connection is lost, for this reason.
    Failed(Error),
}

impl SftpError {
    pub(super) fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: wire::NO_SUCH_FILE,
                ..
            }
        )
    }
}

pub(super) type Asked<T> = Result<T, SftpError>;

/// The waiters by request; `None` once the connection is lost.
type Waiting = Arc<Mutex<Option<HashMap<u32, oneshot::Sender<Answer>>>>>;

/// A connection.
pub(super) struct Connection {
    requests: mpsc::Sender<Vec<u8>>,
    waiting: Waiting,
    next: AtomicU32,
    pub(super) offers: Extensions,
    tasks: [JoinHandle<()>; 2],
    _session: client::Handle<Checker>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Looks at the host key, and remembers it for the error.
struct Checker {
    known: Known,
    shown: Arc<Mutex<Option<(PublicKey, HostKeyStatus)>>>,
}

impl client::Handler for Checker {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        let standing = self.known.judge(key);
        let is_known = standing == HostKeyStatus::Known;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((key.clone(), standing));
        Ok(is_known)
    }
}

impl Connection {
    /// Connect, check the host key, sign in, and begin.
    pub(super) async fn open(account: &Account) -> Asked<Self> {
        let lost = |what: &str, why: String| SftpError::Dropped(format!("{what}: {why}"));
        let at = (account.host.as_str(), account.port);
        let socket = timeout(account.connect_patience, TcpStream::connect(at)).await;
        let socket = socket
            .map_err(|_| lost("cannot connect", "timed out".to_owned()))?
            .map_err(|e| lost("cannot connect", e.to_string()))?;
        // Only haste depends on it.
        socket.set_nodelay(true).ok();
        let known = Known::read(&account.known_hosts, &account.host, account.port);
        let config = client::Config {
            preferred: known.preferred(),
            nodelay: true,
            window_size: UNREAD,
            ..client::Config::default()
        };
        let shown = Arc::default();
        let checker = Checker {
            known,
            shown: Arc::clone(&shown),
        };
        let opening = client::connect_stream(Arc::new(config), socket, checker);
        let opened = timeout(HANDSHAKE_PATIENCE, opening).await;
        let mut session = match opened {
            Ok(Ok(session)) => session,
            other => {
                let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some((key, standing)) = shown
                    && let Some(error) = distrust(account, &key, standing)
                {
                    return Err(SftpError::Failed(error));
                }
                let why = other.map_or_else(
                    |_| "timed out".to_owned(),
                    |e| e.err().map_or_else(String::new, |e| e.to_string()),
                );
                return Err(lost("the key exchange failed", why));
            }
        };
        account.sign_in(&mut session, HANDSHAKE_PATIENCE).await?;
        let begun = timeout(HANDSHAKE_PATIENCE, async {
            let channel = session.channel_open_session().await?;
            channel.request_subsystem(true, "sftp").await?;
            Ok::<_, russh::Error>(tokio::io::split(channel.into_stream()))
        });
        let begun = begun.await.map_err(|_| lost("no SFTP", "timed out".to_owned()))?;
        let (mut from, mut to) = begun.map_err(|e| lost("no SFTP", e.to_string()))?;
        let offers = timeout(HANDSHAKE_PATIENCE, greet(&mut from, &mut to)).await;
        let offers = offers.map_err(|_| lost("no SFTP", "timed out".to_owned()))??;
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let (requests, queue) = mpsc::channel(WINDOW);
        let tasks = [
            tokio::spawn(send(to, queue, Arc::clone(&waiting))),
            tokio::spawn(receive(from, Arc::clone(&waiting))),
        ];
        Ok(Self {
            requests,
            waiting,
            next: AtomicU32::new(1),
            offers,
            tasks,
            _session: session,
        })
    }

    /// Whether it can still be asked.
    pub(super) fn is_open(&self) -> bool {
        held(&self.waiting).is_some() && !self.requests.is_closed()
    }

    /// Send a request; the answer comes later.
    async fn send(
        &self,
        kind: u8,
        fill: impl FnOnce(wire::Body) -> wire::Body,
    ) -> Asked<oneshot::Receiver<Answer>> {
        let gone = || SftpError::Dropped("the connection was lost".to_owned());
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        held(&self.waiting).as_mut().ok_or_else(gone)?.insert(id, sender);
        let sending = self.requests.send(wire::request(kind, id, fill));
        match timeout(ANSWER_PATIENCE, sending).await {
            Ok(Ok(())) => Ok(receiver),
            // The receiver is gone.
            _ => {
                held(&self.waiting).take();
                Err(gone())
            }
        }
    }

    async fn wait(&self, answer: oneshot::Receiver<Answer>, patience: Duration) -> Asked<Answer> {
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(SftpError::Dropped("the connection was lost".to_owned())),
            Err(_) => {
                held(&self.waiting).take();
                Err(SftpError::Dropped("timed out".to_owned()))
            }
        }
    }

    async fn ask(&self, kind: u8, fill: impl FnOnce(wire::Body) -> wire::Body) -> Asked<Answer> {
        let answer = self.send(kind, fill).await?;
        self.wait(answer, ANSWER_PATIENCE).await
    }

    /// Ask for something that is done or refused.
    async fn order(&self, kind: u8, fill: impl FnOnce(wire::Body) -> wire::Body) -> Asked<()> {
        done(self.ask(kind, fill).await?)
    }

    async fn open_file(&self, path: &str, flags: u32) -> Asked<Vec<u8>> {
        handle(
            self.ask(wire::OPEN, |body| body.text(path).number(flags).number(0))
                .await?,
        )
    }

    /// Close without waiting: nothing depends on it.
    async fn let_go(&self, handle: &[u8]) {
        self.send(wire::CLOSE, |body| body.text(handle)).await.ok();
    }

    /// The entries of a folder; no paths that lead elsewhere.
    pub(super) async fn entries(&self, path: &str) -> Asked<Vec<(String, wire::About)>> {
        let handle = handle(self.ask(wire::OPENDIR, |body| body.text(path)).await?)?;
        let (mut found, mut told) = (Vec::new(), 0);
        // Requested before the previous response is here: the last response, that there are no more, costs no extra time.
        let more = || self.send(wire::READDIR, |body| body.text(&handle));
        let mut under_way = VecDeque::from([more().await?]);
        let outcome = loop {
            while under_way.len() < 2 {
                under_way.push_back(more().await?);
            }
            let Some(answer) = under_way.pop_front() else {
                continue;
            };
            match self.wait(answer, ANSWER_PATIENCE).await {
                Ok(Answer::Names(count, names)) => {
                    // One that tells nothing counts, too: it may go on for ever.
                    told += count.max(1);
                    found.extend(names);
                    if told > ENTRIES_LIMIT {
                        break Err(SftpError::Nonsense("its listing does not end"));
                    }
                }
                Ok(Answer::Status { code: wire::END, .. }) => break Ok(found),
                Ok(other) => break Err(unexpected(other)),
                Err(trouble) => break Err(trouble),
            }
        };
        self.let_go(&handle).await;
        outcome
    }

    /// The attributes of a path; of a link itself unless it is followed.
    pub(super) async fn about(&self, path: &str, follow: bool) -> Asked<wire::About> {
        let kind = if follow { wire::STAT } else { wire::LSTAT };
        match self.ask(kind, |body| body.text(path)).await? {
            Answer::About(about) => Ok(about),
            other => Err(unexpected(other)),
        }
    }

    /// Read a file from an offset to its end, or until `sink` has enough.
    pub(super) async fn read(&self, path: &str, from: u64, sink: &mut dyn FnMut(&[u8]) -> bool) -> Asked<()> {
        let handle = self.open_file(path, wire::OPEN_READ).await?;
        let outcome = self.read_blocks(&handle, from, sink).await;
        self.let_go(&handle).await;
        outcome
    }

    async fn read_blocks(&self, handle: &[u8], from: u64, sink: &mut dyn FnMut(&[u8]) -> bool) -> Asked<()> {
        let block = |at: u64, length: u32| {
            self.send(wire::READ, move |body| body.text(handle).long(at).number(length))
        };
        let (mut under_way, mut next) = (VecDeque::new(), from);
        // Small files are most: two blocks at first, then ever more. The size is requested with them, so that nothing is requested
        // past the end; a missing one is not relied on.
        let mut window = 2;
        let (mut size, mut end) = (None, None);
        loop {
            while under_way.len() < window && end.is_none_or(|end| next < end) {
                under_way.push_back((next, block(next, BLOCK).await?));
                next = next.saturating_add(u64::from(BLOCK));
            }
            if window == 2 {
                size = Some(self.send(wire::FSTAT, |body| body.text(handle)).await?);
            }
            window = (window * 2).min(WINDOW);
            let Some((mut at, mut answer)) = under_way.pop_front() else {
                return Ok(());
            };
            let mut left = BLOCK;
            while left > 0 {
                match self.wait(answer, ANSWER_PATIENCE).await? {
                    Answer::Data(bytes) if bytes.is_empty() || bytes.len() > left as usize => {
                        return Err(SftpError::Nonsense("it sent a different range than requested"));
                    }
                    Answer::Data(bytes) => {
                        if !sink(&bytes) {
                            return Ok(());
                        }
                        let length = u32::try_from(bytes.len()).expect("no more than were asked for");
                        at += u64::from(length);
                        left -= length;
                    }
                    Answer::Status { code: wire::END, .. } => return Ok(()),
                    other => return Err(unexpected(other)),
                }
                if let Some(size) = size.take() {
                    end = self.told_size(size).await?;
                }
                if left == 0 {
                    break;
                }
                if end == Some(at) {
                    return Ok(());
                }
                // It may send less than was asked for: the rest, before what follows.
                answer = block(at, left).await?;
            }
        }
    }

    /// The size of a file, if the server tells it.
    async fn told_size(&self, answer: oneshot::Receiver<Answer>) -> Asked<Option<u64>> {
        Ok(match self.wait(answer, ANSWER_PATIENCE).await? {
            Answer::About(about) if about.size > 0 => Some(about.size),
            _ => None,
        })
    }

    /// Write a file that must not be there, and have it on the server's disk if that can be asked for.
    pub(super) async fn put(&self, path: &str, pieces: &[Bytes]) -> Asked<()> {
        let handle = self.begin(path).await?;
        let pieces = pieces.iter().map(|piece| &piece[..]);
        let under_way = self.send_blocks(&handle, 0, pieces).await;
        let outcome = self.end(&handle, under_way).await;
        if outcome.is_err() {
            // Else it is swept up later.
            self.remove(path).await.ok();
        }
        outcome
    }

    /// Open a file that must not be there, for writing.
    pub(super) async fn begin(&self, path: &str) -> Asked<Vec<u8>> {
        self.open_file(path, wire::OPEN_NEW).await
    }

    /// Write bytes from somewhere on.
    pub(super) async fn put_blocks(&self, handle: &[u8], at: u64, bytes: &[u8]) -> Asked<()> {
        for answer in self.send_blocks(handle, at, std::iter::once(bytes)).await? {
            done(self.wait(answer, ANSWER_PATIENCE).await?)?;
        }
        Ok(())
    }

    /// The same; the last answers are still to come.
    async fn send_blocks<'a>(
        &self,
        handle: &[u8],
        mut at: u64,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Asked<VecDeque<oneshot::Receiver<Answer>>> {
        let mut under_way = VecDeque::new();
        for block in pieces.flat_map(|piece| piece.chunks(BLOCK as usize)) {
            if under_way.len() == WINDOW
                && let Some(first) = under_way.pop_front()
            {
                done(self.wait(first, ANSWER_PATIENCE).await?)?;
            }
            let sent = self.send(wire::WRITE, |body| body.text(handle).long(at).text(block));
            under_way.push_back(sent.await?);
            at += block.len() as u64;
        }
        Ok(under_way)
    }

    /// Sync the written data to the server's disk if supported, and close it either way. What is asked about one file is
    /// done in that order, so nothing of it waits for the answers before.
    pub(super) async fn end(
        &self,
        handle: &[u8],
        under_way: Asked<VecDeque<oneshot::Receiver<Answer>>>,
    ) -> Asked<()> {
        let (under_way, mut outcome) = match under_way {
            Ok(under_way) => (under_way, Ok(())),
            Err(trouble) => (VecDeque::new(), Err(trouble)),
        };
        let mut answers: Vec<_> = under_way.into_iter().map(|one| (one, ANSWER_PATIENCE)).collect();
        if outcome.is_ok() && self.offers.sync {
            let sync = self.send(wire::EXTENDED, |body| body.text(wire::SYNC).text(handle));
            answers.push((sync.await?, SYNC_PATIENCE));
        }
        let close = self.send(wire::CLOSE, |body| body.text(handle)).await?;
        answers.push((close, ANSWER_PATIENCE));
        for (answer, patience) in answers {
            let answered = self.wait(answer, patience).await.and_then(done);
            outcome = outcome.and(answered);
        }
        outcome
    }

    /// Give a file a second name if that is free.
    pub(super) async fn link(&self, from: &str, to: &str) -> Asked<()> {
        self.order(wire::EXTENDED, |body| body.text(wire::LINK).text(from).text(to))
            .await
    }

    /// Give a file another name, whatever has it.
    pub(super) async fn replace(&self, from: &str, to: &str) -> Asked<()> {
        self.order(wire::EXTENDED, |body| {
            body.text(wire::REPLACE).text(from).text(to)
        })
        .await
    }

    pub(super) async fn remove(&self, path: &str) -> Asked<()> {
        self.order(wire::REMOVE, |body| body.text(path)).await
    }

    pub(super) async fn make_folder(&self, path: &str) -> Asked<()> {
        self.order(wire::MKDIR, |body| body.text(path).number(0)).await
    }
}

fn held(waiting: &Waiting) -> MutexGuard<'_, Option<HashMap<u32, oneshot::Sender<Answer>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn handle(answer: Answer) -> Asked<Vec<u8>> {
    match answer {
        Answer::Handle(handle) => Ok(handle),
        other => Err(unexpected(other)),
    }
}

fn done(answer: Answer) -> Asked<()> {
    match answer {
        Answer::Status { code: wire::OK, .. } => Ok(()),
        other => Err(unexpected(other)),
    }
}

fn unexpected(answer: Answer) -> SftpError {
    match answer {
        Answer::Status { code, message } if code != wire::OK => SftpError::Refused { code, message },
        _ => SftpError::Nonsense("it sent an unexpected response"),
    }
}

/// Why a server with such a key is not talked to.
fn distrust(account: &Account, key: &PublicKey, standing: HostKeyStatus) -> Option<Error> {
    let (host, shown) = (name(&account.host, account.port), fingerprint(key));
    let file = account.known_hosts.first().map(|path| path.display().to_string());
    let file = file.unwrap_or_else(|| "~/.ssh/known_hosts".to_owned());
    Some(match standing {
        HostKeyStatus::Known => return None,
        HostKeyStatus::Unknown => Error::UnknownHostKey {
            scan: format!("ssh-keyscan -p {} {} >> {file}", account.port, account.host),
            host,
            shown,
        },
        HostKeyStatus::Changed(line) => Error::ChangedHostKey {
            host,
            shown,
            reason: format!("`{line}` has another"),
        },
        HostKeyStatus::Revoked => Error::ChangedHostKey {
            host,
            shown,
            reason: "that key is revoked".to_owned(),
        },
    })
}

type Stream = russh::ChannelStream<client::Msg>;

async fn greet(from: &mut ReadHalf<Stream>, to: &mut WriteHalf<Stream>) -> Asked<Extensions> {
    let lost = |e: std::io::Error| SftpError::Dropped(format!("no SFTP: {e}"));
    to.write_all(&wire::request(wire::INIT, 3, |body| body))
        .await
        .map_err(lost)?;
    let packet = packet(from).await.map_err(lost)?;
    wire::offers(&packet).ok_or(SftpError::Nonsense("it does not speak SFTP version 3"))
}

async fn packet(from: &mut ReadHalf<Stream>) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await? as usize;
    if length > wire::ANSWER_LIMIT {
        return Err(std::io::Error::other("its answer is too long"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn send(mut to: WriteHalf<Stream>, mut queue: mpsc::Receiver<Vec<u8>>, waiting: Waiting) {
    while let Some(request) = queue.recv().await {
        if to.write_all(&request).await.is_err() {
            held(&waiting).take();
            return;
        }
    }
}

/// Deliver responses until one is invalid; then all waiters are released.
async fn receive(mut from: ReadHalf<Stream>, waiting: Waiting) {
    while let Ok(packet) = packet(&mut from).await {
        let Some((id, answer)) = wire::answer(&packet) else {
            break;
        };
        let waits = held(&waiting).as_mut().and_then(|waiting| waiting.remove(&id));
        // The waiter may be gone.
        waits.map(|waits| waits.send(answer));
    }
    held(&waiting).take();
}
