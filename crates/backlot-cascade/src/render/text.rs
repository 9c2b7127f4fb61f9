//! A picture as a text tree.
//!
//! Invariant: each node is on one line of its own, below the deepest node that it follows. Deep chains are not indented
//! further than a screen is wide. Deliberately absent: widths of characters.

use super::Picture;

/// Levels that are indented.
const DEEPEST: usize = 16;

impl Picture {
    /// The text, each line ended by a line break.
    pub fn to_text(&self) -> String {
        let mut children = vec![Vec::new(); self.nodes.len()];
        let mut tops = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            match node
                .parents
                .iter()
                .max_by_key(|parent| self.nodes[**parent].level)
            {
                Some(parent) => children[*parent].push(at),
                None => tops.push(at),
            }
        }
        let mut text = format!("{}\n", self.title);
        let mut stack: Vec<(usize, usize)> = tops.into_iter().rev().map(|at| (at, 0)).collect();
        while let Some((at, depth)) = stack.pop() {
            let node = &self.nodes[at];
            let indent = "  ".repeat(depth.min(DEEPEST));
            let details = match node.details.as_slice() {
                [] => String::new(),
                details => format!("  ({})", details.join("; ")),
            };
            text.push_str(&format!(
                "{indent}{} {}  {}{details}\n",
                node.name, node.versions, node.label
            ));
            stack.extend(children[at].iter().rev().map(|child| (*child, depth + 1)));
        }
        text
    }
}
