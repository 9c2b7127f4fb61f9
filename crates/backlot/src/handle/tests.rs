//! Handles: several of one workspace, older than its files, and used by many threads.

use std::path::Path;

use backlot_core::{Cancel, Class, Context, Diagnostic as _};
use backlot_pep::{BumpStep, VersionChange};
use fs_err as fs;

use crate::environment::lockfile::Lock;
use crate::error::{Error, WorkspaceError};
use crate::workspace::config::FILE_NAME;
use crate::{
    AddFiles, AddRemote, AddRepo, ChangeOptions, Config, Host, InitOptions, InputOptions, InstallRequest,
    NewAsset, Output, PublishOptions, Workspace,
};

/// A folder with workspaces that share repo and remote.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn host(&self) -> Host {
        Host::new(self.0.path().join("cache"))
    }

    fn open(&self, name: &str) -> Workspace {
        Workspace::open(&self.0.path().join(name), &self.host()).expect("opened")
    }

    /// A new workspace with a repo and a remote.
    fn workspace(&self, name: &str) -> Workspace {
        let options = InitOptions {
            python: Some("none".to_owned()),
            ..InitOptions::default()
        };
        let root = self.0.path().join(name);
        Workspace::init(&root, &options, &self.host(), &Context::default()).expect("made");
        let workspace = self.open(name);
        let add = AddRepo::default();
        workspace
            .add_repo("review", "../review", &add, &Context::default())
            .expect("added");
        workspace
            .add_remote(
                "main",
                "../files",
                &AddRemote {
                    as_default: true,
                    ..AddRemote::default()
                },
                &Context::default(),
            )
            .expect("added");
        workspace
    }

    /// A release of each asset, published from a workspace of its own.
    fn releases(&self, names: &[&str]) {
        let maker = self.workspace("maker");
        for name in names {
            let output = asset(&maker, name);
            maker
                .publish(&output.name, &PublishOptions::default(), &Context::default())
                .expect("published");
        }
    }
}

fn asset(workspace: &Workspace, name: &str) -> Output {
    workspace
        .new_asset(name, &NewAsset::default(), &Context::default())
        .expect("made");
    workspace.output(name, &Context::default()).expect("there")
}

fn install(workspace: &Workspace, name: &str) {
    workspace
        .install(
            &[name.to_owned()],
            &InstallRequest::default(),
            &Context::default(),
        )
        .expect("installed");
}

fn config(workspace: &Workspace) -> Config {
    workspace.config(&Context::default()).expect("read")
}

fn toml(workspace: &Workspace) -> String {
    fs::read_to_string(workspace.root().join(FILE_NAME)).expect("read")
}

fn minor() -> VersionChange {
    VersionChange::Steps(vec![BumpStep::Minor])
}

fn installed(workspace: &Workspace) -> Vec<String> {
    let lock = Lock::load(workspace.root()).expect("read").expect("there");
    lock.packages
        .iter()
        .map(|package| package.name.to_string())
        .collect()
}

#[test]
fn an_output_that_was_bumped_is_published_as_what_it_is_now() {
    let desk = Desk::new();
    let workspace = desk.workspace("ws");
    let output = asset(&workspace, "Table");
    workspace
        .bump(&output.name, &minor(), &ChangeOptions::new(), &Context::default())
        .expect("bumped");
    let report = workspace
        .publish(&output.name, &PublishOptions::default(), &Context::default())
        .expect("published");
    assert_eq!(report.version.to_string(), "0.2.0");
    let wheel = report.wheel.expect("built").wheel;
    assert!(wheel.contains("0.2.0"), "{wheel}");
    let again = workspace
        .bump(&output.name, &minor(), &ChangeOptions::new(), &Context::default())
        .expect("bumped");
    assert_eq!(
        (again.from.to_string(), again.to.to_string()),
        ("0.2.0".into(), "0.3.0".into())
    );
    let built = workspace
        .build(&output.name, &ChangeOptions::new(), &Context::default())
        .expect("built");
    assert_eq!(built.version.to_string(), "0.3.0");
}

#[test]
fn inputs_that_were_added_since_an_output_was_read_are_published_and_kept() {
    let desk = Desk::new();
    desk.releases(&["Lamp", "Chair"]);
    let workspace = desk.workspace("ws");
    let output = asset(&workspace, "Table");
    for name in ["Lamp", "Chair"] {
        workspace
            .add_inputs(
                &output.name,
                &[name.to_owned()],
                &InputOptions::new(),
                &Context::default(),
            )
            .expect("added");
    }
    workspace
        .publish(&output.name, &PublishOptions::default(), &Context::default())
        .expect("published");
    let shown = workspace.show("Table", &Context::default()).expect("shown");
    let needs: Vec<&str> = shown[0].requires.iter().map(|r| r.requirement.as_str()).collect();
    assert_eq!(needs, ["lamp", "chair"]);
}

#[test]
fn two_handles_of_a_workspace_do_not_undo_each_others_installs() {
    let desk = Desk::new();
    desk.releases(&["Table", "Chair", "Lamp"]);
    let one = desk.workspace("ws");
    let two = desk.open("ws");
    install(&two, "Table");
    install(&one, "Chair");
    assert_eq!(installed(&one), ["chair", "table"]);
    assert!(
        toml(&one).contains("Table") && toml(&one).contains("Chair"),
        "{}",
        toml(&one)
    );
    install(&two, "Lamp");
    one.uninstall(&["Table".to_owned()], &ChangeOptions::new(), &Context::default())
        .expect("uninstalled");
    assert_eq!(installed(&two), ["chair", "lamp"]);
    // What only makes an output writes the lock as well.
    asset(&two, "Desk");
    assert_eq!(installed(&one), ["chair", "desk", "lamp"]);
    let lock = Lock::load(one.root()).expect("read").expect("there");
    assert_eq!(lock.requirements, ["Chair", "Lamp"]);
}

#[test]
fn two_handles_of_a_workspace_keep_each_others_repos_remotes_and_channels() {
    let desk = Desk::new();
    let one = desk.workspace("ws");
    let two = desk.open("ws");
    one.add_repo("first", "../first", &AddRepo::default(), &Context::default())
        .expect("added");
    two.add_repo("second", "../second", &AddRepo::default(), &Context::default())
        .expect("added");
    one.add_remote(
        "third",
        "../third",
        &AddRemote {
            as_default: true,
            ..AddRemote::default()
        },
        &Context::default(),
    )
    .expect("added");
    two.add_channel("../conda", &ChangeOptions::new(), &Context::default())
        .expect("added");
    two.remove_repo("first", &ChangeOptions::new(), &Context::default())
        .expect("removed");
    one.default_remote("main", &ChangeOptions::new(), &Context::default())
        .expect("chosen");
    let text = toml(&one);
    for name in [
        "[repos.review]",
        "[repos.second]",
        "[remotes.third]",
        "conda\"",
        "remote = \"main\"",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(!text.contains("[repos.first]"), "{text}");
    // A handle that only looks sees it, too.
    assert_eq!(config(&two).default_remote.as_deref(), Some("main"));
}

#[test]
fn what_is_refused_or_only_planned_leaves_a_handle_as_the_disk_has_it() {
    let desk = Desk::new();
    let workspace = desk.workspace("ws");
    let planned = AddRepo {
        dry_run: true,
        ..AddRepo::default()
    };
    workspace
        .add_repo("planned", "../planned", &planned, &Context::default())
        .expect("planned");
    workspace
        .remove_remote("main", &ChangeOptions::new().dry_run(true), &Context::default())
        .expect("planned");
    workspace
        .default_remote("main", &ChangeOptions::new().dry_run(true), &Context::default())
        .expect("planned");
    // A file is in the way of the repo, which shows when it is made.
    fs::write(desk.0.path().join("file"), b"x").expect("written");
    workspace
        .add_repo("refused", "../file", &AddRepo::default(), &Context::default())
        .expect_err("not a folder");
    assert_eq!(config(&workspace).repos.len(), 1);
    assert_eq!(config(&workspace).remotes.len(), 1);
    workspace
        .add_repo("second", "../second", &AddRepo::default(), &Context::default())
        .expect("added");
    let text = toml(&workspace);
    assert!(text.starts_with("# A Backlot workspace"), "{text}");
    assert!(!text.contains("planned") && !text.contains("refused"), "{text}");
}

#[test]
fn an_output_that_is_gone_is_unknown() {
    let desk = Desk::new();
    let workspace = desk.workspace("ws");
    let output = asset(&workspace, "Table");
    fs::remove_dir_all(&output.project.root).expect("removed");
    let error = workspace
        .build(&output.name, &ChangeOptions::new(), &Context::default())
        .expect_err("gone");
    assert!(
        matches!(error, Error::Workspace(WorkspaceError::UnknownOutput { .. })),
        "{error}"
    );
}

#[test]
fn a_pull_through_a_handle_that_is_older_than_the_remotes_finds_the_remote() {
    let desk = Desk::new();
    let maker = desk.workspace("maker");
    let output = asset(&maker, "Table");
    let frames = output.module_folders()[0].join("frames");
    fs::create_dir_all(&frames).expect("made");
    fs::write(frames.join("f.0001.exr"), b"a frame").expect("written");
    maker
        .add(
            std::slice::from_ref(&frames),
            &AddFiles::default(),
            &Context::default(),
        )
        .expect("added");
    maker
        .publish(&output.name, &PublishOptions::default(), &Context::default())
        .expect("published");
    let old = desk.workspace("ws");
    let new = desk.open("ws");
    new.add_remote(
        "empty",
        "../empty",
        &AddRemote {
            as_default: true,
            ..AddRemote::default()
        },
        &Context::default(),
    )
    .expect("added");
    install(&new, "Table");
    // The handle that was opened before still reads what a change has to know under the lock.
    old.new_asset("Chair", &NewAsset::default(), &Context::default())
        .expect("made");
    assert_eq!(installed(&old), ["chair", "table"]);
    assert!(Path::new(&old.outputs_dir()).join("chair").is_dir());
    assert!(
        old.edit("Table", &ChangeOptions::new(), &Context::default())
            .is_ok()
    );
}

#[test]
fn a_call_that_was_stopped_stops_no_other() {
    let desk = Desk::new();
    desk.releases(&["Table"]);
    let workspace = desk.workspace("ws");
    let cancel = Cancel::default();
    cancel.cancel();
    let stopped = Context::default().with_cancel(cancel);
    let error = workspace
        .install(&["Table".to_owned()], &InstallRequest::default(), &stopped)
        .expect_err("stopped");
    assert_eq!(error.class(), Class::Cancelled, "{error}");
    install(&workspace, "Table");
    assert_eq!(installed(&workspace), ["table"]);
}

#[test]
fn clones_of_a_handle_work_in_many_threads_at_once() {
    let desk = Desk::new();
    desk.releases(&["Table", "Chair", "Lamp", "Rug"]);
    let workspace = desk.workspace("ws");
    std::thread::scope(|scope| {
        for name in ["Table", "Chair", "Lamp", "Rug"] {
            let workspace = workspace.clone();
            scope.spawn(move || install(&workspace, name));
        }
    });
    assert_eq!(installed(&workspace), ["chair", "lamp", "rug", "table"]);
}
