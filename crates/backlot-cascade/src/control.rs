//! What people and other cascades ask of a cascade, as entries of its journal.
//!
//! Invariant: a request is an entry and nothing else, so it reaches a runner on whatever machine, now or when it continues.
//! Deliberately absent: who may ask.

use backlot_core::Context;

use crate::error::{Error, Result};
use crate::journal::{Entry, Journal, JournalEvent, NodeEvent};
use crate::node::NodeId;
use crate::plan::Plan;
use crate::state::{NodeStatus, RunState};

/// A request to a cascade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Build more nodes than the cap.
    Confirm,
    /// Start nothing new; the reason is for others.
    Pause(String),
    /// End a pause.
    Resume,
    /// Start nothing new ever, and stop what runs before it releases.
    Cancel(String),
    /// Count a node as done.
    Skip(NodeId, String),
    /// Try a node again, whatever failed before.
    Retry(NodeId),
    /// Try all failed nodes again.
    RetryFailed,
}

/// Write a request down. An error if it is about a node that the plan does not have.
pub fn request(
    journal: &dyn Journal,
    state: &RunState,
    by: &str,
    request: Request,
    context: &Context,
) -> Result<()> {
    let events = match request {
        Request::Confirm => vec![JournalEvent::Confirmed],
        Request::Pause(reason) => vec![JournalEvent::Paused { reason }],
        Request::Resume => vec![JournalEvent::Resumed],
        Request::Cancel(reason) => vec![JournalEvent::Cancelled { reason }],
        Request::Skip(node, reason) => vec![about(state, node, NodeEvent::Skipped { reason })?],
        Request::Retry(node) => vec![about(state, node, NodeEvent::Retried)?],
        Request::RetryFailed => {
            let failed = (0..state.plan().nodes.len())
                .filter(|at| matches!(state.status(*at), NodeStatus::Failed { .. }))
                .map(|at| {
                    about(
                        state,
                        state.plan().nodes[at].dirty.node.clone(),
                        NodeEvent::Retried,
                    )
                });
            failed.collect::<Result<_>>()?
        }
    };
    for event in events {
        append(journal, by, event, context)?;
    }
    Ok(())
}

fn about(state: &RunState, node: NodeId, what: NodeEvent) -> Result<JournalEvent> {
    if state.find(&node).is_none() {
        return Err(Error::UnknownNode {
            cascade: state.plan().id.to_string(),
            node: node.to_string(),
        });
    }
    Ok(JournalEvent::Node {
        node,
        token: None,
        what,
    })
}

fn append(journal: &dyn Journal, by: &str, event: JournalEvent, context: &Context) -> Result<()> {
    journal.append(&Entry {
        at: context.now(),
        by: by.to_owned(),
        event,
    })
}

/// Leave to a newer plan what both have and no worker of the older one has begun (rule R7). Returns how many nodes.
pub fn supersede(
    journal: &dyn Journal,
    older: &RunState,
    newer: &Plan,
    by: &str,
    context: &Context,
) -> Result<usize> {
    let taken: std::collections::BTreeSet<&NodeId> =
        newer.nodes.iter().map(|planned| &planned.dirty.node).collect();
    let mut count = 0;
    for (at, planned) in older.plan().nodes.iter().enumerate() {
        let node = &planned.dirty.node;
        let begun = matches!(
            older.status(at),
            NodeStatus::Running { .. }
                | NodeStatus::Released { .. }
                | NodeStatus::Unchanged { .. }
                | NodeStatus::Held { .. }
                | NodeStatus::Skipped { .. }
                | NodeStatus::Superseded { .. }
        );
        if newer.id == older.plan().id || begun || !taken.contains(node) {
            continue;
        }
        let what = NodeEvent::Superseded { by: newer.id.clone() };
        append(journal, by, about(older, node.clone(), what)?, context)?;
        count += 1;
    }
    Ok(count)
}
