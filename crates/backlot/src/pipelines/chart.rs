//! Line charts as SVG 1.1, alone or in a page of HTML, without scripts, fonts or anything from elsewhere.
//!
//! Invariants: every text is escaped; lines differ by dashes as well as by colour; the same charts give the same bytes. Deliberately
//! absent: interaction, and charts of other kinds.

use std::fmt::Write as _;

use backlot_core::text::markup;
use serde::{Deserialize, Serialize};

use crate::pipelines::time_axis;

/// A chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Chart {
    /// Its file, or its name.
    pub name: String,
    /// The title.
    pub title: String,
    /// The label of the horizontal axis.
    pub x_label: String,
    /// The label of the vertical axis.
    pub y_label: String,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Whether the horizontal axis is time: seconds since the Unix epoch, labelled in UTC.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub x_is_time: bool,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Line {
    /// The name in the legend.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

impl Chart {
    /// A chart; the labels are those of the horizontal and of the vertical axis.
    pub fn new(name: &str, title: &str, (x_label, y_label): (&str, &str), lines: Vec<Line>) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            x_label: x_label.to_owned(),
            y_label: y_label.to_owned(),
            lines,
            x_is_time: false,
        }
    }

    /// The same with a time axis: the first number of each point is a time in seconds since the Unix epoch.
    #[must_use]
    pub fn over_time(mut self) -> Self {
        self.x_is_time = true;
        self
    }
}

impl Line {
    /// A line.
    pub fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.to_owned(),
            points,
        }
    }
}

/// The size of a chart without its legend, and the borders of its plot area: left, top, right, bottom.
const SIZE: (f64, f64) = (720.0, 360.0);
const BORDERS: [f64; 4] = [72.0, 36.0, 24.0, 48.0];
/// The height of a line of the legend.
const ROW: f64 = 18.0;
/// How many steps an axis has, about.
const STEPS: f64 = 5.0;

const COLOURS: [&str; 6] = ["#2b5fb4", "#b3261e", "#2f7d32", "#a67c00", "#6a3d9a", "#4a5568"];
const DASHES: [&str; 4] = ["", "6 3", "2 3", "8 3 2 3"];

/// Charts below each other.
pub fn charts_as_svg(charts: &[Chart]) -> String {
    let heights: Vec<f64> = charts.iter().map(height).collect();
    let total: f64 = heights.iter().sum();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">",
        SIZE.0, total
    );
    let mut top = 0.0;
    for (chart, height) in charts.iter().zip(heights) {
        let _ = writeln!(text, "<g transform=\"translate(0 {top})\">");
        draw(&mut text, chart);
        text.push_str("</g>\n");
        top += height;
    }
    text.push_str("</svg>\n");
    text
}

/// The same as a page.
pub fn charts_as_html(charts: &[Chart], title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title></head>\n<body>\n{}</body>\n</html>\n",
        markup(title),
        charts_as_svg(charts)
    )
}

fn height(chart: &Chart) -> f64 {
    let rows = u32::try_from(chart.lines.len()).unwrap_or(u32::MAX);
    SIZE.1 + ROW * f64::from(rows) + 8.0
}

/// From the least to the greatest of some numbers, in whole steps; at least one step wide.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for number in numbers {
        (least, most) = (least.min(number), most.max(number));
    }
    if least > most {
        (least, most) = (0.0, 1.0);
    }
    if most - least <= f64::EPSILON * most.abs().max(1.0) {
        let margin = (most.abs() * 0.1).max(0.5);
        (least, most) = (least - margin, most + margin);
    }
    let rough = (most / STEPS - least / STEPS).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|n| n * power)
        .find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = ((least / step).floor() * step).max(f64::MIN);
    let last = ((most / step).ceil() * step).min(f64::MAX);
    (first, last, step)
}

/// The ends of the horizontal axis, and its ticks with their labels.
fn x_axis(chart: &Chart) -> (f64, f64, Vec<(f64, String)>) {
    let values = chart.lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x);
    if chart.x_is_time {
        let (first, last) = time_axis::range(values);
        return (first, last, time_axis::ticks(first, last));
    }
    let (first, last, step) = range(values);
    let ticks = steps(first, last, step).map(|value| (value, number(value, step)));
    (first, last, ticks.collect())
}

fn draw(text: &mut String, chart: &Chart) {
    let [left, above, right, below] = BORDERS;
    let (width, height) = (SIZE.0 - left - right, SIZE.1 - above - below);
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let (x0, x1, x_ticks) = x_axis(chart);
    let (y0, y1, y_step) = range(points().map(|(_, y)| *y));
    // Halves, so that the distance of two large numbers is finite.
    let part =
        |at: f64, from: f64, to: f64| ((at / 2.0 - from / 2.0) / (to / 2.0 - from / 2.0)).clamp(0.0, 1.0);
    let x_at = |x: f64| left + width * part(x, x0, x1);
    let y_at = |y: f64| above + height * (1.0 - part(y, y0, y1));
    let _ = writeln!(
        text,
        "<rect x=\"{left}\" y=\"{above}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#4a5568\"/>"
    );
    label(text, (SIZE.0 / 2.0, 22.0), "middle", &chart.title);
    label(text, (left + width / 2.0, SIZE.1 - 8.0), "middle", &chart.x_label);
    label(text, (8.0, 22.0), "start", &chart.y_label);
    for (value, words) in x_ticks {
        let x = x_at(value);
        let _ = writeln!(text, "<path d=\"M{x:.1} {above}v{height}\" stroke=\"#e3e6ea\"/>");
        label(text, (x, above + height + 16.0), "middle", &words);
    }
    for value in steps(y0, y1, y_step) {
        let y = y_at(value);
        let _ = writeln!(text, "<path d=\"M{left} {y:.1}h{width}\" stroke=\"#e3e6ea\"/>");
        label(text, (left - 6.0, y + 4.0), "end", &number(value, y_step));
    }
    let mut row = SIZE.1 + ROW / 2.0;
    for (at, line) in chart.lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let stroke = format!(
            "fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{}\"",
            DASHES[at % DASHES.len()]
        );
        let places: Vec<String> = line
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", x_at(*x), y_at(*y)))
            .collect();
        let _ = writeln!(text, "<polyline points=\"{}\" {stroke}/>", places.join(" "));
        // Over time the distances differ, so each point is marked.
        let marked = if chart.x_is_time || line.points.len() == 1 {
            line.points.as_slice()
        } else {
            &[]
        };
        for (x, y) in marked {
            let (x, y) = (x_at(*x), y_at(*y));
            let _ = writeln!(
                text,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        let _ = writeln!(text, "<path d=\"M{left} {row:.1}h28\" {stroke}/>");
        label(text, (left + 36.0, row + 4.0), "start", &line.name);
        row += ROW;
    }
}

/// The values of an axis; a bounded number, whatever rounding does.
fn steps(from: f64, to: f64, step: f64) -> impl Iterator<Item = f64> {
    let values = (0..=20_u32).map(move |n| from + step * f64::from(n));
    values.take_while(move |value| value.is_finite() && *value <= to + step / 2.0)
}

/// A number with as many digits as its axis needs.
fn number(value: f64, step: f64) -> String {
    let places = (-step.log10().floor()).clamp(0.0, 12.0);
    if value != 0.0 && !(1e-6..1e9).contains(&value.abs()) {
        return format!("{value:.2e}");
    }
    let places = (0..=12_usize).find(|n| places <= f64::from(u32::try_from(*n).unwrap_or(12)));
    format!("{value:.0$}", places.unwrap_or(12))
}

fn label(text: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = markup(words);
    let _ = writeln!(
        text,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::{Chart, Line, charts_as_html, charts_as_svg, number, range, steps};

    fn chart(points: &[(f64, f64)]) -> Chart {
        Chart {
            name: "loss".to_owned(),
            title: "<loss> & \"more\"".to_owned(),
            x_label: "step".to_owned(),
            y_label: String::new(),
            lines: vec![Line {
                name: "Table 1.0: loss".to_owned(),
                points: points.to_vec(),
            }],
            x_is_time: false,
        }
    }

    #[test]
    fn a_line_goes_from_corner_to_corner_and_texts_are_escaped() {
        let svg = charts_as_svg(&[chart(&[(0.0, 0.0), (10.0, 5.0)])]);
        assert!(svg.contains("points=\"72.0,312.0 696.0,36.0\""), "{svg}");
        assert!(svg.contains("&lt;loss&gt; &amp; &quot;more&quot;") && !svg.contains("<loss>"));
        assert!(charts_as_html(&[], "a<b").contains("<title>a&lt;b</title>"));
    }

    #[test]
    fn extreme_numbers_give_finite_charts() {
        for points in [
            vec![],
            vec![(1.0, 1.0)],
            vec![(0.0, f64::MAX), (1.0, -f64::MAX)],
            vec![(0.0, f64::MIN_POSITIVE), (1.0, 0.0)],
            vec![(1e15, 1e-15), (1e15 + 1.0, 2e-15)],
        ] {
            let svg = charts_as_svg(&[chart(&points)]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
            assert!(svg.len() < 20_000);
        }
    }

    #[test]
    fn a_time_axis_has_dates_and_a_mark_for_each_point() {
        let day = 86_400.0;
        let svg = charts_as_svg(&[chart(&[(0.0, 1.0), (2.0 * day, 2.0)]).over_time()]);
        for text in [">01-01 00:00<", ">01-03 00:00<", "cx=\"72.0\"", "cx=\"696.0\""] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        let one = charts_as_svg(&[chart(&[(day, 1.0)]).over_time()]);
        assert!(
            one.contains("cx=\"384.0\"") && one.contains(">01-02 00:00<"),
            "{one}"
        );
    }

    #[test]
    fn axes_have_round_steps() {
        let (from, to, step) = range([0.13, 0.87].into_iter());
        let labels: Vec<String> = steps(from, to, step).map(|value| number(value, step)).collect();
        assert_eq!(labels, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }
}
