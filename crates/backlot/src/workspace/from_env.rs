//! The host of a person's own machine, as the command has it, from the environment: folders, the chain of credentials, proxies, names, threads.
//!
//! `BACKLOT_CACHE_DIR`, `BACKLOT_DATA_DIR`, `BACKLOT_AUTHOR`, `BACKLOT_PYTHON`, `BACKLOT_LINKS`, `BACKLOT_CONFIG`, `BACKLOT_THREADS`,
//! `BACKLOT_SITE_CACHE`, `BACKLOT_OFFLINE`, `BACKLOT_REPO_<NAME>_USERNAME`, `_PASSWORD`, `_TOKEN`, `_HOST` and `_KEY`,
//! the same with `BACKLOT_REMOTE_<NAME>`, `BACKLOT_CREDENTIALS`, `NETRC`,
//! `BACKLOT_KNOWN_HOSTS`, `SSH_AUTH_SOCK`,
//! `SSL_CERT_FILE`, `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, and what the platform says of folders and names.
//!
//! Invariant: this is the only file of the libraries that reads the environment, and only when it is asked to. It is a module of this crate and not a
//! crate, since it makes nothing but a [`Host`]: it has no user without this crate, and brings no dependency. Deliberately absent: terminals, and a
//! supervisor of stages' commands and the command for attempts of cascades, which are ways to start the program itself.
#![expect(
    clippy::disallowed_methods,
    reason = "a program asks for its environment here"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_core::{Pool, platform};
use backlot_net::{CredentialChain, FromVariables, Netrc, NetworkOptions, Proxies, SshOptions};

use crate::workspace::settings::{CommandVariables, Host, Overrides};

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn folder(name: &str, fallback: &str) -> PathBuf {
    let home = || {
        text("HOME")
            .or_else(|| text("USERPROFILE"))
            .map(|home| PathBuf::from(home).join(fallback))
    };
    text(name)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
}

/// A variable that other tools write in either case. `HTTP_PROXY` in capitals is not read where a CGI server may have set
/// it from a request.
fn proxy(name: &str) -> Option<String> {
    let forged = name == "HTTP_PROXY" && text("REQUEST_METHOD").is_some();
    text(&name.to_ascii_lowercase()).or_else(|| text(name).filter(|_| !forged))
}

/// How servers are reached.
fn network(cache: &Path) -> NetworkOptions {
    let all = proxy("ALL_PROXY");
    let home = text("HOME").or_else(|| text("USERPROFILE"));
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut credentials = CredentialChain::default().with(Arc::new(FromVariables::new(variables)));
    let netrc = text("NETRC")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| PathBuf::from(home).join(".netrc")));
    if let Some(netrc) = netrc {
        credentials = credentials.with(Arc::new(Netrc::new(netrc)));
    }
    let ssh = home.map(|home| PathBuf::from(home).join(".ssh"));
    let in_ssh = |names: &[&str]| -> Vec<PathBuf> {
        let folder = ssh.iter();
        folder
            .flat_map(|folder| names.iter().map(|name| folder.join(name)))
            .collect()
    };
    let known_hosts = text("BACKLOT_KNOWN_HOSTS").map_or_else(
        || {
            let mut files = in_ssh(&["known_hosts"]);
            files.push(PathBuf::from("/etc/ssh/ssh_known_hosts"));
            files
        },
        |path| vec![PathBuf::from(path)],
    );
    NetworkOptions {
        offline: text("BACKLOT_OFFLINE")
            .is_some_and(|v| !matches!(v.to_ascii_lowercase().as_str(), "0" | "false" | "no")),
        proxies: Proxies {
            http: proxy("HTTP_PROXY").or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY").or(all),
            none: proxy("NO_PROXY"),
        },
        roots: text("SSL_CERT_FILE").map(PathBuf::from).into_iter().collect(),
        credentials,
        ssh: SshOptions {
            user: text("USER")
                .or_else(|| text("LOGNAME"))
                .or_else(|| text("USERNAME")),
            agent: text("SSH_AUTH_SOCK").map(PathBuf::from),
            keys: in_ssh(&["id_ed25519", "id_rsa"]),
            known_hosts,
        },
        ..NetworkOptions::new(cache)
    }
}

/// The account that runs this; on systems that are not asked, what the environment says.
fn account() -> String {
    let said = || text("USERNAME").unwrap_or_else(|| "unknown".to_owned());
    platform::account().unwrap_or_else(said)
}

impl Host {
    /// The host configuration of the command, for programs that are started like it: the same cache, configuration and credentials,
    /// the same author in records. Change the fields afterwards as needed.
    ///
    /// ```
    /// let mut host = backlot::Host::from_env();
    /// host.network.offline = true;
    /// assert!(host.user_config.is_some() && host.default_cache.ends_with("backlot"));
    /// ```
    pub fn from_env() -> Self {
        let named = || text("COMPUTERNAME").unwrap_or_else(|| "unknown".to_owned());
        let machine = platform::host_name().unwrap_or_else(named);
        let config = text("BACKLOT_CONFIG").map(PathBuf::from);
        let cache = folder("XDG_CACHE_HOME", ".cache").join("backlot");
        Self {
            network: network(&cache),
            default_cache: cache,
            data: text("BACKLOT_DATA_DIR").map_or_else(
                || folder("XDG_DATA_HOME", ".local/share").join("backlot"),
                |d| std::path::absolute(&d).unwrap_or_else(|_| PathBuf::from(d)),
            ),
            user_config: Some(
                config.unwrap_or_else(|| folder("XDG_CONFIG_HOME", ".config").join("backlot/config.toml")),
            ),
            credential_file: Some(text("BACKLOT_CREDENTIALS").map_or_else(
                || folder("XDG_CONFIG_HOME", ".config").join("backlot/credentials.json"),
                |path| std::path::absolute(&path).unwrap_or_else(|_| PathBuf::from(path)),
            )),
            path: std::env::var_os("PATH"),
            environment: CommandVariables(std::env::vars_os().collect()),
            supervisor: None,
            program: None,
            author: account(),
            machine,
            site_cache: text("BACKLOT_SITE_CACHE").map(PathBuf::from),
            pool: text("BACKLOT_THREADS")
                .and_then(|threads| threads.parse().ok())
                .map_or_else(Pool::default, Pool::new),
            overrides: Overrides {
                cache: text("BACKLOT_CACHE_DIR")
                    .map(|c| std::path::absolute(&c).unwrap_or_else(|_| PathBuf::from(c))),
                links: text("BACKLOT_LINKS").and_then(|l| l.split(',').map(|m| m.parse().ok()).collect()),
                python: text("BACKLOT_PYTHON"),
                author: text("BACKLOT_AUTHOR"),
            },
        }
    }
}
