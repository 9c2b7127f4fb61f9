//! The ticks of a time axis: round dates and times in UTC, with their labels.
//!
//! Values are seconds since the Unix epoch. The axis is as long as its data: its ends are not rounded to a tick.

use backlot_core::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The most steps between ticks: that many dates fit below a chart.
const MOST: u64 = 6;
/// Steps of a fixed length.
const SECONDS: [u64; 17] = [
    1,
    2,
    5,
    10,
    30,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
];
/// Steps in months, which have no fixed length.
const MONTHS: [u64; 8] = [1, 3, 6, 12, 24, 60, 120, 240];

/// The ends of an axis for some times; a day wide if there is only one.
pub(super) fn range(times: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
    for time in times {
        (first, last) = (first.min(time), last.max(time));
    }
    if first > last {
        return (0.0, 1.0);
    }
    if last - first < 1e-3 {
        return (first - 43_200.0, last + 43_200.0);
    }
    (first, last)
}

/// The ticks between two times, with their labels.
pub(super) fn ticks(first: f64, last: f64) -> Vec<(f64, String)> {
    let (first, last) = (whole(first.ceil()), whole(last.floor()));
    let length = last.saturating_sub(first);
    if let Some(step) = SECONDS.into_iter().find(|step| length / step <= MOST) {
        let from = first.div_ceil(step) * step;
        let ticks = (from..=last).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        return ticks.map(|second| (exact(second), label(second, step))).collect();
    }
    let (from, to) = (month_of(first), month_of(last));
    let step = MONTHS.into_iter().find(|step| (to - from) / step <= MOST);
    let step = step.unwrap_or((to - from) / MOST);
    let months = (from.div_ceil(step) * step..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    let starts = months.filter_map(|month| start_of(month).filter(|start| (first..=last).contains(start)));
    starts.map(|start| (exact(start), label(start, DAY))).collect()
}

/// `2026-01-31`, or with steps below a day `01-31 18:00`, below a minute `18:00:05`.
fn label(second: u64, step: u64) -> String {
    let time = Timestamp(second.saturating_mul(1000)).to_string();
    let part = |from: usize, to: usize| time.get(from..to).unwrap_or_default();
    match step {
        _ if step >= DAY => part(0, 10).to_owned(),
        _ if step >= MINUTE => format!("{} {}", part(5, 10), part(11, 16)),
        _ => part(11, 19).to_owned(),
    }
}

/// The number of a month since the beginning of year 0.
fn month_of(second: u64) -> u64 {
    let time = Timestamp(second.saturating_mul(1000)).to_string();
    let number = |from: usize, to: usize| {
        let digits = time.get(from..to).and_then(|digits| digits.parse::<u64>().ok());
        digits.unwrap_or(0)
    };
    number(0, 4) * 12 + number(5, 7).saturating_sub(1)
}

/// The second at which a month begins.
fn start_of(month: u64) -> Option<u64> {
    let text = format!("{:04}-{:02}-01T00:00:00Z", month / 12, month % 12 + 1);
    Timestamp::parse(&text).ok().map(|time| time.0 / 1000)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and times before 1970 have no release"
)]
fn whole(seconds: f64) -> u64 {
    // The last second that a timestamp can print.
    (seconds as u64).min(253_402_300_799)
}

#[expect(clippy::cast_precision_loss, reason = "seconds until the year 9999 are exact")]
fn exact(seconds: u64) -> f64 {
    seconds as f64
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, exact, range, ticks};

    fn labels(first: &str, last: &str) -> Vec<String> {
        let at = |text: &str| exact(Timestamp::parse(text).expect("a time").0 / 1000);
        let ticks = ticks(at(first), at(last));
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_dates_and_times() {
        assert_eq!(
            labels("2026-01-20T12:00:00Z", "2026-05-03T00:00:00Z"),
            ["2026-02-01", "2026-03-01", "2026-04-01", "2026-05-01"]
        );
        assert_eq!(
            labels("2024-02-27T12:00:00Z", "2024-03-01T12:00:00Z"),
            [
                "02-27 12:00",
                "02-28 00:00",
                "02-28 12:00",
                "02-29 00:00",
                "02-29 12:00",
                "03-01 00:00",
                "03-01 12:00"
            ]
        );
        assert_eq!(
            labels("2026-01-31T18:00:01Z", "2026-01-31T18:00:04Z"),
            ["18:00:01", "18:00:02", "18:00:03", "18:00:04"]
        );
        assert_eq!(
            labels("2019-06-01T00:00:00Z", "2026-06-01T00:00:00Z"),
            ["2020-01-01", "2022-01-01", "2024-01-01", "2026-01-01"]
        );
    }

    #[test]
    fn any_range_has_few_ticks() {
        for (first, last) in [
            (0.0, 1.0),
            (0.5, 0.6),
            (-1e9, 1e300),
            (f64::MIN, f64::MAX),
            (1e18, 2e18),
        ] {
            assert!(ticks(first, last).len() <= 8, "{first} to {last}");
        }
        assert_eq!(range([86_400.0].into_iter()), (43_200.0, 129_600.0));
        assert_eq!(range(std::iter::empty()), (0.0, 1.0));
    }
}
