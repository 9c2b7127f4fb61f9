//! The one door to the time of day, so that tests and reproducible outputs can fix it.
//!
//! Deliberately absent: time zones and formatting beyond RFC 3339 in UTC.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Class, Coded};

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

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a date or time")]
pub struct TimeError {
    /// What was given.
    pub text: String,
}

impl Coded for TimeError {
    fn code(&self) -> &'static str {
        "time::invalid"
    }
    fn class(&self) -> Class {
        Class::User
    }
    fn help(&self) -> Option<String> {
        Some("write a date (`2026-01-31`) or a time in UTC (`2026-01-31T18:00:00Z`)".to_owned())
    }
}

impl Timestamp {
    /// Parse RFC 3339 (`2026-01-31T18:00:00Z`, `...+02:00`), or a date, which means the end of that day in UTC, so that
    /// what was published on it counts (as uv reads `--exclude-newer`).
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError {
            text: text.to_owned(),
        };
        let text = text.trim();
        let (date, time) = match text.split_once(['T', 't', ' ']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut parts = date.splitn(3, '-');
        let (year, month, day) = (parts.next(), parts.next(), parts.next());
        let year = digits(year, 4).ok_or_else(bad)?;
        let month = digits(month, 2)
            .filter(|m| (1..=12).contains(m))
            .ok_or_else(bad)?;
        let day = digits(day, 2).filter(|d| (1..=31).contains(d)).ok_or_else(bad)?;
        let days = days_from_civil(year, month, day).ok_or_else(bad)?;
        if civil_from_days(days) != (year, month, day) {
            return Err(bad());
        }
        let Some(time) = time else {
            return Ok(Self((days + 1) * 86_400_000 - 1));
        };
        let milliseconds = milliseconds_of_day(time).ok_or_else(bad)?;
        let total = i64::try_from(days * 86_400_000)
            .ok()
            .and_then(|d| d.checked_add(milliseconds));
        total
            .and_then(|t| u64::try_from(t).ok())
            .map(Self)
            .ok_or_else(bad)
    }
}

fn digits(text: Option<&str>, length: usize) -> Option<u64> {
    let text = text.filter(|t| t.len() == length && t.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

/// `18:00:00.25+02:00` as milliseconds since midnight in UTC; may be below 0 or above a day.
fn milliseconds_of_day(text: &str) -> Option<i64> {
    let (clock, offset) = if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        (clock, 0)
    } else {
        let at = text.rfind(['+', '-'])?;
        let (hours, minutes) = text[at + 1..].split_once(':')?;
        let minutes = digits(Some(hours), 2)? * 60 + digits(Some(minutes), 2)?;
        let sign = if text.as_bytes()[at] == b'-' { -1 } else { 1 };
        (&text[..at], sign * i64::try_from(minutes).ok()?)
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.splitn(3, ':');
    let (hours, minutes, seconds) = (parts.next(), parts.next(), parts.next());
    let hours = digits(hours, 2).filter(|h| *h < 24)?;
    let minutes = digits(minutes, 2).filter(|m| *m < 60)?;
    let seconds = digits(seconds, 2).filter(|s| *s <= 60)?;
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let total = i64::try_from((hours * 3600 + minutes * 60 + seconds) * 1000 + thousandths).ok()?;
    Some(total - offset * 60_000)
}

/// The inverse of [`civil_from_days`]; `None` before 1970.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with seconds, in UTC: `2026-11-20T23:48:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )
    }
}

/// Gregorian date of a day count since 1970-01-01, by eras of 400 years that start in March.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
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
        for days in 0..40_000 {
            let (year, month, day) = super::civil_from_days(days);
            assert_eq!(super::days_from_civil(year, month, day), Some(days));
        }
    }
}
