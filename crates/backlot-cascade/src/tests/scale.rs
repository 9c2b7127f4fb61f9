//! A plan over thousands of assets: right, and by work that does not grow with the square.
//!
//! Deliberately absent: clocks. The number of resolutions is counted instead.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use backlot_core::{Context, Timestamp};

use super::studio::{Studio, node, version};
use crate::{
    Asset, Cause, Entry, Input, JournalEvent, Limits, NodeEvent, Plan, Release, Resolution, ResolveRequest,
    Resolver, Root, RunState, dirty, schedule,
};

/// Asks the studio, and counts.
#[derive(Debug)]
struct Counting(std::sync::Arc<Studio>, AtomicUsize);

impl Resolver for Counting {
    fn resolve(&self, request: &ResolveRequest<'_>) -> Result<Resolution, Cause> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.inner().resolve(request))
    }
}

/// 40 layers of 100 assets, each built from one to three of the layer before.
fn studio() -> std::sync::Arc<Studio> {
    let studio = Studio::new();
    studio.publish("root", "1.0", &[]);
    let mut random = fastrand::Rng::with_seed(1);
    for layer in 0..40 {
        for at in 0..100 {
            let needs: BTreeSet<String> = match layer {
                0 => ["root".to_owned()].into(),
                _ => (0..random.usize(1..4))
                    .map(|_| format!("n{}-{}", layer - 1, random.usize(0..100)))
                    .collect(),
            };
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            studio.publish(&format!("n{layer}-{at}"), "1.0", &needs);
        }
    }
    studio.publish("root", "1.1", &[]);
    studio
}

#[test]
fn scenario_25_thousands_of_nodes_are_planned_with_one_resolution_each_and_run_to_the_end() {
    let studio = studio();
    let resolver = Counting(studio.clone(), AtomicUsize::new(0));
    let catalog = studio.inner().catalog.clone();
    let roots = [Root::Published {
        node: node("root"),
        version: version("1.1"),
    }];
    let report = dirty::report(&catalog, &resolver, &roots, &Context::default()).expect("a report");
    let count = report.nodes.len();
    assert!(count > 2_000, "{count}");
    assert_eq!(resolver.1.load(Ordering::Relaxed), count);
    assert_eq!(report.chain(&report.nodes[count - 1].node).len(), 41);
    let plan = Plan::new(
        &report,
        Limits {
            cap: usize::MAX,
            ..Limits::default()
        },
    );
    assert_eq!(plan.critical_path_ms(), 40_000);

    let mut state = RunState::new(std::sync::Arc::new(plan));
    let mut done = 0;
    loop {
        let start = schedule(&state, Timestamp(0), &BTreeSet::new()).start;
        if start.is_empty() {
            break;
        }
        for at in start {
            let what = NodeEvent::Released {
                version: version("1.0.1"),
            };
            let node = state.plan().nodes[at].dirty.node.clone();
            let event = JournalEvent::Node {
                node,
                token: Some(1),
                what,
            };
            state
                .apply(&Entry {
                    at: Timestamp(0),
                    by: "one".to_owned(),
                    event,
                })
                .expect("a node of the plan");
            done += 1;
        }
    }
    assert_eq!(done, count);
}

#[test]
fn types_of_the_model_are_plain_data() {
    fn is_plain<T: Clone + Send + Sync + serde::Serialize>() {}
    is_plain::<Asset>();
    is_plain::<Release>();
    is_plain::<Input>();
    is_plain::<Plan>();
}
