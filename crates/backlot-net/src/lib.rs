//! The way out of the machine: one HTTP client and one runtime for a program, with proxies, certificates, limits, redirects,
//! repeats, credentials, and a folder of kept answers.
//!
//! Invariants: proxies, certificates and credentials are given, never looked up here (the system's own store of
//! certificates excepted); **a secret goes to the host it belongs to and nowhere else**, and never unencrypted except to
//! this machine; an encrypted request never continues unencrypted; no answer is read beyond its limit, nor one that only trickles; every wait ends when
//! the work is cancelled. Deliberately absent: the requests themselves, and reading the environment.

mod body;
mod child;
mod client;
mod credentials;
mod download;
mod error;
mod fetch;
mod http_cache;
mod network;
mod pace;
mod part_file;
mod pauses;
mod post;
mod redirect;
mod runtime;

pub use body::{Blocks, FileBlocks, body};
pub use child::{Finished, OwnChild, Unfinished};
pub use client::{ClientOptions, Proxies, build_client, reason};
pub use credentials::{
    Account, CommandHelper, CommandHelpers, Credential, CredentialChain, CredentialFile, CredentialRequest,
    CredentialSource, FoundCredential, FromVariables, GivenCredential, ListedCredential, Netrc, PlaceName,
    SourceKind, UrlPrefix, server_url,
};
pub use download::{Download, Downloaded, WebFile};
pub use error::{Error, Result, tame};
pub use fetch::{Failure, FileSink, Request, Response, Sink, error_text, failure};
pub use http_cache::{CachedResponse, HttpCache, Kind, ResponseMeta};
pub use network::{Network, NetworkOptions, SshOptions};
pub use pace::{Pace, TOO_SLOW};
pub use part_file::{PartFile, forget_part};
pub use pauses::{LONGEST_PAUSE, Pauses};
pub use post::SignedPost;
pub use redirect::{follow, refused};
pub use runtime::{Runtime, is_in_runtime};
