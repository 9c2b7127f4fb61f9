//! What the contest found, as JSON for machines and as a table a workload for people.
//!
//! Invariant: the tables show medians of the figures that the JSON holds, and nothing else. Deliberately absent: what was
//! hoped for, which is in [`crate::expectations`].

use std::collections::BTreeMap;

use backlot_benches::measure::Sample;
use serde::Serialize;

/// Everything one run found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// When it ran, UTC.
    pub(crate) date: String,
    /// Where it ran, in words.
    pub(crate) machine: BTreeMap<String, String>,
    /// The contestants with their versions, as they say them, in order.
    pub(crate) contestants: Vec<(String, String)>,
    /// Those that are not installed.
    pub(crate) missing: Vec<String>,
    /// How often each step was repeated.
    pub(crate) repetitions: usize,
    /// Whether the sets were the small ones.
    pub(crate) small: bool,
    pub(crate) sets: Vec<SetSummary>,
    pub(crate) rows: Vec<Row>,
    /// Who failed, on what, and why.
    pub(crate) failures: Vec<String>,
}

/// One workload.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SetSummary {
    pub(crate) name: String,
    pub(crate) stands_for: String,
    /// Files of its first version.
    pub(crate) files: u64,
    /// Bytes of its first version.
    pub(crate) bytes: u64,
}

/// One step of one contestant on one workload.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) step: String,
    pub(crate) contestant: String,
    pub(crate) figures: Vec<Figures>,
}

/// What one step cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) sample: Sample,
    /// Bytes in the remote after it; zero after a get.
    pub(crate) stored: u64,
    /// Bytes that it wrote to the remote.
    pub(crate) sent: u64,
    /// Files in the remote after it.
    pub(crate) objects: u64,
}

impl Figures {
    /// The median of each figure by itself.
    pub(crate) fn median(figures: &[Self]) -> Self {
        let samples: Vec<Sample> = figures.iter().map(|f| f.sample).collect();
        let of = |figure: fn(&Self) -> u64| {
            let mut all: Vec<u64> = figures.iter().map(figure).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0)
        };
        Self {
            sample: Sample::median(&samples),
            stored: of(|f| f.stored),
            sent: of(|f| f.sent),
            objects: of(|f| f.objects),
        }
    }
}

impl Report {
    /// A set by its name.
    pub(crate) fn set(&self, name: &str) -> Option<&SetSummary> {
        self.sets.iter().find(|set| set.name == name)
    }

    /// The medians of a row.
    pub(crate) fn figures(&self, workload: &str, step: &str, contestant: &str) -> Option<Figures> {
        let row = self
            .rows
            .iter()
            .find(|row| row.workload == workload && row.step == step && row.contestant == contestant)?;
        Some(Figures::median(&row.figures))
    }

    /// Head and tables in Markdown.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!("{}; medians of {}\n\n", self.date, self.repetitions);
        for (name, value) in &self.machine {
            text.push_str(&format!("- {name}: {value}\n"));
        }
        for (name, version) in &self.contestants {
            text.push_str(&format!("- {name}: {version}\n"));
        }
        for name in &self.missing {
            text.push_str(&format!("- {name}: not installed, left out\n"));
        }
        for set in &self.sets {
            text.push_str(&format!(
                "\n### {}: {}, {} files, {}\n\n\
                 | step | who | wall | sync after | CPU | peak | stored | sent | objects |\n\
                 |---|---|---:|---:|---:|---:|---:|---:|---:|\n",
                set.name,
                set.stands_for,
                set.files,
                bytes(set.bytes)
            ));
            for row in self.rows.iter().filter(|row| row.workload == set.name) {
                text.push_str(&line(row));
            }
        }
        for failure in &self.failures {
            text.push_str(&format!("\nFailed: {failure}\n"));
        }
        text
    }
}

fn line(row: &Row) -> String {
    let median = Figures::median(&row.figures);
    let sample = median.sample;
    let remote = if row.step.starts_with("put") {
        format!(
            "{} | {} | {}",
            bytes(median.stored),
            bytes(median.sent),
            median.objects
        )
    } else {
        " | | ".to_owned()
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {remote} |\n",
        row.step,
        row.contestant,
        seconds(sample.wall),
        seconds(sample.left_to_sync),
        seconds(sample.cpu()),
        bytes(sample.peak),
    )
}

/// Seconds for people.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 0.1 {
        format!("{:.1} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.2} s")
    }
}

/// Bytes for people.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Report, Row, SetSummary};
    use backlot_benches::measure::Sample;

    #[test]
    fn a_table_has_a_line_a_step_and_contestant_with_medians() {
        let figures = |wall, stored| Figures {
            sample: Sample {
                wall,
                ..Sample::default()
            },
            stored,
            sent: 512,
            objects: 7,
        };
        let report = Report {
            sets: vec![SetSummary {
                name: "w".to_owned(),
                bytes: 3 << 20,
                ..SetSummary::default()
            }],
            rows: vec![Row {
                workload: "w".to_owned(),
                step: "put v1".to_owned(),
                contestant: "cp -r".to_owned(),
                figures: vec![figures(3.0, 9), figures(1.0, 2048), figures(2.0, 4096)],
            }],
            missing: vec!["borg".to_owned()],
            ..Report::default()
        };
        let text = report.to_markdown();
        let line = "| put v1 | cp -r | 2.00 s | 0.0 ms | 0.0 ms | 0 B | 2.0 KiB | 512 B | 7 |";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("- borg: not installed, left out"), "{text}");
        assert!(report.figures("w", "put v1", "cp -r").is_some());
        assert!(report.figures("w", "put v2", "cp -r").is_none());
    }
}
