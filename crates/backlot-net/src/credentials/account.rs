//! The credential for one location: found once, and requested again when it has expired or is rejected.
//!
//! Invariants: nothing is looked for where it would be sent unencrypted; after a refusal the chain is asked once, and again only
//! when its credential worked meanwhile, or some time later; of many concurrent rejections one asks. Deliberately absent:
//! sending it, which each way of talking does in its own form.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backlot_core::web::may_carry_secret;
use backlot_core::{Context, Timestamp};
use url::{Origin, Url};

use super::{Credential, CredentialChain, FoundCredential, PlaceName, server_url};
use crate::error::{Error, Result};
use crate::network::Network;

/// How long before its end a credential counts as expired.
const MARGIN: u64 = 10_000;

/// How long the chain is left alone after it had nothing better.
const PAUSE: Duration = Duration::from_secs(10);

/// The credential for a location. Cheap to clone; clones share it.
///
/// ```
/// use backlot_core::Context;
/// use backlot_net::{Account, Network, NetworkOptions, PlaceName};
///
/// let folder = tempfile::tempdir().unwrap();
/// let network = Network::new(NetworkOptions::new(folder.path()), Context::default()).unwrap();
/// let url = "https://index.studio.example/simple/".parse().unwrap();
/// let account = Account::open(&network, &PlaceName::Repo("blessed".to_owned()), &url).unwrap();
/// assert!(account.credential().unwrap().is_none(), "no source has one");
/// ```
#[derive(Clone)]
pub struct Account(Arc<Shared>);

struct Shared {
    place: PlaceName,
    url: Url,
    chain: CredentialChain,
    context: Context,
    state: Mutex<State>,
    /// Held while the chain is asked.
    asking: Mutex<()>,
}

#[derive(Default)]
struct State {
    found: Option<FoundCredential>,
    /// It came in place of a refused one, and has not worked yet.
    is_unproven: bool,
    /// When the chain had nothing better.
    given_up: Option<Instant>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("place", &self.0.place)
            .field("found", &self.state().found)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// The credential for a URL; none if it would be sent unencrypted.
    pub fn open(network: &Network, place: &PlaceName, url: &Url) -> Result<Self> {
        let url = server_url(url);
        let chain = network.options().credentials.clone();
        let found = if may_carry_secret(&url) {
            chain.find(place, &url, None, network.context())?
        } else {
            None
        };
        Ok(Self(Arc::new(Shared {
            place: place.clone(),
            url,
            chain,
            context: network.context().clone(),
            state: Mutex::new(State {
                found,
                ..State::default()
            }),
            asking: Mutex::default(),
        })))
    }

    /// The repo or remote.
    pub fn place(&self) -> &PlaceName {
        &self.0.place
    }

    /// The one scheme, host and port that gets the credential.
    pub fn origin(&self) -> Origin {
        self.0.url.origin()
    }

    /// The credential and its source.
    pub fn found(&self) -> Option<FoundCredential> {
        self.state().found.clone()
    }

    /// The credential, requested again if it has expired. Waits for a helper.
    pub fn credential(&self) -> Result<Option<Credential>> {
        let expired = |state: &State| state.found.as_ref().is_some_and(|found| self.is_expired(found));
        if expired(&self.state()) {
            let _asking = self.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
            if expired(&self.state()) {
                let old = self.state().found.as_ref().map(|found| found.credential.clone());
                let found = self.look(old.as_ref())?;
                self.state().found = found;
            }
        }
        Ok(self.state().found.as_ref().map(|found| found.credential.clone()))
    }

    /// The same without holding up the runtime that it is asked on.
    pub async fn current(&self) -> Result<Option<Credential>> {
        {
            let state = self.state();
            if state.found.as_ref().is_none_or(|found| !self.is_expired(found)) {
                return Ok(state.found.as_ref().map(|found| found.credential.clone()));
            }
        }
        let this = self.clone();
        beside(move || this.credential()).await
    }

    /// A credential was refused: whether there is another one now.
    pub async fn renew(&self, refused: &Credential) -> Result<bool> {
        let (this, refused) = (self.clone(), refused.clone());
        beside(move || this.look_for_other(&refused)).await
    }

    /// The current credential was accepted.
    pub fn worked(&self) {
        self.state().is_unproven = false;
    }

    fn look_for_other(&self, refused: &Credential) -> Result<bool> {
        let _asking = self.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let state = self.state();
            let is_current = state
                .found
                .as_ref()
                .is_some_and(|found| found.credential == *refused);
            if !is_current {
                return Ok(state.found.is_some());
            }
            if state.is_unproven || state.given_up.is_some_and(|at| at.elapsed() < PAUSE) {
                return Ok(false);
            }
        }
        let found = self.look(Some(refused))?;
        let mut state = self.state();
        if found.as_ref().is_none_or(|found| found.credential == *refused) {
            state.given_up = Some(Instant::now());
            return Ok(false);
        }
        state.found = found;
        state.is_unproven = true;
        Ok(true)
    }

    fn look(&self, instead_of: Option<&Credential>) -> Result<Option<FoundCredential>> {
        let shared = &self.0;
        shared
            .chain
            .find(&shared.place, &shared.url, instead_of, &shared.context)
    }

    fn is_expired(&self, found: &FoundCredential) -> bool {
        let soon = Timestamp(self.0.context.now().0.saturating_add(MARGIN));
        found.expires.is_some_and(|at| at <= soon)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wait for something that takes its thread, on another one.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| {
        Err(Error::Setup {
            reason: e.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use backlot_core::{Context, Timestamp};

    use super::super::{
        Credential, CredentialChain, CredentialRequest, CredentialSource, FoundCredential, PlaceName,
        SourceKind,
    };
    use super::Account;
    use crate::error::{Error, Result};
    use crate::network::{Network, NetworkOptions};

    /// Answers with a password that says how often it was asked, good for some milliseconds.
    #[derive(Debug)]
    struct Counting {
        asked: AtomicU64,
        changes: bool,
        lasts: Option<u64>,
    }

    impl CredentialSource for Counting {
        fn kind(&self) -> SourceKind {
            SourceKind::Helper
        }
        fn find(&self, _: &CredentialRequest<'_>, context: &Context) -> Result<Option<FoundCredential>> {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            Ok(Some(FoundCredential {
                credential: Credential {
                    user: "ana".to_owned(),
                    password: if self.changes {
                        number.to_string()
                    } else {
                        "same".to_owned()
                    },
                },
                source: SourceKind::Helper,
                from: "counting".to_owned(),
                expires: self.lasts.map(|lasts| Timestamp(context.now().0 + lasts)),
            }))
        }
    }

    fn account(changes: bool, lasts: Option<u64>, url: &str) -> (Account, Network, Arc<Counting>) {
        let source = Arc::new(Counting {
            asked: AtomicU64::new(0),
            changes,
            lasts,
        });
        let folder = tempfile::tempdir().unwrap();
        let options = NetworkOptions {
            credentials: CredentialChain::default().with(Arc::clone(&source) as _),
            ..NetworkOptions::new(folder.path())
        };
        let network = Network::new(options, Context::default()).unwrap();
        let account = Account::open(&network, &PlaceName::unnamed(), &url.parse().unwrap()).unwrap();
        (account, network, source)
    }

    fn renew(account: &Account, network: &Network) -> bool {
        let now = account.credential().unwrap().unwrap();
        network.block::<_, Error>(account.renew(&now)).unwrap()
    }

    #[test]
    fn a_refused_credential_is_asked_for_once_until_one_works() {
        let (account, network, source) = account(true, None, "https://host/");
        assert!(renew(&account, &network));
        assert_eq!(account.credential().unwrap().unwrap().password, "1");
        assert!(!renew(&account, &network));
        account.worked();
        assert!(renew(&account, &network));
        assert_eq!(source.asked.load(Ordering::Relaxed), 3);
        // One that has already been replaced is not requested.
        let old = Credential {
            user: "ana".to_owned(),
            password: "0".to_owned(),
        };
        assert!(network.block::<_, Error>(account.renew(&old)).unwrap());
        assert_eq!(source.asked.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn the_same_answer_again_is_no_other_and_the_chain_is_left_alone() {
        let (account, network, source) = account(false, None, "https://host/");
        assert!(!renew(&account, &network));
        assert!(!renew(&account, &network));
        assert_eq!(source.asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_expired_credential_is_asked_for_before_it_is_used() {
        let (lasting, _network, source) = account(true, Some(3_600_000), "https://host/");
        assert_eq!(lasting.credential().unwrap().unwrap().password, "0");
        assert_eq!(source.asked.load(Ordering::Relaxed), 1);
        let (account, network, _) = account(true, Some(1000), "https://host/");
        assert_eq!(account.credential().unwrap().unwrap().password, "1");
        let now = network.block::<_, Error>(account.current()).unwrap();
        assert_eq!(now.unwrap().password, "2");
    }

    #[test]
    fn nothing_is_looked_for_where_it_would_be_sent_unencrypted() {
        for url in ["http://host/", "webdav+http://host/"] {
            let (account, _network, source) = account(true, None, url);
            assert!(account.credential().unwrap().is_none());
            assert_eq!(source.asked.load(Ordering::Relaxed), 0);
        }
        let (account, ..) = account(true, None, "webdav+http://127.0.0.1:1/x");
        assert!(account.credential().unwrap().is_some());
    }
}
