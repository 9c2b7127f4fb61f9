//! How often something is tried again, and how long to wait before: one policy for all servers.
//!
//! Pauses double, and each is longer by up to itself at random, so that many who failed together do not come back together. A
//! server that says when to come again is asked then, unless that is too long. Deliberately absent: what may be tried again, which its
//! caller knows.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The longest pause, also where a server asks for one.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The pauses before the attempts after the first.
///
/// ```
/// use std::time::Duration;
///
/// let mut pauses = backlot_net::Pauses::new(2, Duration::from_millis(100));
/// let first = pauses.next(None).expect("two are left");
/// assert!(first >= Duration::from_millis(100) && first <= Duration::from_millis(200));
/// assert_eq!(pauses.next(Some(Duration::from_secs(5))), Some(Duration::from_secs(5)));
/// assert_eq!(pauses.next(None), None);
/// ```
#[derive(Debug)]
pub struct Pauses(ExponentialBackoff);

impl Pauses {
    /// This many further attempts, and the first pause.
    pub fn new(retries: u32, first: Duration) -> Self {
        let pauses = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(first)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(usize::try_from(retries).unwrap_or(usize::MAX));
        Self(pauses.build())
    }

    /// The next pause, or the one that a server requests; `None` if no attempts are left.
    pub fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let own = self.0.next()?;
        match asked {
            Some(asked) if asked > LONGEST_PAUSE => None,
            asked => Some(asked.unwrap_or(own)),
        }
    }

    /// Wait before the next attempt; `false` immediately if none are left.
    pub async fn wait(&mut self, asked: Option<Duration>) -> bool {
        let pause = self.next(asked);
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        pause.is_some()
    }

    /// The same without a runtime.
    pub fn wait_here(&mut self) -> bool {
        let pause = self.next(None);
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
        pause.is_some()
    }
}
