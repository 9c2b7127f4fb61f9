//! Parts of farm jobs as a small finite model: one file that a node stores and names in a part, finalisers that make a release of
//! the part, collectors that run again and again, and somebody who drops the part. Every order of their requests, with crashes of
//! all of them.
//!
//! The invariants: while its part is there, the file of a node that reported success is there; once a release was created, its
//! file is there for ever. Variants that leave a step of the protocol out must fail. What takes the service's clock is stated as
//! what it comes to (`grace`): a tomb is older than the grace period only when the finalisers that looked before it was put have
//! created their release or given up. A part that was noted stops counting at once here, which is harder than the day of the
//! protocol; nothing is young. That a pack and its recipe come one after the other, and that deletes may land late, is in
//! [`super::model`].

use super::model::explore;

/// Copies of the file, each a recipe and a pack: 0 is an old one that nothing needs, the others are the node's tries.
type Copies = u8;
const OLD: Copies = 1;

#[derive(Clone, Copy, Debug)]
struct Protocol {
    finalisers: usize,
    collectors: usize,
    /// The first collector is of a version that does not know parts.
    old_collector: bool,
    /// The node looks at its files once more when its part is there.
    node_looks_again: bool,
    /// The finaliser looks at the files before it creates the release.
    finaliser_looks: bool,
    grace: bool,
    /// How often the node stores the file before it gives up.
    tries: u8,
    /// How often each collector runs; as often as it likes, if `None`.
    runs: Option<u8>,
    /// A tomb stays while anything that it names is there, also what was spared.
    spared_stay: bool,
}

const FULL: Protocol = Protocol {
    finalisers: 1,
    collectors: 1,
    old_collector: false,
    node_looks_again: true,
    finaliser_looks: true,
    grace: true,
    tries: 2,
    runs: None,
    spared_stay: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    ReadTombs,
    LookUp { condemned: Copies },
    PutPart,
    ReadTombsAgain,
    LookAgain { condemned: Copies },
    TakePartBack,
    Stored,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Finaliser {
    ReadParts,
    ReadTombs,
    Look { condemned: Copies },
    Create,
    Note,
    Gone,
}

/// What a run of a collector does with what it read before the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pass {
    Mark,
    Sweep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    ReadTombs(Pass),
    ListRecipes(Pass, Copies),
    ListParts(Pass, Copies, Copies),
    PutTomb(Copies),
    Delete(Copies),
    RemoveTombs,
}

/// A run: whether it saw the release among what is kept, which tombs were older than the grace period when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    keeps: bool,
    ripe: [bool; 2],
    /// Whether the parts keep the file, as far as they were listed.
    by_part: bool,
    step: Step,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Tombstone {
    dead: Copies,
    /// The finalisers that were between their look and the release when it was put.
    before: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    copies: Copies,
    tries: u8,
    part: bool,
    dropped: bool,
    noted: bool,
    release: bool,
    tombs: [Tombstone; 2],
    node: Node,
    finalisers: [Finaliser; 2],
    runs: [Option<Run>; 2],
    /// How many runs began, where they are counted.
    begun: [u8; 2],
}

impl State {
    fn condemned(&self) -> Copies {
        self.tombs[0].dead | self.tombs[1].dead
    }

    /// The finalisers that looked, or are about to, and have not created the release.
    fn about_to_create(&self) -> u8 {
        let within = |one: &Finaliser| matches!(one, Finaliser::Look { .. } | Finaliser::Create);
        self.finalisers
            .iter()
            .map(within)
            .fold(0, |all, one| all << 1 | u8::from(one))
    }
}

/// The copies that a needed file needs: the newest that is clean, else all.
fn needed(copies: Copies, condemned: Copies) -> Copies {
    let clean = copies & !condemned;
    clean.checked_ilog2().map_or(copies, |newest| 1 << newest)
}

impl Protocol {
    fn first(self) -> State {
        let mut finalisers = [Finaliser::Gone; 2];
        finalisers[..self.finalisers].fill(Finaliser::ReadParts);
        State {
            copies: OLD,
            tries: 0,
            part: false,
            dropped: false,
            noted: false,
            release: false,
            tombs: [Tombstone::default(); 2],
            node: Node::ReadTombs,
            finalisers,
            runs: [None; 2],
            begun: [0; 2],
        }
    }

    fn next(self, state: &State, out: &mut Vec<State>) {
        self.node(state, out);
        for who in 0..self.finalisers {
            self.finalise(state, who, out);
        }
        for who in 0..self.collectors {
            match state.runs[who] {
                None if self.runs == Some(state.begun[who]) => {}
                None => out.push(self.begin(state, who)),
                Some(run) => {
                    self.collect(state, who, run, out);
                    let mut crashed = state.clone();
                    crashed.runs[who] = None;
                    out.push(crashed);
                }
            }
        }
        if state.part {
            let mut dropped = state.clone();
            (dropped.part, dropped.dropped) = (false, true);
            out.push(dropped);
        }
    }

    fn node(self, state: &State, out: &mut Vec<State>) {
        let is_there = |condemned: Copies| state.copies & !condemned != 0;
        let (mut next, mut crashed) = (state.clone(), state.clone());
        crashed.node = Node::Gone;
        let mut upload = |then: Node| {
            next.tries += 1;
            next.copies |= 1 << next.tries;
            then
        };
        next.node = match state.node {
            Node::ReadTombs => Node::LookUp {
                condemned: state.condemned(),
            },
            Node::LookUp { condemned } if is_there(condemned) => Node::PutPart,
            Node::LookUp { .. } => upload(Node::PutPart),
            Node::PutPart => {
                next.part = true;
                if self.node_looks_again {
                    Node::ReadTombsAgain
                } else {
                    Node::Stored
                }
            }
            Node::ReadTombsAgain => Node::LookAgain {
                condemned: state.condemned(),
            },
            Node::LookAgain { condemned } if is_there(condemned) => Node::Stored,
            Node::LookAgain { .. } if state.tries < self.tries => upload(Node::ReadTombsAgain),
            Node::LookAgain { .. } => Node::TakePartBack,
            Node::TakePartBack => {
                next.part = false;
                Node::Gone
            }
            Node::Stored | Node::Gone => return,
        };
        out.extend([next, crashed]);
    }

    fn finalise(self, state: &State, who: usize, out: &mut Vec<State>) {
        let (mut next, mut crashed) = (state.clone(), state.clone());
        crashed.finalisers[who] = Finaliser::Gone;
        next.finalisers[who] = match state.finalisers[who] {
            Finaliser::ReadParts if !state.part => return,
            Finaliser::ReadParts if self.finaliser_looks => Finaliser::ReadTombs,
            Finaliser::ReadParts => Finaliser::Create,
            Finaliser::ReadTombs => Finaliser::Look {
                condemned: state.condemned(),
            },
            Finaliser::Look { condemned } if state.copies & !condemned != 0 => Finaliser::Create,
            // Refused: somebody has to push the files again.
            Finaliser::Look { .. } => Finaliser::Gone,
            Finaliser::Create if state.release => Finaliser::Gone,
            Finaliser::Create => {
                next.release = true;
                Finaliser::Note
            }
            Finaliser::Note => {
                next.noted = true;
                Finaliser::Gone
            }
            Finaliser::Gone => return,
        };
        out.extend([next, crashed]);
    }

    /// Read the releases, which comes before everything else.
    fn begin(self, state: &State, who: usize) -> State {
        let waits = |tomb: Tombstone| self.grace && tomb.before & state.about_to_create() != 0;
        let ripe = |tomb: Tombstone| tomb.dead != 0 && !waits(tomb);
        let mut next = state.clone();
        next.begun[who] += u8::from(self.runs.is_some());
        next.runs[who] = Some(Run {
            keeps: state.release,
            ripe: state.tombs.map(ripe),
            by_part: false,
            step: Step::ReadTombs(Pass::Mark),
        });
        next
    }

    fn collect(self, state: &State, who: usize, mut run: Run, out: &mut Vec<State>) {
        let mut next = state.clone();
        let knows_parts = !(self.old_collector && who == 0);
        run.step = match run.step {
            Step::ReadTombs(pass) => Step::ListRecipes(pass, state.condemned()),
            Step::ListRecipes(pass, condemned) => Step::ListParts(pass, condemned, state.copies),
            Step::ListParts(pass, condemned, copies) => {
                run.by_part = knows_parts && state.part && !state.noted;
                let kept = if run.keeps || run.by_part {
                    needed(copies, condemned)
                } else {
                    0
                };
                match pass {
                    Pass::Mark => Step::PutTomb(copies & !condemned & !kept),
                    Pass::Sweep => {
                        let tombs = state.tombs.iter().zip(run.ripe).filter(|(_, ripe)| *ripe);
                        Step::Delete(tombs.fold(0, |all, (tomb, _)| all | tomb.dead) & copies & !kept)
                    }
                }
            }
            Step::PutTomb(dead) => {
                // Names are never used twice: one that a run knows stands for no other tomb.
                let is_known = state.runs.iter().flatten().any(|run| run.ripe[who]);
                if dead != 0 && state.tombs[who].dead == 0 && !is_known {
                    next.tombs[who] = Tombstone {
                        dead,
                        before: state.about_to_create(),
                    };
                }
                if run.ripe == [false; 2] {
                    next.runs[who] = None;
                    out.push(next);
                    return;
                }
                Step::ReadTombs(Pass::Sweep)
            }
            Step::Delete(dead) if dead & state.copies == 0 => Step::RemoveTombs,
            Step::Delete(dead) => {
                next.copies &= !(dead & dead.wrapping_neg());
                Step::Delete(dead & (dead - 1))
            }
            Step::RemoveTombs => {
                for (tomb, ripe) in next.tombs.iter_mut().zip(run.ripe) {
                    if ripe && !(self.spared_stay && tomb.dead & state.copies != 0) {
                        *tomb = Tombstone::default();
                    }
                }
                next.runs[who] = None;
                out.push(next);
                return;
            }
        };
        next.runs[who] = Some(run);
        out.push(next);
    }

    fn check(self) -> Result<usize, State> {
        self.check_from(self.first())
    }

    fn check_from(self, first: State) -> Result<usize, State> {
        let lost = |state: &State| {
            let promised = state.node == Node::Stored && state.part && !self.old_collector;
            state.copies == 0 && (promised || state.release)
        };
        explore(first, |state, out| self.next(state, out), lost)
    }
}

#[test]
fn what_a_part_names_and_what_a_release_was_made_of_is_never_lost_in_any_order_of_requests() {
    let states = FULL.check().expect("nothing is lost");
    assert!(states > 10_000, "{states} states");
    let two = Protocol {
        finalisers: 2,
        tries: 1,
        ..FULL
    };
    two.check().expect("nothing is lost with two finalisers");
    let old = Protocol {
        old_collector: true,
        ..FULL
    };
    old.check()
        .expect("no release is lost where a collector does not know parts");
}

#[test]
fn every_step_of_the_protocol_of_parts_is_needed() {
    for broken in [
        Protocol {
            node_looks_again: false,
            ..FULL
        },
        Protocol {
            finaliser_looks: false,
            old_collector: true,
            ..FULL
        },
        Protocol { grace: false, ..FULL },
    ] {
        assert!(broken.check().is_err(), "{broken:?} should lose something");
    }
}

/// Two collectors that are at work on one tomb at the same time: one lists the parts before the node puts its own, and the other one
/// after it. If what the second spares were clean again because it removes the tomb, the node would rely on it, and the first would
/// delete it.
#[test]
fn what_one_of_two_collectors_spares_is_safe_from_the_other_because_its_tomb_stays() {
    let two = Protocol {
        collectors: 2,
        tries: 1,
        runs: Some(1),
        ..FULL
    };
    let mut first = two.first();
    first.tombs[0].dead = OLD;
    two.check_from(first.clone()).expect("nothing is lost");
    let removing = Protocol {
        spared_stay: false,
        ..two
    };
    assert!(
        removing.check_from(first).is_err(),
        "a tomb that goes loses something"
    );
}
