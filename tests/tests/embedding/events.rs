//! Events for embedding programs: the call they belong to, and the progress of each operation.

use std::sync::Arc;

use backlot::{
    AddFiles, Context, EventKind, InstallRequest, NewAsset, NewStage, Operation, Progress, PublishOptions,
    PullOptions, PushOptions, ReproOptions, Subject, Workspace,
};
use backlot_tests::embedding::{Desk, Recorder, check_events, write_frames};

/// An asset with some frames.
fn asset(workspace: &Workspace, name: &str) {
    let context = Context::default();
    workspace
        .new_asset(name, &NewAsset::new(), &context)
        .expect("made");
    let module = name.to_lowercase();
    let frames = workspace
        .outputs_dir()
        .join(format!("{module}/src/{module}/frames"));
    write_frames(&frames, 40, name.len());
    workspace
        .add(&[frames], &AddFiles::new(), &context)
        .expect("added");
}

#[test]
fn all_that_a_call_tells_is_of_one_operation_within_that_of_the_program() {
    let desk = Desk::in_folders();
    let (maker, user) = (desk.workspace("maker"), desk.workspace("user"));
    asset(&maker, "Table");
    let mut stage = NewStage::new()
        .name("bake")
        .command(vec!["cp frames.dvc baked".to_owned()]);
    stage.outs = vec!["baked".to_owned()];
    let folder = maker.outputs_dir().join("table/src/table");
    maker
        .add_stage(
            &stage,
            &folder,
            &backlot::ChangeOptions::new(),
            &Context::default(),
        )
        .expect("added");
    let names = ["Table".to_owned()];

    let recorder = Arc::new(Recorder::default());
    let context = Context::default().with_observer(Arc::clone(&recorder) as _);
    let shot = context.clone().about(Subject::Asset("Shot010".to_owned()));
    let own = shot.start(Operation::Call("a job of the program"), 0, 0);
    let inside = own.context();
    let begun = recorder.take();
    let id = begun[0].id;

    let call = |expected: &str, work: &dyn Fn(&Context)| {
        work(&inside);
        let events = recorder.take();
        // The totals of the program's own operation are those of all that it calls.
        let (outer, inner): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.id == id);
        assert_eq!(check_events(&inner, Some(id)), [expected]);
        let done = |events: &[backlot::Event], of: backlot::OperationId| -> u64 {
            let of = events.iter().filter(|event| event.id == of);
            let items = of.filter_map(|event| match event.kind {
                EventKind::Advanced { items, .. } => Some(items),
                _ => None,
            });
            items.sum()
        };
        let items = done(&inner, inner[0].id);
        assert!(items > 0, "{expected} says nothing of what it does");
        assert_eq!(done(&outer, id), items);
        inner
    };
    call("repro", &|context| {
        maker.repro(&ReproOptions::new(), context).expect("run");
    });
    let pushed = call("push", &|context| {
        maker.push(&names, &PushOptions::new(), context).expect("pushed");
    });
    let push = pushed.iter().find(|event| {
        let EventKind::Started { operation, .. } = event.kind else {
            return false;
        };
        operation == Operation::Push
    });
    let subject = push.and_then(|event| event.subject.as_deref().cloned());
    assert_eq!(subject, Some(Subject::of_place(&desk.remote)));
    let published = call("publish", &|context| {
        maker
            .publish("Table", &PublishOptions::new(), context)
            .expect("published");
    });
    let about = published[0].subject.as_deref();
    assert_eq!(about, Some(&Subject::Asset("Table".to_owned())));
    call("install", &|context| {
        user.install(&names, &InstallRequest::new(), context)
            .expect("installed");
    });
    desk_without_cache(&desk);
    call("pull", &|context| {
        user.pull(&[], &PullOptions::new(), context).expect("pulled");
    });
}

/// So that a pull has something to fetch.
fn desk_without_cache(desk: &Desk) {
    fs_err::remove_dir_all(desk.path("cache/files")).expect("removed");
}

#[test]
fn calls_at_the_same_time_are_told_apart() {
    let desk = Desk::in_folders();
    let workspaces: Vec<Workspace> = (0..3).map(|n| desk.workspace(&format!("maker{n}"))).collect();
    for (workspace, name) in workspaces.iter().zip(["Table", "Chair", "Lamp"]) {
        asset(workspace, name);
    }
    let recorder = Arc::new(Recorder::default());
    let context = Context::default().with_observer(Arc::clone(&recorder) as _);
    std::thread::scope(|scope| {
        for (workspace, name) in workspaces.iter().zip(["Table", "Chair", "Lamp"]) {
            let context = &context;
            scope.spawn(move || {
                workspace
                    .publish(name, &PublishOptions::new(), context)
                    .expect("published");
            });
        }
    });
    assert_eq!(check_events(&recorder.take(), None), ["publish"; 3]);
}

#[test]
fn the_state_of_a_call_can_be_asked_for() {
    let desk = Desk::in_folders();
    let maker = desk.workspace("maker");
    asset(&maker, "Table");
    let progress = Arc::new(Progress::default());
    let context = Context::default().with_observer(Arc::clone(&progress) as _);
    maker
        .publish("Table", &PublishOptions::new(), &context)
        .expect("published");
    let call = progress.call().expect("it began");
    assert!(call.finished && call.operation == Operation::Call("publish"));
    assert!(call.done_items > 40 && call.done_items <= call.items, "{call:?}");
    assert!(call.done_bytes > 0 && call.done_bytes <= call.bytes, "{call:?}");
    assert_eq!(progress.operations().len(), 1);
    let json = serde_json::to_value(&call).expect("serialised");
    assert_eq!(json["operation"], serde_json::json!({ "call": "publish" }));
    assert_eq!(
        json["subject"],
        serde_json::json!({ "kind": "asset", "name": "Table" })
    );
}
