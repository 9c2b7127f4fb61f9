//! Options of calls that need no more than their subject and these.

use backlot_core::options;

use crate::files::some_files::SomeFiles;

options! {
    /// How something is changed.
    #[derive(Copy, Default)]
    pub struct ChangeOptions {
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// How inputs are updated.
    #[derive(Copy, Default)]
    pub struct UpdateOptions {
        /// Keep all other packages at their versions; if that is impossible, it is a conflict.
        pub only: bool,
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// Options of a pull.
    #[derive(Default)]
    pub struct PullOptions {
        /// Only these files of the assets.
        pub some: SomeFiles,
        /// The remote, instead of the default one.
        pub remote: Option<String>,
        /// Set aside modified, renamed or copied files, and overwrite or remove them; [`Workspace::undo_pull`] restores them.
        ///
        /// [`Workspace::undo_pull`]: crate::Workspace::undo_pull
        pub force: bool,
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// Options of a push.
    #[derive(Default)]
    pub struct PushOptions {
        /// Only these files of the assets. Their folders are not sent, so a release still needs a push of all.
        pub some: SomeFiles,
        /// The remote, instead of the default one.
        pub remote: Option<String>,
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// Options of a discard.
    #[derive(Default)]
    pub struct DiscardOptions {
        /// Only these frames of sequences: `1001-1010x2`.
        pub frames: Option<String>,
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// How requirements are added to an output or taken away.
    #[derive(Default)]
    pub struct InputOptions {
        /// The group of the requirements; without one, they are always needed.
        pub group: Option<String>,
        /// Add requirements that nothing satisfies, neither a repo nor another output.
        pub unchecked: bool,
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// How something damaged is made whole.
    #[derive(Default)]
    pub struct RepairOptions {
        /// Take it from this place, instead of from any that has it.
        pub from: Option<String>,
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// Options of a status change.
    #[derive(Default)]
    pub struct JudgeOptions {
        /// The repo of the release, if several have it.
        pub repo: Option<String>,
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// Where a setting is changed, and how.
    #[derive(Copy, Default)]
    pub struct SettingOptions {
        /// In the user's file, instead of the workspace's.
        pub user: bool,
        /// Report what would be done, without changing anything.
        pub dry_run: bool,
    }
}

options! {
    /// Which tree of requirements.
    #[derive(Default)]
    pub struct TreeOptions {
        /// From this package, instead of from the requirements of the workspace.
        pub package: Option<String>,
        /// The packages that need it, instead of those it needs.
        pub invert: bool,
    }
}
