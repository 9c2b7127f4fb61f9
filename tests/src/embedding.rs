//! The facade as a program has it: workspaces over places of any kind, and a record of what it told, which is checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use backlot::{
    AddRemote, AddRepo, Context, Event, EventKind, Host, InitOptions, Observer, Operation, OperationId,
    StoreOptions, Workspace,
};
use backlot_net::{Credential, CredentialChain, GivenCredential, SshOptions};
use fs_err as fs;

use crate::stores::Store;

/// A folder with a cache and workspaces, and the places that they use.
#[derive(Debug)]
pub struct Desk {
    folder: tempfile::TempDir,
    /// Who and where the program is.
    pub host: Host,
    /// The repo, as a path or URL.
    pub repo: String,
    /// The remote, as a path or URL.
    pub remote: String,
    /// How both are reached.
    pub store: StoreOptions,
}

impl Desk {
    /// Places in folders.
    pub fn in_folders() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        Self {
            host: Host::new(folder.path().join("cache")),
            repo: at("review"),
            remote: at("files"),
            store: StoreOptions::default(),
            folder,
        }
    }

    /// Places in a store; `name` is that of their folders there.
    pub fn in_store(store: &Store, name: &str) -> Self {
        let here = Self::in_folders();
        let mut host = here.host.clone();
        if let Some((user, password)) = store.user {
            let known = GivenCredential(Credential {
                user: user.to_owned(),
                password: password.to_owned(),
            });
            host.network.credentials = CredentialChain::default().with(Arc::new(known));
        }
        host.network.ssh = SshOptions {
            keys: vec![store.studio.path("home/.ssh/id_ed25519")],
            known_hosts: vec![store.studio.path("home/.ssh/known_hosts")],
            ..SshOptions::default()
        };
        let region = store.url.starts_with("s3:").then(|| "us-east-1".to_owned());
        Self {
            host,
            repo: store.files(&format!("{name}-repo")),
            remote: store.files(&format!("{name}-files")),
            store: StoreOptions::default()
                .endpoint(store.endpoint.clone())
                .region(region),
            ..here
        }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new workspace without Python, with the repo `review` and the remote `files`.
    pub fn workspace(&self, name: &str) -> Workspace {
        let (root, context) = (self.path(name), Context::default());
        let options = InitOptions::new().python(Some("none".to_owned()));
        Workspace::init(&root, &options, &self.host, &context).expect("made");
        let workspace = Workspace::open(&root, &self.host).expect("opened");
        let repo = AddRepo::new().store(self.store.clone());
        workspace
            .add_repo("review", &self.repo, &repo, &context)
            .expect("added");
        let remote = AddRemote::new().store(self.store.clone()).as_default(true);
        workspace
            .add_remote("files", &self.remote, &remote, &context)
            .expect("added");
        workspace
    }

    /// A folder with some frames.
    pub fn frames(&self, name: &str, count: usize) -> PathBuf {
        let folder = self.path(name);
        write_frames(&folder, count, 0);
        folder
    }
}

/// Write small files `f.0001.exr`, ... of which each has its own content.
pub fn write_frames(folder: &Path, count: usize, seed: usize) {
    fs::create_dir_all(folder).expect("made");
    for n in 1..=count {
        let bytes = format!("frame {n} of {seed}\n").repeat(100 + n);
        fs::write(folder.join(format!("f.{n:04}.exr")), bytes).expect("written");
    }
}

/// Keeps all that it is told.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Observer for Recorder {
    fn event(&self, event: &Event) {
        self.0.lock().expect("no panic").push(event.clone());
    }
}

impl Recorder {
    /// What was told since the last time.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

/// What is known of an operation while its events are read.
struct Known {
    parent: Option<OperationId>,
    call: Option<&'static str>,
    /// Items and bytes: done, and all.
    counts: [(u64, u64); 2],
    ended: bool,
}

/// See that each event is of an operation that is going on, that each of these is a whole call or a part of one, has a subject, and that
/// of none is more done than there is. `within` is the program's own operation around them. Returns the names of the calls.
pub fn check_events(events: &[Event], within: Option<OperationId>) -> Vec<&'static str> {
    let mut known: BTreeMap<OperationId, Known> = BTreeMap::new();
    let mut calls = Vec::new();
    for event in events {
        assert!(event.subject.is_some(), "it is about nothing: {event:?}");
        if let EventKind::Started {
            operation,
            items,
            bytes,
        } = event.kind
        {
            let call = match operation {
                Operation::Call(name) => Some(name),
                _ => None,
            };
            if let Some(name) = call {
                assert_eq!(event.parent, within, "a call inside of a call: {event:?}");
                calls.push(name);
            } else {
                let parent = event.parent.and_then(|parent| known.get(&parent));
                assert!(parent.is_some_and(|parent| !parent.ended), "{event:?}");
            }
            let new = Known {
                parent: event.parent,
                call,
                counts: [(0, items), (0, bytes)],
                ended: false,
            };
            assert!(known.insert(event.id, new).is_none(), "begun twice: {event:?}");
            continue;
        }
        let of = known.get_mut(&event.id).unwrap_or_else(|| panic!("{event:?}"));
        assert_eq!(of.parent, event.parent, "{event:?}");
        assert!(!of.ended, "after its end: {event:?}");
        match event.kind {
            EventKind::Grew { items, bytes, .. } => {
                of.counts[0].1 += items;
                of.counts[1].1 += bytes;
            }
            EventKind::Advanced { items, bytes, .. } => {
                of.counts[0].0 += items;
                of.counts[1].0 += bytes;
            }
            EventKind::Finished { .. } => of.ended = true,
            _ => {}
        }
        assert!(of.counts.iter().all(|(done, all)| done <= all), "{event:?}");
    }
    for of in known.values() {
        assert!(of.ended && (of.call.is_some() || of.parent.is_some()));
    }
    calls
}
