//! Errors of the workspace itself.

use std::path::PathBuf;

use backlot_core::{Class, text};
use backlot_pep::{PackageName, Version};
use backlot_repo::Location;

/// Errors of the workspace itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// No `backlot.toml` here or above.
    #[error("no workspace here: neither `{}` nor a folder above it has a backlot.toml", start.display())]
    NoWorkspace {
        /// Where the search began.
        start: PathBuf,
    },
    /// Manifests of releases that cannot be found: their contents are unknown.
    #[error("{} needed by releases or workspaces {} neither in the cache nor in {place}: {}", backlot_core::text::count(manifests.len() as u64, "manifest"), if manifests.len() == 1 { "is" } else { "are" }, manifests.join(", "))]
    UnknownManifests {
        /// Their objects.
        manifests: Vec<String>,
        /// The remote.
        place: String,
    },
    /// A release that cannot be read: its needs are unknown.
    #[error("cannot determine which files `{place}` needs: {reason}")]
    UnreadableRelease {
        /// The wheel.
        place: Location,
        /// Why.
        reason: String,
    },
    /// A workspace is there already.
    #[error("`{}` is already a workspace", root.display())]
    WorkspaceExists {
        /// Its folder.
        root: PathBuf,
    },
    /// A configuration file that cannot be read.
    #[error("`{}` is not valid: {reason}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// The reason, with line and column where known.
        reason: String,
    },
    /// An unknown setting.
    #[error("unknown setting `{key}`{}", near(nearest.as_deref()))]
    NoSuchKey {
        /// The given key.
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
    #[error("cannot set `{key}`: {reason}")]
    BadSetting {
        /// The setting.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// A secret in a project file.
    #[error("`{}` contains a secret in `{key}`", path.display())]
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
        /// The requirement.
        requirement: String,
    },
    /// An unknown name of a repo or remote.
    #[error("the workspace has no {what} named `{name}`{}", near(nearest.as_deref()))]
    UnknownName {
        /// `repo` or `remote`.
        what: &'static str,
        /// The given name.
        name: String,
        /// The nearest configured name.
        nearest: Option<String>,
    },
    /// An allowlist for a repo that is not public.
    #[error("{}", if *folder { format!("`{repo}` is a folder, and only a repo with a URL can be public") } else { format!("the repo `{repo}` is not public, so it has no allowlist") })]
    NotPublic {
        /// The repo.
        repo: String,
        /// Whether it is a folder.
        folder: bool,
    },
    /// A name that is not on the list of a public repo and should leave it.
    #[error("`{name}` is not on the allowlist of `{repo}`{}", near(nearest.as_deref()))]
    NotAllowed {
        /// The repo.
        repo: String,
        /// The name.
        name: String,
        /// One on the list.
        nearest: Option<String>,
    },
    /// A repo or remote name that is taken.
    #[error("the workspace already has a {what} named `{name}`: {existing}")]
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
        /// The operation.
        action: String,
    },
    /// A collection that others might write to meanwhile has graces shorter than their pushes may take.
    #[error("a collection with {what} under an hour could remove files that are being pushed to `{remote}`")]
    OtherWriters {
        /// `--young` or `--grace`.
        what: &'static str,
        /// The remote.
        remote: String,
    },
    /// An asset project exists.
    #[error("the output `{name}` already exists in `{}`", path.display())]
    OutputExists {
        /// The asset.
        name: String,
        /// Its folder.
        path: PathBuf,
    },
    /// An unknown output.
    #[error("the workspace has no output `{name}`{}", near(nearest.as_deref()))]
    UnknownOutput {
        /// The given name.
        name: String,
        /// The nearest output.
        nearest: Option<String>,
    },
    /// Which output is meant is not clear.
    #[error("{}", if *count == 0 { "the workspace has no outputs yet".to_owned() } else { format!("ambiguous output: the workspace has {count}") })]
    AmbiguousOutput {
        /// How many there are.
        count: usize,
    },
    /// A path in no output.
    #[error("`{}` is not in an output of the workspace", path.display())]
    NotInOutput {
        /// The path.
        path: PathBuf,
    },
    /// A file to track that exists already in the output.
    #[error("`{}` already exists", path.display())]
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
    #[error("`{name}` is not a direct input of the workspace but needed by {by}")]
    StillNeeded {
        /// The package.
        name: PackageName,
        /// The packages that need it.
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
    #[error("`{name}` is editable in `{}` at version {version}, which does not satisfy `{requirement}`", path.display())]
    EditableInTheWay {
        /// The package.
        name: PackageName,
        /// The output's version.
        version: Version,
        /// The requirement.
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
    #[error("{asset} {version} is already in `{repo}`, built with other inputs: {changes}")]
    OtherInputs {
        /// The asset.
        asset: String,
        /// Its version.
        version: Version,
        /// The repo.
        repo: String,
        /// The difference: from the inputs that the release was built with to the current ones.
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
    #[error("`{what}` does not identify a single release")]
    NotOneRelease {
        /// The given text.
        what: String,
    },
    /// A repo or remote is not at its place: a disk that is not mounted looks like an empty folder.
    #[error("the {what} `{name}` is not at `{place}`: the location is missing or empty")]
    PlaceGone {
        /// `repo` or `remote`.
        what: &'static str,
        /// Its name in the workspace.
        name: String,
        /// Where it should be.
        place: String,
    },
    /// Another repo or remote is at the place of one that was added.
    #[error("the {what} at `{place}` is not the `{name}` that was added: {}, not `{remembered}`", found.as_ref().map_or_else(|| "it has no identity".to_owned(), |id| format!("`{id}`")))]
    OtherPlace {
        /// `repo` or `remote`.
        what: &'static str,
        /// Its name in the workspace.
        name: String,
        /// Where it should be.
        place: String,
        /// The identity found there, if any.
        found: Option<String>,
        /// The identity in `backlot.toml`.
        remembered: String,
    },
    /// A name under which Python finds a module of its own.
    #[error("an asset `{name}` could not be imported: `{module}` is a module of Python's standard library")]
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
    /// A release that could not be installed from its target repo.
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
    /// Tracked files are missing.
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
        /// The difference.
        reason: String,
    },
    /// A `pylock.toml` that was made for another environment.
    #[error("`{}` does not fit this environment: {reason}", path.display())]
    LockForElsewhere {
        /// The file.
        path: PathBuf,
        /// The difference.
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
    #[error("unusable lock file `{}`: {reason}", path.display())]
    BadLockFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A `pylock.toml` that wants something other than a wheel.
    #[error("`{}` has {what} for {name}; only wheels can be installed", path.display())]
    LockedSource {
        /// The file.
        path: PathBuf,
        /// The package.
        name: PackageName,
        /// What it has instead.
        what: &'static str,
    },
    /// A lock file of a later format.
    #[error("`{}` has format {found}; this backlot reads up to {known}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The supported version.
        known: u64,
    },
    /// A project without a version file that a bump could rewrite.
    #[error("cannot find the version in `{}`", path.display())]
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
    #[error("cannot start `{program}`")]
    CannotRun {
        /// The command.
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
    /// An invalid Python version.
    #[error("invalid Python version `{version}`")]
    BadPythonVersion {
        /// The given text.
        version: String,
    },
    /// No managed interpreter of that version.
    #[error("Python {version} is not available{}", if have.is_empty() { String::new() } else { format!(", only {}", have.join(", ")) })]
    NoSuchPython {
        /// The requested version.
        version: String,
        /// The available versions.
        have: Vec<String>,
    },
    /// Conda packages beside an interpreter that is not conda's.
    #[error("conda packages need a Python from conda, but the workspace sets one by path: `{python}`")]
    PythonByPath {
        /// The setting.
        python: String,
    },
    /// A package that is not required in `[external]`.
    #[error("`{name}` is not among the external packages of the workspace{}", near(nearest.as_deref()))]
    NotExternal {
        /// The package.
        name: String,
        /// One like it.
        nearest: Option<String>,
    },
    /// This program was built without conda.
    #[error("{action} needs conda packages, which this build of backlot does not support")]
    WithoutConda {
        /// The operation.
        action: &'static str,
    },
    /// The folder for `inputs` has contents that Backlot did not create.
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
    nearest
        .map(|n| format!(" (did you mean `{n}`?)"))
        .unwrap_or_default()
}

backlot_core::coded! {
    WorkspaceError {
        Self::NoWorkspace { .. } => "workspace::none", Class::NotFound,
            "run `init` in the folder to use as workspace, or specify one with `--workspace`";
        Self::UnknownManifests { .. } => "workspace::unknown_manifests", Class::NotFound,
            "name the remote that has them with `--remote`, or push them from a workspace that has the files";
        Self::UnreadableRelease { place, .. } => "workspace::unreadable_release", Class::Integrity,
            format!(
                "restore it from another repo with `repair --repo NAME`; to abandon the release, remove `{place}` with its `.json` and `.metadata`, then run `repo reindex NAME`"
            );
        Self::WorkspaceExists { .. } => "workspace::exists", Class::Conflict,
            "use it as is; `status` shows its contents";
        Self::BadConfig { .. } => "config::invalid", Class::Config,
            "correct the file; docs/format/workspace.md describes its keys";
        Self::SecretInConfig { .. } => "config::secret", Class::Config,
            "remove it from the file and change it at its source: project files are shared";
        Self::LocalRequirement { .. } => "publish::local_url", Class::User,
            "publish it to a repo and require it by name, or use a URL that others can reach";
        Self::NoSuchKey { .. } => "config::no_such_key", Class::NotFound,
            "see `config list`; repos, remotes and rules have their own commands";
        Self::NotInThisFile { user: true, .. } => "config::not_in_this_file", Class::User,
            "omit `--user`";
        Self::NotInThisFile { user: false, .. } => "config::not_in_this_file", Class::User,
            "add `--user`";
        Self::BadSetting { .. } => "config::bad_setting", Class::User,
            "see `config set --help`";
        Self::UnknownName { what, .. } => "config::unknown_name", Class::NotFound,
            format!("see `{what} list`, or add it with `{what} add NAME PLACE`");
        Self::NotPublic { folder: true, .. } => "config::not_public", Class::Config,
            "omit `public`; only packages from outside need an allowlist";
        Self::NotPublic { repo, .. } => "config::not_public", Class::Config,
            format!("if it is outside the studio, write `public = true` in `[repos.{repo}]`");
        Self::NotAllowed { .. } => "config::not_on_list", Class::NotFound,
            "see `repo list`";
        Self::NameTaken { what, name, .. } => "config::name_taken", Class::Conflict,
            format!("choose another name, or run `{what} remove {name}` first");
        Self::NoneConfigured { what, .. } => "config::none_configured", Class::Config,
            format!("add one with `{what} add NAME PLACE`");
        Self::OtherWriters { .. } => "gc::other_writers", Class::User,
            "use an hour or more, or `--no-other-writers` if no other push, publish or collection is running";
        Self::OutputExists { .. } => "output::exists", Class::Conflict,
            "choose another name, or use the existing one";
        Self::UnknownOutput { name, .. } => "output::unknown", Class::NotFound,
            format!("see `status`; `new {name}` creates one, `edit {name}` turns an installed release into one");
        Self::AmbiguousOutput { count: 0 } => "output::ambiguous", Class::User,
            "create one with `new NAME`";
        Self::AmbiguousOutput { .. } => "output::ambiguous", Class::User,
            "name the asset, or run the command inside its folder";
        Self::NotInOutput { .. } => "output::not_in_output", Class::NotFound,
            "specify the asset that should track it: `add PATH --asset NAME`";
        Self::TargetExists { .. } => "output::target_exists", Class::Conflict,
            "change the files in place, then run `add` on that path; or choose another name with `--as`";
        Self::NotInstalled { name, .. } => "input::not_installed", Class::NotFound,
            format!("see `status`; `install {name}` installs it");
        Self::StillNeeded { .. } => "input::still_needed", Class::Conflict,
            "uninstall what needs it first";
        Self::NoSuchInput { .. } => "input::unknown", Class::NotFound,
            "see `status` for the inputs of each output";
        Self::EditableInTheWay { path, .. } => "input::editable_in_the_way", Class::Conflict,
            format!("publish it or move `{}` out of outputs first: an editable is never silently replaced", path.display());
        Self::OtherInputs { asset, .. } => "publish::other_inputs", Class::Conflict,
            format!("bump its version with `bump {asset} micro` and publish that, or install the inputs that it was built with");
        Self::NoSuchRelease { .. } => "release::unknown", Class::NotFound,
            "see `search`; `repo list` shows the repos that were searched";
        Self::FilesNotThere { remote, .. } => "copy::files_missing", Class::NotFound,
            format!("copy them there first with `--from-remote NAME --to-remote {remote}`; or omit files with `--without-files`");
        Self::StandardLibrary { .. } => "output::standard_library", Class::User,
            "choose another name";
        Self::RequiresItself { .. } => "input::itself", Class::User,
            "name another package";
        Self::CannotBeInstalled { .. } => "publish::cannot_be_installed", Class::Conflict,
            "publish or copy its requirements first (`copy --with-deps`), or change its inputs (`input`); to override, use `--force -m REASON`";
        Self::UntrackedFiles { paths, .. } => "publish::untracked_files", Class::User,
            format!("track them with `add {}`; to include them in the wheel, allow them with `largest-file`, `largest-wheel` or `media` in `[publish]` of backlot.toml", paths.join(" "));
        Self::FilesInPublic { .. } => "publish::files_in_public", Class::Config,
            "publish it to a repo of the studio: a collection does not read public repos and would remove the files; if this is one, remove `public` from its entry in backlot.toml";
        Self::PlaceGone { what, name, place } => if *what == "repo" { "workspace::repo_not_there" } else { "workspace::remote_not_there" }, Class::Environment,
            format!("check that the disk is mounted and the path in backlot.toml is right; if the {what} is permanently gone, create a new one with `{what} remove {name}` and `{what} add {name} {place}`");
        Self::OtherPlace { what, name, place, .. } => if *what == "repo" { "workspace::other_repo" } else { "workspace::other_remote" }, Class::Environment,
            format!("check that the right disk is mounted and the path in backlot.toml is right; to use the one that is there, run `{what} remove {name}` and `{what} add {name} {place}`");
        Self::AmbiguousRepo { .. } => "release::ambiguous_repo", Class::User,
            "specify one with `--repo`";
        Self::NotOneRelease { .. } => "release::not_one", Class::User,
            "specify one release, as in `Table==1.0.0`";
        Self::MissingFiles { missing, .. } => "publish::missing_files", Class::NotFound,
            format!("restore them with `pull`, or drop them by running `add` on the remaining files: {}", missing.iter().take(5).cloned().collect::<Vec<_>>().join(", "));
        Self::StaleLock { .. } => "lock::stale", Class::Conflict,
            "run `lock` to resolve again";
        Self::LockForElsewhere { .. } => "lock::stale", Class::Conflict,
            "use a lock file for this Python and platform, or set the Python that it needs: `python = \"...\"` in backlot.toml";
        Self::DamagedLock { .. } => "lock::damaged", Class::Config,
            "restore it from version control, or run `lock` to resolve again and rewrite it (`install --upgrade` also installs)";
        Self::BadLockFile { .. } => "lock::invalid", Class::Config,
            "recreate it with the tool that wrote it; PEP 751 describes its keys";
        Self::LockedSource { .. } => "lock::not_a_wheel", Class::User,
            "build its wheel, publish that to a repo of the workspace, and lock again";
        Self::NewerFormat { .. } => "lock::newer_format", Class::Config,
            "use a newer backlot";
        Self::NoVersionSource { .. } => "output::no_version_source", Class::Config,
            "set `[project] version`, or point `[tool.hatch.version] path` to a file with `__version__ = \"1.0.0\"`";
        Self::NoEnvironment { .. } => "environment::none", Class::NotFound,
            "run `install`";
        Self::CannotRun { .. } => "run::cannot_start", Class::NotFound,
            "check its name; scripts of inputs are in `inputs/bin`";
        Self::ForeignInputs { .. } => "workspace::foreign_inputs", Class::Conflict,
            "move it aside; `install` recreates the environment";
        Self::Channel { known, .. } => "config::channel", if *known { Class::Conflict } else { Class::NotFound },
            "see `channel list`";
        Self::BadPythonVersion { .. } => "python::bad_version", Class::User,
            "use two or three numbers, as in 3.12 or 3.12.4";
        Self::NoSuchPython { version, .. } => "python::not_installed", Class::NotFound,
            format!("see `python list`; in a workspace with a channel, `python install {version}` installs it. Any interpreter can be set by path; `none` is a tree without one");
        Self::PythonByPath { .. } => "external::python_by_path", Class::Config,
            "set a version instead, as in `python = \"3.12\"`; it is then installed with the packages";
        Self::NotExternal { .. } => "external::unknown", Class::NotFound,
            "see `external list`";
        Self::WithoutConda { .. } => "conda::left_out", Class::Config,
            "use a backlot built with the feature `conda`";
    }
}
