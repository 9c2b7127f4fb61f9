//! Backlot behind a window: a job runs on a thread of its own, the window looks at it each time it is drawn, and its button stops it.
//!
//! `cargo run -p backlot --example job -- FRAMES_FOLDER WORK_FOLDER [stop]`: publishes the frames as `Turntable`; with `stop`, the button is pressed
//! as soon as the job has begun, and the same job is started again.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use backlot::{
    AddFiles, AddRemote, AddRepo, Cancel, Class, Context, Diagnostic as _, Error, Host, InitOptions,
    NewAsset, Operation, Progress, PublishOptions, PublishReport, Workspace,
};

/// How often the window is drawn.
const FRAME: Duration = Duration::from_millis(16);

/// Work that goes on beside the window.
struct Job<T> {
    progress: Arc<Progress>,
    cancel: Cancel,
    thread: JoinHandle<Result<T, Error>>,
}

impl<T: Send + 'static> Job<T> {
    fn start(work: impl FnOnce(&Context) -> Result<T, Error> + Send + 'static) -> Self {
        let (progress, cancel) = (Arc::new(Progress::default()), Cancel::default());
        let context = Context::default()
            .with_observer(Arc::clone(&progress) as _)
            .with_cancel(cancel.clone());
        Self {
            progress,
            cancel,
            thread: std::thread::spawn(move || work(&context)),
        }
    }

    /// What is to be drawn: nothing before the job has begun.
    fn label(&self) -> Option<String> {
        let call = self.progress.call()?;
        let Operation::Call(name) = call.operation else {
            return None;
        };
        Some(format!("{name}: {} of {} steps", call.done_items, call.items))
    }
}

fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn publish(workspace: &Workspace, context: &Context) -> Result<PublishReport, Error> {
    workspace.publish("Turntable", &PublishOptions::new().skip_existing(true), context)
}

/// The loop of the window, until the job has ended.
fn watch(job: Job<PublishReport>, stop: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut drawn = String::new();
    while !job.thread.is_finished() {
        if let Some(label) = job.label().filter(|label| *label != drawn) {
            say(&label);
            drawn = label;
            if stop {
                job.cancel.cancel();
            }
        }
        std::thread::sleep(FRAME);
    }
    match job.thread.join().map_err(|_| "the job panicked")? {
        Ok(report) => say(&format!("done: {} {}", report.asset, report.version)),
        Err(error) if error.class() == Class::Cancelled => say(&format!("stopped: {error}")),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn workspace(folder: &Path, host: &Host, context: &Context) -> Result<Workspace, Error> {
    let options = InitOptions::new().python(Some("none".to_owned()));
    Workspace::init(folder, &options, host, context)?;
    let workspace = Workspace::open(folder, host)?;
    workspace.add_repo("review", "../review", &AddRepo::new(), context)?;
    workspace.add_remote("files", "../files", &AddRemote::new().as_default(true), context)?;
    Ok(workspace)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(frames), Some(work)) = (arguments.next(), arguments.next()) else {
        return Err("usage: job FRAMES_FOLDER WORK_FOLDER [stop]".into());
    };
    let stop = arguments.next().is_some();
    let work = PathBuf::from(work);
    let (host, context) = (Host::new(work.join("cache")), Context::default());
    let workspace = workspace(&work.join("artist"), &host, &context)?;
    workspace.new_asset("Turntable", &NewAsset::new(), &context)?;
    let add = AddFiles::new()
        .asset(Some("Turntable".to_owned()))
        .rename(Some("frames".to_owned()));
    workspace.add(&[frames.into()], &add, &context)?;
    say("ready");

    if stop {
        let stopped = workspace.clone();
        watch(Job::start(move |context| publish(&stopped, context)), true)?;
    }
    watch(Job::start(move |context| publish(&workspace, context)), false)
}
