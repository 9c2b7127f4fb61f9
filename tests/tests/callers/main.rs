//! Every public method of the facade's handles, called from every kind of thread, with every kind of repo and remote: it returns a result or an ordinary
//! error, never panics or hangs, and reports itself as one operation.
//!
//! The calls are compared with the source: a new method without a call here fails.

mod calls;

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backlot::{Class, Context, Diagnostic as _, Runtime};
use backlot_tests::embedding::{Desk, Recorder, check_events};
use backlot_tests::repository;
use backlot_tests::stores::Store;
use fs_err as fs;

use crate::calls::{Bench, CALLS};

/// Longest time of all calls from one kind of thread.
const PATIENCE: Duration = Duration::from_mins(8);

/// Make all calls, on this thread.
fn call_all(bench: &Bench, doing: &Mutex<&'static str>) {
    let recorder = Arc::new(Recorder::default());
    let mut wrong: Vec<String> = Vec::new();
    for call in CALLS {
        *doing.lock().expect("no panic") = call.name;
        let context = Context::default().with_observer(Arc::clone(&recorder) as _);
        if let Err(error) = (call.run)(bench, &context)
            && (call.must || [Class::Internal, Class::Cancelled].contains(&error.class()))
        {
            wrong.push(format!("{}: {error} [{}]", call.name, error.code()));
        }
        let told = check_events(&recorder.take(), None);
        let method = call.name.rsplit("::").next().expect("a name");
        let expected = match call.name {
            "Parts::push" => "push_part",
            "Parts::list" => "list_parts",
            _ => method,
        };
        assert!(
            told.iter().all(|name| *name == expected),
            "{}: {told:?}",
            call.name
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Do something that ends, or say where it is stuck.
fn watched(of: &str, work: impl FnOnce(&Mutex<&'static str>) + Send + 'static) {
    let doing = Arc::new(Mutex::new(""));
    let (done, wait) = mpsc::channel::<()>();
    let thread = std::thread::spawn({
        let doing = Arc::clone(&doing);
        move || {
            let _done = done;
            work(&doing);
        }
    });
    match wait.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => panic!("{of}: hangs in {}", doing.lock().expect("no panic")),
        _ => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
}

/// Call everything from all kinds of threads, each over places of its own.
fn from_everywhere(desk: impl Fn(&str) -> Desk) {
    let bench = |name: &str| Bench::new(desk(name));
    let plain = bench("plain");
    watched("a plain thread", move |doing| call_all(&plain, doing));
    let pooled = bench("pool");
    watched("a worker of a pool", move |doing| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .expect("a pool");
        pool.install(|| call_all(&pooled, doing));
    });
    let single = bench("single");
    watched("a runtime of one thread", move |doing| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async { call_all(&single, doing) });
    });
    let worker = bench("worker");
    watched("a worker of a runtime", move |doing| {
        on_a_worker(move |doing| call_all(&worker, doing), doing);
    });
    let given = desk("given");
    watched("a worker of the runtime that is the host's", move |doing| {
        let work = move |doing: &Mutex<&'static str>| {
            let mut desk = given;
            desk.host.network.runtime = Runtime::current().expect("this one");
            call_all(&Bench::new(desk), doing);
        };
        on_a_worker(work, doing);
    });
}

/// Do something in a task of a runtime with some workers.
fn on_a_worker(work: impl FnOnce(&Mutex<&'static str>) + Send + 'static, doing: &Mutex<&'static str>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let here = Arc::new(Mutex::new(*doing.lock().expect("no panic")));
    let task = runtime.spawn({
        let here = Arc::clone(&here);
        async move { work(&here) }
    });
    while !task.is_finished() {
        *doing.lock().expect("no panic") = *here.lock().expect("no panic");
        std::thread::sleep(Duration::from_millis(20));
    }
    if let Err(error) = runtime.block_on(task) {
        resume_unwind(error.into_panic());
    }
}

#[test]
fn every_method_is_called_from_everywhere_over_folders() {
    from_everywhere(|_| Desk::in_folders());
}

#[test]
fn every_method_is_called_from_everywhere_over_a_bucket() {
    let store = Store::s3();
    from_everywhere(|name| Desk::in_store(&store, name));
}

#[test]
fn every_method_is_called_from_everywhere_over_sftp() {
    let (store, _server) = Store::sftp();
    from_everywhere(|name| Desk::in_store(&store, name));
}

/// The public methods of a type that a file has, `Type::method`.
fn methods(path: &Path, of: &str, found: &mut BTreeSet<String>) {
    let text = fs::read_to_string(path).expect("a source");
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("impl") {
            inside = line == format!("impl {of} {{");
        }
        let name = line
            .strip_prefix("    pub fn ")
            .and_then(|rest| rest.split(['(', '<']).next());
        if let Some(name) = name.filter(|_| inside) {
            found.insert(format!("{of}::{name}"));
        }
    }
}

#[test]
fn no_public_method_is_left_out() {
    let facade = repository().join("crates/backlot/src");
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(facade.join("handle")).expect("a folder") {
        methods(&entry.expect("read").path(), "Workspace", &mut there);
    }
    methods(&facade.join("releases/parts.rs"), "Parts", &mut there);
    methods(&facade.join("workspace/auth/mod.rs"), "Auth", &mut there);
    assert!(there.len() > 100, "{there:?}");
    let called: BTreeSet<String> = CALLS.iter().map(|call| call.name.to_owned()).collect();
    assert_eq!(called.len(), CALLS.len(), "one is called twice");
    let missing: Vec<&String> = there.symmetric_difference(&called).collect();
    assert!(missing.is_empty(), "only in one of the two: {missing:?}");
}
