//! Calls as futures, for asynchronous programs, whatever runs them.
//!
//! Every method of [`Workspace`](crate::Workspace) blocks until it is done. [`run`] gives a call a thread of its own and returns a future for its
//! result. Invariants: who drops the future cancels the call, which stops at its next step with nothing half-written, and no other call; a panic of
//! the call goes on where it is awaited. Deliberately absent: an executor; the network has a runtime of its own, or that of the host.

use std::fmt;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context as Waker, Poll, ready};
use std::thread::JoinHandle;

use backlot_core::{CancelOnDrop, Context};
use tokio::sync::oneshot;

/// Do blocking work on a thread of its own. The work is given a context that is cancelled when the future is dropped, and with `context`.
///
/// # Panics
///
/// If the system has no more threads, as [`std::thread::spawn`] does.
///
/// ```no_run
/// use backlot::{Context, Host, Workspace, aio};
///
/// # async fn service() -> Result<(), backlot::Error> {
/// let host = Host::new("/studio/cache");
/// let workspace = Workspace::open("/shots/sh010".as_ref(), &host)?;
/// let status = aio::run(&Context::default(), {
///     let workspace = workspace.clone();
///     move |context| workspace.status(context)
/// });
/// println!("{} outputs", status.await?.outputs.len());
/// # Ok(())
/// # }
/// ```
pub fn run<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&Context) -> T + Send + 'static,
) -> Call<T> {
    let context = context.child();
    let cancel = context.cancel().on_drop();
    let (sender, answer) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        // The receiver may be gone.
        sender.send(work(&context)).ok();
    });
    Call {
        answer,
        thread: Some(thread),
        _cancel: cancel,
    }
}

/// A call under way. Dropping it cancels the call.
#[must_use = "dropping this cancels the call"]
pub struct Call<T> {
    answer: oneshot::Receiver<T>,
    thread: Option<JoinHandle<()>>,
    _cancel: CancelOnDrop,
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

impl<T> Future for Call<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.answer).poll(waker)) {
            Ok(answer) => Poll::Ready(answer),
            Err(_) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => resume_unwind(panic),
                _ => panic!("a call was awaited again after its end"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use backlot_core::{Cancelled, Context};
    use tokio::runtime::Builder;

    use super::run;

    #[test]
    fn the_result_is_awaited_while_others_go_on() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (go, wait) = mpsc::channel::<u32>();
            let call = run(&Context::default(), move |_| wait.recv().expect("sent") + 1);
            // The one thread of this runtime is free to let the call go on.
            go.send(41).expect("it waits");
            assert_eq!(call.await, 42);
        });
    }

    #[test]
    fn who_drops_the_future_cancels_the_call_and_no_other() {
        let context = Context::default();
        let (told, ended) = mpsc::channel();
        let call = run(&context, move |context| {
            let stopped = loop {
                match context.check() {
                    Ok(()) => std::thread::sleep(Duration::from_millis(1)),
                    Err(stopped) => break stopped,
                }
            };
            told.send(stopped).expect("it is waited for");
        });
        drop(call);
        assert_eq!(ended.recv(), Ok(Cancelled::Asked));
        assert_eq!(context.check(), Ok(()));
    }

    #[test]
    fn a_panic_goes_on_where_it_is_awaited() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .expect("a runtime");
        let awaited = runtime.spawn(run(&Context::default(), |_| -> u32 { panic!("of the call") }));
        let panic = runtime.block_on(awaited).expect_err("it panicked").into_panic();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"of the call"));
    }
}
