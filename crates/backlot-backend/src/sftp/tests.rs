//! SFTP servers that fail, lie and have no end, in this process. One that is right is asked in `tests/tests/storage/stores.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use backlot_core::{Context, Diagnostic as _};
use backlot_net::{
    Credential, CredentialChain, GivenCredential, Network, NetworkOptions, PlaceName, SshOptions,
};
use fs_err as fs;
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session};
use russh::{Channel, ChannelId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use url::Url;

use super::{Sftp, wire};
use crate::error::{Error, Result};
use crate::store::{ObjectStore as _, Put};

/// What a server answers to a request of a kind, as it has been asked so often for that, in these words; `None` hangs up.
type Script = dyn Fn(u8, u32, usize, &[u8]) -> Option<Vec<u8>> + Send + Sync;

/// A server that follows a script.
struct Scripted {
    _folder: tempfile::TempDir,
    _runtime: Runtime,
    sftp: Sftp,
    asked: Arc<Mutex<Vec<u8>>>,
}

#[derive(Clone)]
struct Server {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<u8>>>,
    channel: Arc<Mutex<Option<Channel<Msg>>>>,
}

impl Handler for Server {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let right = (user, password) == ("ana", "secret");
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        *self.channel.lock().unwrap() = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        let channel = self.channel.lock().unwrap().take().unwrap();
        tokio::spawn(self.clone().serve(channel));
        Ok(())
    }
}

impl Server {
    async fn serve(self, channel: Channel<Msg>) -> Option<()> {
        let mut stream = channel.into_stream();
        loop {
            let length = stream.read_u32().await.ok()?;
            let mut request = vec![0; length as usize];
            stream.read_exact(&mut request).await.ok()?;
            let (kind, id) = (request[0], u32::from_be_bytes(request[1..5].try_into().unwrap()));
            let times = {
                let mut asked = self.asked.lock().unwrap();
                let before = asked.iter().map(|k| usize::from(*k == kind)).sum();
                asked.push(kind);
                before
            };
            let answer = (self.script)(kind, id, times, &request[5..])?;
            stream.write_all(&answer).await.ok()?;
        }
    }
}

fn password(password: &str) -> CredentialChain {
    CredentialChain::default().with(Arc::new(GivenCredential(Credential {
        user: "__token__".to_owned(),
        password: password.to_owned(),
    })))
}

impl Scripted {
    fn new(script: impl Fn(u8, u32, usize, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::with("secret", Arc::new(script))
    }

    fn with(secret: &'static str, script: Arc<Script>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let public = key.public_key().to_openssh().unwrap();
        let asked = Arc::default();
        let server = Server {
            script,
            asked: Arc::clone(&asked),
            channel: Arc::default(),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let config = Arc::new(Config {
            keys: vec![key],
            auth_rejection_time: std::time::Duration::ZERO,
            ..Config::default()
        });
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let serving = russh::server::run_stream(Arc::clone(&config), stream, server.clone());
                tokio::spawn(async move { serving.await.unwrap().await });
            }
        });
        let known_hosts: PathBuf = folder.path().join("known_hosts");
        fs::write(&known_hosts, format!("[127.0.0.1]:{port} {public}\n")).unwrap();
        let options = NetworkOptions {
            credentials: password(secret),
            ssh: SshOptions {
                known_hosts: vec![known_hosts],
                ..SshOptions::default()
            },
            ..NetworkOptions::new(folder.path().join("cache"))
        };
        let network = Network::new(options, Context::default()).unwrap();
        let url = Url::parse(&format!("sftp://ana@127.0.0.1:{port}/repo")).unwrap();
        Self {
            sftp: Sftp::open(&network, &PlaceName::Repo("far".to_owned()), &url).unwrap(),
            _folder: folder,
            _runtime: runtime,
            asked,
        }
    }

    fn times(&self, kind: u8) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|k| usize::from(*k == kind)).sum()
    }
}

fn version(number: u32) -> Vec<u8> {
    wire::request(2, number, |body| {
        let body = body.text(wire::LINK).text("1").text(wire::REPLACE).text("1");
        body.text(wire::SYNC).text("1")
    })
}

fn status(id: u32, code: u32) -> Vec<u8> {
    wire::request(101, id, |body| body.number(code).text("as you see").text("en"))
}

fn handle(id: u32) -> Vec<u8> {
    wire::request(102, id, |body| body.text([0xff, 0]))
}

fn data(id: u32, bytes: &[u8]) -> Vec<u8> {
    wire::request(103, id, |body| body.text(bytes))
}

/// So many files of one name.
fn names(id: u32, count: u32) -> Vec<u8> {
    wire::request(104, id, |body| {
        (0..count).fold(body.number(count), |body, _| {
            body.text("a").text("").number(4).number(0o100_644)
        })
    })
}

/// What a server answers that does what it is told.
fn good(kind: u8, id: u32) -> Vec<u8> {
    match kind {
        wire::INIT => version(3),
        wire::OPEN | wire::OPENDIR => handle(id),
        wire::LSTAT => wire::request(105, id, |body| body.number(0)),
        wire::READ | wire::READDIR => status(id, wire::END),
        _ => status(id, wire::OK),
    }
}

fn temporary<T: std::fmt::Debug>(outcome: Result<T>, reason: &str) -> bool {
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), "backend::store", "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    error.retry()
}

#[test]
fn a_connection_that_drops_is_made_again_once() {
    let once = Scripted::new(|kind, id, times, _| match kind {
        wire::OPENDIR if times == 0 => None,
        wire::READDIR if times == 0 => Some(names(id, 1)),
        _ => Some(good(kind, id)),
    });
    let listed = once.sftp.list("packages/", false).unwrap();
    assert_eq!(listed[0].key, "packages/a");
    assert_eq!(once.times(wire::INIT), 2);

    let always = Scripted::new(|kind, id, _, _| (kind != wire::OPENDIR).then(|| good(kind, id)));
    assert!(temporary(always.sftp.list("packages/", false), "lost"));
    assert_eq!(always.times(wire::INIT), 2);
}

#[test]
fn a_link_whose_answer_is_lost_is_not_sent_again() {
    let scripted = Scripted::new(|kind, id, times, _| match kind {
        // The first of them syncs.
        wire::EXTENDED if times == 1 => None,
        _ => Some(good(kind, id)),
    });
    assert!(temporary(
        scripted.sftp.create("packages/a", b"a".to_vec(), ""),
        "lost"
    ));
    assert_eq!(scripted.times(wire::EXTENDED), 2);
}

#[test]
fn a_name_that_is_taken_is_told_from_a_refusal() {
    let refuses = |is_there: bool| {
        Scripted::new(move |kind, id, times, _| match kind {
            wire::EXTENDED if times % 2 == 1 => Some(status(id, 4)),
            wire::LSTAT if !is_there => Some(status(id, wire::NO_SUCH_FILE)),
            _ => Some(good(kind, id)),
        })
    };
    let create = |scripted: &Scripted| scripted.sftp.create("packages/a", b"a".to_vec(), "");
    assert_eq!(create(&refuses(true)).unwrap(), Put::Exists);
    assert!(!temporary(create(&refuses(false)), "as you see"));
}

#[test]
fn an_answer_without_end_or_sense_ends_in_an_error() {
    let endless = Scripted::new(|kind, id, _, _| match kind {
        wire::READDIR => Some(names(id, 12_000)),
        _ => Some(good(kind, id)),
    });
    assert!(!temporary(endless.sftp.list("packages/", true), "does not end"));
    let more = Scripted::new(|kind, id, _, _| match kind {
        wire::READ => Some(data(id, &vec![0; 40_000])),
        _ => Some(good(kind, id)),
    });
    assert!(!temporary(more.sftp.read("repo.json", 64), "different range"));
    let nothing = Scripted::new(|kind, id, _, _| match kind {
        wire::READ => Some(data(id, b"")),
        _ => Some(good(kind, id)),
    });
    assert!(!temporary(nothing.sftp.read("repo.json", 64), "different range"));
    let other = Scripted::new(|kind, id, _, _| match kind {
        wire::OPEN => Some(names(id, 1)),
        _ => Some(good(kind, id)),
    });
    assert!(!temporary(
        other.sftp.read("repo.json", 64),
        "unexpected response"
    ));
    let huge = Scripted::new(|kind, id, _, _| match kind {
        wire::OPEN => Some(vec![0xff; 16]),
        _ => Some(good(kind, id)),
    });
    assert!(temporary(huge.sftp.read("repo.json", 64), "lost"));
    let newer = Scripted::new(|_, _, _, _| Some(version(6)));
    assert!(!temporary(newer.sftp.read("repo.json", 64), "version 3"));
}

/// A server of one file that sends a few bytes at a time, and hangs up once.
fn stingy(whole: &[u8]) -> Scripted {
    let whole = whole.to_vec();
    Scripted::new(move |kind, id, times, request| match kind {
        wire::READ if times == 30 => None,
        wire::READ => {
            // After the handle: where from, and how many.
            let at = usize::try_from(u64::from_be_bytes(request[6..14].try_into().unwrap())).unwrap();
            let most = u32::from_be_bytes(request[14..18].try_into().unwrap()) as usize;
            let rest = whole.get(at..).unwrap_or_default();
            let block = &rest[..rest.len().min(most).min(5000)];
            Some(if block.is_empty() {
                status(id, wire::END)
            } else {
                data(id, block)
            })
        }
        _ => Some(good(kind, id)),
    })
}

#[test]
fn short_answers_are_put_together_also_after_a_drop_and_no_more_is_taken_than_is_wanted() {
    let mut random = fastrand::Rng::with_seed(3);
    let whole: Vec<u8> = (0..300_000).map(|_| random.u8(..)).collect();
    let (scripted, mut fetched) = (stingy(&whole), Vec::new());
    let found = scripted.sftp.fetch("a.whl", &mut |block| {
        fetched.extend_from_slice(block);
        true
    });
    assert!(found.unwrap());
    assert!(fetched == whole);
    assert_eq!(scripted.times(wire::INIT), 2);
    let scripted = stingy(&whole);
    assert!(scripted.sftp.read("a.whl", 1 << 20).unwrap().unwrap() == whole);
    assert_eq!(scripted.sftp.read("a.whl", 10).unwrap().unwrap(), whole[..11]);
}

#[test]
fn a_path_begins_at_the_root_or_where_one_comes_to() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::new(NetworkOptions::new(folder.path()), Context::default()).unwrap();
    for (url, expected) in [
        ("sftp://ana@host/srv/a%20b/", "/srv/a b/x"),
        ("sftp://ana@host/~/repo", "repo/x"),
        ("sftp://ana@host/~", "x"),
        ("sftp://ana@[::1]:2222/~ana", "/~ana/x"),
    ] {
        let sftp = Sftp::open(
            &network,
            &PlaceName::Repo("far".to_owned()),
            &Url::parse(url).unwrap(),
        )
        .unwrap();
        assert_eq!(sftp.path("x"), expected, "{url}");
    }
}

#[test]
fn a_password_lets_us_in_and_a_wrong_one_is_not_told() {
    let script: Arc<Script> = Arc::new(|kind, id, _, _| Some(good(kind, id)));
    let right = Scripted::with("secret", Arc::clone(&script));
    assert!(right.sftp.list("packages/", false).unwrap().is_empty());
    let wrong = Scripted::with("hunter2", script);
    let error = wrong.sftp.list("packages/", false).unwrap_err();
    assert!(matches!(error, Error::SignIn { .. }), "{error}");
    assert!(error.to_string().contains("the password"), "{error}");
    assert!(!format!("{error:?} {:?}", wrong.sftp).contains("hunter2"));
    assert_eq!(wrong.times(wire::INIT), 0);
}
