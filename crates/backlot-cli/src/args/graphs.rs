//! Output formats of graphs.

use backlot::Picture;
use clap::Args;

/// The format of a graph, instead of text.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct GraphForm {
    /// Print a graph for Graphviz
    #[arg(long, conflicts_with_all = ["mermaid", "svg", "json"])]
    dot: bool,
    /// Print a Mermaid flowchart
    #[arg(long, conflicts_with_all = ["svg", "json"])]
    mermaid: bool,
    /// Print the graph as an SVG picture
    #[arg(long, conflicts_with = "json")]
    svg: bool,
}

impl GraphForm {
    /// Whether text is printed.
    pub(crate) const fn is_text(self) -> bool {
        !(self.dot || self.mermaid || self.svg)
    }

    /// The graph in this format, or `None` for text.
    pub(crate) fn draw(self, picture: impl FnOnce() -> Picture) -> Option<String> {
        match (self.dot, self.mermaid, self.svg) {
            (true, ..) => Some(picture().to_dot()),
            (_, true, _) => Some(picture().to_mermaid()),
            (.., true) => Some(picture().to_svg()),
            _ => None,
        }
    }
}
