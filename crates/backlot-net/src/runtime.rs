//! The runtime that requests are made in: one for all storage and network of a program.
//!
//! Invariants: waiting never panics, even inside another runtime, and ends if a given runtime is stuck; an own
//! runtime is created on first use, and is shut down without waiting for it. Deliberately absent: worker threads; the own runtime is driven by
//! the threads that wait for it, and sleeps otherwise.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::error::{Error, Result};

/// How long a runtime that was given may do nothing at all.
const STUCK: Duration = Duration::from_secs(20);
/// How often it is looked at.
const BEAT: Duration = Duration::from_millis(100);

/// The runtime of a network: an own one, or that of the embedding program. Clones are the same.
///
/// ```
/// use backlot_net::Runtime;
///
/// let runtime = Runtime::default();
/// assert_eq!(runtime.block_on(async { 6 * 7 }).unwrap(), 42);
/// assert!(Runtime::current().is_none(), "here is none");
/// ```
#[derive(Clone)]
pub struct Runtime(Kind);

#[derive(Clone)]
enum Kind {
    Own(Arc<OnceLock<Result<Own, String>>>),
    Given(Handle),
}

/// A runtime that is driven by those who wait for it.
struct Own(Option<tokio::runtime::Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting here would be wrong inside another runtime, and there is nothing to wait for.
            runtime.shutdown_background();
        }
    }
}

impl Default for Runtime {
    /// An own runtime.
    fn default() -> Self {
        Self(Kind::Own(Arc::default()))
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Own(_) => "Runtime(own)",
            Kind::Given(_) => "Runtime(given)",
        })
    }
}

/// Whether this thread is one of an asynchronous runtime.
pub fn is_in_runtime() -> bool {
    Handle::try_current().is_ok()
}

impl Runtime {
    /// The tokio runtime that this is called in, for a program that wants no second one. It must live longer than all work that uses it, and
    /// have a worker that is free while others wait: so of one with a single thread, which would wait for itself, and outside of any, `None`.
    pub fn current() -> Option<Self> {
        let handle = Handle::try_current().ok()?;
        let is_shared = handle.runtime_flavor() != RuntimeFlavor::CurrentThread;
        is_shared.then_some(Self(Kind::Given(handle)))
    }

    /// Wait for some work, on any thread; but with a runtime that was given, not in a `LocalSet` on one with many threads, where tokio panics.
    /// (A call of a workspace gets a thread of its own there.)
    ///
    /// # Errors
    ///
    /// If the system has no resources for a runtime, or one that was given does nothing any more: all its workers wait for us, or it was shut down.
    pub fn block_on<F: Future>(&self, work: F) -> Result<F::Output> {
        let setup = |reason: &str| Error::Setup {
            reason: reason.to_owned(),
        };
        match &self.0 {
            Kind::Own(own) => {
                let made = own.get_or_init(|| {
                    // On the thread that asks: where one answer leads to the next question, each hop between threads costs as much as
                    // the request. Concurrent requests from several threads share it.
                    let made = Builder::new_current_thread().enable_all().build();
                    made.map(|runtime| Own(Some(runtime))).map_err(|e| e.to_string())
                });
                let made = made.as_ref().map_err(|reason| setup(reason))?;
                Ok(drive(made.0.as_ref().expect("taken only when dropped"), work))
            }
            Kind::Given(handle) => {
                let waits = || wait(handle, work, STUCK);
                // What a worker wakes stays with that worker, unless it says that it is going to wait.
                let is_worker = Handle::try_current()
                    .is_ok_and(|here| here.runtime_flavor() != RuntimeFlavor::CurrentThread);
                let done = if is_worker {
                    tokio::task::block_in_place(waits)
                } else {
                    waits()
                };
                done.ok_or_else(|| setup("the given asynchronous runtime has no free worker"))
            }
        }
    }
}

/// Run a future on the own runtime, which this thread drives meanwhile.
fn drive<F: Future>(runtime: &tokio::runtime::Runtime, work: F) -> F::Output {
    if !is_in_runtime() {
        return runtime.block_on(work);
    }
    // A runtime cannot be driven from inside another one: a thread of its own does that, for as long as this one waits.
    thread::scope(|scope| {
        let (done, wait) = oneshot::channel::<()>();
        scope.spawn(|| runtime.block_on(wait).ok());
        let _inside = runtime.enter();
        let outcome = futures_lite::future::block_on(work);
        drop(done);
        outcome
    })
}

/// Wakes a thread that waits.
struct Waiting(Thread);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Ends a task with the work around it.
struct Beating(AbortHandle);

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Wait for a future on a runtime that has workers of its own; `None` if those make no progress for `stuck`.
fn wait<F: Future>(handle: &Handle, work: F, stuck: Duration) -> Option<F::Output> {
    let _inside = handle.enter();
    let beats = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&beats);
    let beating = handle.spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(BEAT).await;
        }
    });
    let _beating = Beating(beating.abort_handle());
    let waker = Waker::from(Arc::new(Waiting(thread::current())));
    let mut task = Context::from_waker(&waker);
    let mut work = pin!(work);
    let (mut last, mut since) = (0, Instant::now());
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut task) {
            return Some(done);
        }
        thread::park_timeout(BEAT);
        let now = beats.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > stuck {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::{Runtime, wait};

    fn asks(runtime: &Runtime) -> u32 {
        let work = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            tokio::spawn(async { 42 }).await.expect("done")
        };
        runtime.block_on(work).expect("it runs")
    }

    #[test]
    fn our_own_is_waited_for_anywhere_and_dropped_anywhere() {
        let outside = Runtime::default();
        assert_eq!(asks(&outside), 42);
        let single = Builder::new_current_thread().build().expect("a runtime");
        let inside = outside.clone();
        single.block_on(async move {
            assert!(Runtime::current().is_none());
            assert_eq!(asks(&inside), 42);
            let fresh = Runtime::default();
            assert_eq!(asks(&fresh), 42);
        });
        assert_eq!(asks(&outside), 42);
    }

    #[test]
    fn one_that_was_given_does_the_work_from_its_own_threads_and_from_others() {
        let theirs = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let given = theirs.block_on(async { Runtime::current().expect("this one") });
        assert_eq!(asks(&given), 42);
        let inside = given.clone();
        let found = theirs.block_on(theirs.spawn(async move { asks(&inside) }));
        assert_eq!(found.expect("no panic"), 42);
        let inside = given.clone();
        let found = theirs.block_on(theirs.spawn_blocking(move || asks(&inside)));
        assert_eq!(found.expect("no panic"), 42);
    }

    #[test]
    fn one_whose_only_worker_waits_for_somebody_is_given_up() {
        let theirs = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let given = theirs.block_on(async { Runtime::current().expect("this one") });
        let inside = given.clone();
        let found = theirs.block_on(theirs.spawn(async move { asks(&inside) }));
        assert_eq!(found.expect("no panic"), 42);
        let (go, wait_for) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = std::sync::mpsc::channel::<()>();
        theirs.spawn(async move {
            begun.send(()).expect("it is waited for");
            wait_for.recv().expect("it goes on");
        });
        begins.recv().expect("it begins");
        let work = async { tokio::time::sleep(Duration::from_millis(5)).await };
        assert!(wait(theirs.handle(), work, Duration::from_millis(300)).is_none());
        go.send(()).expect("it waits");
        assert_eq!(asks(&given), 42);
    }
}
