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

/// Items in portions, each of so many bytes and items at most, but of one item at least.
pub(crate) fn portions<T>(
    mut rest: &[T],
    most: u64,
    items: usize,
    size: impl Fn(&T) -> u64,
) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut bytes = 0_u64;
        let fits = |item: &&T| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(size(item));
            is_first || bytes <= most
        };
        let count = rest.iter().take(items).take_while(fits).count();
        let (portion, later) = rest.split_at(count);
        rest = later;
        (!portion.is_empty()).then_some(portion)
    })
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

    /// Wait until that many bytes are free. A piece of work that needs more than there are gets all of them.
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

    use super::{Budget, each, portions};

    #[test]
    fn portions_keep_to_both_limits_and_have_one_item_at_least() {
        let cut = |sizes: &[u64]| -> Vec<Vec<u64>> {
            let portions = portions(sizes, 10, 3, |size| *size);
            portions.map(<[u64]>::to_vec).collect()
        };
        assert_eq!(cut(&[]), Vec::<Vec<u64>>::new());
        assert_eq!(cut(&[4, 6, 1]), [vec![4, 6], vec![1]]);
        assert_eq!(
            cut(&[30, 1, u64::MAX, 1]),
            [vec![30], vec![1], vec![u64::MAX], vec![1]]
        );
        assert_eq!(cut(&[1, 1, 1, 1]), [vec![1, 1, 1], vec![1]]);
    }

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
