//! Threads for work on many items at once.
//!
//! Invariants: the threads are made when they are first needed, are shared by clones, and end with the last of them; dropping it waits for
//! nothing. Deliberately absent: threads that wait for disks and servers; those live as long as the work that starts them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// A number of threads for computing, or those that the process has.
///
/// ```
/// use backlot_core::Pool;
///
/// let pool = Pool::new(2);
/// assert_eq!(pool.threads(), 2);
/// assert_eq!(pool.join(|| 6 * 7, || "done"), (42, "done"));
/// ```
#[derive(Clone)]
pub struct Pool(Option<Arc<Own>>);

struct Own {
    wanted: usize,
    /// Nothing where the system has no threads to give.
    made: OnceLock<Option<ThreadPool>>,
}

impl Default for Pool {
    /// As many threads as the process may use cores.
    fn default() -> Self {
        Self::new(cores())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.0.as_ref().map(|own| own.wanted);
        f.debug_tuple("Pool").field(&threads).finish()
    }
}

/// How many cores this process may use: asked once, since the answer is read from several files.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

impl Pool {
    /// A pool with this many threads, at least one.
    pub fn new(threads: usize) -> Self {
        Self(Some(Arc::new(Own {
            wanted: threads.max(1),
            made: OnceLock::new(),
        })))
    }

    /// The threads that all of this process share: rayon's global ones, or those of the pool that the work is done in.
    pub fn of_process() -> Self {
        Self(None)
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.0.as_ref().map_or_else(cores, |own| own.wanted)
    }

    /// Do something whose parallel iterators use these threads.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.made() {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Do two things, at the same time if a thread is free.
    pub fn join<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        self.install(|| rayon::join(one, other))
    }

    fn made(&self) -> Option<&ThreadPool> {
        let own = self.0.as_ref()?;
        let make = |threads| {
            let builder = ThreadPoolBuilder::new().num_threads(threads);
            builder.thread_name(|n| format!("backlot-{n}")).build().ok()
        };
        own.made
            .get_or_init(|| make(own.wanted).or_else(|| make(1)))
            .as_ref()
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::Pool;

    #[test]
    fn iterators_use_the_threads_of_the_pool_they_are_installed_in() {
        let numbers: Vec<usize> = (0..64).collect();
        for threads in [1, 3] {
            let pool = Pool::new(threads);
            let used = pool.install(|| {
                let sum: usize = numbers.par_iter().sum();
                (sum, rayon::current_num_threads())
            });
            assert_eq!(used, (2016, threads));
            assert_eq!(pool.clone().install(rayon::current_num_threads), threads);
        }
        assert_eq!(Pool::new(0).threads(), 1);
    }

    #[test]
    fn a_pool_may_be_used_and_dropped_in_another_one() {
        let outer = Pool::new(1);
        let found = outer.install(|| {
            let inner = Pool::new(2);
            inner.install(rayon::current_num_threads)
        });
        assert_eq!(found, 2);
    }
}
