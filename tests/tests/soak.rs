//! Many threads use two workspaces at random: they call, cancel, and give calls up. Nothing panics or hangs, no change of one thread undoes that of
//! another, and at the end all is as if the calls that succeeded had been made one after the other.
//!
//! It takes some seconds; `BACKLOT_SOAK_SECONDS=600` makes it ten minutes, `BACKLOT_SOAK_SEED` gives it other chances.
#![expect(
    clippy::disallowed_methods,
    reason = "how long it takes is said by the environment"
)]

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use backlot::{
    AddFiles, AddRepo, BumpStep, ChangeOptions, Class, Context, Diagnostic as _, Error, InstallRequest, Lock,
    LogOptions, NewAsset, PublishOptions, PullOptions, VerifyOptions, VersionChange, Workspace, aio,
};
use backlot_tests::embedding::{Desk, write_frames};

const THREADS: usize = 8;
/// How long what is going on may take after the time is over.
const PATIENCE: Duration = Duration::from_mins(3);

fn number(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What a thread does. It changes only what is its own, so what became of a call that it gave up can be seen.
#[derive(Clone, Debug)]
enum Action {
    /// Name a repo in one of the workspaces, or forget it.
    Repo { workspace: usize, there: bool },
    /// Publish the next version of the thread's asset, where it is an output.
    Publish { release: usize },
    /// Install a release of it in the other workspace: the first one is 0.1.1.
    Install { release: usize },
    /// Take it away again.
    Uninstall,
}

/// What is the thread's own now.
#[derive(Clone, Debug, Default, PartialEq)]
struct Own {
    repos: [bool; 2],
    releases: usize,
    installed: Option<usize>,
}

/// The two workspaces, for one thread.
#[derive(Clone)]
struct Seat {
    thread: usize,
    workspaces: [Workspace; 2],
}

impl Seat {
    fn asset(&self) -> String {
        format!("Asset{}", self.thread)
    }

    /// Where the asset is an output.
    fn home(&self) -> &Workspace {
        &self.workspaces[self.thread % 2]
    }

    /// Where it is installed.
    fn other(&self) -> &Workspace {
        &self.workspaces[1 - self.thread % 2]
    }

    fn frames(&self) -> PathBuf {
        let module = self.asset().to_lowercase();
        let outputs = self.home().outputs_dir();
        outputs.join(format!("{module}/src/{module}/frames"))
    }

    fn make(&self) {
        self.home()
            .new_asset(&self.asset(), &NewAsset::new(), &Context::default())
            .expect("made");
    }

    fn act(&self, action: &Action, context: &Context) -> Result<(), Error> {
        let (asset, nothing) = (self.asset(), ChangeOptions::new());
        let name = format!("own{}", self.thread);
        match *action {
            Action::Repo {
                workspace,
                there: true,
            } => {
                let place = format!("../{name}");
                let workspace = &self.workspaces[workspace];
                workspace
                    .add_repo(&name, &place, &AddRepo::new(), context)
                    .map(drop)
            }
            Action::Repo {
                workspace,
                there: false,
            } => self.workspaces[workspace]
                .remove_repo(&name, &nothing, context)
                .map(drop),
            Action::Publish { release } => {
                write_frames(&self.frames(), 3 + release, self.thread);
                self.home().add(&[self.frames()], &AddFiles::new(), context)?;
                let micro = VersionChange::Steps(vec![BumpStep::Micro]);
                let options = PublishOptions::new().bump(Some(micro));
                self.home().publish(&asset, &options, context).map(drop)
            }
            Action::Install { release } => {
                let wanted = [format!("{asset}==0.1.{}", release + 1)];
                self.other()
                    .install(&wanted, &InstallRequest::new(), context)
                    .map(drop)
            }
            Action::Uninstall => self.other().uninstall(&[asset], &nothing, context).map(drop),
        }
    }

    /// What is the thread's own, as it is on disk.
    fn look(&self) -> Own {
        let context = Context::default();
        let name = format!("own{}", self.thread);
        let configs = [0, 1].map(|n: usize| self.workspaces[n].config(&context).expect("read"));
        let package = self.asset().to_lowercase();
        let other = &configs[1 - self.thread % 2];
        let input = other.inputs.iter().find(|input| input.name().as_str() == package);
        let installed = input.map(|input| {
            let text = input.to_string();
            let last = text.rsplit('.').next();
            let release = last.and_then(|last| last.parse::<usize>().ok()?.checked_sub(1));
            release.unwrap_or_else(|| panic!("`{text}` is another requirement"))
        });
        let log = self.home().log(&self.asset(), &LogOptions::new(), &context);
        Own {
            repos: configs.map(|config| config.repos.iter().any(|repo| repo.name == name)),
            releases: log.map_or(0, |log| log.len()),
            installed,
        }
    }
}

impl Own {
    /// Something that can be done now.
    fn choose(&self, random: &mut fastrand::Rng) -> Action {
        match random.u32(..4) {
            0 => {
                let workspace = random.usize(..2);
                let there = !self.repos[workspace];
                Action::Repo { workspace, there }
            }
            1 => Action::Publish {
                release: self.releases,
            },
            _ if self.releases == 0 => Action::Publish { release: 0 },
            2 => Action::Install {
                release: random.usize(..self.releases),
            },
            _ if self.installed.is_some() => Action::Uninstall,
            _ => Action::Install {
                release: self.releases - 1,
            },
        }
    }

    /// As it is when an action is done.
    fn after(&self, action: &Action) -> Self {
        let mut after = self.clone();
        match *action {
            Action::Repo { workspace, there } => after.repos[workspace] = there,
            Action::Publish { release } => after.releases = release + 1,
            Action::Install { release } => after.installed = Some(release),
            Action::Uninstall => after.installed = None,
        }
        after
    }
}

/// Do something as a program does: to its end, for a limited time, or given up by dropping its future. An error is one of a call that was stopped.
fn attempt(
    random: &mut fastrand::Rng,
    runtime: &tokio::runtime::Runtime,
    work: impl FnOnce(&Context) -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let context = Context::default();
    let some = Duration::from_millis(random.u64(..300));
    match random.u32(..5) {
        0 => work(&context.child_for(some)),
        1 => {
            let (ended, end) = mpsc::channel();
            let call = aio::run(&context, move |context| {
                ended.send(work(context)).expect("it is waited for");
            });
            // On a worker of the runtime, until the time is over.
            let given_up = runtime.spawn(async move { tokio::time::timeout(some, call).await.is_err() });
            runtime.block_on(given_up).expect("no panic");
            end.recv().expect("it ends")
        }
        2 => runtime
            .block_on(runtime.spawn(async move { work(&context) }))
            .expect("no panic"),
        _ => work(&context),
    }
}

/// Something that changes nothing of anybody's. What it is about may go away meanwhile.
fn only_look(seat: &Seat, random: &mut fastrand::Rng, context: &Context) {
    let workspace = &seat.workspaces[random.usize(..2)];
    let done = match random.u32(..4) {
        0 => workspace.status(context).map(drop),
        1 => workspace.outdated(context).map(drop),
        2 => workspace.show(&seat.asset(), context).map(drop),
        _ => workspace.pull(&[], &PullOptions::new(), context).map(drop),
    };
    if let Err(error) = done {
        assert_ne!(error.class(), Class::Internal, "{error} [{}]", error.code());
    }
}

/// One thread's part. Returns what succeeded.
fn play(seat: &Seat, seed: u64, runtime: &tokio::runtime::Runtime, end: Instant) -> Vec<Action> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut own, mut done) = (Own::default(), Vec::new());
    while Instant::now() < end {
        if random.u32(..3) == 0 {
            only_look(seat, &mut random, &Context::default());
            continue;
        }
        let action = own.choose(&mut random);
        let (acting, what) = (seat.clone(), action.clone());
        let outcome = attempt(&mut random, runtime, move |context| acting.act(&what, context));
        let (found, after) = (seat.look(), own.after(&action));
        match outcome {
            Ok(()) => assert_eq!(found, after, "{action:?} was undone"),
            Err(error) => {
                let code = error.code();
                assert_eq!(
                    error.class(),
                    Class::Cancelled,
                    "{action:?}: {error} [{code}]: {:?}",
                    error.help()
                );
                assert!(
                    found == own || found == after,
                    "{action:?} of {own:?} is half done: {found:?}"
                );
            }
        }
        if found == after {
            done.push(action);
        }
        own = found;
    }
    done
}

/// What is there in the end: by place, what is in it.
fn summary(workspaces: &[Workspace; 2]) -> BTreeMap<String, Vec<String>> {
    let context = Context::default();
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (n, workspace) in workspaces.iter().enumerate() {
        let config = workspace.config(&context).expect("read");
        let repos = config.repos.iter().map(|repo| repo.name.clone()).collect();
        let inputs = config.inputs.iter().map(ToString::to_string).collect();
        let lock = Lock::load(workspace.root()).expect("read");
        let packages = lock.iter().flat_map(|lock| &lock.packages);
        let locked = packages
            .map(|package| format!("{} {}", package.name, package.version))
            .collect();
        for (what, list) in [("repos", repos), ("inputs", inputs), ("packages", locked)] {
            all.insert(format!("{what} of {n}"), list);
        }
    }
    let log = |thread: usize| {
        let log = workspaces[0].log(&format!("Asset{thread}"), &LogOptions::new(), &context);
        let versions = log.into_iter().flatten();
        versions
            .map(|entry| format!("{} {}", entry.package, entry.version))
            .collect::<Vec<_>>()
    };
    all.insert("releases".to_owned(), (0..THREADS).flat_map(log).collect());
    for list in all.values_mut() {
        list.sort();
    }
    all
}

fn seats(desk: &Desk) -> (Vec<Seat>, [Workspace; 2]) {
    let workspaces = [desk.workspace("one"), desk.workspace("two")];
    let seat = |thread| Seat {
        thread,
        workspaces: workspaces.clone(),
    };
    let seats: Vec<Seat> = (0..THREADS).map(seat).collect();
    seats.iter().for_each(Seat::make);
    (seats, workspaces)
}

#[test]
fn threads_that_call_cancel_and_give_up_leave_what_succeeded() {
    let seed = number("BACKLOT_SOAK_SEED", 1);
    let time = Duration::from_secs(number("BACKLOT_SOAK_SECONDS", 10));
    let desk = Desk::in_folders();
    let (all, workspaces) = seats(&desk);
    let end = Instant::now() + time;
    let (sender, ended) = mpsc::channel();
    let threads: Vec<_> = all
        .into_iter()
        .map(|seat| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // Told also if it panics.
                let _sender = sender;
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .expect("a runtime");
                play(&seat, seed * 1000 + seat.thread as u64, &runtime, end)
            })
        })
        .collect();
    drop(sender);
    // Nothing is sent: it is over when all have dropped their ends.
    let over = ended.recv_timeout(time + PATIENCE);
    assert_eq!(
        over,
        Err::<(), _>(mpsc::RecvTimeoutError::Disconnected),
        "something hangs"
    );
    let done: Vec<Vec<Action>> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
        .collect();
    let count: usize = done.iter().map(Vec::len).sum();
    assert!(count >= THREADS, "only {count} calls succeeded");

    let options = VerifyOptions::new()
        .cache(true)
        .remote(true)
        .releases(true)
        .inputs(true)
        .repos(true);
    for workspace in &workspaces {
        let report = workspace.verify(&options, &Context::default()).expect("verified");
        assert!(report.sound, "{report:?}");
    }
    let again = Desk::in_folders();
    let (seats, replayed) = seats(&again);
    for (seat, actions) in seats.iter().zip(&done) {
        for action in actions {
            seat.act(action, &Context::default())
                .expect("it succeeded before");
        }
    }
    assert_eq!(summary(&workspaces), summary(&replayed));
}
