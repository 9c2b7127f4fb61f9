//! What is expected of backlot, each as a line: the figure and whether it held.
//!
//! The bounds are promises of the product, given in multiples of what the same run measured for the others wherever that
//! is possible. Invariant: a bound whose figures were not measured says so and holds for nobody. Deliberately absent:
//! excuses.

use serde::Serialize;

use crate::report::{Figures, Report, bytes, seconds};

/// The rivals that a bound may be about.
pub(crate) const PEERS: [&str; 5] = ["dvc", "restic", "rustic", "borg", "casync"];

/// One expectation and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Expectation {
    pub(crate) text: String,
    /// What was found, in words; `None` if a figure is missing.
    pub(crate) found: Option<String>,
    pub(crate) held: bool,
}

impl Expectation {
    /// Its line.
    pub(crate) fn line(&self) -> String {
        let Some(found) = &self.found else {
            return format!("- {}: not measured\n", self.text);
        };
        let verdict = if self.held { "held" } else { "missed" };
        format!("- {}: {found}: **{verdict}**\n", self.text)
    }
}

/// All expectations of a report.
pub(crate) fn all(report: &Report) -> Vec<Expectation> {
    let of = |set: &str, step: &str| report.figures(set, step, "backlot");
    let mut list = vec![
        time(report, "frames", "put v1", "backlot", "cp -r + sync", 1.3),
        faster(
            "frames, put v1: 3 x faster than the fastest peer",
            of("frames", "put v1"),
            best(report, "frames", "put v1", |f| f.sample.wall),
            3.0,
        ),
        faster(
            "frames, put v1: 6 x faster than dvc",
            of("frames", "put v1"),
            named(report, "frames", "put v1", "dvc"),
            6.0,
        ),
        fewer_bytes(
            "frames, put v1: stored <= the best peer's",
            of("frames", "put v1"),
            best(report, "frames", "put v1", |f| f.stored),
            |f| f.stored,
        ),
        bound("frames, put v2: at most 0.2 s", of("frames", "put v2"), |f| {
            (seconds(f.sample.wall), f.sample.wall <= 0.2)
        }),
        bound(
            "frames, put v2: less than 1 MiB sent",
            of("frames", "put v2"),
            |f| (bytes(f.sent), f.sent < 1 << 20),
        ),
        share(report, "exr-zip", "put metadata", 1.5),
        share(report, "exr-zip", "put crop", 15.0),
        fewer_bytes(
            "insertions, put v2: sent <= casync's",
            of("insertions", "put v2"),
            named(report, "insertions", "put v2", "casync"),
            |f| f.sent,
        ),
        faster(
            "insertions, put v2: 5 x faster than casync",
            of("insertions", "put v2"),
            named(report, "insertions", "put v2", "casync"),
            5.0,
        ),
        time(report, "small-files", "put v1", "backlot", "cp -r", 1.0),
        bound(
            "small-files, put v1: at most 20 objects",
            of("small-files", "put v1"),
            |f| (f.objects.to_string(), f.objects <= 20),
        ),
    ];
    for who in ["backlot", "backlot, a release"] {
        list.push(time(report, "frames", "get v1, empty place", who, "cp -r", 1.3));
    }
    list.push(peak(report, 256 << 20));
    list
}

/// A figure of backlot and whether it is good.
fn bound(text: &str, ours: Option<Figures>, judge: impl Fn(Figures) -> (String, bool)) -> Expectation {
    let judged = ours.map(judge);
    Expectation {
        text: text.to_owned(),
        held: judged.as_ref().is_some_and(|(_, held)| *held),
        found: judged.map(|(found, _)| found),
    }
}

/// Wall time of at most so many times another's.
fn time(report: &Report, set: &str, step: &str, who: &str, other: &str, times: f64) -> Expectation {
    let theirs = report.figures(set, step, other);
    let ours = report.figures(set, step, who).zip(theirs);
    let judged = ours.map(|(ours, theirs)| (ours.sample.wall, theirs.sample.wall));
    Expectation {
        text: format!("{set}, {step}, {who}: at most {times} x {other}"),
        held: judged.is_some_and(|(ours, theirs)| ours <= times * theirs),
        found: judged.map(|(ours, theirs)| {
            format!(
                "{:.2} x ({} against {})",
                ours / theirs,
                seconds(ours),
                seconds(theirs)
            )
        }),
    }
}

/// So many times faster than another, who is named.
fn faster(text: &str, ours: Option<Figures>, theirs: Option<(&str, Figures)>, times: f64) -> Expectation {
    let judged = ours
        .zip(theirs)
        .map(|(ours, (who, theirs))| (ours.sample.wall, who, theirs.sample.wall));
    Expectation {
        text: text.to_owned(),
        held: judged.is_some_and(|(ours, _, theirs)| ours * times <= theirs),
        found: judged.map(|(ours, who, theirs)| {
            let ratio = theirs / ours;
            format!(
                "{ratio:.2} x ({} against {} of {who})",
                seconds(ours),
                seconds(theirs)
            )
        }),
    }
}

/// No more bytes than another, who is named.
fn fewer_bytes(
    text: &str,
    ours: Option<Figures>,
    theirs: Option<(&str, Figures)>,
    figure: fn(&Figures) -> u64,
) -> Expectation {
    let judged = ours
        .zip(theirs)
        .map(|(ours, (who, theirs))| (figure(&ours), who, figure(&theirs)));
    Expectation {
        text: text.to_owned(),
        held: judged.is_some_and(|(ours, _, theirs)| ours <= theirs),
        found: judged
            .map(|(ours, who, theirs)| format!("{} against {} of {who}", bytes(ours), bytes(theirs))),
    }
}

/// What was sent, as a share of the set.
#[expect(clippy::cast_precision_loss, reason = "a share in percent")]
fn share(report: &Report, set: &str, step: &str, percent: f64) -> Expectation {
    let whole = report.set(set).map_or(0, |set| set.bytes).max(1) as f64;
    bound(
        &format!("{set}, {step}: sent at most {percent} % of the set"),
        report.figures(set, step, "backlot"),
        |figures| {
            let found = figures.sent as f64 / whole * 100.0;
            let text = format!("{found:.2} % ({})", bytes(figures.sent));
            (text, found <= percent)
        },
    )
}

/// The largest peak of any of backlot's steps, in any repetition.
fn peak(report: &Report, limit: u64) -> Expectation {
    let steps = report
        .rows
        .iter()
        .filter(|row| row.contestant.starts_with("backlot"));
    let peaks = steps.flat_map(|row| {
        let name = format!("{}, {}", row.workload, row.step);
        row.figures.iter().map(move |f| (f.sample.peak, name.clone()))
    });
    let largest = peaks.max();
    Expectation {
        text: format!("peak memory of every step: at most {}", bytes(limit)),
        held: largest.as_ref().is_some_and(|(peak, _)| *peak <= limit),
        found: largest.map(|(peak, step)| format!("{} ({step})", bytes(peak))),
    }
}

/// The figures of one peer, with its name.
fn named<'a>(report: &Report, set: &str, step: &str, who: &'a str) -> Option<(&'a str, Figures)> {
    report.figures(set, step, who).map(|figures| (who, figures))
}

/// The peer whose figure is the least.
fn best<T: PartialOrd>(
    report: &Report,
    set: &str,
    step: &str,
    figure: fn(&Figures) -> T,
) -> Option<(&'static str, Figures)> {
    let peers = PEERS.iter().filter_map(|who| named(report, set, step, who));
    peers.reduce(|best, next| {
        if figure(&next.1) < figure(&best.1) {
            next
        } else {
            best
        }
    })
}

#[cfg(test)]
mod tests {
    use super::all;
    use crate::report::{Figures, Report, Row};
    use backlot_benches::measure::Sample;

    fn row(step: &str, contestant: &str, wall: f64, stored: u64) -> Row {
        let sample = Sample {
            wall,
            peak: 300 << 20,
            ..Sample::default()
        };
        Row {
            workload: "frames".to_owned(),
            step: step.to_owned(),
            contestant: contestant.to_owned(),
            figures: vec![Figures {
                sample,
                stored,
                sent: stored,
                objects: 3,
            }],
        }
    }

    #[test]
    fn what_is_better_than_its_bound_held_and_what_is_not_measured_did_not() {
        let report = Report {
            rows: vec![
                row("put v1", "backlot", 1.0, 50),
                row("put v1", "dvc", 7.0, 100),
                row("put v1", "borg", 2.5, 40),
                row("put v1", "cp -r + sync", 0.9, 100),
            ],
            ..Report::default()
        };
        let list = all(&report);
        let line = |text: &str| {
            let found = list.iter().find(|e| e.text.contains(text));
            found.map(super::Expectation::line).expect("an expectation")
        };
        assert_eq!(
            line("cp -r + sync"),
            "- frames, put v1, backlot: at most 1.3 x cp -r + sync: 1.11 x (1.00 s against 0.90 s): **held**\n"
        );
        assert!(line("fastest peer").ends_with("2.50 x (1.00 s against 2.50 s of borg): **missed**\n"));
        assert!(line("than dvc").ends_with("**held**\n"));
        assert!(line("stored").ends_with("50 B against 40 B of borg: **missed**\n"));
        assert!(line("peak").ends_with("300.0 MiB (frames, put v1): **missed**\n"));
        assert!(line("casync's").ends_with(": not measured\n"));
        assert!(list.iter().all(|e| e.found.is_some() || !e.held));
    }
}
