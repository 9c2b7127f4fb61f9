//! One call of a program: where it is done, and what its events say of it.
//!
//! Invariants: all that is told during a call is of one outermost operation, or a part of it; a call may be made on any thread, and waits for locks and
//! servers on none that others need: on a worker of a pool it would take up other work while it waits, which may be a call that waits for this
//! one, and on one of an asynchronous runtime that runtime would be waited in. There it gets a thread of its own.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

use backlot_core::{Context, Operation, Subject};

use crate::error::Result;
use crate::workspace::settings::Host;

/// Do a call of a name about something, as one outermost operation, with the threads of the host.
pub(crate) fn call<T: Send>(
    (name, subject): (&'static str, Subject),
    host: &Host,
    context: &Context,
    work: impl FnOnce(&Context) -> Result<T> + Send,
) -> Result<T> {
    let context = context.clone().with_pool(host.pool.clone()).about(subject);
    let running = context.start(Operation::Call(name), 0, 0);
    let inside = running.context();
    where_it_may_wait(|| work(&inside))
}

/// Run an operation on this thread, or on another one if this is one that others need.
fn where_it_may_wait<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if !backlot_net::is_in_runtime() && rayon::current_thread_index().is_none() {
        return work();
    }
    std::thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// An asset, or a release of it.
pub(crate) fn of_asset(name: &str) -> Subject {
    Subject::Asset(name.to_owned())
}

/// The asset that is named, if it is one.
pub(crate) fn of_one_asset(names: &[String]) -> Option<Subject> {
    match names {
        [one] => Some(of_asset(one)),
        _ => None,
    }
}

/// A file or folder.
pub(crate) fn of_path(path: &Path) -> Subject {
    Subject::File(path.to_path_buf())
}

/// The file or folder that is named, if it is one.
pub(crate) fn of_one_path(paths: &[PathBuf]) -> Option<Subject> {
    match paths {
        [one] => Some(of_path(one)),
        _ => None,
    }
}

/// A path or URL.
pub(crate) fn of_address(place: &str) -> Subject {
    Subject::of_place(place)
}

#[cfg(test)]
mod tests {
    use backlot_core::{Context, Pool, Subject};

    use super::{call, of_address, where_it_may_wait};
    use crate::workspace::settings::Host;

    #[test]
    fn a_call_leaves_threads_that_others_need_and_stays_on_all_others() {
        let here = || std::thread::current().id();
        assert_eq!(where_it_may_wait(here), here());
        let (worker, done) = Pool::new(1).install(|| (here(), where_it_may_wait(here)));
        assert_ne!(worker, done);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        assert_ne!(runtime.block_on(async { where_it_may_wait(here) }), here());
    }

    #[test]
    fn a_call_computes_with_the_threads_of_its_host() {
        let mut host = Host::new("cache");
        host.pool = Pool::new(3);
        let about = ("status", Subject::Asset("Table".to_owned()));
        let threads = call(about, &host, &Context::default(), |context| {
            Ok(context.pool().install(rayon::current_num_threads))
        });
        assert_eq!(threads.expect("done"), 3);
    }

    #[test]
    fn the_password_of_a_url_is_not_told() {
        let found = of_address("https://ana:secret@host/path");
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
        assert_eq!(of_address("../review"), Subject::File("../review".into()));
    }
}
