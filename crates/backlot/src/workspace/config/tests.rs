//! Tests of `config`.

use super::{Config, RemoteEntry, RepoEntry};
use crate::error::{Error, WorkspaceError};
use backlot_core::Context;
use backlot_pep::Requirement;

#[test]
fn what_is_added_is_read_back_in_order_and_comments_survive() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::new(folder.path()).expect("new");
    for name in ["review", "blessed"] {
        config.add_repo(RepoEntry {
            name: name.to_owned(),
            place: format!("../repos/{name}"),
            upload: None,
            store: backlot_backend::StoreOptions::default(),
            public: None,
            id: Some(format!("of-{name}")),
            checks: None,
        });
    }
    config.add_remote(RemoteEntry {
        name: "main".into(),
        url: "../files".into(),
        layout: backlot_store::RemoteLayout::Dvc,
        store: backlot_backend::StoreOptions::default(),
        id: Some("of-main".into()),
    });
    config.set_default_remote(Some("main"));
    config.set_inputs(vec![Requirement::parse("Shot>=1").expect("valid")]);
    config.save().expect("saved");
    let read = Config::load(folder.path(), &Context::default()).expect("loaded");
    assert_eq!(
        read.repos.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(),
        ["review", "blessed"]
    );
    assert_eq!(read.default_remote.as_deref(), Some("main"));
    assert_eq!(
        (read.repos[0].id.as_deref(), read.remotes[0].id.as_deref()),
        (Some("of-review"), Some("of-main"))
    );
    assert_eq!(read.inputs[0].text(), "Shot>=1");
    let text = fs_err::read_to_string(folder.path().join("backlot.toml")).expect("read");
    assert!(text.starts_with("# A Backlot workspace."));
}

#[test]
fn every_key_that_is_written_is_a_known_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::new(folder.path()).expect("new");
    let text = |text: &str| Some(text.to_owned());
    let store = backlot_backend::StoreOptions::new()
        .endpoint(text("https://s3.studio.example"))
        .region(text("here"))
        .anonymous(true)
        .via(text("/site"));
    config.add_repo(RepoEntry {
        name: "far".to_owned(),
        place: "s3://bucket/repo".to_owned(),
        upload: text("https://index.studio.example/legacy/"),
        store: store.clone(),
        public: Some(Vec::new()),
        id: text("of-far"),
        checks: text("studio-checks"),
    });
    config.add_remote(RemoteEntry {
        name: "main".into(),
        url: "s3://bucket/files".into(),
        layout: backlot_store::RemoteLayout::Chunked,
        store: store.clone(),
        id: text("of-main"),
    });
    config.save().expect("saved");
    let context = Context::default();
    let read = Config::load(folder.path(), &context).expect("loaded");
    assert_eq!((&read.repos[0].store, &read.remotes[0].store), (&store, &store));
    assert_eq!(context.warnings(), 0);
}

#[test]
fn secrets_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for line in [
        "[remotes.a]\nurl = \"s3://b\"\naccess_key_secret = \"x\"",
        "[remotes.a]\nurl = \"sftp://me:pw@host/x\"",
        "[repos.a]\nurl = \"https://me:pw@host/simple/\"",
        "[repos.a]\nurl = \"https://host/simple/\"\ntoken = \"x\"",
    ] {
        backlot_core::file::write(
            &folder.path().join("backlot.toml"),
            format!("version = 1\n{line}\n").as_bytes(),
        )
        .expect("written");
        let error = Config::load(folder.path(), &Context::default()).expect_err("a secret");
        assert!(
            matches!(error, Error::Workspace(WorkspaceError::SecretInConfig { .. })),
            "{error}"
        );
    }
}
