//! Errors between an output and the release that it was edited from.

use std::path::PathBuf;

use backlot_core::{Class, text};
use backlot_pep::{PackageName, Version};

use crate::project::base::NewerRelease;

/// An output and the releases of its package do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// A newer release was published since the one that an output was edited from.
    #[error("{asset} was {}, and {} was published in `{}`{} since: publishing would leave its changes out", edited_from(base.as_ref()), newer.version, newer.repo, by(newer))]
    Diverged {
        /// The asset.
        asset: String,
        /// The release it was edited from; `None` if it was made here.
        base: Option<Version>,
        /// The newest release.
        newer: Box<NewerRelease>,
    },
    /// An asset whose module is a link to another folder: writing there would change the files of others.
    #[error("`{}` of {asset} is a link to `{}`, outside the asset", path.display(), target.display())]
    LinkedModule {
        /// The asset.
        asset: String,
        /// The link.
        path: PathBuf,
        /// Where it leads to.
        target: PathBuf,
    },
    /// Files that changed here and in the newer release, in different ways, or that are here untracked.
    #[error("cannot rebase {asset} onto {newer}: {} changed on both sides, or not tracked here: {}", text::count(files.len() as u64, "file"), files.iter().take(20).cloned().collect::<Vec<_>>().join(", "))]
    Conflicts {
        /// The asset.
        asset: String,
        /// The newer release.
        newer: Version,
        /// Their paths in the package.
        files: Vec<String>,
    },
    /// Changes of tracked files that no pointer names yet.
    #[error("{asset} has changes to tracked files that are not added: {}", paths.join(", "))]
    NotAdded {
        /// The asset.
        asset: String,
        /// The changed paths, relative to the workspace.
        paths: Vec<String>,
    },
    /// Several outputs that would be published as one package.
    #[error("{} are the same package, `{package}`", folders.iter().map(|folder| format!("`{folder}`")).collect::<Vec<_>>().join(" and "))]
    SamePackage {
        /// The package.
        package: PackageName,
        /// The folders, relative to the workspace.
        folders: Vec<String>,
    },
    /// A name that something else has.
    #[error("the name `{name}` is in use: {by} has it")]
    NameInUse {
        /// The name.
        name: String,
        /// The owner of the name.
        by: String,
    },
    /// An output whose module is not called as its package is.
    #[error("{asset} has no module of its own name, so it cannot be renamed")]
    NoModuleOfName {
        /// The asset.
        asset: String,
    },
    /// An output that cannot be moved, since outputs of stages are set aside.
    #[error("{asset} cannot be renamed while stages run, or after a run of stages was interrupted")]
    StagesInterrupted {
        /// The asset.
        asset: String,
    },
    /// The record of files that were set aside is damaged.
    #[error("cannot read `{}`, the record of files that `pull --force` set aside: {reason}", path.display())]
    DamagedRecord {
        /// The record.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// No files were set aside.
    #[error("nothing to restore: no `pull --force` has set files aside")]
    NothingSetAside,
    /// An asset has no hook of a name.
    #[error("{asset} has no hook named {hook}")]
    NoHook {
        /// The asset.
        asset: String,
        /// The hook.
        hook: String,
        /// The hooks that it has, for messages.
        known: String,
    },
    /// A hook is to be run in an environment without Python.
    #[error("running a hook of {asset} requires Python, and the environment does not have it")]
    NoPythonForHook {
        /// The asset.
        asset: String,
    },
    /// A text that cannot be a label.
    #[error("invalid label `{label}`: {reason}")]
    BadLabel {
        /// The text.
        label: String,
        /// The rule for labels.
        reason: &'static str,
    },
    /// A label that no repo has.
    #[error("{package} has no label `{label}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    NoLabel {
        /// The package.
        package: PackageName,
        /// The label.
        label: String,
        /// The label that is spelled most like it.
        nearest: Option<String>,
    },
    /// No condition for the releases to deprecate.
    #[error("nothing says which releases are to be deprecated")]
    NoCondition,
    /// Versions of different assets have nothing to do with each other.
    #[error("versions below another one are those of an asset, and none is named")]
    BelowWhat,
    /// All releases of an asset would be deprecated.
    #[error("all releases of {package} would be deprecated, and nothing would take their place")]
    NothingLeft {
        /// The package.
        package: PackageName,
    },
}

fn edited_from(base: Option<&Version>) -> String {
    base.map_or_else(
        || "not edited from a release".to_owned(),
        |base| format!("edited from {base}"),
    )
}

/// ` by ana at 2026-01-31T12:00:00Z`, as far as it is known.
fn by(newer: &NewerRelease) -> String {
    let author = newer.author.as_ref().map(|author| format!(" by {author}"));
    let at = newer.at.map(|at| format!(" at {at}"));
    author.unwrap_or_default() + &at.unwrap_or_default()
}

backlot_core::coded! {
    EditError {
        Self::Diverged { asset, .. } => "publish::diverged", Class::Conflict,
            format!(
                "run `edit {asset} --rebase` to apply its changes, then publish; or publish without them with `publish {asset} --force -m REASON`"
            );
        Self::LinkedModule { .. } => "output::linked", Class::User,
            "copy the files into the asset, or add the folder with `add PATH --asset NAME`";
        Self::Conflicts { asset, .. } => "edit::conflicts", Class::Conflict,
            format!(
                "resolve each of these files by making it equal to the one in the release (untracked files can be moved aside), then retry; or publish without the release's changes with `publish {asset} --force -m REASON`"
            );
        Self::NotAdded { paths, .. } => "edit::not_added", Class::Conflict,
            format!("run `add {}` first", paths.join(" "));
        Self::SamePackage { .. } => "output::same_package", Class::Conflict,
            "rename one in its pyproject.toml, or move one of the folders out of outputs";
        Self::NameInUse { .. } => "rename::name_in_use", Class::Conflict,
            "choose another name";
        Self::NoModuleOfName { .. } => "rename::no_module", Class::User,
            "name one folder of Python code as the package, in `src`; or change the names in its pyproject.toml by hand";
        Self::StagesInterrupted { .. } => "rename::stages", Class::Conflict,
            "wait for the stages, or run `repro` to put the outputs of an interrupted run back";
        Self::DamagedRecord { path, .. } => "pull::damaged_record", Class::Integrity,
            format!(
                "restore it from a backup; or, if the files set aside are no longer needed, delete `{}`: cleaning the cache may then remove their content",
                path.display()
            );
        Self::NoHook { known, .. } if known.is_empty() => "run::no_hook", Class::NotFound,
            "it has no hooks; define them under `[project.entry-points.\"backlot.hooks\"]` in its pyproject.toml";
        Self::NoHook { known, .. } => "run::no_hook", Class::NotFound,
            format!("it has {known}");
        Self::NoPythonForHook { .. } => "run::no_python", Class::Environment,
            "install one with `python install VERSION`, then `install`";
        Self::BadLabel { .. } => "label::invalid", Class::User,
            "choose another name, such as `hero`";
        Self::NoLabel { package, .. } => "label::unknown", Class::NotFound,
            format!("`label list {package}` lists the labels; `label set {package}==VERSION LABEL` creates one");
        Self::NoCondition => "deprecate::no_condition", Class::User,
            "name a release, or say `--below VERSION` or `--unused-for AGE`";
        Self::BelowWhat => "deprecate::no_asset", Class::User,
            "name the asset";
        Self::NothingLeft { package } => "deprecate::nothing_left", Class::Conflict,
            format!("publish a release of {package} that is not below it first, or deprecate one release by its version");
        Self::NothingSetAside => "pull::nothing_set_aside", Class::NotFound,
            "nothing was lost: only `pull --force` sets files aside";
    }
}
