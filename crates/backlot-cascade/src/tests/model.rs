//! The protocol of leases, commits and the journal as a small finite model, and every order in which its requests can happen:
//! two runners of one node, a person who publishes, an input that is published again and yanked.
//!
//! Each step is one request. Leases may run out at any time, as clocks promise nothing. A runner may be killed between any
//! two steps; a commit it has sent may land at any later time, often, or never, and its answer may be lost. Protocols that
//! leave something out must do harm, or the model would prove nothing. Deliberately absent: time.

use std::collections::{HashSet, VecDeque};

/// What the protocol does.
#[derive(Clone, Copy, Debug)]
struct Protocol {
    /// A lease's record is created if absent, not put.
    creates_leases: bool,
    /// A commit with an overtaken token is refused.
    fences: bool,
    /// A commit with a yanked input is refused in the same step.
    sees_yanks: bool,
    /// A version is created if absent, not put.
    creates_versions: bool,
    /// What the journal names is written after its effect.
    journal_last: bool,
    /// A runner that begins looks at what is published, not at the journal.
    looks_up: bool,
}

const RIGHT: Protocol = Protocol {
    creates_leases: true,
    fences: true,
    sees_yanks: true,
    creates_versions: true,
    journal_last: true,
    looks_up: true,
};

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Harm {
    TwoHoldersOfOneToken,
    CommitOfAnOvertakenHolder,
    DoubleRelease,
    YankedInput,
    ReleaseOverwritten,
    JournalNamesNoEffect,
    LostNode,
}

/// The version of the one input that a release was built with: 0, 1 or 2.
type Inputs = u8;
/// A commit on its way.
type Commit = (u8, Inputs, u8);

const VERSIONS: usize = 6;
const TOKENS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Runner {
    Idle,
    /// It has read the highest token.
    Seen(u8),
    Held(u8),
    Built(u8, Inputs, u8),
    /// It waits for the answer to its commit.
    Sent(u8, Inputs, u8),
    /// It knows that the version is released, and has not said so.
    Knows(u8),
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    runners: [Runner; 2],
    /// The highest token given, and a bit a runner for who was given it.
    token: (u8, u8),
    /// Releases of the node by version: what they were built with, and whether by a cascade.
    releases: [Option<(Inputs, bool)>; VERSIONS],
    /// Versions of the input that are published, and those yanked, as bits.
    published: u8,
    yanked: u8,
    /// The version that the journal names.
    journal: Option<u8>,
    flying: Vec<Commit>,
    by_hand: bool,
    harm: Option<Harm>,
}

impl State {
    fn first() -> Self {
        let mut releases = [None; VERSIONS];
        releases[0] = Some((0, false));
        Self {
            runners: [Runner::Idle; 2],
            token: (0, 0),
            releases,
            published: 0b11,
            yanked: 0,
            journal: None,
            flying: Vec::new(),
            by_hand: false,
            harm: None,
        }
    }

    /// The runners do the same, so it does not matter which is which.
    fn without_names(mut self) -> Self {
        if self.runners[1] < self.runners[0] {
            self.runners.swap(0, 1);
            self.token.1 = (self.token.1 & 1) << 1 | self.token.1 >> 1;
        }
        self
    }

    /// What a fresh resolution gives.
    fn wanted(&self) -> Inputs {
        (0..3)
            .rev()
            .find(|input| self.published & !self.yanked & (1 << input) != 0)
            .unwrap_or(0)
    }

    fn newest(&self) -> (u8, Inputs) {
        let found = (0u8..)
            .zip(self.releases)
            .filter_map(|(version, release)| Some((version, release?.0)));
        found.last().unwrap_or((0, 0))
    }

    fn is_yanked(&self, inputs: Inputs) -> bool {
        self.yanked & (1 << inputs) != 0
    }
}

impl Protocol {
    fn next(self, state: &State, out: &mut Vec<State>) {
        if state.harm.is_some() {
            return;
        }
        for who in 0..2 {
            out.extend(self.step(state, who));
            // Killed, or without an answer for too long: it begins again.
            if !matches!(state.runners[who], Runner::Idle | Runner::Done) {
                let mut killed = state.clone();
                killed.runners[who] = Runner::Idle;
                out.push(killed);
            }
        }
        self.land(state, out);
        Self::others(state, out);
    }

    /// The next request of a runner.
    fn step(self, state: &State, who: usize) -> Option<State> {
        let mut next = state.clone();
        next.runners[who] = match state.runners[who] {
            Runner::Idle if !self.looks_up && state.journal.is_some() => Runner::Done,
            Runner::Idle => Runner::Seen(state.token.0),
            Runner::Seen(seen) => self.take_lease(&mut next, who, seen)?,
            Runner::Held(token) => {
                let (version, inputs) = state.newest();
                let wanted = state.wanted();
                if inputs == wanted {
                    Runner::Knows(version)
                } else {
                    Runner::Built(token, wanted, version + 1)
                }
            }
            Runner::Built(token, inputs, version) => {
                if !self.journal_last {
                    next.journal = Some(version);
                }
                next.flying.push((token, inputs, version));
                next.flying.sort_unstable();
                next.flying.dedup();
                Runner::Sent(token, inputs, version)
            }
            Runner::Knows(version) => {
                next.journal = Some(version);
                Runner::Done
            }
            Runner::Sent(..) | Runner::Done => return None,
        };
        Some(next)
    }

    fn take_lease(self, next: &mut State, who: usize, seen: u8) -> Option<Runner> {
        let token = seen + 1;
        if token > TOKENS {
            return None;
        }
        if token > next.token.0 {
            next.token = (token, 1 << who);
        } else if self.creates_leases {
            return Some(Runner::Idle);
        } else {
            next.token.1 |= 1 << who;
            if next.token == (token, 0b11) {
                next.harm = Some(Harm::TwoHoldersOfOneToken);
            }
        }
        Some(Runner::Held(token))
    }

    /// A commit lands, with or without an answer that is heard. It stays on its way, and may never land.
    fn land(self, state: &State, out: &mut Vec<State>) {
        for commit in state.flying.iter().copied() {
            let mut landed = state.clone();
            let answer = self.commit(&mut landed, commit);
            out.push(landed.clone());
            let (token, inputs, version) = commit;
            for who in 0..2 {
                if state.runners[who] == Runner::Sent(token, inputs, version) {
                    let mut heard = landed.clone();
                    heard.runners[who] = answer;
                    out.push(heard);
                }
            }
        }
    }

    fn commit(self, state: &mut State, (token, inputs, version): Commit) -> Runner {
        let (newest, newest_inputs) = state.newest();
        if self.fences && token < state.token.0 {
            return Runner::Idle;
        }
        let slot = usize::from(version);
        let (taken, made) = (state.releases[slot], Some((inputs, true)));
        if newest_inputs == inputs && newest > 0 {
            return Runner::Knows(newest);
        }
        if self.sees_yanks && state.is_yanked(inputs) {
            return Runner::Idle;
        }
        if taken.is_some() && self.creates_versions {
            return Runner::Idle;
        }
        state.harm = if taken.is_some() {
            Some(Harm::ReleaseOverwritten)
        } else if token < state.token.0 {
            Some(Harm::CommitOfAnOvertakenHolder)
        } else if state.is_yanked(inputs) {
            Some(Harm::YankedInput)
        } else if state.releases[slot - 1] == made {
            Some(Harm::DoubleRelease)
        } else {
            None
        };
        state.releases[slot] = made;
        Runner::Knows(version)
    }

    /// What people do: publish the input again, yank its newest version, publish the node.
    fn others(state: &State, out: &mut Vec<State>) {
        if state.published & 0b100 == 0 {
            let mut next = state.clone();
            next.published |= 0b100;
            out.push(next);
        }
        if state.yanked == 0 {
            let mut next = state.clone();
            next.yanked |= 1 << state.wanted();
            out.push(next);
        }
        let slot = usize::from(state.newest().0) + 1;
        if !state.by_hand && slot < VERSIONS {
            let mut next = state.clone();
            next.by_hand = true;
            next.releases[slot] = Some((state.wanted(), false));
            out.push(next);
        }
    }

    /// What is wrong with a state, also if both runners are killed in it, all requests are lost, and one begins again.
    fn harm(self, state: &State) -> Option<Harm> {
        if state.harm.is_some() {
            return state.harm;
        }
        let named = state.journal.map(usize::from);
        if named.is_some_and(|version| state.releases[version].is_none()) {
            return Some(Harm::JournalNamesNoEffect);
        }
        let mut alone = state.clone();
        (alone.runners, alone.flying) = ([Runner::Idle, Runner::Done], Vec::new());
        // The bound on tokens is the model's, not the protocol's.
        alone.token.0 = alone.token.0.min(TOKENS - 1);
        while let Some(next) = self.step(&alone, 0) {
            alone = next;
            if let Runner::Sent(token, inputs, version) = alone.runners[0] {
                alone.flying.clear();
                alone.runners[0] = self.commit(&mut alone, (token, inputs, version));
            }
        }
        let is_done = alone.runners[0] == Runner::Done && alone.newest().1 == alone.wanted();
        (!is_done).then_some(Harm::LostNode)
    }

    /// The number of states, or the first harm.
    fn check(self) -> Result<usize, Harm> {
        let first = State::first();
        let mut seen = HashSet::from([first.clone()]);
        let mut queue = VecDeque::from([first]);
        let mut found = Vec::new();
        while let Some(state) = queue.pop_front() {
            if let Some(harm) = self.harm(&state) {
                return Err(harm);
            }
            self.next(&state, &mut found);
            for state in found.drain(..) {
                let state = state.without_names();
                if seen.insert(state.clone()) {
                    queue.push_back(state);
                }
            }
        }
        Ok(seen.len())
    }
}

#[test]
fn no_order_of_requests_kills_and_late_messages_does_harm() {
    let states = RIGHT.check().expect("no harm");
    assert!(states > 10_000, "{states} states");
}

#[test]
fn every_part_of_the_protocol_is_needed() {
    let altered = |change: fn(&mut Protocol)| {
        let mut protocol = RIGHT;
        change(&mut protocol);
        protocol.check()
    };
    assert_eq!(
        altered(|p| p.creates_leases = false),
        Err(Harm::TwoHoldersOfOneToken)
    );
    assert_eq!(
        altered(|p| p.fences = false),
        Err(Harm::CommitOfAnOvertakenHolder)
    );
    assert_eq!(altered(|p| p.sees_yanks = false), Err(Harm::YankedInput));
    assert_eq!(
        altered(|p| p.creates_versions = false),
        Err(Harm::ReleaseOverwritten)
    );
    assert_eq!(
        altered(|p| p.journal_last = false),
        Err(Harm::JournalNamesNoEffect)
    );
    assert_eq!(altered(|p| p.looks_up = false), Err(Harm::LostNode));
}
