//! Whether a workspace and this machine are fit to work: disks, links, modes, the clock, Python, repos, remotes, credentials.
//!
//! Invariants: what one check finds stops no other; nothing is changed but temporary files that are removed again; a server is asked no more than
//! `auth test` asks it. Deliberately absent: content, which `verify` checks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_backend::StoreOptions;
use backlot_core::file::{self, TemporaryFolder};
use backlot_core::{Class, Diagnostic, LinkMode, link, text};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::Lock;
use crate::error::{Error, Result};
use crate::workspace::Opened;
use crate::workspace::auth::{Auth, AuthTarget};

/// Less free space than this causes a warning.
const FEW_BYTES: u64 = 2 << 30;
/// A larger clock difference to a disk causes a warning.
const SKEW: Duration = Duration::from_secs(5);

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// As it should be.
    Ok,
    /// It works, and something should be done.
    Warning,
    /// It does not work.
    Problem,
}

/// The result of a check.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HealthCheck {
    /// The subject: `disk`, `repo review`.
    pub name: String,
    /// How it is.
    pub state: HealthState,
    /// The finding.
    pub message: String,
    /// The advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Something does not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} found: {}", text::count(names.len() as u64, "problem"), names.join(", "))]
pub struct ProblemsFound {
    /// The failed checks.
    pub names: Vec<String>,
}

impl ProblemsFound {
    /// The problems among some checks; `None` without problems.
    pub fn of(checks: &[HealthCheck]) -> Option<Self> {
        let problems = checks.iter().filter(|check| check.state == HealthState::Problem);
        let names: Vec<String> = problems.map(|check| check.name.clone()).collect();
        (!names.is_empty()).then_some(Self { names })
    }
}

impl Diagnostic for ProblemsFound {
    fn code(&self) -> &'static str {
        "doctor::problems_found"
    }
    fn class(&self) -> Class {
        Class::Environment
    }
    fn help(&self) -> Option<String> {
        Some("follow the advice in the report, then run `doctor` again".to_owned())
    }
}

impl HealthCheck {
    fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: HealthState::Ok,
            message: message.into(),
            help: None,
        }
    }

    fn warning(name: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            state: HealthState::Warning,
            help: Some(help.into()),
            ..Self::ok(name, message)
        }
    }

    fn problem(name: impl Into<String>, error: &Error) -> Self {
        Self {
            state: HealthState::Problem,
            help: error.help(),
            ..Self::ok(name, error.to_string())
        }
    }

    fn of(name: impl Into<String>, found: Result<String>) -> Self {
        match found {
            Ok(message) => Self::ok(name, message),
            Err(error) => Self::problem(name, &error),
        }
    }
}

impl Opened {
    pub(crate) fn doctor(&self) -> Result<Vec<HealthCheck>> {
        let version = env!("CARGO_PKG_VERSION");
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let mut checks = vec![
            HealthCheck::ok("version", format!("backlot {version} for {os} on {arch}")),
            HealthCheck::of("python", self.python_found()),
            HealthCheck::of("lock", self.lock_found()),
        ];
        checks.extend(self.outputs_found()?);
        let cache = self.cache_dir().to_path_buf();
        for (name, folder) in [("workspace", self.root()), ("cache", cache.as_path())] {
            checks.push(check_folder(name, folder));
            checks.push(check_disk(&format!("disk of the {name}"), folder));
        }
        checks.push(self.check_links(&cache));
        checks.push(self.check_clock("clock"));
        checks.extend(self.check_places());
        checks.extend(check_credential_file(self.host().credential_file.as_deref()));
        Ok(checks)
    }

    fn python_found(&self) -> Result<String> {
        Ok(match self.interpreter()? {
            Some(python) => format!("Python {} in `{}`", python.version, python.executable.display()),
            None => "none: inputs is a plain tree".to_owned(),
        })
    }

    fn lock_found(&self) -> Result<String> {
        Ok(match Lock::load(self.root())? {
            Some(lock) => text::count(lock.packages.len() as u64, "package"),
            None => "nothing is installed yet".to_owned(),
        })
    }

    fn outputs_found(&self) -> Result<Vec<HealthCheck>> {
        let (outputs, unreadable) = self.read_outputs()?;
        let mut checks = vec![HealthCheck::ok(
            "outputs",
            text::count(outputs.len() as u64, "asset"),
        )];
        for one in &unreadable {
            let name = format!("output {}", self.display_path(&one.path));
            checks.push(HealthCheck::problem(name, &one.error));
        }
        Ok(checks)
    }

    /// How files get from the cache into the workspace.
    fn check_links(&self, cache: &Path) -> HealthCheck {
        let name = "links";
        let links = &self.settings().links.value;
        let tried = || -> Result<Vec<LinkMode>> {
            let (from, to) = (
                TemporaryFolder::in_folder(cache)?,
                TemporaryFolder::in_folder(&self.state_dir())?,
            );
            let sample = from.path().join("sample");
            file::write_for_now(&sample, b"sample")?;
            Ok(link::usable(&sample, to.path(), links))
        };
        let (wanted, found) = match tried() {
            Ok(found) => (join(links), found),
            Err(error) => return HealthCheck::problem(name, &error),
        };
        match found.first() {
            Some(LinkMode::Copy) if links.len() > 1 => HealthCheck::warning(
                name,
                format!(
                    "of {wanted}, only copying works between the cache and this workspace: files use twice the space"
                ),
                "put the cache on the disk of the workspace, with a file system that supports reflinks, or allow hard links with `config set links reflink hardlink copy`",
            ),
            Some(mode) => HealthCheck::ok(name, format!("files are placed by {mode}")),
            None => HealthCheck {
                state: HealthState::Problem,
                ..HealthCheck::warning(
                    name,
                    format!("none of {wanted} works between the cache and this workspace"),
                    "allow copies with `config set links reflink copy`",
                )
            },
        }
    }

    /// Whether the disk of the workspace has the time of this machine.
    fn check_clock(&self, name: &str) -> HealthCheck {
        let tried = || -> Result<Duration> {
            let folder = TemporaryFolder::in_folder(&self.state_dir())?;
            let sample = folder.path().join("sample");
            file::write_for_now(&sample, b"sample")?;
            let disk = fs::metadata(&sample)?.modified()?;
            let now = std::time::UNIX_EPOCH + Duration::from_millis(self.context().now().0);
            Ok(now
                .duration_since(disk)
                .or_else(|_| disk.duration_since(now))
                .unwrap_or_default())
        };
        match tried() {
            Ok(skew) if skew <= SKEW => HealthCheck::ok(name, "in sync with the workspace's disk"),
            Ok(skew) => HealthCheck::warning(
                name,
                format!(
                    "it differs by {} s from that of the workspace's disk",
                    skew.as_secs()
                ),
                "synchronise both clocks with NTP: releases and events are ordered by time",
            ),
            Err(error) => HealthCheck::problem(name, &error),
        }
    }

    /// The repos and remotes, and the servers behind them.
    fn check_places(&self) -> Vec<HealthCheck> {
        let mut checks = Vec::new();
        for entry in self.repos() {
            let name = format!("repo {}", entry.name);
            if entry.is_remote() {
                checks.push(self.check_server(&name, &entry.name));
                continue;
            }
            match self
                .open_repo(entry)
                .and_then(|opened| Ok(opened.packages()?.len()))
            {
                Err(error) => checks.push(HealthCheck::problem(&name, &error)),
                Ok(count) => {
                    checks.push(HealthCheck::ok(&name, text::count(count as u64, "package")));
                    checks.extend(check_mode(&name, Path::new(&self.resolve_place(&entry.place))));
                }
            }
        }
        for entry in &self.config().remotes {
            let name = format!("remote {}", entry.name);
            if let Err(error) = self.open_remote(entry) {
                checks.push(HealthCheck::problem(&name, &error));
            } else if entry.url.contains("://") {
                checks.push(self.check_server(&name, &entry.name));
            } else {
                let place = PathBuf::from(self.resolve_place(&entry.url));
                checks.push(check_folder(&name, &place));
                checks.push(check_disk(&format!("disk of the {name}"), &place));
                checks.extend(check_mode(&name, &place));
            }
        }
        if self.config().repos.is_empty() {
            let (message, help) = ("the workspace has none", "`repo add NAME PLACE` adds one");
            checks.push(HealthCheck::warning("repos", message, help));
        }
        if self.config().remotes.is_empty() {
            let (message, help) = ("the workspace has none", "`remote add NAME PLACE` adds one");
            checks.push(HealthCheck::warning("remotes", message, help));
        }
        checks
    }

    /// Whether a server answers, and with which credential.
    fn check_server(&self, name: &str, place: &str) -> HealthCheck {
        let tested = AuthTarget::find(place, &StoreOptions::default(), Some(self.config()))
            .and_then(|target| Auth::new(self.host()).try_target(&target, self.context()));
        match tested {
            Ok(test) if test.accepted => {
                let from = test.from.map(|from| format!(", with the credential in {from}"));
                HealthCheck::ok(name, format!("{}{}", test.answer, from.unwrap_or_default()))
            }
            Ok(test) => HealthCheck {
                state: HealthState::Problem,
                ..HealthCheck::warning(
                    name,
                    test.answer.clone(),
                    format!(
                        "check the credential with `auth test {place}`, or store one with `auth login {place}`"
                    ),
                )
            },
            Err(error) => HealthCheck::problem(name, &error),
        }
    }
}

fn join(links: &[LinkMode]) -> String {
    links
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether a folder is there and can be written to.
fn check_folder(name: &str, folder: &Path) -> HealthCheck {
    let place = folder.display();
    if !folder.is_dir() {
        return HealthCheck::ok(name, format!("`{place}` is created when needed"));
    }
    if file::is_writable(folder) {
        return HealthCheck::ok(name, format!("`{place}`"));
    }
    HealthCheck::warning(
        name,
        format!("`{place}` is not writable"),
        "ask its owner for write access, or use another folder",
    )
}

fn check_disk(name: &str, folder: &Path) -> HealthCheck {
    let there = folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(folder);
    match file::disk_space(there) {
        Ok(space) if space.free < FEW_BYTES => HealthCheck::warning(
            name,
            format!(
                "only {} of {} are free",
                text::bytes(space.free),
                text::bytes(space.all)
            ),
            "`cache clean` frees space on the disk of the cache",
        ),
        Ok(space) => HealthCheck::ok(name, format!("{} free", text::bytes(space.free))),
        Err(error) => HealthCheck::problem(name, &error.into()),
    }
}

/// The problem with the mode of a location that several users write to.
#[cfg(unix)]
fn check_mode(name: &str, folder: &Path) -> Option<HealthCheck> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(folder).ok()?.permissions().mode();
    let place = folder.display();
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        let message = format!("everyone can write to `{place}` and remove files of others");
        return Some(HealthCheck::warning(
            name,
            message,
            format!("`chmod o-w {place}`"),
        ));
    }
    if mode & 0o020 != 0 && mode & 0o2000 == 0 {
        let message =
            format!("new files in `{place}` get the group of their creator, not that of the folder");
        return Some(HealthCheck::warning(
            name,
            message,
            format!("`chmod g+s {place}`"),
        ));
    }
    None
}

#[cfg(not(unix))]
fn check_mode(_name: &str, _folder: &Path) -> Option<HealthCheck> {
    None
}

/// Whether others can read the file of credentials.
#[cfg(unix)]
fn check_credential_file(path: Option<&Path>) -> Option<HealthCheck> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path?;
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let place = path.display();
    if mode.trailing_zeros() >= 6 {
        return Some(HealthCheck::ok("credentials", format!("`{place}`")));
    }
    let message = format!("others can read `{place}`");
    Some(HealthCheck::warning(
        "credentials",
        message,
        format!("`chmod 600 {place}`"),
    ))
}

#[cfg(not(unix))]
fn check_credential_file(_path: Option<&Path>) -> Option<HealthCheck> {
    None
}
