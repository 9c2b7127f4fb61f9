//! The one door to the time of day, so that tests and reproducible outputs can fix it.
//!
//! Deliberately absent: time zones and formatting beyond RFC 3339 in UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Class, Diagnostic};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A clock that stands still, for tests.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A text that is not a valid point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid date or time `{text}`")]
pub struct TimeError {
    /// The given text.
    pub text: String,
}

impl Diagnostic for TimeError {
    fn code(&self) -> &'static str {
        "time::invalid"
    }
    fn class(&self) -> Class {
        Class::User
    }
    fn help(&self) -> Option<String> {
        Some("use a date (`2026-01-31`) or a time in UTC (`2026-01-31T18:00:00Z`)".to_owned())
    }
}

impl Timestamp {
    /// The time that was so long ago, not before the epoch.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The day in UTC: `2026-01-31`.
    #[must_use]
    pub fn date(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// Parse RFC 3339 (`2026-01-31T18:00:00Z`, `...+02:00`), or a date, which means the end of that day in UTC, so that
    /// releases published on that day are included (as uv reads `--exclude-newer`).
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let day = "2026-01-31".len();
        let end_of_day = (text.trim().len() == day).then(|| format!("{}T23:59:59.999Z", text.trim()));
        let time = end_of_day
            .as_deref()
            .unwrap_or(text.trim())
            .parse::<jiff::Timestamp>();
        let milliseconds = time
            .ok()
            .and_then(|time| u64::try_from(time.as_millisecond()).ok());
        milliseconds.map(Self).ok_or_else(|| TimeError {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with seconds, in UTC: `2026-11-20T23:48:00Z`. Times after the year 9999 print as its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        let last = jiff::Timestamp::MAX.as_second();
        let time = jiff::Timestamp::from_second(seconds.min(last)).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{time:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(1_709_210_096_000).to_string(), "2024-02-29T12:34:56Z");
        assert_eq!(Timestamp(4_102_444_799_999).to_string(), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn a_time_is_read_and_a_date_means_the_end_of_its_day() {
        let read = |text: &str| Timestamp::parse(text).map(|t| t.to_string()).ok();
        assert_eq!(read("2024-02-29").as_deref(), Some("2024-02-29T23:59:59Z"));
        assert_eq!(
            read("2024-02-29T12:34:56Z").as_deref(),
            Some("2024-02-29T12:34:56Z")
        );
        assert_eq!(
            read("2024-03-01T01:30:00+02:00").as_deref(),
            Some("2024-02-29T23:30:00Z")
        );
        assert_eq!(
            Timestamp::parse("1970-01-01T00:00:00.25Z").ok(),
            Some(Timestamp(250))
        );
        for bad in [
            "",
            "2023-02-29",
            "2024-13-01",
            "yesterday",
            "2024-02-29T12:34:56",
            "2024-02-29T25:00:00Z",
            "1969-12-31",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(Timestamp(u64::MAX).to_string(), "9999-12-30T22:00:00Z");
    }
}
