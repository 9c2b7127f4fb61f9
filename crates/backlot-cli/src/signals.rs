//! Signals: running work is asked to stop, and ended if it does not.

use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use crate::errors;
use crate::session::Session;

/// How long running work has to stop after the first signal.
const STOPPING: Duration = Duration::from_secs(3);
/// The same for an attempt of a cascade: its stage has time to end, and it says in the journal that it stopped. Schedulers give 30 s.
const STOPPING_ATTEMPT: Duration = Duration::from_secs(20);

/// Stop on SIGINT, SIGTERM and SIGHUP; an attempt of a cascade also on SIGUSR1, with which schedulers announce that they will end a job.
#[expect(clippy::exit, reason = "what does not stop is ended")]
pub(crate) fn handle(session: &Session, is_attempt: bool) {
    let stopping = if is_attempt { STOPPING_ATTEMPT } else { STOPPING };
    let (cancel, json, name) = (session.cancel.clone(), session.json, session.command.clone());
    // The second signal ends at once; the first lets running work stop between two steps. Everything visible is whole at any
    // instant, so what does not stop (a server that does not answer, a pipe) is ended.
    let stop = Arc::new(move || {
        if cancel.is_cancelled() {
            exit(130);
        }
        cancel.cancel();
        let name = name.clone();
        std::thread::spawn(move || {
            std::thread::sleep(stopping);
            errors::print_cancelled(json, &name);
            exit(130);
        });
    });
    let announced = Arc::clone(&stop);
    ctrlc::set_handler(move || stop()).ok();
    if is_attempt {
        on_announcement(move || announced());
    }
}

/// Call a function for each SIGUSR1, which would end this process.
#[cfg(unix)]
fn on_announcement(stop: impl Fn() + Send + 'static) {
    if let Ok(mut signals) = signal_hook::iterator::Signals::new([signal_hook::consts::SIGUSR1]) {
        std::thread::spawn(move || signals.forever().for_each(|_| stop()));
    }
}

/// There is no such signal here.
#[cfg(not(unix))]
fn on_announcement(_: impl Fn() + Send + 'static) {}
