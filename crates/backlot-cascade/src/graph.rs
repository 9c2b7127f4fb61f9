//! Who is built from whom: edges between assets, in both directions, and orders over them.
//!
//! Invariant: the graph is what [`Asset::needs`](crate::Asset::needs) says of each asset, whether it was changed one event at
//! a time or built at once. An edge goes to the package in every repo that the user of it sees, which may be more than the
//! resolver will choose: the graph finds candidates, resolution decides. All walks are iterative and near-linear.
//! Deliberately absent: versions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backlot_pep::PackageName;

use crate::node::{NodeId, RepoName};

/// Assets and what they are built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    needs: BTreeMap<NodeId, BTreeSet<PackageName>>,
    users: BTreeMap<PackageName, BTreeSet<NodeId>>,
    visible: BTreeMap<RepoName, Vec<RepoName>>,
}

impl Graph {
    /// Set what an asset is built from.
    pub fn set(&mut self, node: &NodeId, needs: &BTreeSet<PackageName>) {
        let old = self.needs.insert(node.clone(), needs.clone()).unwrap_or_default();
        for package in old.difference(needs) {
            if let Some(users) = self.users.get_mut(package) {
                users.remove(node);
                if users.is_empty() {
                    self.users.remove(package);
                }
            }
        }
        for package in needs.difference(&old) {
            self.users
                .entry(package.clone())
                .or_default()
                .insert(node.clone());
        }
    }

    /// Forget an asset.
    pub fn remove(&mut self, node: &NodeId) {
        self.set(node, &BTreeSet::new());
        self.needs.remove(node);
    }

    /// Set the repos that releases of a repo may take their inputs from, nearest first. A repo sees at least itself.
    pub fn set_visible(&mut self, repo: &RepoName, visible: Vec<RepoName>) {
        self.visible.insert(repo.clone(), visible);
    }

    /// The repos that a repo sees, nearest first.
    pub fn visible<'a>(&'a self, repo: &'a RepoName) -> &'a [RepoName] {
        match self.visible.get(repo) {
            Some(visible) => visible,
            None => std::slice::from_ref(repo),
        }
    }

    /// Whether an asset is known.
    pub fn contains(&self, node: &NodeId) -> bool {
        self.needs.contains_key(node)
    }

    /// All assets, in order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.needs.keys()
    }

    /// The assets an asset is built from.
    pub fn needs(&self, node: &NodeId) -> Vec<NodeId> {
        let visible = self.visible(&node.repo);
        let packages = self.needs.get(node).into_iter().flatten();
        packages
            .flat_map(|package| visible.iter().map(move |repo| NodeId::new(repo, package)))
            .filter(|need| self.contains(need) && need != node)
            .collect()
    }

    /// Whether an asset is built from a package, in whatever repo.
    pub fn needs_package(&self, node: &NodeId, package: &PackageName) -> bool {
        self.needs.get(node).is_some_and(|needs| needs.contains(package))
    }

    /// The assets that are built from an asset.
    pub fn users<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = &'a NodeId> {
        let users = self.users.get(&node.package).into_iter().flatten();
        users.filter(move |user| *user != node && self.visible(&user.repo).contains(&node.repo))
    }

    /// All assets that are built from these, directly or not; these only where they are built from each other.
    pub fn reachable(&self, roots: &[NodeId]) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::new();
        let mut queue: VecDeque<&NodeId> = roots.iter().collect();
        while let Some(node) = queue.pop_front() {
            for user in self.users(node) {
                if found.insert(user.clone()) {
                    queue.push_back(user);
                }
            }
        }
        found
    }

    /// A set of assets in an order in which each comes after what it is built from, and the cycles among them.
    pub fn order(&self, among: &BTreeSet<NodeId>) -> Order {
        let nodes: Vec<&NodeId> = among.iter().collect();
        let index: BTreeMap<&NodeId, usize> =
            nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
        let needs: Vec<Vec<usize>> = nodes
            .iter()
            .map(|node| {
                let needs = self.needs(node);
                needs.iter().filter_map(|need| index.get(need).copied()).collect()
            })
            .collect();
        let mut order = Order::default();
        for component in components(&needs) {
            if component.len() > 1 {
                let path = cycle_through(&component, &needs);
                order
                    .cycles
                    .push(path.into_iter().map(|at| nodes[at].clone()).collect());
                for at in &component {
                    order.in_cycle.insert(nodes[*at].clone(), order.cycles.len() - 1);
                }
            }
            order
                .nodes
                .extend(component.into_iter().map(|at| nodes[at].clone()));
        }
        order
    }
}

/// An order over assets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The assets, each after what it is built from; the members of a cycle are next to each other.
    pub nodes: Vec<NodeId>,
    /// A shortest cycle of each group of assets that are built from each other; the first member is not repeated at the end.
    pub cycles: Vec<Vec<NodeId>>,
    /// The members of such groups, and the index of their cycle.
    pub in_cycle: BTreeMap<NodeId, usize>,
}

/// Strongly connected components (Tarjan 1972), each after those it needs; members sorted.
fn components(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let mut found = Vec::new();
    let (mut number, mut low) = (vec![UNSEEN; needs.len()], vec![0; needs.len()]);
    let mut on_stack = vec![false; needs.len()];
    let (mut stack, mut walk, mut next) = (Vec::new(), Vec::new(), 0);
    for start in 0..needs.len() {
        if number[start] == UNSEEN {
            walk.push((start, 0));
        }
        while let Some((node, edge)) = walk.pop() {
            if edge == 0 {
                (number[node], low[node], on_stack[node]) = (next, next, true);
                next += 1;
                stack.push(node);
            } else {
                low[node] = low[node].min(low[needs[node][edge - 1]]);
            }
            let rest = needs[node].iter().enumerate().skip(edge);
            let mut entered = false;
            for (at, need) in rest {
                if number[*need] == UNSEEN {
                    walk.push((node, at + 1));
                    walk.push((*need, 0));
                    entered = true;
                    break;
                }
                if on_stack[*need] {
                    low[node] = low[node].min(number[*need]);
                }
            }
            if !entered && low[node] == number[node] {
                let mut component = Vec::new();
                while let Some(member) = stack.pop() {
                    on_stack[member] = false;
                    component.push(member);
                    if member == node {
                        break;
                    }
                }
                component.sort_unstable();
                found.push(component);
            }
        }
    }
    found
}

/// A shortest cycle through the first member of a component.
fn cycle_through(component: &[usize], needs: &[Vec<usize>]) -> Vec<usize> {
    let start = component[0];
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for need in &needs[node] {
            if *need == start {
                let mut path = vec![node];
                while path.last() != Some(&start) {
                    let last = path.last().expect("a path is never empty");
                    path.push(from[last]);
                }
                path.reverse();
                return path;
            }
            if component.binary_search(need).is_ok() && !from.contains_key(need) {
                from.insert(*need, node);
                queue.push_back(*need);
            }
        }
    }
    component.to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use backlot_pep::PackageName;

    use super::Graph;
    use crate::node::{NodeId, RepoName};

    fn node(text: &str) -> NodeId {
        text.parse().expect("valid")
    }

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let mut graph = Graph::default();
        for (name, needs) in edges {
            let needs = needs.iter().map(|need| PackageName::parse(need).expect("valid"));
            graph.set(&node(&format!("r/{name}")), &needs.collect());
        }
        graph
    }

    #[test]
    fn each_asset_comes_after_what_it_is_built_from() {
        let graph = graph(&[
            ("d", &["b", "c"]),
            ("c", &["a"]),
            ("b", &["a"]),
            ("a", &[]),
            ("x", &[]),
        ]);
        let found = graph.reachable(&[node("r/a")]);
        assert_eq!(found, ["r/b", "r/c", "r/d"].map(node).into());
        let order = graph.order(&found);
        assert_eq!(order.nodes.last(), Some(&node("r/d")));
        assert!(order.cycles.is_empty());
    }

    #[test]
    fn a_cycle_is_named_with_its_shortest_path() {
        let graph = graph(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a", "b", "d"]),
            ("d", &[]),
            ("e", &["c"]),
        ]);
        let order = graph.order(&graph.nodes().cloned().collect());
        assert_eq!(order.cycles, [["r/a", "r/b", "r/c"].map(node).to_vec()]);
        assert_eq!(order.in_cycle.len(), 3);
        assert_eq!(order.nodes.first(), Some(&node("r/d")));
        assert_eq!(order.nodes.last(), Some(&node("r/e")));
    }

    #[test]
    fn an_edge_goes_only_to_repos_that_are_seen() {
        let mut graph = graph(&[("table", &[])]);
        let (review, blessed) = (RepoName::new("r"), RepoName::new("blessed"));
        graph.set(&node("blessed/wood"), &BTreeSet::new());
        let wood = PackageName::parse("wood").expect("valid");
        graph.set(&node("r/table"), &[wood.clone()].into());
        graph.set(&node("blessed/table"), &[wood].into());
        let users = |graph: &Graph| graph.users(&node("blessed/wood")).cloned().collect::<Vec<_>>();
        assert_eq!(users(&graph), [node("blessed/table")]);
        graph.set_visible(&review, vec![review.clone(), blessed]);
        assert_eq!(users(&graph), [node("blessed/table"), node("r/table")]);
        graph.set(&node("r/table"), &BTreeSet::new());
        assert_eq!(users(&graph), [node("blessed/table")]);
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let mut graph = Graph::default();
        for number in 0..20_000u32 {
            let needs = (number > 0).then(|| PackageName::parse(&format!("a{}", number - 1)).expect("valid"));
            graph.set(&node(&format!("r/a{number}")), &needs.into_iter().collect());
        }
        let order = graph.order(&graph.reachable(&[node("r/a0")]));
        assert_eq!(order.nodes.len(), 19_999);
        assert_eq!(order.nodes[0], node("r/a1"));
    }
}
