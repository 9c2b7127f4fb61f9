//! A picture in DOT, the language of Graphviz.
//!
//! Invariant: every text is a quoted string with `"` and `\` escaped. Deliberately absent: a layout.

use super::{Picture, Tone};

fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

fn fill(tone: Tone) -> &'static str {
    match tone {
        Tone::Root => "#d9d9d9",
        Tone::Active => "#cfe2ff",
        Tone::Good => "#d5f0d5",
        Tone::Held => "#f2f2f2",
        Tone::Person => "#fff0c2",
        Tone::Bad => "#ffd6d6",
    }
}

impl Picture {
    /// The DOT text.
    pub fn to_dot(&self) -> String {
        let mut text = "digraph backlot {\n  rankdir=LR;\n  node [shape=box, style=filled];\n".to_owned();
        text.push_str(&format!("  label={};\n", quoted(&self.title)));
        for (at, node) in self.nodes.iter().enumerate() {
            let label = format!("{}\n{}\n{}", node.name, node.versions, node.label);
            text.push_str(&format!(
                "  n{at} [label={}, tooltip={}, fillcolor={}];\n",
                quoted(&label),
                quoted(&node.details.join("\n")),
                quoted(fill(node.tone)),
            ));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            for parent in &node.parents {
                text.push_str(&format!("  n{parent} -> n{at};\n"));
            }
        }
        text.push_str("}\n");
        text
    }
}
