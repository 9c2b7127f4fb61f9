//! Pictures of graphs that are no cascades: who requires whom, what a stage needs.
//!
//! Invariant: each node stands behind all that it comes from; where a graph goes in a circle, one edge of it is left out.

use super::{Picture, PictureNode};

impl Picture {
    /// A picture of nodes whose `parents` are any of them, in any order; their levels are found.
    pub fn of_graph(title: String, nodes: Vec<PictureNode>) -> Self {
        let levels = levels(&nodes);
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by_key(|at| levels[*at]);
        let mut place = vec![0; nodes.len()];
        for (position, at) in order.iter().enumerate() {
            place[*at] = position;
        }
        let mut nodes: Vec<Option<PictureNode>> = nodes.into_iter().map(Some).collect();
        let taken = order.iter().filter_map(|at| Some((*at, nodes[*at].take()?)));
        let nodes = taken
            .map(|(at, mut node)| {
                node.level = levels[at];
                node.parents
                    .retain(|parent| levels.get(*parent).is_some_and(|level| *level < levels[at]));
                for parent in &mut node.parents {
                    *parent = place[*parent];
                }
                node.parents.sort_unstable();
                node.parents.dedup();
                node
            })
            .collect();
        Self { title, nodes }
    }
}

/// One more than the highest level of what a node comes from.
fn levels(nodes: &[PictureNode]) -> Vec<u32> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waits_for = vec![0_usize; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for parent in node.parents.iter().filter(|parent| **parent < nodes.len()) {
            children[*parent].push(at);
            waits_for[at] += 1;
        }
    }
    let mut levels = vec![0_u32; nodes.len()];
    let mut is_done = vec![false; nodes.len()];
    let mut ready: Vec<usize> = (0..nodes.len()).filter(|at| waits_for[*at] == 0).collect();
    let mut first_left = 0;
    loop {
        while let Some(at) = ready.pop() {
            is_done[at] = true;
            for child in &children[at] {
                if is_done[*child] {
                    continue;
                }
                levels[*child] = levels[*child].max(levels[at] + 1);
                waits_for[*child] -= 1;
                if waits_for[*child] == 0 {
                    ready.push(*child);
                }
            }
        }
        // Only circles are left: the first of them begins, whatever it comes from.
        while first_left < nodes.len() && is_done[first_left] {
            first_left += 1;
        }
        if first_left == nodes.len() {
            return levels;
        }
        ready.push(first_left);
        waits_for[first_left] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Picture, PictureNode, Tone};

    fn node(name: &str, parents: &[usize]) -> PictureNode {
        PictureNode {
            name: name.to_owned(),
            versions: String::new(),
            label: String::new(),
            details: Vec::new(),
            tone: Tone::Active,
            level: 7,
            parents: parents.to_vec(),
        }
    }

    fn drawn(nodes: Vec<PictureNode>) -> Vec<(String, u32, Vec<usize>)> {
        let picture = Picture::of_graph(String::new(), nodes);
        assert!(picture.to_svg().starts_with("<svg"));
        picture
            .nodes
            .into_iter()
            .map(|node| (node.name, node.level, node.parents))
            .collect()
    }

    #[test]
    fn a_node_stands_behind_all_that_it_comes_from() {
        let found = drawn(vec![
            node("shot", &[1, 2, 1]),
            node("kitchen", &[2]),
            node("table", &[]),
        ]);
        let expected = [
            ("table", 0, vec![]),
            ("kitchen", 1, vec![0]),
            ("shot", 2, vec![0, 1]),
        ];
        assert_eq!(
            found,
            expected.map(|(name, level, parents)| (name.to_owned(), level, parents))
        );
    }

    #[test]
    fn a_circle_is_drawn_without_one_of_its_edges() {
        let found = drawn(vec![
            node("a", &[2]),
            node("b", &[0]),
            node("c", &[1, 3]),
            node("self", &[3, 9]),
        ]);
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names.len(), 4);
        let edges: usize = found.iter().map(|(_, _, parents)| parents.len()).sum();
        assert_eq!(edges, 3, "{found:?}");
        for (name, level, parents) in &found {
            assert!(
                parents.iter().all(|parent| found[*parent].1 < *level),
                "{name}: {found:?}"
            );
        }
    }
}
