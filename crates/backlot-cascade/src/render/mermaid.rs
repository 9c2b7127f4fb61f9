//! A picture as a Mermaid flowchart.
//!
//! Invariant: every text is quoted, with `"` and `#` escaped. Deliberately absent: colours, which the page has that shows it.

use super::Picture;

impl Picture {
    /// The text of the flowchart.
    pub fn to_mermaid(&self) -> String {
        let mut text = "flowchart LR\n".to_owned();
        for (at, node) in self.nodes.iter().enumerate() {
            let lines = [&node.name, &node.versions, &node.label];
            let lines: Vec<String> = lines
                .into_iter()
                .filter(|line| !line.is_empty())
                .map(|line| escaped(line))
                .collect();
            text.push_str(&format!("  n{at}[\"{}\"]\n", lines.join("<br/>")));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            for parent in &node.parents {
                text.push_str(&format!("  n{parent} --> n{at}\n"));
            }
        }
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('#', "#35;")
        .replace('"', "#quot;")
        .replace('<', "#lt;")
        .replace('>', "#gt;")
        .replace('\n', " ")
}
