//! A picture as SVG 1.1, without scripts, fonts or anything from elsewhere.
//!
//! Invariant: every text is escaped, and what it says is not said by colour alone. Deliberately absent: interaction; the
//! details of a box are its tooltip.

use backlot_core::text::markup;

use super::layout::{HEIGHT, lay_out};
use super::{Picture, Tone};

/// Characters of a line in a box; longer ones are cut.
pub(super) const LONGEST: usize = 44;

/// Fill, border, and the dashes of the border.
fn style(tone: Tone) -> (&'static str, &'static str, &'static str) {
    match tone {
        Tone::Root => ("#e3e6ea", "#4a5568", ""),
        Tone::Active => ("#dbe9ff", "#2b5fb4", ""),
        Tone::Good => ("#ddf3dd", "#2f7d32", ""),
        Tone::Held => ("#f6f6f6", "#8a8a8a", "4 3"),
        Tone::Person => ("#fff3cf", "#a67c00", "8 3"),
        Tone::Bad => ("#ffe0e0", "#b3261e", ""),
    }
}

/// Cut to what fits into a box, then escaped.
fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return markup(text);
    }
    let mut short: String = text.chars().take(LONGEST - 1).collect();
    short.push('\u{2026}');
    markup(&short)
}

/// A curve through points: straight within a column, an S between columns.
fn path(points: &[(f64, f64)]) -> String {
    let Some((first, rest)) = points.split_first() else {
        return String::new();
    };
    let mut path = format!("M{:.1} {:.1}", first.0, first.1);
    let mut last = *first;
    for (step, point) in rest.iter().enumerate() {
        if step % 2 == 0 {
            let middle = f64::midpoint(last.0, point.0);
            path.push_str(&format!(
                " C{middle:.1} {:.1} {middle:.1} {:.1} {:.1} {:.1}",
                last.1, point.1, point.0, point.1
            ));
        } else {
            path.push_str(&format!(" L{:.1} {:.1}", point.0, point.1));
        }
        last = *point;
    }
    path
}

impl Picture {
    /// The SVG text.
    pub fn to_svg(&self) -> String {
        let layout = lay_out(self);
        let (width, height) = (layout.width, layout.height);
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
             markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#6b7280\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"20\" y=\"28\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
            markup(&self.title)
        );
        for points in &layout.edges {
            text.push_str(&format!(
                "<path d=\"{}\" fill=\"none\" stroke=\"#6b7280\" marker-end=\"url(#arrow)\"/>\n",
                path(points)
            ));
        }
        for (node, place) in self.nodes.iter().zip(&layout.boxes) {
            let (fill, border, dashes) = style(node.tone);
            let (x, y) = (place.x, place.y);
            text.push_str(&format!(
                "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{HEIGHT:.0}\" rx=\"5\" \
                 fill=\"{fill}\" stroke=\"{border}\" stroke-dasharray=\"{dashes}\"/>",
                markup(&format!("{}\n{}", node.name, node.details.join("\n"))),
                place.width,
            ));
            let x = x + 10.0;
            for (line, (content, weight)) in [
                (&node.name, "bold"),
                (&node.versions, "normal"),
                (&node.label, "normal"),
            ]
            .into_iter()
            .enumerate()
            {
                let y = y + [16.0, 31.0, 46.0][line];
                text.push_str(&format!(
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" font-weight=\"{weight}\">{}</text>",
                    cut(content)
                ));
            }
            text.push_str("</g>\n");
        }
        text.push_str("</svg>\n");
        text
    }
}
