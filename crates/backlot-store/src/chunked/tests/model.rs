//! The protocol of `docs/format/remote-chunked.md` as a small finite model, and every order in which its requests can
//! happen: two writers and two collectors, with crashes, and with deletes that are sent twice and land late.
//!
//! Each step is one request. The invariant is that what a writer has reported as stored is there from then on. Variants that
//! leave a step of the protocol out must fail, or the model would prove nothing.

use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

/// Visit all states; a state in which `broken` holds is an error.
pub(super) fn explore<S: Clone + Eq + Hash + Debug>(
    first: S,
    next: impl Fn(&S, &mut Vec<S>),
    broken: impl Fn(&S) -> bool,
) -> Result<usize, S> {
    let mut seen = HashSet::from([first.clone()]);
    let mut queue = VecDeque::from([first]);
    let mut states = Vec::new();
    while let Some(state) = queue.pop_front() {
        if broken(&state) {
            return Err(state);
        }
        next(&state, &mut states);
        for state in states.drain(..) {
            if seen.insert(state.clone()) {
                queue.push_back(state);
            }
        }
    }
    Ok(seen.len())
}

/// Packs: bit 0 is the old one that nobody names, then four for each writer.
type Packs = u16;
const OLD: u8 = 0;
const TRIES: u8 = 3;

/// What the protocol does, and what a control leaves out.
#[derive(Clone, Copy, Debug)]
struct Protocol {
    writers: usize,
    collectors: usize,
    /// The writer looks after its packs once more before it reports.
    looks_again: bool,
    /// The collector lists recipes again after its tomb.
    marks_again: bool,
    /// Names are never used twice.
    fresh_names: bool,
    /// Collectors may crash.
    crashes: bool,
    /// Deletes are sent twice and land at any time.
    late_deletes: bool,
    /// Tombs stay until what they name is seen to be absent.
    confirms: bool,
}

const FULL: Protocol = Protocol {
    writers: 2,
    collectors: 2,
    looks_again: true,
    marks_again: true,
    fresh_names: true,
    crashes: false,
    late_deletes: false,
    confirms: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writer {
    ReadTombs,
    LookUp { condemned: Packs },
    Upload,
    Commit { pack: u8 },
    ReadTombsAgain { pack: u8 },
    LookAgain { pack: u8, condemned: Packs },
    Stored { pack: u8 },
    GaveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Collector {
    ListRecipes,
    ListPacks { live: Packs },
    PutTomb { dead: Packs },
    ListRecipesAgain { dead: Packs },
    Delete { dead: Packs },
    Confirm { dead: Packs },
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    packs: Packs,
    recipes: [Option<u8>; 2],
    tombs: [Packs; 2],
    writers: [(Writer, u8); 2],
    collectors: [Collector; 2],
    /// Deletes on their way: how many for each pack.
    flying: [u8; 9],
}

const fn bit(pack: u8) -> Packs {
    1 << pack
}

impl Protocol {
    fn first(self) -> State {
        let mut state = State {
            packs: bit(OLD),
            recipes: [None; 2],
            tombs: [0; 2],
            writers: [(Writer::ReadTombs, 0); 2],
            collectors: [Collector::ListRecipes; 2],
            flying: [0; 9],
        };
        for absent in self.writers..2 {
            state.writers[absent].0 = Writer::GaveUp;
        }
        for absent in self.collectors..2 {
            state.collectors[absent] = Collector::Done;
        }
        state
    }

    fn next(self, state: &State, out: &mut Vec<State>) {
        for who in 0..2 {
            self.write(state, who, out);
            self.collect(state, who, out);
        }
        for pack in 0..9u8 {
            if state.flying[usize::from(pack)] > 0 {
                let mut next = state.clone();
                next.flying[usize::from(pack)] -= 1;
                next.packs &= !bit(pack);
                out.push(next);
            }
        }
    }

    fn write(self, state: &State, who: usize, out: &mut Vec<State>) {
        let (writer, tries) = state.writers[who];
        let condemned = state.tombs[0] | state.tombs[1];
        let mut next = state.clone();
        next.writers[who].0 = match writer {
            Writer::ReadTombs => Writer::LookUp { condemned },
            Writer::LookUp { condemned } if state.packs & !condemned & bit(OLD) != 0 => {
                Writer::Commit { pack: OLD }
            }
            Writer::LookUp { .. } => Writer::Upload,
            Writer::Upload => {
                let own = 1 + u8::try_from(who).unwrap_or(0) * 4 + tries;
                let pack = if self.fresh_names { own } else { OLD };
                next.packs |= bit(pack);
                next.writers[who].1 += 1;
                Writer::Commit { pack }
            }
            Writer::Commit { pack } => {
                next.recipes[who] = Some(pack);
                if self.looks_again {
                    Writer::ReadTombsAgain { pack }
                } else {
                    Writer::Stored { pack }
                }
            }
            Writer::ReadTombsAgain { pack } => Writer::LookAgain { pack, condemned },
            Writer::LookAgain { pack, condemned } if state.packs & !condemned & bit(pack) != 0 => {
                Writer::Stored { pack }
            }
            Writer::LookAgain { .. } if tries < TRIES => Writer::Upload,
            Writer::LookAgain { .. } => Writer::GaveUp,
            Writer::Stored { .. } | Writer::GaveUp => return,
        };
        out.push(next);
    }

    fn collect(self, state: &State, who: usize, out: &mut Vec<State>) {
        let live = state
            .recipes
            .iter()
            .flatten()
            .fold(0, |all, pack| all | bit(*pack));
        let collector = state.collectors[who];
        let in_between = !matches!(
            collector,
            Collector::ListRecipes | Collector::ListPacks { .. } | Collector::Done
        );
        if self.crashes && in_between {
            let mut crashed = state.clone();
            crashed.collectors[who] = Collector::Done;
            out.push(crashed);
        }
        let mut next = state.clone();
        next.collectors[who] = match collector {
            Collector::ListRecipes => Collector::ListPacks { live },
            Collector::ListPacks { live } => Collector::PutTomb {
                dead: state.packs & !live,
            },
            Collector::PutTomb { dead } => {
                next.tombs[who] = dead;
                if self.marks_again {
                    Collector::ListRecipesAgain { dead }
                } else {
                    Collector::Delete { dead }
                }
            }
            Collector::ListRecipesAgain { dead } => Collector::Delete { dead: dead & !live },
            Collector::Delete { dead } if self.late_deletes => {
                for pack in (0..9).filter(|pack| dead & bit(*pack) != 0) {
                    next.flying[usize::from(pack)] += 2;
                }
                Collector::Confirm { dead }
            }
            Collector::Delete { dead: 0 } => Collector::Confirm { dead: 0 },
            Collector::Delete { dead } => {
                for pack in (0..9).filter(|pack| dead & bit(*pack) != 0) {
                    let mut one = state.clone();
                    one.packs &= !bit(pack);
                    one.collectors[who] = Collector::Delete {
                        dead: dead & !bit(pack),
                    };
                    out.push(one);
                }
                return;
            }
            Collector::Confirm { dead } if self.confirms && state.packs & dead != 0 => return,
            Collector::Confirm { .. } => {
                next.tombs[who] = 0;
                Collector::Done
            }
            Collector::Done => return,
        };
        out.push(next);
    }

    fn check(self) -> Result<usize, State> {
        let lost = |state: &State| {
            state
                .writers
                .iter()
                .any(|(writer, _)| matches!(writer, Writer::Stored { pack } if state.packs & bit(*pack) == 0))
        };
        explore(self.first(), |state, out| self.next(state, out), lost)
    }
}

#[test]
fn nothing_stored_is_lost_in_any_order_of_requests() {
    let states = FULL.check().expect("nothing is lost");
    assert!(states > 10_000, "{states} states");
    let crashing = Protocol {
        crashes: true,
        ..FULL
    };
    crashing.check().expect("nothing is lost when collectors crash");
    let late = Protocol {
        late_deletes: true,
        ..FULL
    };
    late.check()
        .expect("nothing is lost when deletes come late and twice");
}

#[test]
fn every_step_of_the_protocol_is_needed() {
    let one = Protocol {
        writers: 1,
        collectors: 1,
        ..FULL
    };
    for broken in [
        Protocol {
            looks_again: false,
            ..one
        },
        Protocol {
            marks_again: false,
            ..one
        },
        Protocol {
            late_deletes: true,
            fresh_names: false,
            ..one
        },
        Protocol {
            late_deletes: true,
            confirms: false,
            ..one
        },
    ] {
        assert!(broken.check().is_err(), "{broken:?} should lose something");
    }
}

/// Copies of one file's recipe and pack: 0 is the old one, 1 and 2 those that two collectors write anew.
type Copies = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rewriter {
    PutPack,
    PutRecipe,
    ReadTombs,
    ListRecipes { condemned: Copies },
    PutTomb { dead: Copies },
    ReadTombsAgain { dead: Copies },
    ListAgain { dead: Copies, condemned: Copies },
    Delete { dead: Copies },
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Rewriting {
    recipes: Copies,
    packs: Copies,
    tombs: [Copies; 2],
    who: [Rewriter; 2],
}

/// The copy that the file needs: the newest that nobody condemned, else all that are there.
fn needed(recipes: Copies, packs: Copies, condemned: Copies, newest: [u8; 3]) -> Copies {
    let clean = recipes & packs & !condemned;
    newest
        .iter()
        .find(|copy| clean & (1 << **copy) != 0)
        .map_or(recipes, |copy| 1 << copy)
}

fn rewrite(state: &Rewriting, who: usize, newest: [u8; 3], careless: bool, out: &mut Vec<Rewriting>) {
    let own = 1u8 << (who + 1);
    let condemned = state.tombs[0] | state.tombs[1];
    let mut next = state.clone();
    let mut crashed = state.clone();
    crashed.who[who] = Rewriter::Done;
    next.who[who] = match state.who[who] {
        Rewriter::PutPack => {
            next.packs |= own;
            Rewriter::PutRecipe
        }
        Rewriter::PutRecipe => {
            next.recipes |= own;
            Rewriter::ReadTombs
        }
        Rewriter::ReadTombs => Rewriter::ListRecipes { condemned },
        Rewriter::ListRecipes { condemned } => Rewriter::PutTomb {
            dead: state.recipes & !condemned & !needed(state.recipes, state.packs, condemned, newest),
        },
        Rewriter::PutTomb { dead } => {
            next.tombs[who] = dead;
            Rewriter::ReadTombsAgain { dead }
        }
        Rewriter::ReadTombsAgain { dead } => Rewriter::ListAgain { dead, condemned },
        Rewriter::ListAgain { dead, condemned } => {
            let condemned = if careless { state.tombs[who] } else { condemned };
            Rewriter::Delete {
                dead: dead & !needed(state.recipes, state.packs, condemned, newest),
            }
        }
        Rewriter::Delete { dead } => {
            next.packs &= !dead;
            next.recipes &= !dead;
            next.tombs[who] = 0;
            Rewriter::Done
        }
        Rewriter::Done => return,
    };
    out.push(next);
    out.push(crashed);
}

#[test]
fn two_collectors_that_write_a_file_anew_never_delete_its_last_copy() {
    let first = Rewriting {
        recipes: 1,
        packs: 1,
        tombs: [0; 2],
        who: [Rewriter::PutPack; 2],
    };
    for newest in [[1, 2, 0], [2, 1, 0]] {
        let next = |state: &Rewriting, out: &mut Vec<Rewriting>| {
            rewrite(state, 0, newest, false, out);
            rewrite(state, 1, newest, false, out);
        };
        explore(first.clone(), next, |state| state.recipes & state.packs == 0).expect("a copy is left");
    }
    // If every collector had its own idea of what is newest, and looked at its own tombs only, the last copy would go.
    let next = |state: &Rewriting, out: &mut Vec<Rewriting>| {
        rewrite(state, 0, [1, 2, 0], true, out);
        rewrite(state, 1, [2, 1, 0], true, out);
    };
    assert!(explore(first, next, |state| state.recipes & state.packs == 0).is_err());
}
