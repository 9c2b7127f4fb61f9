//! A bounded number of blocking pieces of work at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use backlot_core::Context;

use crate::error::Result;

/// Run `work` for each of `count` positions, `width` at a time; results in order. The first failure stops the rest.
pub(crate) fn each<T: Send>(
    width: usize,
    count: usize,
    context: &Context,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut part = Vec::new();
        loop {
            context.check()?;
            let position = next.fetch_add(1, Ordering::Relaxed);
            if position >= count {
                return Ok(part);
            }
            match work(position) {
                Ok(value) => part.push((position, value)),
                Err(error) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let parts: Vec<Result<Vec<(usize, T)>>> = if width.min(count) <= 1 {
        vec![worker()]
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..width.min(count)).map(|_| scope.spawn(worker)).collect();
            threads
                .into_iter()
                .map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    };
    let mut done: Vec<(usize, T)> = Vec::with_capacity(count);
    for part in parts {
        done.extend(part?);
    }
    done.sort_by_key(|(position, _)| *position);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}
