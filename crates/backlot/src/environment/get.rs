//! An asset in one step: a workspace, a repo, an install and a pull, as far as each is needed.
//!
//! Invariants: neither a repo nor a remote is made: a mistyped path is an error. Where the install is refused, a workspace that was made for it is
//! removed again; where the pull fails, what is installed stays, and running it again goes on from there. A dry run makes the workspace in a
//! temporary folder, so it chooses what the run would. Deliberately absent: how each step is done.

use std::path::{Path, PathBuf};

use backlot_core::Context;
use backlot_core::file::{self, TemporaryFolder};
use backlot_core::options;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::environment::install::{InstallReport, InstallRequest};
use crate::environment::labelled::split_label;
use crate::error::{Error, GetError, Result, WorkspaceError};
use crate::files::moved::MoveReport;
use crate::workspace::config::FILE_NAME;
use crate::workspace::init::{Absent, InitOptions};
use crate::workspace::local_cache::used;
use crate::workspace::places::{AddRemote, AddRepo, RemoteStatus, RepoStatus};
use crate::workspace::settings::Host;
use crate::workspace::{Opened, absolute};

options! {
    /// How to fetch an asset in one step.
    #[derive(Default)]
    pub struct GetOptions {
        /// A repo of the workspace, or the place of one, which is added to it.
        pub from: Option<String>,
        /// A remote of the workspace, or the place of one, which is added to it.
        pub remote: Option<String>,
        /// The folder that relative places are meant from.
        pub here: PathBuf,
        /// Admit pre-releases.
        pub prereleases: bool,
        /// Leave the tracked files where they are.
        pub without_files: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The result of `get`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GetReport {
    /// The workspace.
    pub root: PathBuf,
    /// Whether it was made for this.
    pub made: bool,
    /// The repo that was added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoStatus>,
    /// The remote that was added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteStatus>,
    /// The installed packages.
    #[serde(flatten)]
    pub install: InstallReport,
    /// The pulled files; `None` if not requested, and in a dry run, which cannot know it before the release is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<MoveReport>,
}

/// A workspace to install into.
struct Target {
    opened: Opened,
    /// Where it is, or would be.
    root: PathBuf,
    /// Newly created parts.
    made: Option<Absent>,
    /// Where a dry run made it.
    _aside: Option<TemporaryFolder>,
}

impl Opened {
    pub(crate) fn get(
        start: &Path,
        requirements: &[String],
        options: &GetOptions,
        host: &Host,
        context: &Context,
    ) -> Result<GetReport> {
        let mut target = Self::find_or_make(start, options.dry_run, host, context)?;
        let installed = target.opened.connect_and_install(requirements, options);
        let (repo, (remote_name, remote), install) = match installed {
            Ok(installed) => installed,
            Err(error) => {
                if let Some(made) = target.made {
                    made.undo(&target.root);
                    if !target.root.join(FILE_NAME).exists() {
                        // Else the cache would not be cleaned, for what a workspace needs that is not there.
                        used::forget(target.opened.cache_dir(), &target.root);
                    }
                }
                return Err(error);
            }
        };
        let files = if options.without_files || options.dry_run {
            None
        } else {
            let name = |text: &String| {
                let text = split_label(text).map_or(text.as_str(), |(asset, _)| asset);
                Ok(target.opened.parse_requirement(text)?.name().to_string())
            };
            let names: Vec<String> = requirements.iter().map(name).collect::<Result<_>>()?;
            Some(target.opened.pull_local(&names, remote_name.as_deref(), false)?)
        };
        Ok(GetReport {
            root: target.root,
            made: target.made.is_some(),
            repo,
            remote,
            install,
            files,
        })
    }

    /// The workspace that a folder is in, or a new one in an empty folder.
    fn find_or_make(start: &Path, dry_run: bool, host: &Host, context: &Context) -> Result<Target> {
        match Self::find(start, host) {
            Ok(shared) => {
                return Ok(Target {
                    opened: Self::now(&shared, context)?,
                    root: shared.root().to_path_buf(),
                    made: None,
                    _aside: None,
                });
            }
            Err(Error::Workspace(WorkspaceError::NoWorkspace { .. })) => {}
            Err(error) => return Err(error),
        }
        let root = absolute(start)?;
        let is_used = match fs::read_dir(&root) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(error.into()),
        };
        if is_used {
            return Err(GetError::NotEmpty { root }.into());
        }
        let made = Absent::below(&root);
        let (mut place, mut host, mut aside) = (root.clone(), host.clone(), None);
        if dry_run {
            let near = host
                .default_cache
                .ancestors()
                .find(|folder| file::is_writable(folder));
            let folder = TemporaryFolder::in_folder(near.unwrap_or(&host.default_cache))?;
            place = folder.path().join("workspace");
            host.overrides.cache = Some(folder.path().join("cache"));
            aside = Some(folder);
        }
        let (shared, _) = Self::init(&place, &InitOptions::default(), &host, context)?;
        let shared = shared.ok_or(WorkspaceError::NoWorkspace { start: place })?;
        Ok(Target {
            opened: Self::now(&shared, context)?,
            root,
            made: Some(made),
            _aside: aside,
        })
    }

    fn connect_and_install(
        &mut self,
        requirements: &[String],
        options: &GetOptions,
    ) -> Result<(Option<RepoStatus>, NamedRemote, InstallReport)> {
        let mut request = InstallRequest {
            prereleases: options.prereleases,
            dry_run: options.dry_run,
            ..InstallRequest::default()
        };
        let (mut added_repo, mut named_remote) = (None, (None, None));
        if let Some(from) = &options.from {
            let (name, added) = self.repo_to_get_from(from, options)?;
            (request.from, added_repo) = (Some(name), added);
        }
        if let Some(remote) = options.remote.as_ref().filter(|_| !options.without_files) {
            let (name, added) = self.remote_to_get_from(remote, requirements, options)?;
            named_remote = (Some(name), added);
        }
        if self.config().repos.is_empty() {
            return Err(GetError::NoFrom.into());
        }
        let install = if options.dry_run {
            // No file has what was added.
            self.install_now(requirements, &request)?
        } else {
            self.install(requirements, &request)?
        };
        Ok((added_repo, named_remote, install))
    }

    /// The repo that is meant, and what it is if it was added.
    pub(crate) fn repo_to_get_from(
        &mut self,
        from: &str,
        options: &GetOptions,
    ) -> Result<(String, Option<RepoStatus>)> {
        let known = self.config().repos.iter();
        let known = known.map(|repo| (repo.name.as_str(), repo.place.as_str()));
        let (name, place) = match self.known_or_new(from, options, known)? {
            Found::Known(name) => return Ok((name, None)),
            Found::Unknown => return Ok((self.repo_entry(from)?.name.clone(), None)),
            Found::New { name, place } => (name, place),
        };
        let plan = AddRepo {
            dry_run: true,
            ..AddRepo::default()
        };
        let planned = self.silently()?.put_repo(&name, &place, &plan)?;
        if planned.created {
            let place = self.resolve_place(&place);
            return Err(GetError::NoRepo { place }.into());
        }
        let added = if options.dry_run {
            self.put_repo(&name, &place, &plan)?
        } else {
            self.add_repo(&name, &place, &AddRepo::default())?
        };
        Ok((name, Some(added)))
    }

    /// The remote that is meant, and what it is if it was added; in a dry run, to this value alone.
    pub(crate) fn remote_to_get_from(
        &mut self,
        given: &str,
        requirements: &[String],
        options: &GetOptions,
    ) -> Result<(String, Option<RemoteStatus>)> {
        let known = self.config().remotes.iter();
        let known = known.map(|remote| (remote.name.as_str(), remote.url.as_str()));
        let (name, place, how) = match self.known_or_new(given, options, known)? {
            Found::Known(name) => return Ok((name, None)),
            Found::New { name, place } => (name, place, AddRemote::default()),
            Found::Unknown => match self.remote_of_releases(given, requirements)? {
                Some(found) => {
                    let how = found.how().unwrap_or_default();
                    (given.to_owned(), found.remote.url, how)
                }
                None => return Ok((self.remote_entry(Some(given), "")?.name.clone(), None)),
            },
        };
        let plan = how.clone().dry_run(true);
        let planned = self.silently()?.put_remote(&name, &place, &plan)?;
        if planned.created {
            let place = self.resolve_place(&place);
            return Err(GetError::NoRemote { place }.into());
        }
        let added = if options.dry_run {
            self.put_remote(&name, &place, &plan)?
        } else {
            self.add_remote(&name, &place, &how)?
        };
        Ok((name, Some(added)))
    }

    /// What a text stands for: a name, or a place, which may be that of a name.
    fn known_or_new<'k>(
        &self,
        given: &str,
        options: &GetOptions,
        known: impl Iterator<Item = (&'k str, &'k str)>,
    ) -> Result<Found> {
        let known: Vec<(&str, &str)> = known.collect();
        if known.iter().any(|(name, _)| *name == given) {
            return Ok(Found::Known(given.to_owned()));
        }
        let is_url = given.contains("://");
        let path = options.here.join(given);
        if !is_url && !given.contains(std::path::MAIN_SEPARATOR) && !path.is_dir() {
            return Ok(Found::Unknown);
        }
        let place = if is_url || options.here == self.root() {
            given.to_owned()
        } else {
            absolute(&path)?.display().to_string()
        };
        let wanted = self.resolve_place(&place);
        let same = known
            .iter()
            .find(|(_, place)| self.resolve_place(place) == wanted);
        Ok(match same {
            Some((name, _)) => Found::Known((*name).to_owned()),
            None => Found::New {
                name: new_name(&wanted, &known),
                place,
            },
        })
    }
}

/// The name of the remote that was named, and what it is if it was added.
type NamedRemote = (Option<String>, Option<RemoteStatus>);

/// What a text after `--from` or `--remote` stands for.
enum Found {
    /// The name of one that the workspace has.
    Known(String),
    /// A name that it does not have.
    Unknown,
    /// A place that it does not have, and the name that it gets.
    New { name: String, place: String },
}

/// A name for a place: its last part that has letters, and a number if that is taken.
fn new_name(place: &str, known: &[(&str, &str)]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let parts = place.split(['/', '\\']).rev();
    let mut names = parts.map(|part| {
        let part = part.split(['?', '#']).next().unwrap_or_default();
        part.chars().filter(|c| is_plain(*c)).collect::<String>()
    });
    let name = names
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "repo".to_owned());
    let is_taken = |name: &str| known.iter().any(|(taken, _)| *taken == name);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone())
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::new_name;

    #[test]
    fn a_place_is_named_after_its_last_folder_and_never_as_another() {
        for (place, known, name) in [
            ("/srv/repos/review", &[][..], "review"),
            ("/srv/repos/review/", &[], "review"),
            ("/srv/re view", &[], "review"),
            ("https://index.studio.lan/team/dev/", &[], "dev"),
            (
                "s3://assets/team/repo",
                &[("repo", "x"), ("repo-2", "y")],
                "repo-3",
            ),
            ("/", &[], "repo"),
        ] {
            assert_eq!(new_name(place, known), name, "{place}");
        }
    }
}
