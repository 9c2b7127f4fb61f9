//! A bounded number of blocking pieces of work at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

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

/// Bytes that pieces of work may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    all: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

/// Bytes of a budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(all: u64) -> Self {
        Self {
            all,
            free: Mutex::new(all),
            freed: Condvar::new(),
        }
    }

    /// Wait until so many bytes are free. Who needs more than there are gets all.
    pub(crate) fn take(&self, bytes: u64) -> Share<'_> {
        let bytes = bytes.min(self.all);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free < bytes)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Share { budget: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use backlot_core::Context;

    use super::{Budget, each};

    #[test]
    fn what_is_held_together_stays_within_the_budget() {
        let (budget, held) = (Budget::new(10), AtomicU64::new(0));
        let taken = each(8, 200, &Context::default(), |n| {
            let bytes = n as u64 % 14;
            let _share = budget.take(bytes);
            let now = held.fetch_add(bytes.min(10), Ordering::SeqCst) + bytes.min(10);
            std::thread::yield_now();
            held.fetch_sub(bytes.min(10), Ordering::SeqCst);
            Ok(now)
        });
        assert!(taken.expect("all").iter().all(|now| *now <= 10));
        assert_eq!(*budget.free.lock().expect("free"), 10);
    }
}
