//! The commit by move, model-checked: all interleavings of three publishers, each of which may be killed, delayed, or taken
//! for dead at any step.
//!
//! A move is the weakest that a server may have: it replaces what is there, and only fails if its source is gone. Checked:
//! at most one move ever succeeds, and from wherever the others stop, one that goes on alone commits. Protocols with a step
//! left out or moved are found to be wrong, so the check can see.

use std::collections::HashSet;

/// Publishers.
const N: usize = 3;
/// How often a publisher may stage again.
const GENERATIONS: u8 = 2;

/// A staged wheel: whose, and of which generation.
type Key = (usize, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Stage,
    List,
    /// Remove these, then go on.
    Remove(Vec<Key>),
    Look,
    Move,
    Won,
    Lost,
    Killed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Publisher {
    at: At,
    generation: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    publishers: [Publisher; N],
    staged: Vec<Key>,
    moves: u8,
}

/// The protocol, or what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Right,
    /// Rivals are let be.
    RemovesNothing,
    /// The look comes before the removal.
    LooksTooEarly,
    /// A staged wheel is sent twice, so that it may arrive once more after it was removed.
    SendsTwice,
}

impl State {
    fn start() -> Self {
        let publisher = Publisher {
            at: At::Stage,
            generation: 0,
        };
        Self {
            publishers: std::array::from_fn(|_| publisher.clone()),
            staged: Vec::new(),
            moves: 0,
        }
    }

    /// What follows if a publisher takes its next step; `None` if it has none.
    fn step(&self, p: usize, protocol: Protocol) -> Option<Self> {
        let mut next = self.clone();
        let generation = self.publishers[p].generation;
        let mine = (p, generation);
        let at = match &self.publishers[p].at {
            At::Stage if generation >= GENERATIONS => return None,
            At::Stage => {
                next.staged.push(mine);
                next.staged.sort_unstable();
                if protocol == Protocol::LooksTooEarly && self.moves > 0 {
                    At::Lost
                } else {
                    At::List
                }
            }
            At::List if protocol == Protocol::RemovesNothing => At::Look,
            At::List => At::Remove(self.staged.iter().copied().filter(|key| *key != mine).collect()),
            At::Remove(keys) => match keys.split_last() {
                Some((key, rest)) => {
                    next.staged.retain(|staged| staged != key);
                    At::Remove(rest.to_vec())
                }
                None if protocol == Protocol::LooksTooEarly => At::Move,
                None => At::Look,
            },
            At::Look if self.moves > 0 => {
                next.staged.retain(|staged| *staged != mine);
                At::Lost
            }
            At::Look => At::Move,
            At::Move if self.staged.contains(&mine) => {
                next.staged.retain(|staged| *staged != mine);
                next.moves += 1;
                At::Won
            }
            At::Move => {
                next.publishers[p].generation += 1;
                At::Stage
            }
            At::Won | At::Lost | At::Killed => return None,
        };
        next.publishers[p].at = at;
        Some(next)
    }

    /// The second sending of what a publisher staged arrives.
    fn arrive_late(&self, p: usize) -> Option<Self> {
        let key = (p, self.publishers[p].generation);
        let is_staged = matches!(
            self.publishers[p].at,
            At::List | At::Remove(_) | At::Look | At::Move
        );
        if !is_staged || self.staged.contains(&key) {
            return None;
        }
        let mut next = self.clone();
        next.staged.push(key);
        next.staged.sort_unstable();
        Some(next)
    }

    fn kill(&self, p: usize) -> Option<Self> {
        if matches!(self.publishers[p].at, At::Won | At::Lost | At::Killed) {
            return None;
        }
        let mut next = self.clone();
        next.publishers[p].at = At::Killed;
        Some(next)
    }
}

/// All states that can be reached; the number of states, or one in which two moves succeeded.
fn explore(protocol: Protocol, mut each: impl FnMut(&State)) -> Result<usize, Box<State>> {
    let (mut seen, mut open) = (HashSet::new(), vec![State::start()]);
    while let Some(state) = open.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        if state.moves > 1 {
            return Err(Box::new(state));
        }
        each(&state);
        for p in 0..N {
            open.extend(state.step(p, protocol));
            open.extend(state.kill(p));
            if protocol == Protocol::SendsTwice {
                open.extend(state.arrive_late(p));
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn at_most_one_publisher_moves_its_wheel_to_the_name() {
    let states = explore(Protocol::Right, |_| {}).unwrap();
    assert!(states > 10_000, "only {states} states");
}

#[test]
fn whoever_goes_on_alone_commits_wherever_the_others_stopped() {
    explore(Protocol::Right, |state| {
        for p in 0..N {
            let publisher = &state.publishers[p];
            // One that has used up its generations stands for nobody: the bound is the model's.
            if matches!(publisher.at, At::Killed) || publisher.generation + 1 >= GENERATIONS {
                continue;
            }
            let mut alone = state.clone();
            while let Some(next) = alone.step(p, Protocol::Right) {
                alone = next;
            }
            assert_eq!(alone.moves, 1, "from {state:?}");
        }
    })
    .unwrap();
}

#[test]
fn the_model_sees_what_is_wrong() {
    for wrong in [
        Protocol::RemovesNothing,
        Protocol::LooksTooEarly,
        Protocol::SendsTwice,
    ] {
        assert!(explore(wrong, |_| {}).is_err(), "{wrong:?}");
    }
}
