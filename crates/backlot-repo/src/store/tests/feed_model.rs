//! How events get into the feed, model-checked: all interleavings of three writers, two of which are about the same event, and a reader that adds what
//! writers announced; each writer may be killed at any step.
//!
//! A record is created only if there is none of its number. Checked: no event is in two records, and from wherever the others stop, a reader that goes on alone
//! adds every event that happened. Protocols with a step left out or moved are found to be wrong, so the check can see.

use std::collections::HashSet;

/// The event that each writer is about. Two bring the same fact from another repo, at the same time.
const WRITERS: [usize; 3] = [0, 0, 1];
const READERS: usize = 1;
const EVENTS: usize = 2;

/// Whoever adds an event: it has read so many records, and the event was in none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Adding {
    Read { event: usize, last: usize },
    Create { event: usize, last: usize },
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writer {
    /// Read the head, then look whether the effect is there.
    Mark,
    Look {
        mark: usize,
    },
    Announce {
        mark: usize,
    },
    Effect {
        mark: usize,
    },
    Add {
        mark: usize,
        step: Adding,
    },
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    Add { writer: usize, step: Adding },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    records: Vec<usize>,
    effects: [bool; EVENTS],
    /// The marks that writers announced.
    announced: [Option<usize>; WRITERS.len()],
    writers: [Writer; WRITERS.len()],
    readers: [Reader; READERS],
}

/// The protocol, or what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Right,
    /// The mark is read after it was seen that the effect is not there.
    MarksLate,
    /// Who finds a number taken goes on to the next one without reading what is there.
    ReadsNothing,
    /// The event is announced after its effect.
    AnnouncesLate,
    /// A record replaces one that is there.
    Replaces,
}

impl State {
    fn start() -> Self {
        Self {
            records: Vec::new(),
            effects: [false; EVENTS],
            announced: [None; WRITERS.len()],
            writers: [Writer::Mark; WRITERS.len()],
            readers: [Reader::Idle; READERS],
        }
    }

    /// One step of adding an event.
    fn add(&mut self, step: Adding, protocol: Protocol) -> Adding {
        match step {
            Adding::Read { event, last } if self.records.get(last) == Some(&event) => Adding::Done,
            Adding::Read { event, last } if last < self.records.len() => Adding::Read {
                event,
                last: last + 1,
            },
            Adding::Read { event, last } => Adding::Create { event, last },
            Adding::Create { event, last } if last == self.records.len() => {
                self.records.push(event);
                Adding::Done
            }
            Adding::Create { event, last } => match protocol {
                Protocol::Replaces => {
                    self.records[last] = event;
                    Adding::Done
                }
                Protocol::ReadsNothing => Adding::Create {
                    event,
                    last: last + 1,
                },
                _ => Adding::Read { event, last },
            },
            Adding::Done => Adding::Done,
        }
    }

    fn write(&mut self, writer: usize, protocol: Protocol) {
        let event = WRITERS[writer];
        let late = protocol == Protocol::MarksLate;
        self.writers[writer] = match self.writers[writer] {
            Writer::Mark => Writer::Look {
                mark: self.records.len(),
            },
            Writer::Look { .. } if self.effects[event] => Writer::Ended,
            Writer::Look { mark } if protocol == Protocol::AnnouncesLate => Writer::Effect { mark },
            Writer::Look { mark } => Writer::Announce { mark },
            Writer::Announce { mark } => {
                let mark = if late { self.records.len() } else { mark };
                self.announced[writer] = Some(mark);
                if protocol == Protocol::AnnouncesLate {
                    let step = Adding::Read { event, last: mark };
                    Writer::Add { mark, step }
                } else {
                    Writer::Effect { mark }
                }
            }
            Writer::Effect { mark } => {
                self.effects[event] = true;
                if protocol == Protocol::AnnouncesLate {
                    Writer::Announce { mark }
                } else {
                    let step = Adding::Read { event, last: mark };
                    Writer::Add { mark, step }
                }
            }
            Writer::Add {
                step: Adding::Done, ..
            } => {
                self.announced[writer] = None;
                Writer::Ended
            }
            Writer::Add { mark, step } => Writer::Add {
                mark,
                step: self.add(step, protocol),
            },
            Writer::Ended => Writer::Ended,
        };
    }

    /// One step of a reader that begins with what `writer` announced, if it has nothing to do.
    fn read(&mut self, reader: usize, writer: usize, protocol: Protocol) {
        self.readers[reader] = match self.readers[reader] {
            Reader::Idle => match self.announced[writer] {
                Some(mark) if self.effects[WRITERS[writer]] => {
                    let event = WRITERS[writer];
                    let step = Adding::Read { event, last: mark };
                    Reader::Add { writer, step }
                }
                _ => Reader::Idle,
            },
            Reader::Add {
                writer,
                step: Adding::Done,
            } => {
                self.announced[writer] = None;
                Reader::Idle
            }
            Reader::Add { writer, step } => Reader::Add {
                writer,
                step: self.add(step, protocol),
            },
        };
    }

    /// All states that may be next.
    fn next(&self, protocol: Protocol) -> Vec<Self> {
        let mut all = Vec::new();
        let mut may = |change: &dyn Fn(&mut Self)| {
            let mut state = self.clone();
            change(&mut state);
            if state != *self {
                all.push(state);
            }
        };
        for writer in 0..WRITERS.len() {
            may(&|state| state.write(writer, protocol));
            may(&|state| state.writers[writer] = Writer::Ended);
            for reader in 0..READERS {
                may(&|state| state.read(reader, writer, protocol));
            }
        }
        all
    }

    fn is_doubled(&self) -> bool {
        (0..EVENTS).any(|event| self.records.iter().filter(|known| **known == event).count() > 1)
    }

    /// Whether an event that happened is nowhere, though a reader has gone on alone.
    fn is_lost(&self, protocol: Protocol) -> bool {
        let mut state = self.clone();
        for writer in 0..WRITERS.len() {
            // What it began, then what was announced.
            for _ in 0..20 {
                state.read(0, writer, protocol);
            }
        }
        (0..EVENTS).any(|event| state.effects[event] && !state.records.contains(&event))
    }
}

/// How many states there are, or the first that is wrong.
fn check(protocol: Protocol) -> Result<usize, Box<State>> {
    let mut seen = HashSet::from([State::start()]);
    let mut left = vec![State::start()];
    while let Some(state) = left.pop() {
        let stopped = state.writers.iter().all(|writer| *writer == Writer::Ended);
        if state.is_doubled() || stopped && state.is_lost(protocol) {
            return Err(Box::new(state));
        }
        for next in state.next(protocol) {
            if seen.insert(next.clone()) {
                left.push(next);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn no_event_is_doubled_or_lost_in_any_order() {
    let states = check(Protocol::Right).unwrap();
    assert!(states > 1_000, "{states}");
}

#[test]
fn protocols_without_a_step_are_found_wrong() {
    for protocol in [
        Protocol::MarksLate,
        Protocol::ReadsNothing,
        Protocol::AnnouncesLate,
        Protocol::Replaces,
    ] {
        assert!(check(protocol).is_err(), "{protocol:?}");
    }
}
