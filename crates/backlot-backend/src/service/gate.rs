//! How many requests are under way at once at a service: as many as it answers better than fewer.
//!
//! A round is as many answers as there may be requests. While the limit is what holds requests back, it grows by a quarter a round; growth
//! that did not bring more answers a second is taken back, and after some rounds tried again. An answer that says "too many", or
//! that failed in a way that may pass, halves it (additive increase, multiplicative decrease, as TCP). Invariant: the limit stays
//! between its bounds. Deliberately absent: pauses, and asking again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Between which bounds a limit moves, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) least: usize,
    pub(super) first: usize,
    pub(super) most: usize,
}

impl Bounds {
    /// The bounds for a store that takes at most `most` requests at once.
    pub(super) const fn up_to(most: usize) -> Self {
        const fn at_most(one: usize, other: usize) -> usize {
            if one < other { one } else { other }
        }
        Self {
            least: at_most(4, most),
            first: at_most(16, most),
            most,
        }
    }
}

/// Rounds without growth after one that did not pay, or after a refusal.
const REST: u32 = 16;
/// How much of the growth has to be seen in answers a second.
const BETTER: f64 = 0.2;

/// The limit, by measurement.
#[derive(Debug)]
struct Pace {
    bounds: Bounds,
    limit: usize,
    answered: usize,
    /// Whether a request had to wait in this round.
    full: bool,
    began: Option<Instant>,
    /// The limit and the answers a second before it grew.
    before: Option<(usize, f64)>,
    rest: u32,
}

impl Pace {
    const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            limit: bounds.first,
            answered: 0,
            full: false,
            began: None,
            before: None,
            rest: 0,
        }
    }

    /// A request was answered.
    fn answered(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        self.answered += 1;
        if self.answered < self.limit {
            return;
        }
        let span = now.duration_since(began).max(Duration::from_micros(1));
        let rate = f64::from(u32::try_from(self.answered).unwrap_or(u32::MAX)) / span.as_secs_f64();
        let was_full = std::mem::take(&mut self.full);
        (self.answered, self.began) = (0, Some(now));
        if !was_full {
            return;
        }
        match self.before.take() {
            Some((limit, before)) if rate < before * paying(limit, self.limit) => {
                (self.limit, self.rest) = (limit, REST);
            }
            _ if self.rest > 0 => self.rest -= 1,
            _ if self.limit < self.bounds.most => {
                self.before = Some((self.limit, rate));
                self.limit = (self.limit + self.limit.div_ceil(4)).min(self.bounds.most);
            }
            _ => {}
        }
    }

    /// The service wants fewer. Concurrent requests report the same, and count once.
    fn refused(&mut self, now: Instant) {
        if self.rest == REST && self.answered < self.limit {
            return;
        }
        self.limit = (self.limit / 2).max(self.bounds.least);
        (self.answered, self.began, self.full) = (0, Some(now), false);
        (self.before, self.rest) = (None, REST);
    }
}

/// The growth in responses per second that a higher limit has to bring.
fn paying(from: usize, to: usize) -> f64 {
    let count = |n| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    BETTER.mul_add(count(to) / count(from) - 1.0, 1.0)
}

/// Where requests wait for their turn.
#[derive(Debug)]
pub(super) struct Gate {
    turns: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// Turns that there are.
    total: usize,
}

/// A request's turn, until it is dropped: then it was answered.
#[derive(Debug)]
pub(super) struct Turn {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
    is_refused: bool,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(bounds.first)),
            state: Mutex::new(State {
                pace: Pace::new(bounds),
                total: bounds.first,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait for a turn.
    pub(super) async fn enter(self: Arc<Self>) -> Turn {
        let turns = Arc::clone(&self.turns);
        let permit = if let Ok(permit) = Arc::clone(&turns).try_acquire_owned() {
            Some(permit)
        } else {
            self.state().pace.full = true;
            turns.acquire_owned().await.ok()
        };
        Turn {
            gate: self,
            permit,
            is_refused: false,
        }
    }

    /// Have as many turns as the limit says; those that are taken go when they are given back.
    fn adjust(&self, state: &mut State) {
        if state.total < state.pace.limit {
            self.turns.add_permits(state.pace.limit - state.total);
            state.total = state.pace.limit;
        } else {
            state.total -= self.turns.forget_permits(state.total - state.pace.limit);
        }
    }
}

impl Turn {
    /// The service had too many, or failed.
    pub(super) fn refused(&mut self) {
        self.is_refused = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if self.is_refused {
            state.pace.refused(Instant::now());
        } else {
            state.pace.answered(Instant::now());
        }
        match self.permit.take() {
            Some(permit) if state.total > state.pace.limit => {
                permit.forget();
                state.total -= 1;
            }
            permit => drop(permit),
        }
        self.gate.adjust(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::{Bounds, Gate, Pace};

    /// Rounds in which each answer takes so long, of a service that works on `width` requests at once and refuses what is above `most`.
    fn after(rounds: usize, pace: &mut Pace, width: usize, most: usize) {
        let mut now = Instant::now();
        for _ in 0..rounds {
            let limit = pace.limit;
            for _ in 0..limit {
                pace.full = true;
                now += Duration::from_millis(100) / u32::try_from(limit.min(width)).expect("few");
                pace.answered(now);
            }
            if limit > most {
                for _ in 0..limit {
                    pace.refused(now);
                }
            }
        }
    }

    #[test]
    fn it_grows_while_that_pays_and_stays_where_it_does_not() {
        let mut pace = Pace::new(Bounds::up_to(64));
        assert_eq!(pace.limit, 16);
        after(12, &mut pace, 1000, 1000);
        assert_eq!(pace.limit, 64);
        let mut pace = Pace::new(Bounds::up_to(64));
        after(100, &mut pace, 24, 1000);
        assert!((20..=32).contains(&pace.limit), "{}", pace.limit);
        let mut pace = Pace::new(Bounds::up_to(64));
        after(100, &mut pace, 8, 1000);
        assert!(pace.limit <= 20, "{}", pace.limit);
    }

    #[test]
    fn it_is_halved_once_for_all_refusals_of_a_round_and_never_below_its_least() {
        let mut pace = Pace::new(Bounds::up_to(64));
        let now = Instant::now();
        for _ in 0..16 {
            pace.refused(now);
        }
        assert_eq!(pace.limit, 8);
        after(1000, &mut pace, 1000, 2);
        assert_eq!(pace.limit, 4);
        assert_eq!(Bounds::up_to(2).least, 2);
    }

    #[test]
    fn it_does_not_grow_where_nobody_waits() {
        let mut pace = Pace::new(Bounds::up_to(64));
        let mut now = Instant::now();
        for _ in 0..1000 {
            now += Duration::from_millis(1);
            pace.answered(now);
        }
        assert_eq!(pace.limit, 16);
    }

    #[test]
    fn no_more_are_under_way_than_the_limit_says_also_while_it_shrinks() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("runtime");
        let gate = Gate::new(Bounds::up_to(64));
        let under_way = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            let tasks: Vec<_> = (0..400)
                .map(|n| {
                    let (gate, under_way) = (Arc::clone(&gate), Arc::clone(&under_way));
                    async move {
                        let mut turn = Arc::clone(&gate).enter().await;
                        let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(now <= gate.state().total);
                        tokio::task::yield_now().await;
                        if n % 50 == 49 {
                            turn.refused();
                        }
                        under_way.fetch_sub(1, Ordering::SeqCst);
                    }
                })
                .collect();
            let local = tokio::task::LocalSet::new();
            let handles: Vec<_> = tasks.into_iter().map(|task| local.spawn_local(task)).collect();
            local
                .run_until(async {
                    for handle in handles {
                        handle.await.expect("no panic");
                    }
                })
                .await;
        });
        let state = gate.state();
        assert_eq!(gate.turns.available_permits(), state.total);
        assert_eq!(state.total, state.pace.limit);
        assert!(state.pace.limit < 16);
    }
}
