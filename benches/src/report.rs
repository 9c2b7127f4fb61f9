//! What a bench found, as JSON for machines and as a table for people.
//!
//! Invariant: the table shows medians of the samples that the JSON holds, and nothing else. Deliberately absent: advice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::Sample;

/// Everything one run of a bench found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// When it ran, UTC.
    pub date: String,
    /// Where it ran, in words: processors, memory, disk, kernel, load.
    pub machine: BTreeMap<String, String>,
    /// Name and version of the rival.
    pub rival: String,
    /// Name and version of the subject.
    pub subject: String,
    /// How often each step was repeated.
    pub repetitions: usize,
    /// The steps, in order.
    pub rows: Vec<Row>,
    /// What the machine can do at best, each by its name.
    pub ceilings: Vec<Ceiling>,
}

/// One step on one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The workload; empty where there is none.
    pub workload: String,
    /// The step.
    pub step: String,
    /// The rival's samples.
    pub rival: Vec<Sample>,
    /// The subject's samples.
    pub subject: Vec<Sample>,
    /// What bounds it, in words, and its wall time in seconds.
    pub ceiling: Option<(String, f64)>,
}

/// What the machine takes for something no product can avoid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ceiling {
    /// The workload.
    pub workload: String,
    /// What was run.
    pub what: String,
    /// The samples.
    pub samples: Vec<Sample>,
}

impl Row {
    /// How many times longer the rival took.
    pub fn ratio(&self) -> f64 {
        Sample::median(&self.rival).wall / Sample::median(&self.subject).wall
    }

    /// As [`Row::ratio`], with the time until everything written is on the disk.
    pub fn ratio_on_disk(&self) -> f64 {
        let of = |samples: &[Sample]| {
            let median = Sample::median(samples);
            median.wall + median.left_to_sync
        };
        of(&self.rival) / of(&self.subject)
    }
}

impl Report {
    /// The table in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "{}; {} against {}; medians of {}\n\n",
            self.date, self.subject, self.rival, self.repetitions
        );
        for (name, value) in &self.machine {
            text.push_str(&format!("- {name}: {value}\n"));
        }
        text.push_str(
            "\n| workload | step | rival: wall | CPU | peak | backlot: wall | CPU | peak | ratio | on disk | ceiling |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
        );
        for row in &self.rows {
            let ceiling = row
                .ceiling
                .as_ref()
                .map_or_else(String::new, |(what, wall)| format!("{what} {}", seconds(*wall)));
            text.push_str(&format!(
                "| {} | {} | {} | {} | **{:.1}** | {:.1} | {ceiling} |\n",
                row.workload,
                row.step,
                costs(&row.rival),
                costs(&row.subject),
                row.ratio(),
                row.ratio_on_disk(),
            ));
        }
        text.push_str("\n| workload | ceiling | wall | CPU |\n|---|---|---:|---:|\n");
        for ceiling in &self.ceilings {
            let median = Sample::median(&ceiling.samples);
            text.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                ceiling.workload,
                ceiling.what,
                seconds(median.wall),
                seconds(median.cpu())
            ));
        }
        text
    }
}

fn costs(samples: &[Sample]) -> String {
    let median = Sample::median(samples);
    format!(
        "{} | {} | {} MiB",
        seconds(median.wall),
        seconds(median.cpu()),
        median.peak >> 20
    )
}

fn seconds(seconds: f64) -> String {
    if seconds < 0.1 {
        format!("{:.1} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Row};
    use crate::measure::Sample;

    #[test]
    fn a_row_shows_medians_and_how_many_times_longer_the_rival_took() {
        let sample = |wall| Sample {
            wall,
            ..Sample::default()
        };
        let row = Row {
            workload: "w".to_owned(),
            step: "add".to_owned(),
            rival: vec![sample(8.0), sample(9.0), sample(100.0)],
            subject: vec![sample(0.9), sample(1.0), sample(0.02)],
            ceiling: None,
        };
        assert!((row.ratio() - 10.0).abs() < 1e-9);
        let report = Report {
            rows: vec![row],
            ..Report::default()
        };
        let text = report.to_markdown();
        assert!(text.contains("| w | add | 9.00 s |"), "{text}");
        assert!(text.contains("| **10.0** |"), "{text}");
    }
}
