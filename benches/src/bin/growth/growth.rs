//! How a cost grows with a size: the exponent of the power law that fits it best.
//!
//! A command whose cost does not depend on the size has the exponent 0, one that looks at everything 1. Invariant: each
//! point is the median of its samples. Deliberately absent: a judgement by time alone; the counts of system calls do not depend on
//! the machine.

use backlot_benches::measure::Sample;
use serde::Serialize;

/// What a command cost at one size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// Releases, or assets.
    pub(crate) size: u32,
    pub(crate) samples: Vec<Sample>,
    /// System calls of one run; `None` where nothing counts them.
    pub(crate) calls: Option<u64>,
}

/// A command's costs over sizes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    /// `age` or `width`.
    pub(crate) over: &'static str,
    pub(crate) command: &'static str,
    /// The exponent of system calls that is expected at most.
    pub(crate) at_most: f64,
    pub(crate) points: Vec<Point>,
}

impl Growth {
    /// The exponent of the processor time.
    pub(crate) fn of_time(&self) -> Option<f64> {
        exponent(
            self.points
                .iter()
                .map(|p| (p.size, Sample::median(&p.samples).cpu())),
        )
    }

    /// The exponent of the system calls.
    pub(crate) fn of_calls(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a count of calls, for a logarithm")]
        exponent(self.points.iter().filter_map(|p| Some((p.size, p.calls? as f64))))
    }

    /// Whether what is expected holds, as far as calls were counted.
    pub(crate) fn holds(&self) -> bool {
        self.of_calls().is_none_or(|exponent| exponent <= self.at_most)
    }
}

/// Least squares over the logarithms; `None` of fewer than two sizes.
fn exponent(points: impl Iterator<Item = (u32, f64)>) -> Option<f64> {
    let points: Vec<(f64, f64)> = points
        .filter(|(_, cost)| *cost > 0.0)
        .map(|(size, cost)| (f64::from(size).ln(), cost.ln()))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let common: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    (points.len() > 1 && spread > 0.0).then(|| common / spread)
}

/// The table in Markdown.
pub(crate) fn to_markdown(growths: &[Growth]) -> String {
    if growths.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| over | command | size: CPU, calls | exponent of CPU | of calls | expected | |\n\
         |---|---|---|---:|---:|---:|---|\n",
    );
    let shown = |exponent: Option<f64>| exponent.map_or_else(|| "-".to_owned(), |e| format!("{e:.2}"));
    for growth in growths {
        let points: Vec<String> = growth
            .points
            .iter()
            .map(|point| {
                let cpu = Sample::median(&point.samples).cpu() * 1000.0;
                let calls = point.calls.map_or_else(|| "-".to_owned(), |c| c.to_string());
                format!("{}: {cpu:.0} ms, {calls}", point.size)
            })
            .collect();
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {:.1} | {} |\n",
            growth.over,
            growth.command,
            points.join("; "),
            shown(growth.of_time()),
            shown(growth.of_calls()),
            growth.at_most,
            if growth.holds() { "held" } else { "missed" },
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn costs_that_do_not_grow_have_the_exponent_0_and_those_of_squares_2() {
        let sizes = [10, 50, 100, 400];
        let of = |cost: fn(f64) -> f64| exponent(sizes.iter().map(|size| (*size, cost(f64::from(*size)))));
        assert!(of(|_| 7.0).expect("fitted").abs() < 1e-9);
        assert!((of(|size| 3.0 * size * size).expect("fitted") - 2.0).abs() < 1e-9);
        assert_eq!(exponent([(5, 1.0)].into_iter()), None);
    }
}
