//! Disk usage of releases on a remote: as a table, as bars, as a chart.

use std::collections::BTreeMap;

use backlot::{Chart, ChartLine, Error, ReleaseUsage, charts_as_svg, text};

use crate::args::{DuArgs, UsageOrder};
use crate::output::{Answer, columns};
use crate::session::Session;

/// Characters of the longest bar.
const LONGEST: u64 = 40;

pub(super) fn usage(session: &Session, args: &DuArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let mut releases = workspace.usage(&args.names, args.remote.as_deref(), &session.context)?;
    let order = args.order();
    if order == UsageOrder::Date {
        // Stable, so releases without a date stay in the order of versions, last.
        releases.sort_by_key(|release| (release.published_at.is_none(), release.published_at));
    }
    let mut text = if releases.is_empty() {
        "no release with tracked files".to_owned()
    } else if args.plot {
        bars(&releases, order)
    } else {
        table(&releases, order)
    };
    if let Some(output) = &args.output {
        let path = session.here.join(output);
        fs_err::write(&path, charts_as_svg(&charts(&releases, order)))?;
        text.push_str(&format!("wrote the chart to {}\n", path.display()));
    }
    Ok(Answer::new(&serde_json::json!({ "releases": releases }), text))
}

/// The first column of a report by date.
const DATE: &str = "published";

/// The names of the columns, and the beginning of each row: the date, if it decides over the order, and the release.
fn rows_by(releases: &[ReleaseUsage], order: UsageOrder, head: &[&str]) -> Vec<Vec<String>> {
    let by_date = order == UsageOrder::Date;
    let names = by_date.then_some(DATE).into_iter().chain(head.iter().copied());
    let mut rows = vec![names.map(ToOwned::to_owned).collect()];
    rows.extend(releases.iter().map(|release| {
        let day = release
            .published_at
            .map_or_else(|| "-".to_owned(), backlot::Timestamp::date);
        let name = format!("{} {}", release.package, release.version);
        by_date.then_some(day).into_iter().chain([name]).collect()
    }));
    rows
}

fn table(releases: &[ReleaseUsage], order: UsageOrder) -> String {
    let head = ["release", "files", "logical", "stored", "cost", "exclusive"];
    let mut rows = rows_by(releases, order, &head);
    for (row, release) in rows.iter_mut().skip(1).zip(releases) {
        let usage = &release.usage;
        let mut missing = Vec::new();
        if usage.missing > 0 {
            missing.push(format!("{} not on this remote", usage.missing));
        }
        if !release.unknown.is_empty() {
            let (folders, are) = match release.unknown.len() {
                1 => ("1 folder".to_owned(), "its manifest is missing"),
                many => (format!("{many} folders"), "their manifests are missing"),
            };
            missing.push(format!("{folders} not counted: {are}"));
        }
        row.extend([
            usage.files.to_string(),
            text::bytes(usage.logical),
            text::bytes(usage.stored),
            text::bytes(usage.added),
            text::bytes(usage.exclusive),
            missing.join("; "),
        ]);
    }
    columns(&rows)
}

/// A bar for the cost of each release, all to one scale, followed by the size of its files.
fn bars(releases: &[ReleaseUsage], order: UsageOrder) -> String {
    let costs = releases.iter().map(|release| release.usage.added);
    let most = costs.max().unwrap_or(0).max(1);
    let mut rows = rows_by(releases, order, &["release", "cost", "", "logical"]);
    for (row, release) in rows.iter_mut().skip(1).zip(releases) {
        let added = release.usage.added;
        // In eighths of a character, and at least one, so that a small cost differs from none.
        let eighths = u128::from(added) * u128::from(LONGEST * 8) / u128::from(most);
        let eighths = usize::try_from(eighths).unwrap_or(0).max(usize::from(added > 0));
        let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        row.extend([
            text::bytes(added),
            format!("{}{rest}", "█".repeat(eighths / 8)),
            text::bytes(release.usage.logical),
        ]);
    }
    columns(&rows)
}

/// A chart for each package: the cost of its releases, alone and added up.
fn charts(releases: &[ReleaseUsage], order: UsageOrder) -> Vec<Chart> {
    let mut packages: BTreeMap<String, Vec<&ReleaseUsage>> = BTreeMap::new();
    for release in releases {
        packages
            .entry(release.package.to_string())
            .or_default()
            .push(release);
    }
    packages
        .into_iter()
        .map(|(package, mut versions)| {
            let dates: Option<Vec<f64>> = versions.iter().map(|release| seconds(release)).collect();
            match dates.filter(|_| order == UsageOrder::Date) {
                Some(dates) => chart(&package, &versions, &dates, &over_time(&versions)).over_time(),
                None => {
                    versions.sort_by(|a, b| a.version.cmp(&b.version));
                    let places: Vec<f64> = (1..).take(versions.len()).map(f64::from).collect();
                    chart(&package, &versions, &places, &by_version(&versions))
                }
            }
        })
        .collect()
}

/// When a release was published, in seconds since the Unix epoch.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact to the millisecond for 200,000 years"
)]
fn seconds(release: &ReleaseUsage) -> Option<f64> {
    release.published_at.map(|at| at.0 as f64 / 1000.0)
}

/// The label of a time axis.
fn over_time(releases: &[&ReleaseUsage]) -> String {
    let day = |release: Option<&&ReleaseUsage>| {
        let at = release.and_then(|release| release.published_at);
        at.map(backlot::Timestamp::date)
    };
    match (day(releases.first()), day(releases.last())) {
        (Some(first), Some(last)) if first == last => format!("published {first} (UTC)"),
        (Some(first), Some(last)) => format!("published {first} to {last} (UTC)"),
        _ => "published (UTC)".to_owned(),
    }
}

/// The label of an axis on which versions have equal distances.
fn by_version(releases: &[&ReleaseUsage]) -> String {
    let version = |release: Option<&&ReleaseUsage>| {
        let version = release.map(|release| release.version.to_string());
        version.unwrap_or_default()
    };
    match releases {
        [one] => format!("version {}", one.version),
        all => format!("versions {} to {}", version(all.first()), version(all.last())),
    }
}

fn chart(package: &str, releases: &[&ReleaseUsage], places: &[f64], x_label: &str) -> Chart {
    let line = |name: &str, value: &dyn Fn(&ReleaseUsage) -> u64, adds_up: bool| {
        let mut sum = 0.0;
        let points = releases.iter().zip(places).map(|(release, place)| {
            let value = mebibytes(value(release));
            sum = if adds_up { sum + value } else { value };
            (*place, sum)
        });
        ChartLine::new(name, points.collect())
    };
    Chart::new(
        package,
        &format!("{package}: cost of its releases"),
        (x_label, "MiB"),
        vec![
            line("cost", &|release| release.usage.added, false),
            line("cumulative cost", &|release| release.usage.added, true),
            line("logical size", &|release| release.usage.logical, false),
        ],
    )
}

#[expect(clippy::cast_precision_loss, reason = "a picture has fewer digits")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1_u32 << 20)
}

#[cfg(test)]
mod tests {
    use backlot::ReleaseUsage;

    use super::{UsageOrder, bars, charts};

    fn release(version: &str, added: u64) -> ReleaseUsage {
        dated(version, added, None)
    }

    fn dated(version: &str, added: u64, at: Option<u64>) -> ReleaseUsage {
        let usage = serde_json::json!({
            "package": "table", "version": version, "published_at": at, "files": 1, "logical": 4096, "unique": 4096, "stored": added,
            "added": added, "exclusive": 0, "missing": 0, "unknown": [],
        });
        serde_json::from_value(usage).expect("a usage")
    }

    #[test]
    fn bars_have_one_scale_and_a_small_cost_differs_from_none() {
        let releases = [
            release("1.0", 1 << 30),
            release("1.1", 1 << 29),
            release("1.2", 1),
            release("1.3", 0),
        ];
        let text = bars(&releases, UsageOrder::Version);
        let lengths: Vec<usize> = text
            .lines()
            .skip(1)
            .map(|line| line.matches('█').count())
            .collect();
        assert_eq!(lengths, [40, 20, 0, 0], "{text}");
        assert!(text.contains('▏') && text.matches('▏').count() == 1, "{text}");
        assert!(bars(&[release("1.0", 0)], UsageOrder::Version).lines().count() == 2);
    }

    #[test]
    fn bars_by_date_name_the_day_where_it_is_known() {
        let releases = [dated("1.0", 1, Some(1_709_210_096_000)), release("1.1", 1)];
        let text = bars(&releases, UsageOrder::Date);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("published "), "{text}");
        assert!(
            lines[1].starts_with("2024-02-29 ") && lines[2].starts_with("- "),
            "{text}"
        );
    }

    #[test]
    fn a_chart_adds_up_the_costs() {
        let charts = charts(
            &[release("1.0", 2 << 20), release("1.1", 1 << 20)],
            UsageOrder::Version,
        );
        assert_eq!(charts[0].lines[1].points, [(1.0, 2.0), (2.0, 3.0)]);
        assert_eq!(charts[0].x_label, "versions 1.0 to 1.1");
    }

    #[test]
    fn a_chart_by_date_has_a_time_axis_unless_a_date_is_unknown() {
        let releases = [
            dated("2.0", 2 << 20, Some(1_709_210_096_000)),
            dated("1.1", 1 << 20, Some(1_709_300_000_500)),
        ];
        let by_date = &charts(&releases, UsageOrder::Date)[0];
        assert!(by_date.x_is_time);
        assert_eq!(
            by_date.lines[1].points,
            [(1_709_210_096.0, 2.0), (1_709_300_000.5, 3.0)]
        );
        assert_eq!(by_date.x_label, "published 2024-02-29 to 2024-03-01 (UTC)");
        let unknown = [releases[0].clone(), release("1.1", 1 << 20)];
        let by_version = &charts(&unknown, UsageOrder::Date)[0];
        assert!(!by_version.x_is_time);
        assert_eq!(by_version.lines[0].points, [(1.0, 1.0), (2.0, 2.0)]);
    }
}
