//! Who is built from whom: edges between assets, in both directions, and orders over them.
//!
//! Invariant: the graph is what [`Asset::needs`](crate::Asset::needs) says of each asset, whether it was changed one event at
//! a time or built at once. An edge goes to the package in every repo that the user of it sees, which may be more than the
//! resolver will choose: the graph finds candidates, resolution decides. All walks are iterative and near-linear.
//! Deliberately absent: versions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use backlot_pep::PackageName;

use crate::node::{NodeId, RepoName};

/// Assets and what they are built from.
///
/// Assets and packages are numbered as they are met, so that a walk compares numbers, not names.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Member>,
    packages: Vec<Package>,
    by_id: HashMap<NodeId, u32>,
    by_name: HashMap<PackageName, u32>,
    visible: BTreeMap<RepoName, Vec<RepoName>>,
}

#[derive(Clone, Debug)]
struct Member {
    id: NodeId,
    /// The packages it is built from, in order of their names; `None` of an asset that was removed.
    needs: Option<Vec<u32>>,
}

#[derive(Clone, Debug)]
struct Package {
    name: PackageName,
    /// The assets of this package, a repo each.
    nodes: Vec<u32>,
    /// The assets that are built from it.
    users: Vec<u32>,
}

impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        self.named() == other.named() && self.visible == other.visible
    }
}

impl Eq for Graph {}

impl Graph {
    /// Everything by its name.
    fn named(&self) -> BTreeMap<&NodeId, Vec<&PackageName>> {
        let names = |needs: &[u32]| needs.iter().map(|need| &self.package(*need).name).collect();
        let members = self.nodes.iter();
        members
            .filter_map(|member| Some((&member.id, names(member.needs.as_ref()?))))
            .collect()
    }

    fn package(&self, number: u32) -> &Package {
        &self.packages[number as usize]
    }

    fn member(&self, number: u32) -> &Member {
        &self.nodes[number as usize]
    }

    fn number_of_package(&mut self, name: &PackageName) -> u32 {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let number = u32::try_from(self.packages.len()).expect("fewer packages than 2^32");
        self.packages.push(Package {
            name: name.clone(),
            nodes: Vec::new(),
            users: Vec::new(),
        });
        self.by_name.insert(name.clone(), number);
        number
    }

    fn number_of_node(&mut self, id: &NodeId) -> u32 {
        if let Some(known) = self.by_id.get(id) {
            return *known;
        }
        let number = u32::try_from(self.nodes.len()).expect("fewer assets than 2^32");
        self.nodes.push(Member {
            id: id.clone(),
            needs: None,
        });
        self.by_id.insert(id.clone(), number);
        let package = self.number_of_package(&id.package) as usize;
        self.packages[package].nodes.push(number);
        number
    }

    /// Set what an asset is built from.
    pub fn set<'n>(&mut self, node: &NodeId, needs: impl IntoIterator<Item = &'n PackageName>) {
        let mut needs: Vec<&PackageName> = needs.into_iter().collect();
        needs.sort_unstable();
        needs.dedup();
        let needs: Vec<u32> = needs
            .into_iter()
            .map(|name| self.number_of_package(name))
            .collect();
        let number = self.number_of_node(node);
        let old = self.nodes[number as usize].needs.take().unwrap_or_default();
        for package in old.iter().filter(|package| !needs.contains(package)) {
            self.packages[*package as usize]
                .users
                .retain(|user| *user != number);
        }
        for package in needs.iter().filter(|package| !old.contains(package)) {
            self.packages[*package as usize].users.push(number);
        }
        self.nodes[number as usize].needs = Some(needs);
    }

    /// Forget an asset.
    pub fn remove(&mut self, node: &NodeId) {
        if !self.contains(node) {
            return;
        }
        self.set(node, []);
        let number = self.by_id[node] as usize;
        self.nodes[number].needs = None;
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

    fn known(&self, node: &NodeId) -> Option<(u32, &[u32])> {
        let number = *self.by_id.get(node)?;
        Some((number, self.member(number).needs.as_deref()?))
    }

    /// Whether an asset is known.
    pub fn contains(&self, node: &NodeId) -> bool {
        self.known(node).is_some()
    }

    /// All assets, in order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        let known = self.nodes.iter().filter(|member| member.needs.is_some());
        let mut all: Vec<&NodeId> = known.map(|member| &member.id).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// The assets an asset is built from, by their numbers.
    fn needs_of(&self, number: u32) -> impl Iterator<Item = u32> {
        let member = self.member(number);
        let visible = self.visible(&member.id.repo);
        let needs = member.needs.iter().flatten();
        needs.flat_map(move |package| {
            let candidates = &self.package(*package).nodes;
            visible.iter().filter_map(move |repo| {
                let mut candidates = candidates.iter().copied();
                candidates.find(|at| {
                    *at != number && self.member(*at).needs.is_some() && self.member(*at).id.repo == *repo
                })
            })
        })
    }

    /// The assets an asset is built from.
    pub fn needs(&self, node: &NodeId) -> Vec<NodeId> {
        let Some((number, _)) = self.known(node) else {
            return Vec::new();
        };
        let needs = self.needs_of(number);
        needs.map(|need| self.member(need).id.clone()).collect()
    }

    /// Whether an asset is built from a package, in whatever repo.
    pub fn needs_package(&self, node: &NodeId, package: &PackageName) -> bool {
        let number = self.by_name.get(package);
        let needs = self.known(node).map(|(_, needs)| needs);
        number.is_some_and(|number| needs.is_some_and(|needs| needs.contains(number)))
    }

    fn users_of<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = u32> + 'a {
        let package = self.by_name.get(&node.package);
        let users = package
            .into_iter()
            .flat_map(|package| &self.package(*package).users)
            .copied();
        users.filter(move |user| {
            let user = &self.member(*user).id;
            user != node && self.visible(&user.repo).contains(&node.repo)
        })
    }

    /// The assets that are built from an asset, in order of their names.
    pub fn users<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = &'a NodeId> {
        let mut users: Vec<&NodeId> = self.users_of(node).map(|user| &self.member(user).id).collect();
        users.sort_unstable();
        users.into_iter()
    }

    /// All assets that are built from these, directly or not; these only where they are built from each other.
    pub fn reachable(&self, roots: &[NodeId]) -> BTreeSet<NodeId> {
        let mut found = HashSet::new();
        let mut open: Vec<u32> = roots.iter().flat_map(|root| self.users_of(root)).collect();
        while let Some(number) = open.pop() {
            if found.insert(number) {
                open.extend(self.users_of(&self.member(number).id));
            }
        }
        found
            .into_iter()
            .map(|number| self.member(number).id.clone())
            .collect()
    }

    /// A set of assets in an order in which each comes after what it is built from, and the cycles among them.
    pub fn order(&self, among: &BTreeSet<NodeId>) -> Order {
        let nodes: Vec<&NodeId> = among.iter().collect();
        let numbers: Vec<Option<u32>> = nodes.iter().map(|node| self.by_id.get(*node).copied()).collect();
        let mut places = vec![usize::MAX; self.nodes.len()];
        for (at, number) in numbers.iter().enumerate() {
            if let Some(number) = number {
                places[*number as usize] = at;
            }
        }
        let needs: Vec<Vec<usize>> = numbers
            .iter()
            .map(|number| {
                let needs = number.iter().flat_map(|number| self.needs_of(*number));
                let places = needs.map(|need| places[need as usize]);
                places.filter(|at| *at != usize::MAX).collect()
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
            graph.set(&node(&format!("r/{name}")), &needs.collect::<Vec<_>>());
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
        graph.set(&node("blessed/wood"), []);
        let wood = PackageName::parse("wood").expect("valid");
        graph.set(&node("r/table"), [&wood]);
        graph.set(&node("blessed/table"), [&wood]);
        let users = |graph: &Graph| graph.users(&node("blessed/wood")).cloned().collect::<Vec<_>>();
        assert_eq!(users(&graph), [node("blessed/table")]);
        graph.set_visible(&review, vec![review.clone(), blessed]);
        assert_eq!(users(&graph), [node("blessed/table"), node("r/table")]);
        graph.set(&node("r/table"), []);
        assert_eq!(users(&graph), [node("blessed/table")]);
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let mut graph = Graph::default();
        for number in 0..20_000u32 {
            let needs = (number > 0).then(|| PackageName::parse(&format!("a{}", number - 1)).expect("valid"));
            graph.set(&node(&format!("r/a{number}")), &needs);
        }
        let order = graph.order(&graph.reachable(&[node("r/a0")]));
        assert_eq!(order.nodes.len(), 19_999);
        assert_eq!(order.nodes[0], node("r/a1"));
    }
}
