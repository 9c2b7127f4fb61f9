//! How slowly an answer may come: one rule for pages, wheels, conda packages and objects of stores.
//!
//! Invariant: an answer that goes on at less than [`SLOWEST`] is given up, whatever its length. Deliberately absent: a server that
//! is silent, which the client notices itself.

use std::time::{Duration, Instant};

/// The minimum transfer rate of an answer in bytes per second, measured over the read timeout.
const SLOWEST: u64 = 100;
/// The reason for a slower one.
pub const TOO_SLOW: &str = "it responds too slowly";

/// The transfer rate of one answer.
///
/// ```
/// use std::time::Duration;
///
/// use backlot_net::Pace;
///
/// let mut pace = Pace::new(Duration::from_secs(30));
/// assert!(pace.is_kept(1), "it is measured over 30 seconds");
/// ```
#[derive(Debug)]
pub struct Pace {
    span: Duration,
    since: Instant,
    came: u64,
}

impl Pace {
    /// Of an answer that begins now, measured over `span`.
    pub fn new(span: Duration) -> Self {
        Self {
            span,
            since: Instant::now(),
            came: 0,
        }
    }

    /// Count bytes that came now: whether it still comes fast enough.
    #[must_use]
    pub fn is_kept(&mut self, bytes: u64) -> bool {
        self.is_kept_at(bytes, Instant::now())
    }

    fn is_kept_at(&mut self, bytes: u64, now: Instant) -> bool {
        self.came += bytes;
        let passed = now.saturating_duration_since(self.since);
        if passed < self.span {
            return true;
        }
        let is_kept = self.came >= SLOWEST * passed.as_secs();
        (self.since, self.came) = (now, 0);
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    #[test]
    fn an_answer_that_trickles_is_given_up_and_one_that_pauses_is_not() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(second * 30);
        let start = pace.since;
        for n in 1..30 {
            assert!(pace.is_kept_at(2, start + second * n), "{n}");
        }
        assert!(!pace.is_kept_at(2, start + second * 30));
        let mut pace = Pace::new(second * 30);
        let start = pace.since;
        assert!(pace.is_kept_at(8192, start + second));
        assert!(pace.is_kept_at(1, start + second * 30));
        // Earlier data counts for its own span only.
        assert!(!pace.is_kept_at(1, start + second * 60));
    }
}
