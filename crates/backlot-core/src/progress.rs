//! Where work stands, for a program that looks at it from time to time: a window that is drawn, a request for the state of a job.
//!
//! Invariant: of no operation is more done than there is. Deliberately absent: history; an operation is forgotten when it is finished, except an
//! outermost one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::event::{Event, EventKind, Observer, Operation, OperationId, Subject, Warning};

/// An observer that keeps where the work stands; one for each call, or for some.
///
/// ```
/// use std::sync::Arc;
///
/// use backlot_core::{Context, Operation, Progress};
///
/// let progress = Arc::new(Progress::default());
/// let context = Context::default().with_observer(progress.clone());
/// let running = context.start(Operation::Push, 4, 0);
/// running.advance(1, 0);
/// let now = &progress.operations()[0];
/// assert_eq!((now.done_items, now.items, now.finished), (1, 4, false));
/// ```
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    operations: BTreeMap<OperationId, OperationState>,
    warnings: Vec<Warning>,
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OperationState {
    /// Which one.
    pub id: OperationId,
    /// The operation that it is a part of.
    pub parent: Option<OperationId>,
    /// The operation.
    pub operation: Operation,
    /// Its subject.
    #[serde(serialize_with = "crate::event::subject")]
    pub subject: Option<Arc<Subject>>,
    /// Items that are done.
    pub done_items: u64,
    /// Items that are known of so far; zero where unknown.
    pub items: u64,
    /// Bytes that are done.
    pub done_bytes: u64,
    /// Bytes that are known of so far; zero where unknown.
    pub bytes: u64,
    /// Whether it has ended, well or not.
    pub finished: bool,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operations that are going on, and the outermost ones that are finished, in the order in which they began.
    pub fn operations(&self) -> Vec<OperationState> {
        self.state().operations.values().cloned().collect()
    }

    /// The newest call, with all that was done for it.
    pub fn call(&self) -> Option<OperationState> {
        let state = self.state();
        let outermost = |found: &&OperationState| found.parent.is_none();
        state.operations.values().rfind(outermost).cloned()
    }

    /// The warnings so far.
    pub fn warnings(&self) -> Vec<Warning> {
        self.state().warnings.clone()
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
        let mut state = self.state();
        match event.kind {
            EventKind::Started {
                operation,
                items,
                bytes,
            } => {
                let started = OperationState {
                    id: event.id,
                    parent: event.parent,
                    operation,
                    subject: event.subject.clone(),
                    done_items: 0,
                    items,
                    done_bytes: 0,
                    bytes,
                    finished: false,
                };
                state.operations.insert(event.id, started);
            }
            EventKind::Grew { items, bytes, .. } => {
                if let Some(found) = state.operations.get_mut(&event.id) {
                    found.items += items;
                    found.bytes += bytes;
                }
            }
            EventKind::Advanced { items, bytes, .. } => {
                if let Some(found) = state.operations.get_mut(&event.id) {
                    found.done_items += items;
                    found.done_bytes += bytes;
                }
            }
            EventKind::Finished { .. } if event.parent.is_some() => {
                state.operations.remove(&event.id);
            }
            EventKind::Finished { .. } => {
                if let Some(found) = state.operations.get_mut(&event.id) {
                    found.finished = true;
                }
            }
            EventKind::Warned(ref warning) => state.warnings.push(warning.clone()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Progress;
    use crate::{Context, Operation};

    #[test]
    fn parts_are_forgotten_when_they_end_and_the_call_is_not() {
        let progress = Arc::new(Progress::default());
        let context = Context::default().with_observer(Arc::clone(&progress) as _);
        let call = context.start(Operation::Call("publish"), 0, 0);
        let inside = call.context();
        let push = inside.start(Operation::Push, 2, 10);
        push.advance(1, 20);
        let going = progress.operations();
        assert_eq!(going.len(), 2);
        assert_eq!((going[1].done_bytes, going[1].bytes), (20, 20));
        drop(push);
        inside.warn("install::damaged_wheel", "so it is");
        drop(call);
        let ended = progress.call().expect("kept");
        assert!(ended.finished && ended.operation == Operation::Call("publish"));
        assert_eq!((ended.done_items, ended.items, ended.bytes), (1, 2, 20));
        assert_eq!((progress.operations().len(), progress.warnings().len()), (1, 1));
    }
}
