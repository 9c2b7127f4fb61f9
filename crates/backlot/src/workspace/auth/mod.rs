//! Credentials of a user: stored, removed, listed, tested; and the chain that every network is given.
//!
//! Invariants: no report has a secret in it; a helper is named by the user's own configuration, never by a project; what is
//! stored was accepted by its server, unless that was not asked for; a test only reads. Deliberately absent: terminals and the
//! environment, and a workspace where none is needed.

pub(crate) mod helpers;

use std::path::PathBuf;
use std::sync::Arc;

use backlot_backend::{StoreOptions, credentials_url, is_store_url};
use backlot_core::options;
use backlot_core::web::shown_text;
use backlot_core::{Context, Subject};
use backlot_net::{
    Account, Credential, CredentialChain, CredentialFile, FoundCredential, GivenCredential, ListedCredential,
    Network, NetworkOptions, PlaceName, Request, SourceKind, UrlPrefix,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{AuthError, Error, Result};
use crate::handle::options::ChangeOptions;
use crate::workspace::call::call;
use crate::workspace::config::Config;
use crate::workspace::settings::Host;

use helpers::chain;

/// The object that a store is asked for by a test; every repo has it, and a server tells strangers by the asking.
const ASKED_FOR: &str = "repo.json";

/// A server as credentials are found for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthTarget {
    /// The URL of a repo or remote, or of a part of a server.
    pub url: String,
    /// How a store is reached.
    pub options: StoreOptions,
    /// The repo or remote it is, by whose name variables are found.
    pub place: PlaceName,
}

/// The response to a read-only request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuthTest {
    /// The requested URL.
    pub url: String,
    /// The host that credentials are bound to.
    pub host: String,
    /// The kind of the credential's source; `None` without a credential.
    pub source: Option<SourceKind>,
    /// Which variable, command or file it was.
    pub from: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// Whether the server let us in.
    pub accepted: bool,
    /// The response.
    pub answer: String,
}

/// The result of a login.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoginReport {
    /// The addresses the credential is used for: all that begin so.
    pub prefix: String,
    /// The host it is bound to.
    pub host: String,
    /// The user.
    pub user: String,
    /// The file that it is stored in.
    pub file: PathBuf,
    /// The user of the credential that was there before.
    pub replaced: Option<String>,
    /// The server's response; `None` if it was not contacted.
    pub test: Option<AuthTest>,
    /// A source that takes precedence over the file and has a credential for this address as well.
    pub hidden_by: Option<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The result of a logout.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogoutReport {
    /// The addresses the credential was used for.
    pub prefix: String,
    /// Its user.
    pub user: String,
    /// The file that it was stored in.
    pub file: PathBuf,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// All credentials that are known, without secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuthList {
    /// In the order of the chain.
    pub credentials: Vec<ListedCredential>,
}

options! {
    /// How to log in.
    #[derive(Copy, Default)]
    pub struct LoginOptions {
        /// Store it without asking the server.
        pub untested: bool,
        /// Ask the server, store nothing.
        pub dry_run: bool,
    }
}

impl AuthError {
    /// The error that a refused test is.
    pub fn refused(test: &AuthTest) -> Self {
        Self::Refused {
            url: test.url.clone(),
            user: test.user.clone(),
            from: test.from.clone(),
            answer: test.answer.clone(),
        }
    }
}

impl AuthTarget {
    fn subject(&self) -> Subject {
        Subject::Url(shown_text(&self.url))
    }

    /// A target by its URL, or by the name of a repo or remote of a workspace. The workspace's settings for the URL (its
    /// name, the endpoint of a bucket) are the defaults.
    pub fn find(text: &str, options: &StoreOptions, config: Option<&Config>) -> Result<Self> {
        let repos = config.into_iter().flat_map(|config| &config.repos);
        let repos = repos.map(|repo| {
            (
                PlaceName::Repo(repo.name.clone()),
                &repo.name,
                &repo.place,
                &repo.store,
            )
        });
        let remotes = config.into_iter().flat_map(|config| &config.remotes);
        let remotes = remotes.map(|remote| {
            (
                PlaceName::Remote(remote.name.clone()),
                &remote.name,
                &remote.url,
                &remote.store,
            )
        });
        let same = |a: &str, b: &str| a.trim_end_matches('/') == b.trim_end_matches('/');
        let found = repos.chain(remotes).find(|(_, name, url, known)| {
            let is_named = *name == text || same(url, text);
            is_named && (*options == StoreOptions::default() || options == *known)
        });
        let target = match found {
            Some((place, _, url, options)) => Self {
                url: url.clone(),
                options: options.clone(),
                place,
            },
            None => Self {
                url: text.to_owned(),
                options: options.clone(),
                place: PlaceName::unnamed(),
            },
        };
        target.address()?;
        Ok(target)
    }

    /// The address that credentials are found by.
    fn address(&self) -> Result<Url> {
        // Refuses what no credential can be for; the address itself is whole.
        let bad = |reason: &str| backlot_net::Error::BadPrefix {
            url: shown_text(&self.url),
            reason: reason.to_owned(),
        };
        if !self.url.contains("://") {
            return Err(bad("it is not a URL or the name of a repo or remote of this workspace").into());
        }
        let url = Url::parse(&self.url).map_err(|e| bad(&e.to_string()))?;
        let address = credentials_url(&url, &self.options);
        UrlPrefix::of(&address)?;
        Ok(address)
    }

    /// The stored credential.
    fn prefix(&self) -> Result<UrlPrefix> {
        Ok(UrlPrefix::of(&self.address()?)?)
    }
}

/// The credentials of a user.
#[derive(Clone, Debug)]
pub struct Auth {
    host: Host,
}

impl Auth {
    /// Those of a host.
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone() }
    }

    fn file(&self) -> Result<CredentialFile> {
        let path = self.host.credential_file.as_ref().ok_or(AuthError::NoFile)?;
        Ok(CredentialFile::new(path))
    }

    /// All credentials of the sources.
    pub fn list(&self) -> Result<AuthList> {
        Ok(AuthList {
            credentials: chain(&self.host)?.list()?,
        })
    }

    /// Find the credential for a target and test it with the server. A rejection is not an error, but part of the report.
    pub fn test(&self, target: &AuthTarget, context: &Context) -> Result<AuthTest> {
        call(("test", target.subject()), &self.host, context, |context| {
            self.try_target(target, context)
        })
    }

    /// The same, as a part of another call.
    pub(crate) fn try_target(&self, target: &AuthTarget, context: &Context) -> Result<AuthTest> {
        self.ask(target, chain(&self.host)?, context)
    }

    /// Store a credential, if its server accepts it.
    pub fn login(
        &self,
        target: &AuthTarget,
        credential: &Credential,
        options: LoginOptions,
        context: &Context,
    ) -> Result<LoginReport> {
        call(("login", target.subject()), &self.host, context, |context| {
            self.store(target, credential, options, context)
        })
    }

    fn store(
        &self,
        target: &AuthTarget,
        credential: &Credential,
        options: LoginOptions,
        context: &Context,
    ) -> Result<LoginReport> {
        let (file, prefix) = (self.file()?, target.prefix()?);
        if credential.password.is_empty() || credential.password.contains(char::is_control) {
            return Err(AuthError::BadSecret.into());
        }
        if prefix
            .user()
            .is_some_and(|user| user != credential.user && !credential.is_token())
        {
            return Err(AuthError::OtherUser {
                prefix: prefix.to_string(),
                user: credential.user.clone(),
            }
            .into());
        }
        // Whether it can be stored is known before the server is asked.
        let before = file.stored(&prefix)?;
        let first = chain(&self.host)?.find(&target.place, &target.address()?, None, context)?;
        let hidden_by = first.filter(|found| found.source < SourceKind::File);
        let test = if options.untested {
            None
        } else {
            let given = GivenCredential(credential.clone());
            let chain = CredentialChain::default().with(Arc::new(given));
            let test = self.ask(target, chain, context)?;
            if !test.accepted {
                return Err(AuthError::refused(&test).into());
            }
            Some(test)
        };
        let replaced = if options.dry_run {
            before
        } else {
            file.store(&prefix, credential, context)?
        };
        Ok(LoginReport {
            prefix: prefix.to_string(),
            host: prefix.host().to_owned(),
            user: credential.user.clone(),
            file: file.path().to_path_buf(),
            replaced,
            test,
            hidden_by: hidden_by.map(|found| found.from),
            dry_run: options.dry_run,
        })
    }

    /// Remove the credential that is stored for a target.
    pub fn logout(
        &self,
        target: &AuthTarget,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<LogoutReport> {
        call(("logout", target.subject()), &self.host, context, |context| {
            self.forget(target, options.dry_run, context)
        })
    }

    fn forget(&self, target: &AuthTarget, dry_run: bool, context: &Context) -> Result<LogoutReport> {
        let (file, prefix) = (self.file()?, target.prefix()?);
        let removed = if dry_run {
            file.stored(&prefix)?
        } else {
            file.remove(&prefix, context)?
        };
        let Some(user) = removed else {
            let known = file_prefixes(&file)?;
            return Err(AuthError::NotStored {
                prefix: prefix.to_string(),
                file: file.path().to_path_buf(),
                known,
            }
            .into());
        };
        Ok(LogoutReport {
            prefix: prefix.to_string(),
            user,
            file: file.path().to_path_buf(),
            dry_run,
        })
    }

    fn ask(&self, target: &AuthTarget, chain: CredentialChain, context: &Context) -> Result<AuthTest> {
        let address = target.address()?;
        let found = chain.find(&target.place, &address, None, context)?;
        let options = NetworkOptions {
            credentials: chain,
            cache: self.host.default_cache.join("index"),
            ..self.host.network.clone()
        };
        let network = Network::new(options, context.clone())?;
        let answer = if is_store_url(&target.url) {
            ask_store(&network, target)
        } else {
            ask_server(&network, target, &address)
        };
        let (accepted, answer) = match answer {
            Ok(answer) => (true, answer),
            Err(error) if is_denied(&error) => (false, error.to_string()),
            Err(error) => return Err(error),
        };
        Ok(report(target, &address, found, accepted, answer))
    }
}

fn report(
    target: &AuthTarget,
    address: &Url,
    found: Option<FoundCredential>,
    accepted: bool,
    answer: String,
) -> AuthTest {
    AuthTest {
        url: shown_text(&target.url),
        host: address.host_str().unwrap_or_default().to_owned(),
        source: found.as_ref().map(|found| found.source),
        from: found.as_ref().map(|found| found.from.clone()),
        user: found.map(|found| found.credential.user),
        accepted,
        answer,
    }
}

/// Request the smallest part of a URL; its content is not read.
fn ask_server(network: &Network, target: &AuthTarget, address: &Url) -> Result<String> {
    network.check_online("it", &shown_text(&target.url))?;
    let account = Account::open(network, &target.place, address)?;
    let ask = Request::new(address.clone(), 64 * 1024).range("0-0");
    let answer = network.block(network.ask(&account, &ask, &mut Vec::new()));
    Ok(format!("it answered {}", answer?.status))
}

fn ask_store(network: &Network, target: &AuthTarget) -> Result<String> {
    let store = backlot_backend::open(network, &target.place, &target.url, &target.options);
    let store = store.map_err(backlot_store::Error::from)?;
    let found = store.stat(ASKED_FOR).map_err(backlot_store::Error::from)?;
    Ok(match found {
        Some(_) => "it has a repo there".to_owned(),
        None => "it answered".to_owned(),
    })
}

fn is_denied(error: &Error) -> bool {
    match error {
        Error::Network(error) => matches!(error, backlot_net::Error::Denied { .. }),
        Error::Store(backlot_store::Error::Backend(error)) => error.is_denied(),
        _ => false,
    }
}

/// The prefixes that a file has.
fn file_prefixes(file: &CredentialFile) -> Result<Vec<String>> {
    use backlot_net::CredentialSource as _;
    let listed = file.list()?;
    Ok(listed.into_iter().filter_map(|listed| listed.prefix).collect())
}
