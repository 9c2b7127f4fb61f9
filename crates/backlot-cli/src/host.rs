//! The environment variables, read in this one place.
//!
//! `BACKLOT_CACHE_DIR`, `BACKLOT_DATA_DIR`, `BACKLOT_AUTHOR`, `BACKLOT_PYTHON`, `BACKLOT_LINKS`, `BACKLOT_CONFIG`,
//! `BACKLOT_WORKSPACE`, `BACKLOT_SITE_CACHE`, `BACKLOT_PART_REMOTE`, `_ENDPOINT` and `_REGION`, `BACKLOT_OFFLINE`, `BACKLOT_REPO_<NAME>_USERNAME`, `_PASSWORD`, `_TOKEN`, `_HOST` and `_KEY`,
//! the same with `BACKLOT_REMOTE_<NAME>`, `BACKLOT_CREDENTIALS`, `NETRC`,
//! `BACKLOT_KNOWN_HOSTS`, `SSH_AUTH_SOCK`,
//! `SSL_CERT_FILE`, `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, and what the platform says of folders and names.
#![expect(
    clippy::disallowed_methods,
    reason = "only the command line reads the environment, here"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot::{
    CommandVariables, CredentialChain, FromVariables, Host, Netrc, NetworkOptions, Overrides, Proxies,
    SshOptions, StoreOptions,
};

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

/// The folder to look for the workspace from, if the environment names one.
pub(crate) fn workspace() -> Option<PathBuf> {
    text("BACKLOT_WORKSPACE").map(PathBuf::from)
}

/// The remote that parts of farm jobs go to, if the environment names one, and how it is reached where that was not said.
pub(crate) fn part_remote(mut options: StoreOptions) -> (Option<String>, StoreOptions) {
    options.endpoint = options.endpoint.or_else(|| text("BACKLOT_PART_ENDPOINT"));
    options.region = options.region.or_else(|| text("BACKLOT_PART_REGION"));
    (text("BACKLOT_PART_REMOTE"), options)
}

/// A search path (`PATH`, `PYTHONPATH`) with a folder before what it has.
pub(crate) fn search_path(name: &str, first: &Path) -> std::ffi::OsString {
    let rest = std::env::var_os(name).unwrap_or_default();
    let rest = std::env::split_paths(&rest).filter(|p| !p.as_os_str().is_empty());
    std::env::join_paths(std::iter::once(first.to_path_buf()).chain(rest))
        .unwrap_or_else(|_| first.as_os_str().to_owned())
}

/// Whether colours are not wanted.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || text("TERM").as_deref() == Some("dumb")
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

/// The account that runs this, by the system's own answer: `USER` says what anybody wrote into it. Accounts of a directory
/// service are found where the C library knows such (glibc through NSS; musl, of which static builds are made, through a
/// running nscd). An account without a name, as in many containers, is its number.
fn account() -> String {
    let id = nix::unistd::getuid();
    let known = nix::unistd::User::from_uid(id).ok().flatten();
    known.map_or_else(|| format!("uid-{id}"), |user| user.name)
}

/// Let this process have as many open files as the system allows it: the soft limit is a habit of `select`, which is not used.
/// What it starts for others keeps the limit it was given, so `run` does not call this.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Without it, what needs more says so.
        setrlimit(Resource::Nofile, raised).ok();
    }
}

/// The hidden command that starts the supervisor of a stage's command.
const SUPERVISE: &str = "supervise-stage";

/// Be the supervisor of a stage's command, if this process was started as one.
pub(crate) fn supervised() -> Option<std::process::ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let is_meant = arguments.next().is_some_and(|first| first == SUPERVISE);
    is_meant.then(|| {
        let code = backlot::supervise(arguments);
        std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
    })
}

/// Who and where this command runs.
pub(crate) fn host() -> Host {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let config = text("BACKLOT_CONFIG").map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME", ".cache").join("backlot");
    Host {
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
        supervisor: std::env::current_exe()
            .ok()
            .map(|program| (program, vec![SUPERVISE.into()])),
        author: account(),
        machine,
        site_cache: text("BACKLOT_SITE_CACHE").map(PathBuf::from),
        overrides: Overrides {
            cache: text("BACKLOT_CACHE_DIR")
                .map(|c| std::path::absolute(&c).unwrap_or_else(|_| PathBuf::from(c))),
            links: text("BACKLOT_LINKS").and_then(|l| l.split(',').map(|m| m.parse().ok()).collect()),
            python: text("BACKLOT_PYTHON"),
            author: text("BACKLOT_AUTHOR"),
        },
    }
}
