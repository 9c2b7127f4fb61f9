//! Authentication to an SSH server: a configured key, a password, the agent, the default keys; in this order.
//!
//! Invariants: no more is tried than a server takes as a rule; nothing secret is in an error. Deliberately absent: asking
//! for a passphrase (the agent is for that), and answering questions of a server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use russh::client::{Handle, Handler};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use tokio::time::timeout;

use super::connection::{Asked, SftpError};
use super::hosts::name;
use crate::error::Error;

/// How often a server may be tried: OpenSSH hangs up at the sixth failure.
const TRIES: usize = 6;

/// The size limit of a key file.
const KEY_LIMIT: u64 = 64 * 1024;

/// A server, and who we are there.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The prefix of the variables that could contain credentials.
    pub(super) variables: String,
    /// The key that the repo is used with.
    pub(super) key: Option<PathBuf>,
    pub(super) password: Option<String>,
    pub(super) agent: Option<PathBuf>,
    /// Keys to try if none is configured; missing ones are skipped.
    pub(super) keys: Vec<PathBuf>,
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) connect_patience: Duration,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The methods tried so far.
struct Attempts<'a, H: Handler> {
    session: &'a mut Handle<H>,
    user: &'a str,
    patience: Duration,
    tried: Vec<String>,
    left: usize,
    hash: Option<HashAlg>,
}

impl Account {
    /// Sign in, or return the methods tried.
    pub(super) async fn sign_in<H: Handler>(&self, session: &mut Handle<H>, patience: Duration) -> Asked<()> {
        // For RSA keys: the algorithms that the server supports, or those common for ten years.
        let hash = timeout(patience, session.best_supported_rsa_hash()).await;
        let hash = hash
            .ok()
            .and_then(Result::ok)
            .flatten()
            .unwrap_or(Some(HashAlg::Sha256));
        let mut attempts = Attempts {
            session,
            user: &self.user,
            patience,
            tried: Vec::new(),
            left: TRIES,
            hash,
        };
        if self.tries(&mut attempts).await {
            return Ok(());
        }
        let tried = if attempts.tried.is_empty() {
            "no key and no password".to_owned()
        } else {
            attempts.tried.join(", ")
        };
        Err(SftpError::Failed(Error::SignIn {
            host: name(&self.host, self.port),
            user: self.user.clone(),
            tried,
            variables: self.variables.clone(),
        }))
    }

    async fn tries<H: Handler>(&self, attempts: &mut Attempts<'_, H>) -> bool {
        if let Some(path) = &self.key
            && attempts.file(path).await
        {
            return true;
        }
        if let Some(password) = &self.password
            && attempts.password(password).await
        {
            return true;
        }
        if let Some(path) = &self.agent
            && agent(path, attempts).await
        {
            return true;
        }
        if self.key.is_some() {
            return false;
        }
        for path in &self.keys {
            if path.is_file() && attempts.file(path).await {
                return true;
            }
        }
        false
    }
}

impl<H: Handler> Attempts<'_, H> {
    /// Whether there is another try.
    fn counts(&mut self, what: String) -> bool {
        self.tried.push(what);
        self.left = self.left.saturating_sub(1);
        !self.session.is_closed()
    }

    async fn password(&mut self, password: &str) -> bool {
        if self.left == 0 || !self.counts("the password".to_owned()) {
            return false;
        }
        let asked = self.session.authenticate_password(self.user, password);
        matches!(timeout(self.patience, asked).await, Ok(Ok(result)) if result.success())
    }

    async fn file(&mut self, path: &Path) -> bool {
        let key = match load(path) {
            Ok(key) => key,
            Err(reason) => {
                self.tried.push(format!("`{}` ({reason})", path.display()));
                return false;
            }
        };
        if self.left == 0 || !self.counts(format!("`{}`", path.display())) {
            return false;
        }
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), self.hash);
        let asked = self.session.authenticate_publickey(self.user, key);
        matches!(timeout(self.patience, asked).await, Ok(Ok(result)) if result.success())
    }

    async fn agents<S: AgentStream + Unpin + Send>(&mut self, mut agent: AgentClient<S>) -> bool {
        let Ok(Ok(identities)) = timeout(self.patience, agent.request_identities()).await else {
            self.tried.push("the agent (no response)".to_owned());
            return false;
        };
        if identities.is_empty() {
            self.tried.push("the agent (it has no keys)".to_owned());
        }
        for identity in identities {
            let AgentIdentity::PublicKey { key, comment } = identity else {
                continue;
            };
            let comment: String = comment.chars().filter(|c| !c.is_control()).take(60).collect();
            // Two are left for the usual keys.
            if self.left <= 2 || !self.counts(format!("the agent's `{comment}`")) {
                return false;
            }
            let hash = if key.algorithm().is_rsa() { self.hash } else { None };
            let asked = self
                .session
                .authenticate_publickey_with(self.user, key, hash, &mut agent);
            if matches!(timeout(self.patience, asked).await, Ok(Ok(result)) if result.success()) {
                return true;
            }
        }
        false
    }
}

#[cfg(unix)]
async fn agent<H: Handler>(path: &Path, attempts: &mut Attempts<'_, H>) -> bool {
    match AgentClient::connect_uds(path).await {
        Ok(agent) => attempts.agents(agent).await,
        Err(_) => {
            attempts.tried.push("the agent (not running)".to_owned());
            false
        }
    }
}

#[cfg(windows)]
async fn agent<H: Handler>(path: &Path, attempts: &mut Attempts<'_, H>) -> bool {
    match timeout(attempts.patience, AgentClient::connect_named_pipe(path)).await {
        Ok(Ok(agent)) => attempts.agents(agent).await,
        _ => {
            attempts.tried.push("the agent (not running)".to_owned());
            false
        }
    }
}

#[cfg(not(any(unix, windows)))]
async fn agent<H: Handler>(_path: &Path, _attempts: &mut Attempts<'_, H>) -> bool {
    false
}

/// A key from a file, or why not.
fn load(path: &Path) -> Result<PrivateKey, String> {
    let about = fs::metadata(path).map_err(|_| "it cannot be read")?;
    if about.len() > KEY_LIMIT {
        return Err("it is too large to be a key".to_owned());
    }
    let text = fs::read_to_string(path).map_err(|_| "it cannot be read")?;
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) if key.is_encrypted() => Err("it is encrypted: add it to ssh-agent".to_owned()),
        Ok(key) => Ok(key),
        Err(russh::keys::Error::KeyIsEncrypted) => Err("it is encrypted: add it to ssh-agent".to_owned()),
        // Its message may quote the file.
        Err(_) => Err("the format of the private key is not supported".to_owned()),
    }
}
