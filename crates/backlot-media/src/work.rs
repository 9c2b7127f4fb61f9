//! Many frames on all cores: results in the order of the frames, whatever the number of threads.
//!
//! Invariants: a decoder that panics is a damaged frame, never the end of the process; once stopping was asked for, no
//! frame is begun. Deliberately absent: a thread pool of the process; threads live as long as the call.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use backlot_core::context::Running;
use backlot_core::{Context, Operation};

use crate::error::{Error, Result, Trouble};

/// How many threads work on a number of items.
fn threads(context: &Context, jobs: Option<NonZeroUsize>, items: usize) -> usize {
    let wanted = jobs.map_or_else(|| context.pool().threads(), NonZeroUsize::get);
    wanted.min(items).max(1)
}

/// Do `one` for each item. Its result is `None` where an error that is not about one frame stopped the work before.
fn run<I: Sync, T: Send>(
    context: &Context,
    running: &Running<'_>,
    jobs: Option<NonZeroUsize>,
    items: &[I],
    one: &(impl Fn(&I) -> Result<T> + Sync),
) -> Vec<Option<Result<T>>> {
    let results: Vec<Mutex<Option<Result<T>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..threads(context, jobs, items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    if stopped.load(Ordering::Relaxed) || context.check().is_err() {
                        break;
                    }
                    let result = one(item);
                    if result.as_ref().is_err_and(|error| !error.is_of_one_frame()) {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                    running.advance(1, 0);
                }
            });
        }
    });
    let taken = results
        .into_iter()
        .map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
    taken.collect()
}

/// Do `one` for each item, in as many threads as `jobs` says or there are cores. All items are tried though some frames fail; then the error
/// is that of the first, and says how many others failed.
pub(crate) fn each<I: Sync, T: Send>(
    context: &Context,
    operation: Operation,
    jobs: Option<NonZeroUsize>,
    items: &[I],
    one: impl Fn(&I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let running = context.start(operation, items.len() as u64, 0);
    let results = run(context, &running, jobs, items, &one);
    context.check()?;
    let (mut done, mut failed) = (Vec::with_capacity(items.len()), Vec::new());
    for result in results.into_iter().flatten() {
        match result {
            Ok(value) => done.push(value),
            Err(error) => failed.push(error),
        }
    }
    // What stopped the work says more than a frame that failed before.
    let stop = failed.iter().position(|error| !error.is_of_one_frame());
    if let Some(stop) = stop {
        return Err(failed.swap_remove(stop));
    }
    let others = failed.len().saturating_sub(1);
    match failed.into_iter().next() {
        Some(error) => Err(error.with_others(others)),
        None => Ok(done),
    }
}

/// Decode something; a panic of a decoder is damage.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err(Trouble::Damaged(
            "the decoder failed on contradictory data".to_owned(),
        ))
    })
}

/// The error of a file, for `map_err`.
pub(crate) fn at(path: &std::path::Path) -> impl Fn(Trouble) -> Error + '_ {
    move |trouble| trouble.at(path)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::PathBuf;

    use backlot_core::{Cancel, Class, Context, Diagnostic as _, Operation};

    use super::{each, guarded};
    use crate::error::{Error, Trouble};

    fn damaged(number: u32) -> Error {
        Trouble::Damaged("cut".to_owned()).at(&PathBuf::from(format!("f.{number}.exr")))
    }

    #[test]
    fn results_come_in_order_and_the_first_failure_is_told_whatever_the_number_of_threads() {
        let items: Vec<u32> = (0..100).collect();
        for jobs in [1, 2, 7, 200] {
            let jobs = NonZeroUsize::new(jobs);
            let context = Context::default();
            let done = each(&context, Operation::Verify, jobs, &items, |n| Ok(n * 2)).expect("done");
            assert_eq!(done, items.iter().map(|n| n * 2).collect::<Vec<_>>());
            let some = |n: &u32| if *n % 40 == 13 { Err(damaged(*n)) } else { Ok(()) };
            let error = each(&context, Operation::Verify, jobs, &items, some).expect_err("failed");
            assert_eq!(
                error.to_string(),
                "`f.13.exr` is damaged: cut (2 frames more failed)"
            );
        }
    }

    #[test]
    fn nothing_is_begun_once_stopping_was_asked_for() {
        let cancel = Cancel::default();
        cancel.cancel();
        let context = Context::default().with_cancel(cancel);
        let none = |_: &u32| -> Result<(), Error> { panic!("begun") };
        let error = each(&context, Operation::Verify, None, &[1, 2], none).expect_err("stopped");
        assert_eq!(error.class(), Class::Cancelled);
    }

    #[test]
    fn a_decoder_that_panics_is_a_damaged_frame() {
        let trouble = guarded(|| -> Result<(), Trouble> { panic!("of the test") });
        assert!(matches!(trouble, Err(Trouble::Damaged(_))));
    }
}
