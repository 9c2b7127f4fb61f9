//! What only a workspace can get wrong.

use std::path::PathBuf;

use backlot_core::{Class, text};
use backlot_pep::{PackageName, Version};
use backlot_repo::Location;

/// What only a workspace can get wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// No `backlot.toml` here or above.
    #[error("no workspace here: neither `{}` nor a folder above it has a backlot.toml", start.display())]
    NoWorkspace {
        /// Where the search began.
        start: PathBuf,
    },
    /// Manifests of releases that are nowhere: what they name cannot be known.
    #[error("{} needed by releases or workspaces {} neither in the cache nor in {place}: {}", backlot_core::text::count(manifests.len() as u64, "manifest"), if manifests.len() == 1 { "is" } else { "are" }, manifests.join(", "))]
    UnknownManifests {
        /// Their objects.
        manifests: Vec<String>,
        /// The remote.
        place: String,
    },
    /// A release that cannot be read: what it names cannot be known.
    #[error("`{place}` cannot be read, so what it needs cannot be known: {reason}")]
    UnreadableRelease {
        /// The wheel.
        place: Location,
        /// Why.
        reason: String,
    },
    /// A workspace is there already.
    #[error("`{}` is a workspace already", root.display())]
    WorkspaceExists {
        /// Its folder.
        root: PathBuf,
    },
    /// A configuration file that cannot be read.
    #[error("`{}` is not valid: {reason}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where known.
        reason: String,
    },
    /// A setting that there is not.
    #[error("there is no setting `{key}`{}", near(nearest.as_deref()))]
    NoSuchKey {
        /// What was asked for.
        key: String,
        /// One like it.
        nearest: Option<String>,
    },
    /// A setting that a file cannot have.
    #[error("`{key}` cannot be set {}", if *user { "for all workspaces of a user" } else { "for one workspace" })]
    NotInThisFile {
        /// The setting.
        key: &'static str,
        /// Whether it was to be set in the user's file.
        user: bool,
    },
    /// A value that a setting cannot have.
    #[error("`{key}` cannot be set: {reason}")]
    BadSetting {
        /// The setting.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// A secret in a project file.
    #[error("`{}` holds a secret in `{key}`", path.display())]
    SecretInConfig {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// An asset to be published that needs a file of this machine.
    #[error("{asset} needs `{requirement}`, a file that exists on this machine only")]
    LocalRequirement {
        /// The asset.
        asset: String,
        /// What it needs.
        requirement: String,
    },
    /// A repo or remote name nobody configured.
    #[error("the workspace has no {what} named `{name}`{}", near(nearest.as_deref()))]
    UnknownName {
        /// `repo` or `remote`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// The nearest configured name.
        nearest: Option<String>,
    },
    /// A list of what may come from a repo that has none.
    #[error("{}", if *folder { format!("`{repo}` is a folder, and only what lies behind a URL can be public") } else { format!("the repo `{repo}` is not public: everything in it may be used") })]
    NotPublic {
        /// The repo.
        repo: String,
        /// Whether it is a folder.
        folder: bool,
    },
    /// A name that is not on the list of a public repo and should leave it.
    #[error("`{name}` is not on the list of what may come from `{repo}`{}", near(nearest.as_deref()))]
    NotAllowed {
        /// The repo.
        repo: String,
        /// The name.
        name: String,
        /// One on the list.
        nearest: Option<String>,
    },
    /// A repo or remote name that is taken.
    #[error("the workspace has a {what} named `{name}` already: {existing}")]
    NameTaken {
        /// `repo` or `remote`.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it points.
        existing: String,
    },
    /// Something needs a repo or remote and none is configured.
    #[error("{action} needs a {what}, and the workspace has none")]
    NoneConfigured {
        /// `repo` or `remote`.
        what: &'static str,
        /// What was to be done.
        action: String,
    },
    /// A collection that others might write to meanwhile has graces shorter than their pushes may take.
    #[error(
        "a collection with {what} under an hour could take what somebody is pushing to `{remote}` just now"
    )]
    OtherWriters {
        /// `--young` or `--grace`.
        what: &'static str,
        /// The remote.
        remote: String,
    },
    /// An asset project exists.
    #[error("the output `{name}` exists already in `{}`", path.display())]
    OutputExists {
        /// The asset.
        name: String,
        /// Its folder.
        path: PathBuf,
    },
    /// No such output.
    #[error("the workspace has no output `{name}`{}", near(nearest.as_deref()))]
    UnknownOutput {
        /// What was asked for.
        name: String,
        /// The nearest output.
        nearest: Option<String>,
    },
    /// Which output is meant is not clear.
    #[error("{}", if *count == 0 { "the workspace has no outputs yet".to_owned() } else { format!("which output is meant? the workspace has {count}") })]
    AmbiguousOutput {
        /// How many there are.
        count: usize,
    },
    /// A path in no output.
    #[error("`{}` is in no output of the workspace", path.display())]
    NotInOutput {
        /// The path.
        path: PathBuf,
    },
    /// A file to track that exists already in the output.
    #[error("`{}` exists already", path.display())]
    TargetExists {
        /// The path.
        path: PathBuf,
    },
    /// A package that is not installed.
    #[error("`{name}` is not among the inputs of the workspace{}", near(nearest.as_deref()))]
    NotInstalled {
        /// The package.
        name: PackageName,
        /// The installed package that is spelled most like it.
        nearest: Option<String>,
    },
    /// An uninstall that others need.
    #[error("`{name}` is not asked for by the workspace but needed by {by}")]
    StillNeeded {
        /// The package.
        name: PackageName,
        /// Who needs it.
        by: String,
    },
    /// A requirement that is not there.
    #[error("`{asset}` has no input `{name}`{}", group.as_ref().map(|g| format!(" in group `{g}`")).unwrap_or_default())]
    NoSuchInput {
        /// The asset.
        asset: String,
        /// The requirement's name.
        name: PackageName,
        /// The group.
        group: Option<String>,
    },
    /// A requirement of an editable output's own name that its version does not satisfy.
    #[error("`{name}` is editable in `{}` at version {version}, which `{requirement}` does not admit", path.display())]
    EditableInTheWay {
        /// The package.
        name: PackageName,
        /// The output's version.
        version: Version,
        /// What was asked for.
        requirement: String,
        /// The output.
        path: PathBuf,
    },
    /// No release of that description.
    #[error("no repo of the workspace has {what}{}", near(nearest.as_deref()))]
    NoSuchRelease {
        /// `Table 1.2` or the like.
        what: String,
        /// A name like it.
        nearest: Option<String>,
    },
    /// A version is published with the same content, built with other inputs.
    #[error("{asset} {version} is in `{repo}` already, built with other inputs: {changes}")]
    OtherInputs {
        /// The asset.
        asset: String,
        /// Its version.
        version: Version,
        /// The repo.
        repo: String,
        /// What differs: from what the release was built with to what it would be now.
        changes: String,
    },
    /// Several repos have the release that is meant.
    #[error("{name} {version} is in several repos: {repos}")]
    AmbiguousRepo {
        /// The package.
        name: PackageName,
        /// The version.
        version: Version,
        /// The repos that have it.
        repos: String,
    },
    /// A requirement where one release must be named.
    #[error("`{what}` does not name one release")]
    NotOneRelease {
        /// What was given.
        what: String,
    },
    /// A repo or remote is not at its place: a disk that is not mounted looks like an empty folder.
    #[error("the {what} `{name}` is not at `{place}`: there is nothing, or an empty folder")]
    PlaceGone {
        /// `repo` or `remote`.
        what: &'static str,
        /// Its name in the workspace.
        name: String,
        /// Where it should be.
        place: String,
    },
    /// Another repo or remote is at the place of one that was added.
    #[error("at `{place}` is another {what} than the `{name}` that was added: {}, not `{remembered}`", found.as_ref().map_or_else(|| "one without an identity".to_owned(), |id| format!("`{id}`")))]
    OtherPlace {
        /// `repo` or `remote`.
        what: &'static str,
        /// Its name in the workspace.
        name: String,
        /// Where it should be.
        place: String,
        /// The identity of what is there, if it has one.
        found: Option<String>,
        /// The identity in `backlot.toml`.
        remembered: String,
    },
    /// A name under which Python finds a module of its own.
    #[error("an asset `{name}` could never be imported: `{module}` is a module of Python's standard library")]
    StandardLibrary {
        /// The name.
        name: String,
        /// The module it would be.
        module: String,
    },
    /// An asset that requires itself.
    #[error("{asset} cannot require itself")]
    RequiresItself {
        /// The asset.
        asset: String,
    },
    /// A release that nobody could install from where it shall be.
    #[error("{what} could not be installed from `{repo}`: {reason}")]
    CannotBeInstalled {
        /// The release.
        what: String,
        /// The repo.
        repo: String,
        /// Why.
        reason: String,
    },
    /// Content that is not tracked and would become part of a wheel.
    #[error("{asset} has files that are not tracked and are too large for its wheel, or are media ({} in all): {}", text::bytes(*bytes), paths.iter().take(5).cloned().collect::<Vec<_>>().join(", "))]
    UntrackedFiles {
        /// The asset.
        asset: String,
        /// Folders and files, relative to the workspace.
        paths: Vec<String>,
        /// The bytes of all that would be packaged.
        bytes: u64,
    },
    /// A release with tracked files that would get into a public repo.
    #[error("{package} {version} has tracked files, and `{repo}` is public")]
    FilesInPublic {
        /// The package.
        package: PackageName,
        /// The version.
        version: Version,
        /// The repo.
        repo: Location,
    },
    /// Files of releases that are to be shown to others are not where those would look.
    #[error("files of {releases} are not on the remote `{remote}`")]
    FilesNotThere {
        /// The releases.
        releases: String,
        /// The remote.
        remote: String,
    },
    /// Tracked files are gone.
    #[error("`{asset}` cannot be published: {} of its tracked files {}", missing.len(), if missing.len() == 1 { "is missing" } else { "are missing" })]
    MissingFiles {
        /// The asset.
        asset: String,
        /// Their paths.
        missing: Vec<String>,
    },
    /// The lock does not fit the workspace any more.
    #[error("backlot.lock does not match the workspace: {reason}")]
    StaleLock {
        /// What differs.
        reason: String,
    },
    /// A `pylock.toml` that was made for another environment.
    #[error("`{}` is not for this environment: {reason}", path.display())]
    LockForElsewhere {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A `backlot.lock` that cannot be read.
    #[error("`{}` cannot be read: {reason}", path.display())]
    DamagedLock {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A `pylock.toml` that cannot be read.
    #[error("`{}` is not a lock file that can be used: {reason}", path.display())]
    BadLockFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A `pylock.toml` that wants something other than a wheel.
    #[error("`{}` gives for {name} {what}; only wheels are installed", path.display())]
    LockedSource {
        /// The file.
        path: PathBuf,
        /// The package.
        name: PackageName,
        /// What it gives instead.
        what: &'static str,
    },
    /// A lock file of a later format.
    #[error("`{}` has format {found}; this backlot reads up to {known}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// What we read.
        known: u64,
    },
    /// A project without a version file that a bump could rewrite.
    #[error("cannot find where `{}` keeps its version", path.display())]
    NoVersionSource {
        /// The project file.
        path: PathBuf,
    },
    /// Nothing is installed yet.
    #[error("the workspace has no environment in `{}`", path.display())]
    NoEnvironment {
        /// The folder.
        path: PathBuf,
    },
    /// A command that does not start.
    #[error("`{program}` cannot be started")]
    CannotRun {
        /// What was to be run.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A channel that is not there to be removed, or is there already.
    #[error("`{channel}` is {} of the workspace", if *known { "already a channel" } else { "not a channel" })]
    Channel {
        /// The channel.
        channel: String,
        /// Whether it is configured.
        known: bool,
    },
    /// A Python version that is none.
    #[error("`{version}` is not a version of Python")]
    BadPythonVersion {
        /// What was given.
        version: String,
    },
    /// No interpreter of ours is of that version.
    #[error("there is no Python {version}{}", if have.is_empty() { String::new() } else { format!(" here, only {}", have.join(", ")) })]
    NoSuchPython {
        /// What was asked for.
        version: String,
        /// What there is.
        have: Vec<String>,
    },
    /// Conda packages beside an interpreter that is not conda's.
    #[error("conda packages need a Python of their own, and the workspace names one by path: `{python}`")]
    PythonByPath {
        /// The setting.
        python: String,
    },
    /// A package that is not asked for in `[external]`.
    #[error("`{name}` is not among the external packages of the workspace{}", near(nearest.as_deref()))]
    NotExternal {
        /// The package.
        name: String,
        /// One like it.
        nearest: Option<String>,
    },
    /// This program was built without conda.
    #[error("{action} needs conda packages, which this build of backlot leaves out")]
    WithoutConda {
        /// What was to be done.
        action: &'static str,
    },
    /// The folder for `inputs` holds something that is not ours.
    #[error("`{}` is not an environment of this workspace", path.display())]
    ForeignInputs {
        /// The folder.
        path: PathBuf,
    },
}

impl WorkspaceError {
    /// No release of a description, with the known name that is most like the wanted one.
    pub(crate) fn no_such_release<'k>(
        what: String,
        wanted: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Self {
        let nearest = text::nearest(wanted, known).filter(|nearest| *nearest != wanted);
        Self::NoSuchRelease {
            what,
            nearest: nearest.map(ToOwned::to_owned),
        }
    }
}

fn near(nearest: Option<&str>) -> String {
    nearest.map(|n| format!(" (is it `{n}`?)")).unwrap_or_default()
}

backlot_core::coded! {
    WorkspaceError {
        Self::NoWorkspace { .. } => "workspace::none", Class::NotFound,
            "run `init` in the folder that is to be the workspace, or name one with `--workspace`";
        Self::UnknownManifests { .. } => "workspace::unknown_manifests", Class::NotFound,
            "name the remote that has them with `--remote`, or push them from a workspace that has the files";
        Self::UnreadableRelease { place, .. } => "workspace::unreadable_release", Class::Integrity,
            format!(
                "bring it back from another repo with `repair --repo NAME`; to give the release up for good, remove `{place}` with its `.json` and `.metadata`, then run `repo reindex NAME`"
            );
        Self::WorkspaceExists { .. } => "workspace::exists", Class::Conflict,
            "work in it as it is; `status` shows what it holds";
        Self::BadConfig { .. } => "config::invalid", Class::Config,
            "correct the file; docs/format/workspace.md describes its keys";
        Self::SecretInConfig { .. } => "config::secret", Class::Config,
            "remove it from the file and change it at its source: project files are shared";
        Self::LocalRequirement { .. } => "publish::local_url", Class::User,
            "publish that to a repo and require it by name, or name it by an address that others reach";
        Self::NoSuchKey { .. } => "config::no_such_key", Class::NotFound,
            "see `config list`; repos, remotes and rules have commands of their own";
        Self::NotInThisFile { user: true, .. } => "config::not_in_this_file", Class::User,
            "leave out `--user`";
        Self::NotInThisFile { user: false, .. } => "config::not_in_this_file", Class::User,
            "add `--user`";
        Self::BadSetting { .. } => "config::bad_setting", Class::User,
            "see `config set --help`";
        Self::UnknownName { what, .. } => "config::unknown_name", Class::NotFound,
            format!("see `{what} list`, or add it with `{what} add NAME PLACE`");
        Self::NotPublic { folder: true, .. } => "config::not_public", Class::Config,
            "leave `public` away; only packages from outside need a list";
        Self::NotPublic { repo, .. } => "config::not_public", Class::Config,
            format!("if it is outside the studio, write `public = true` in `[repos.{repo}]`");
        Self::NotAllowed { .. } => "config::not_on_list", Class::NotFound,
            "see `repo list`";
        Self::NameTaken { what, name, .. } => "config::name_taken", Class::Conflict,
            format!("choose another name, or run `{what} remove {name}` first");
        Self::NoneConfigured { what, .. } => "config::none_configured", Class::Config,
            format!("add one with `{what} add NAME PLACE`");
        Self::OtherWriters { .. } => "gc::other_writers", Class::User,
            "give it an hour or more; `--no-other-writers` if nobody else pushes, publishes or collects meanwhile";
        Self::OutputExists { .. } => "output::exists", Class::Conflict,
            "choose another name, or work on the one that is there";
        Self::UnknownOutput { name, .. } => "output::unknown", Class::NotFound,
            format!("see `status`; `new {name}` makes one, `edit {name}` turns an installed release into one");
        Self::AmbiguousOutput { count: 0 } => "output::ambiguous", Class::User,
            "make one with `new NAME`";
        Self::AmbiguousOutput { .. } => "output::ambiguous", Class::User,
            "name the asset, or run the command inside its folder";
        Self::NotInOutput { .. } => "output::not_in_output", Class::NotFound,
            "name the asset that shall track it: `add PATH --asset NAME`";
        Self::TargetExists { .. } => "output::target_exists", Class::Conflict,
            "change the files where they are, then run `add` on that path; or choose another name with `--as`";
        Self::NotInstalled { name, .. } => "input::not_installed", Class::NotFound,
            format!("see `status`; `install {name}` installs it");
        Self::StillNeeded { .. } => "input::still_needed", Class::Conflict,
            "uninstall what needs it first";
        Self::NoSuchInput { .. } => "input::unknown", Class::NotFound,
            "see `status` for the inputs of each output";
        Self::EditableInTheWay { path, .. } => "input::editable_in_the_way", Class::Conflict,
            format!("an editable is never silently replaced: publish it or move `{}` out of outputs first", path.display());
        Self::OtherInputs { asset, .. } => "publish::other_inputs", Class::Conflict,
            format!("bump its version with `bump {asset} micro` and publish that, or install the inputs that it was built with");
        Self::NoSuchRelease { .. } => "release::unknown", Class::NotFound,
            "see `search`; `repo list` shows where it was looked for";
        Self::FilesNotThere { remote, .. } => "copy::files_missing", Class::NotFound,
            format!("copy them there first: name the remote that has them with `--from-remote NAME --to-remote {remote}`; or leave files out with `--without-files`");
        Self::StandardLibrary { .. } => "output::standard_library", Class::User,
            "choose another name";
        Self::RequiresItself { .. } => "input::itself", Class::User,
            "name another package";
        Self::CannotBeInstalled { .. } => "publish::cannot_be_installed", Class::Conflict,
            "publish or copy first what it needs (`copy --with-deps`), or change its inputs (`input`); to insist, use `--force` with the reason as `-m REASON`";
        Self::UntrackedFiles { paths, .. } => "publish::untracked_files", Class::User,
            format!("track them with `add {}`; what belongs into the wheel all the same is allowed by `largest-file`, `largest-wheel` or `media` in `[publish]` of backlot.toml", paths.join(" "));
        Self::FilesInPublic { .. } => "publish::files_in_public", Class::Config,
            "a collection of a remote looks into the studio's repos only, and would take the files for garbage: publish it to one of those; if this is one, take `public` from its entry in backlot.toml";
        Self::PlaceGone { what, name, place } => if *what == "repo" { "workspace::repo_not_there" } else { "workspace::remote_not_there" }, Class::Environment,
            format!("check that the disk is mounted and the path in backlot.toml is right; if the {what} is gone for good, make a new one with `{what} remove {name}` and `{what} add {name} {place}`");
        Self::OtherPlace { what, name, place, .. } => if *what == "repo" { "workspace::other_repo" } else { "workspace::other_remote" }, Class::Environment,
            format!("check that the right disk is mounted and the path in backlot.toml is right; to use what is there, run `{what} remove {name}` and `{what} add {name} {place}`");
        Self::AmbiguousRepo { .. } => "release::ambiguous_repo", Class::User,
            "name the one that is meant with `--repo`";
        Self::NotOneRelease { .. } => "release::not_one", Class::User,
            "name one release, as in `Table==1.0.0`";
        Self::MissingFiles { missing, .. } => "publish::missing_files", Class::NotFound,
            format!("bring them back with `pull`, or drop them with `add` on what is left: {}", missing.iter().take(5).cloned().collect::<Vec<_>>().join(", "));
        Self::StaleLock { .. } => "lock::stale", Class::Conflict,
            "run `lock` to resolve again";
        Self::LockForElsewhere { .. } => "lock::stale", Class::Conflict,
            "give a lock file that was made for this Python and system, or make the workspace with the Python that it needs: `python = \"...\"` in backlot.toml";
        Self::DamagedLock { .. } => "lock::damaged", Class::Config,
            "take it from version control; or run `lock`, which chooses again and writes it anew (`install --upgrade` installs that, too)";
        Self::BadLockFile { .. } => "lock::invalid", Class::Config,
            "write it again with the tool that made it; PEP 751 describes its keys";
        Self::LockedSource { .. } => "lock::not_a_wheel", Class::User,
            "build its wheel, publish it to a repo of the workspace, and lock again";
        Self::NewerFormat { .. } => "lock::newer_format", Class::Config,
            "use a newer backlot";
        Self::NoVersionSource { .. } => "output::no_version_source", Class::Config,
            "give `[project] version`, or `[tool.hatch.version] path` a file with `__version__ = \"1.0.0\"`";
        Self::NoEnvironment { .. } => "environment::none", Class::NotFound,
            "run `install`";
        Self::CannotRun { .. } => "run::cannot_start", Class::NotFound,
            "check its name; scripts of inputs lie in `inputs/bin`";
        Self::ForeignInputs { .. } => "workspace::foreign_inputs", Class::Conflict,
            "move it away; `install` makes the environment anew";
        Self::Channel { known, .. } => "config::channel", if *known { Class::Conflict } else { Class::NotFound },
            "see `channel list`";
        Self::BadPythonVersion { .. } => "python::bad_version", Class::User,
            "give two or three numbers, as in 3.12 or 3.12.4";
        Self::NoSuchPython { version, .. } => "python::not_installed", Class::NotFound,
            format!("see `python list`; in a workspace with a channel, `python install {version}` gets it. A path names any interpreter, `none` is a tree without one");
        Self::PythonByPath { .. } => "external::python_by_path", Class::Config,
            "set a version instead, as in `python = \"3.12\"`; it is then installed with the packages";
        Self::NotExternal { .. } => "external::unknown", Class::NotFound,
            "see `external list`";
        Self::WithoutConda { .. } => "conda::left_out", Class::Config,
            "use a backlot built with the feature `conda`";
    }
}
