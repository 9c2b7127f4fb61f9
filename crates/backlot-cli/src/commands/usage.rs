//! What releases take on a remote: a table, bars, a chart.

use std::collections::BTreeMap;

use backlot::{Chart, ChartLine, Error, ReleaseUsage, charts_as_svg, text};

use crate::args::DuArgs;
use crate::output::{Answer, columns};
use crate::session::Session;

/// Characters of the longest bar.
const LONGEST: u64 = 40;

pub(super) fn usage(session: &Session, args: &DuArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let releases = &workspace.usage(&args.names, args.remote.as_deref(), &session.context)?;
    let mut text = if releases.is_empty() {
        "no release with tracked files".to_owned()
    } else if args.plot {
        bars(releases)
    } else {
        table(releases)
    };
    if let Some(output) = &args.output {
        let path = session.here.join(output);
        fs_err::write(&path, charts_as_svg(&charts(releases)))?;
        text.push_str(&format!("the chart is in {}\n", path.display()));
    }
    Ok(Answer::new(&serde_json::json!({ "releases": releases }), text))
}

fn table(releases: &[ReleaseUsage]) -> String {
    let head = ["release", "files", "logical", "stored", "cost", "exclusive"];
    let mut rows: Vec<Vec<String>> = vec![head.iter().map(ToString::to_string).collect()];
    for release in releases {
        let usage = &release.usage;
        let mut missing = Vec::new();
        if usage.missing > 0 {
            missing.push(format!("{} not on this remote", usage.missing));
        }
        if !release.unknown.is_empty() {
            let folders = text::count(release.unknown.len() as u64, "folder");
            missing.push(format!("{folders} not counted: the manifest is nowhere"));
        }
        rows.push(vec![
            format!("{} {}", release.package, release.version),
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

/// A bar for the cost of each version, all on one scale, with what it has beside it.
fn bars(releases: &[ReleaseUsage]) -> String {
    let most = releases
        .iter()
        .map(|release| release.usage.added)
        .max()
        .unwrap_or(0)
        .max(1);
    let head = ["release", "cost", "", "logical"];
    let mut rows: Vec<Vec<String>> = vec![head.iter().map(ToString::to_string).collect()];
    for release in releases {
        let added = release.usage.added;
        // In eighths of a character, so that little is told from nothing.
        let eighths = u128::from(added) * u128::from(LONGEST * 8) / u128::from(most);
        let eighths = usize::try_from(eighths).unwrap_or(0).max(usize::from(added > 0));
        let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        rows.push(vec![
            format!("{} {}", release.package, release.version),
            text::bytes(added),
            format!("{}{rest}", "█".repeat(eighths / 8)),
            text::bytes(release.usage.logical),
        ]);
    }
    columns(&rows)
}

/// A chart for each package: what its versions cost, and all of them together.
fn charts(releases: &[ReleaseUsage]) -> Vec<Chart> {
    let mut packages: BTreeMap<String, Vec<&ReleaseUsage>> = BTreeMap::new();
    for release in releases {
        packages
            .entry(release.package.to_string())
            .or_default()
            .push(release);
    }
    packages
        .into_iter()
        .map(|(package, versions)| chart(&package, &versions))
        .collect()
}

fn chart(package: &str, versions: &[&ReleaseUsage]) -> Chart {
    let lines = |name: &str, value: &dyn Fn(&ReleaseUsage) -> u64, sums: bool| {
        let mut sum = 0.0;
        let points = versions.iter().zip(1_u32..).map(|(release, position)| {
            let value = mebibytes(value(release));
            sum = if sums { sum + value } else { value };
            (f64::from(position), sum)
        });
        ChartLine::new(name, points.collect())
    };
    let end =
        |release: Option<&&ReleaseUsage>| release.map(|one| one.version.to_string()).unwrap_or_default();
    let (first, last) = (end(versions.first()), end(versions.last()));
    Chart::new(
        package,
        &format!("{package}: what its versions cost"),
        (&format!("versions {first} to {last}"), "MiB"),
        vec![
            lines("cost of the version", &|release| release.usage.added, false),
            lines("cost of all up to it", &|release| release.usage.added, true),
            lines("its files", &|release| release.usage.logical, false),
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

    use super::{bars, charts};

    fn release(version: &str, added: u64) -> ReleaseUsage {
        let usage = serde_json::json!({
            "package": "table", "version": version, "files": 1, "logical": 4096, "unique": 4096, "stored": added, "added": added,
            "exclusive": 0, "missing": 0, "unknown": [],
        });
        serde_json::from_value(usage).expect("a usage")
    }

    #[test]
    fn bars_are_of_one_scale_and_little_is_told_from_nothing() {
        let releases = [
            release("1.0", 1 << 30),
            release("1.1", 1 << 29),
            release("1.2", 1),
            release("1.3", 0),
        ];
        let text = bars(&releases);
        let lengths: Vec<usize> = text
            .lines()
            .skip(1)
            .map(|line| line.matches('█').count())
            .collect();
        assert_eq!(lengths, [40, 20, 0, 0], "{text}");
        assert!(text.contains('▏') && text.matches('▏').count() == 1, "{text}");
        assert!(bars(&[release("1.0", 0)]).lines().count() == 2);
    }

    #[test]
    fn a_chart_has_the_sum_of_all_versions() {
        let charts = charts(&[release("1.0", 2 << 20), release("1.1", 1 << 20)]);
        assert_eq!(charts[0].lines[1].points, [(1.0, 2.0), (2.0, 3.0)]);
        assert_eq!(charts[0].x_label, "versions 1.0 to 1.1");
    }
}
