//! Edges, refusals before anything runs, targets, order and size.

use std::path::Path;
use std::time::{Duration, Instant};

use backlot_core::{Diagnostic as _, RelPath};

use super::Memory;
use crate::pipeline::{Graph, Lock, PipelineError, Place, Reach, Selection, TrackedFile};
use crate::pointer::Pointer;

fn graph(stages: &str) -> Graph {
    Memory::new(&[("dvc.yaml", stages)]).graph().expect("a graph")
}

fn refused(files: &[(&str, &str)]) -> PipelineError {
    Memory::new(files).graph().expect_err("refused")
}

fn order(graph: &Graph, targets: &[&str], change: impl Fn(&mut Selection<'_>)) -> Vec<String> {
    let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
    let mut selection = Selection::new(&targets);
    change(&mut selection);
    let nodes = graph.select(&selection).expect("selected");
    nodes.into_iter().map(|node| graph.name(node)).collect()
}

/// `m` needs `z` and `a`, `k` needs the folder that `b` writes into, `f` is frozen.
const STAGES: &str = "stages:\n  z: {cmd: z, outs: [zo]}\n  m: {cmd: m, deps: [zo, ao], outs: [mo]}\n  \
    a: {cmd: a, outs: [ao]}\n  k: {cmd: k, deps: [d], outs: [ko]}\n  b: {cmd: b, outs: [d/x/y]}\n  \
    f: {cmd: f, deps: [mo], outs: [fo], frozen: true}\n  g: {cmd: g, deps: [fo/in]}\n";

#[test]
fn stages_come_after_what_they_need_in_the_order_of_the_file() {
    let graph = graph(STAGES);
    let all = order(&graph, &[], |_| {});
    assert_eq!(all, ["z", "a", "m", "b", "k", "f", "g"]);
    assert_eq!(order(&graph, &["k"], |_| {}), ["b", "k"]);
    assert_eq!(order(&graph, &["k", "m"], |_| {}), ["z", "a", "m", "b", "k"]);
    let only = |selection: &mut Selection<'_>| selection.reach = Reach::Only;
    assert_eq!(order(&graph, &["m", "a", "m"], only), ["m", "a"]);
}

#[test]
fn what_a_frozen_stage_needs_is_not_above_it() {
    let graph = graph(STAGES);
    assert_eq!(order(&graph, &["g"], |_| {}), ["f", "g"]);
    let downstream = |selection: &mut Selection<'_>| selection.reach = Reach::Downstream;
    assert_eq!(order(&graph, &["z"], downstream), ["z", "m"]);
    assert_eq!(order(&graph, &["f"], downstream), ["f", "g"]);
    let connected = |selection: &mut Selection<'_>| selection.reach = Reach::Connected;
    assert_eq!(order(&graph, &["a"], connected), ["z", "a", "m"]);
    assert_eq!(order(&graph, &["g"], connected), ["f", "g"]);
}

#[test]
fn edges_follow_folders_both_ways_and_parameter_files() {
    let graph = graph(
        "stages:\n  make: {cmd: x, outs: [out, p.yaml]}\n  inside: {cmd: x, deps: [out/a/b]}\n  \
         beside: {cmd: x, deps: [out-a]}\n  reads: {cmd: x, params: [{p.yaml: [k]}]}\n  all: {cmd: x, deps: [.]}\n  \
         outside: {cmd: x, deps: [../out, 's3://out']}\n",
    );
    let needs: Vec<&[usize]> = (0..graph.len()).map(|node| graph.needs(node)).collect();
    assert_eq!(needs, [&[][..], &[0], &[], &[0], &[0], &[]]);
    assert_eq!(graph.needed_by(0), [1, 3, 4]);
}

#[test]
fn what_dvc_refuses_before_anything_runs_is_refused() {
    for (stages, code, message) in [
        (
            "  a: {cmd: x, deps: [o2], outs: [o1]}\n  b: {cmd: x, deps: [o1], outs: [o3]}\n  c: {cmd: x, deps: [o3], outs: [o2]}\n",
            "pipeline::cycle",
            "circular dependency between stages: `a` -> `c` -> `b` -> `a`",
        ),
        (
            "  a: {cmd: x, outs: [o]}\n  b: {cmd: x, metrics: [./o]}\n",
            "pipeline::same_output",
            "`o` is an output of both `a` and `b`",
        ),
        (
            "  a: {cmd: x, outs: [o, p], metrics: [o]}\n",
            "pipeline::same_output",
            "`o` is an output of both `a` and `a`",
        ),
        (
            "  a: {cmd: x, outs: [o/b/c]}\n  o-: {cmd: x, outs: [o-]}\n  b: {cmd: x, outs: [o]}\n",
            "pipeline::overlapping_outputs",
            "the output `o/b/c` of `a` is inside `o`, an output of `b`",
        ),
        (
            "  a: {cmd: x, deps: [i, ./o], outs: [o]}\n",
            "pipeline::own_output",
            "`a` has `o` as both a dependency and an output",
        ),
        (
            "  a: {cmd: x, deps: [d], outs: [d/o]}\n",
            "pipeline::cycle",
            "circular dependency between stages: `a` -> `a`",
        ),
        (
            "  a: {cmd: x, outs: [sub]}\n",
            "pipeline::definition_in_output",
            "`sub/dvc.yaml` is inside `sub`, an output of `a`",
        ),
    ] {
        let error = refused(&[("dvc.yaml", &format!("stages:\n{stages}")), ("sub/dvc.yaml", "")]);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    // One dependency twice is none of them.
    graph("stages:\n  a: {cmd: x, deps: [i, i]}\n");
}

#[test]
fn pointers_are_nodes_too() {
    let text = "wdir: data\nouts:\n- hash: md5\n  md5: d41d8cd98f00b204e9800998ecf8427e\n  path: in\n";
    let pointer = Pointer::parse(Path::new("s/in.dvc"), text).expect("parsed");
    let file = RelPath::parse("s/in.dvc").expect("safe");
    let tracked = TrackedFile::new(file, &pointer);
    let stages = |text: &str| Memory::new(&[("dvc.yaml", text)]).load().expect("loaded");
    let graph = Graph::new(
        stages("stages: {a: {cmd: x, deps: [s/data/in]}}\n"),
        vec![tracked.clone()],
    )
    .expect("a graph");
    assert_eq!(order(&graph, &[], |_| {}), ["s/in.dvc", "a"]);
    assert_eq!(order(&graph, &["s/in.dvc"], |_| {}), ["s/in.dvc"]);
    let downstream = |selection: &mut Selection<'_>| selection.reach = Reach::Downstream;
    assert_eq!(order(&graph, &["s/in.dvc"], downstream), ["s/in.dvc", "a"]);
    let folder = |selection: &mut Selection<'_>| {
        selection.recursive = true;
        selection.reach = Reach::Only;
    };
    assert_eq!(order(&graph, &["s"], folder), ["s/in.dvc"]);
    let error = Graph::new(
        stages("stages: {a: {cmd: x, outs: [s/data/in]}}\n"),
        vec![tracked],
    )
    .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "`s/data/in` is an output of both `a` and `s/in.dvc`"
    );
}

#[test]
fn targets_are_those_of_dvc() {
    let memory = Memory::new(&[
        (
            "dvc.yaml",
            "stages:\n  g: {foreach: [a, 'b/c', 'd:e@f'], do: {cmd: x}}\n  one: {cmd: x}\n",
        ),
        (
            "sub/dvc.yaml",
            "stages:\n  g: {foreach: [z], do: {cmd: x}}\n  two: {cmd: x}\n",
        ),
    ]);
    let graph = memory.graph().expect("a graph");
    for (target, found) in [
        ("one", &["one"][..]),
        ("g", &["g@a", "g@b/c", "g@d:e@f"]),
        ("g@b/c", &["g@b/c"]),
        ("g@d:e@f", &["g@d:e@f"]),
        ("dvc.yaml", &["g@a", "g@b/c", "g@d:e@f", "one"]),
        ("./sub/dvc.yaml", &["sub/dvc.yaml:g@z", "sub/dvc.yaml:two"]),
        ("sub/dvc.yaml:g", &["sub/dvc.yaml:g@z"]),
        ("sub/dvc.yaml:g@z", &["sub/dvc.yaml:g@z"]),
        (":one", &["one"]),
    ] {
        assert_eq!(order(&graph, &[target], |_| {}), found, "{target}");
    }
    let glob = |selection: &mut Selection<'_>| selection.glob = true;
    assert_eq!(order(&graph, &["g@[ab]*"], glob), ["g@a", "g@b/c"]);
    assert_eq!(order(&graph, &["sub/dvc.yaml:t*"], glob), ["sub/dvc.yaml:two"]);
    let inside = |selection: &mut Selection<'_>| {
        selection.folder = Place::Inside(RelPath::parse("sub").expect("safe"));
    };
    assert_eq!(
        order(&graph, &["two", "../dvc.yaml:one"], inside),
        ["one", "sub/dvc.yaml:two"]
    );
    let all = |selection: &mut Selection<'_>| selection.reach = Reach::Everything;
    assert_eq!(order(&graph, &["one"], all).len(), 6);
    for (target, message, help) in [
        (
            "on",
            "no stage, group or file `on` in `dvc.yaml`",
            "did you mean `one`?",
        ),
        (
            "g@x",
            "no stage, group or file `g@x` in `dvc.yaml`",
            "did you mean `g@a`?",
        ),
        (
            "sub/dvc.yaml:three",
            "no stage, group or file `three` in `sub/dvc.yaml`",
            "spelling",
        ),
        ("no/dvc.yaml", "no stage, group or file `no/dvc.yaml`", "spelling"),
        ("no.dvc", "no stage, group or file `no.dvc`", "spelling"),
    ] {
        let targets = [target.to_owned()];
        let error = graph.select(&Selection::new(&targets)).expect_err(target);
        assert_eq!(error.code(), "pipeline::unknown_target");
        assert!(error.to_string().starts_with(message), "{error}");
        assert!(error.help().is_some_and(|shown| shown.contains(help)), "{error}");
    }
}

#[test]
fn a_chain_of_five_thousand_stages_is_planned_at_once() {
    let mut text = "stages:\n".to_owned();
    for number in (0..5000).rev() {
        text.push_str(&format!(
            "  s{number}:\n    cmd: run ${{frames}} {number}\n    deps: [in/{number}, o/{number}]\n    params: [frames]\n    outs: [o/{}]\n",
            number + 1
        ));
    }
    let memory = Memory::new(&[("dvc.yaml", &text), ("params.yaml", "frames: 24\n")]);
    let begun = Instant::now();
    let graph = memory.graph().expect("a graph");
    let order = graph.select(&Selection::new(&[])).expect("selected");
    let taken = begun.elapsed();
    assert_eq!((graph.name(order[0]), order.len()), ("s0".to_owned(), 5000));
    // A third of a second where it is built for speed. Tests are not, and share their machine: the bound is for what is
    // quadratic.
    assert!(taken < Duration::from_mins(1), "{taken:?}");
    let mut lock = "schema: '2.0'\nstages:\n".to_owned();
    for number in 0..5000 {
        lock.push_str(&format!("  s{number}:\n    cmd: run {number}\n"));
    }
    let begun = Instant::now();
    let parsed = Lock::parse("dvc.lock", &lock).expect("read");
    assert_eq!(parsed.to_text(), lock);
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

#[test]
fn a_graph_in_which_all_wait_for_all_is_refused() {
    let items: Vec<String> = (0..3_000).map(|item| item.to_string()).collect();
    let items = items.join(", ");
    let error = refused(&[(
        "dvc.yaml",
        &format!(
            "stages:\n  make: {{foreach: [{items}], do: {{cmd: x, outs: ['d/${{item}}']}}}}\n  \
             read: {{foreach: [{items}], do: {{cmd: y, deps: [d]}}}}\n"
        ),
    )]);
    assert!(error.to_string().contains("stages to wait for"), "{error}");
}
