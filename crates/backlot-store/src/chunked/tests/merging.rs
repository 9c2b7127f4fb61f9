//! Merging: bounded and complete in every order of requests, and with real publishers at work.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use backlot_core::Context;
use fs_err as fs;

use super::collecting::AT_ONCE;
use super::model::explore;
use super::{Place, Random, push};
use crate::chunked::index;
use crate::chunked::remote::ChunkedRemote;
use crate::object::{ObjectId, Transfer};

/// How often each of four items is in a segment. Items are what segments are sets of: packs, or recipes.
type Items = [u8; 4];
const ITEMS: u32 = 4;
const MERGERS: usize = 3;
/// Segments of a group in the model.
const FAN: usize = 2;

/// What the merging does, and what a control leaves out.
#[derive(Clone, Copy, Debug)]
struct Merging {
    /// What is in two segments is once in their union.
    is_a_set: bool,
    /// The union is written before what it is made of is deleted.
    writes_first: bool,
    /// As for index segments: two unions of the same segments have one name, and a segment is deleted by the next merger if larger names
    /// have all its items.
    is_derived: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Segment {
    /// Names sort; the low digits tell who made it, or what is in it.
    name: u32,
    items: Items,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    List,
    LookAgain { group: Vec<Segment> },
    Put { group: Vec<Segment> },
    Delete { group: Vec<Segment>, next: u8 },
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    segments: Vec<Segment>,
    mergers: [(Step, u8); MERGERS],
}

/// Merges that one merger does.
const RUNS: u8 = 2;
/// Copies of items that there are at most in derived segments: all of them, and two merges one on the other that are not done.
const MOST: u32 = ITEMS * 3;

fn first() -> State {
    let one = |n: usize| {
        let mut items = Items::default();
        items[n] = 1;
        Segment {
            name: u32::try_from(n).unwrap_or(0) * 1000,
            items,
        }
    };
    State {
        segments: (0..ITEMS as usize).map(one).collect(),
        mergers: std::array::from_fn(|_| (Step::List, 0)),
    }
}

fn copies(segments: &[Segment]) -> u32 {
    segments
        .iter()
        .flat_map(|segment| segment.items)
        .map(u32::from)
        .sum()
}

/// The segments whose items are all in segments with larger names.
fn covered(segments: &[Segment]) -> Vec<Segment> {
    let is_covered = |n: usize| {
        let larger = &segments[n + 1..];
        let has = |item: usize| larger.iter().any(|segment| segment.items[item] > 0);
        (0..ITEMS as usize).all(|item| segments[n].items[item] == 0 || has(item))
    };
    let covered = (0..segments.len()).filter(|n| is_covered(*n));
    covered.map(|n| segments[n]).collect()
}

fn has_all(segments: &[Segment]) -> bool {
    (0..ITEMS as usize).all(|n| segments.iter().any(|segment| segment.items[n] > 0))
}

impl Merging {
    fn union(self, group: &[Segment], who: usize) -> Segment {
        let mut items = Items::default();
        for segment in group {
            for (sum, more) in items.iter_mut().zip(segment.items) {
                *sum = if self.is_a_set {
                    (*sum).max(more)
                } else {
                    (*sum + more).min(9)
                };
            }
        }
        let newest = group.iter().map(|segment| segment.name).max().unwrap_or(0);
        let mark = if self.is_derived {
            items
                .iter()
                .fold(0, |bits, count| bits * 2 + u32::from(*count > 0))
        } else {
            u32::try_from(who).unwrap_or(0)
        };
        // After those that it replaces.
        Segment {
            name: newest + 20 + mark,
            items,
        }
    }

    fn step(self, state: &State, who: usize, out: &mut Vec<State>) {
        let (step, runs) = &state.mergers[who];
        let mut next = state.clone();
        let there = |group: &[Segment]| group.iter().all(|one| state.segments.contains(one));
        next.mergers[who].0 = match step {
            Step::List if self.is_derived && *runs < RUNS && !covered(&state.segments).is_empty() => {
                Step::Delete {
                    group: covered(&state.segments),
                    next: 0,
                }
            }
            Step::List if *runs == RUNS || state.segments.len() < FAN => Step::Done,
            Step::List => {
                next.mergers[who].1 += 1;
                Step::LookAgain {
                    group: state.segments[..FAN].to_vec(),
                }
            }
            // Somebody else is at the same work.
            Step::LookAgain { group } if !there(group) => Step::List,
            Step::LookAgain { group } if self.writes_first => Step::Put { group: group.clone() },
            Step::LookAgain { group } => Step::Delete {
                group: group.clone(),
                next: 0,
            },
            Step::Put { group } => {
                let union = self.union(group, who);
                if !next.segments.iter().any(|segment| segment.name == union.name) {
                    next.segments.push(union);
                    next.segments.sort_unstable();
                }
                if self.writes_first {
                    Step::Delete {
                        group: group.clone(),
                        next: 0,
                    }
                } else {
                    Step::List
                }
            }
            Step::Delete { group, next: n } => match group.get(usize::from(*n)) {
                Some(old) => {
                    next.segments.retain(|segment| segment.name != old.name);
                    Step::Delete {
                        group: group.clone(),
                        next: n + 1,
                    }
                }
                None if self.writes_first => Step::List,
                None => Step::Put { group: group.clone() },
            },
            Step::Done => return,
        };
        out.push(next);
        let mut crashed = state.clone();
        crashed.mergers[who].0 = Step::Done;
        out.push(crashed);
    }

    /// Visit all orders. An error is a state in which an item is lost, or there are more copies than `most`.
    fn check(self, most: u32) -> Result<usize, Box<State>> {
        let next =
            |state: &State, out: &mut Vec<State>| (0..MERGERS).for_each(|who| self.step(state, who, out));
        let broken = |state: &State| {
            if !has_all(&state.segments) || copies(&state.segments) > most {
                return true;
            }
            let ended = state.mergers.iter().all(|(step, _)| *step == Step::Done);
            // Whatever is left, one merge by itself leaves each item once.
            ended && copies(&[self.union(&state.segments, 0)]) != ITEMS
        };
        explore(first(), next, broken).map_err(Box::new)
    }
}

#[test]
fn segments_that_three_merge_at_once_stay_bounded_and_whole_in_any_order_of_requests() {
    let merging = Merging {
        is_a_set: true,
        writes_first: true,
        is_derived: false,
    };
    // A merge that was killed, or is not finished, may have left all items once more: growth by sums, never by factors.
    let merges = u32::try_from(MERGERS).unwrap_or(0) * u32::from(RUNS);
    let states = merging.check(ITEMS * (1 + merges)).expect("bounded and whole");
    assert!(states > 10_000, "{states} states");
    for broken in [
        Merging {
            is_a_set: false,
            ..merging
        },
        Merging {
            writes_first: false,
            ..merging
        },
    ] {
        assert!(
            broken.check(u32::MAX).is_err(),
            "{broken:?} should grow or lose something"
        );
    }
    // Mergers of the same segments at the same time add nothing if their unions have one name.
    for (is_derived, is_bounded) in [(true, true), (false, false)] {
        let merging = Merging {
            is_derived,
            ..merging
        };
        assert_eq!(merging.check(MOST).is_ok(), is_bounded, "{merging:?}");
    }
}

/// Bytes and number of the objects of a kind, and the packs that there are.
fn stored(place: &Place, kind: &str) -> (u64, usize) {
    let of_kind = place.stored().into_iter().filter(|(key, _)| key.contains(kind));
    of_kind.fold((0, 0), |(bytes, count), (_, size)| (bytes + size, count + 1))
}

#[test]
fn publishers_at_once_leave_an_index_of_twice_what_it_needs_at_all_times() {
    const PUBLISHERS: u64 = 16;
    const RELEASES: u64 = 12;
    let place = Place::new();
    let context = Context::default();
    let first = place.cache("first");
    push(
        &place.remote(),
        &first,
        &place.add(&first, &[b"the first".to_vec()]),
    )
    .expect("pushed");
    let done = AtomicBool::new(false);
    let publish = |who: u64| {
        let cache = place.cache(&format!("cache{who}"));
        let remote = place.remote_from(&format!("mirrors{who}"));
        let mut random = Random::new(1 + who);
        let mut contents: Vec<Vec<u8>> = (0..5).map(|_| random.bytes(6000)).collect();
        let mut all = Vec::new();
        for _ in 0..RELEASES {
            contents[0] = random.bytes(6000);
            contents[1] = random.bytes(6000);
            let items = place.add(&cache, &contents);
            remote.push(&cache, &items, &context).expect("pushed");
            all.extend(items);
        }
        all
    };
    // A pack of two or five chunks needs 64 bytes and 48 for each chunk; a segment by itself has 64 more.
    let watch = || {
        let mut worst = 0;
        while !done.load(Ordering::Relaxed) {
            let (index, _) = stored(&place, "/index/");
            let (_, packs) = stored(&place, "/packs/");
            // What was written between the two listings is not counted.
            let needed = packs as u64 * (64 + 2 * 48) + PUBLISHERS * (3 * 48 + 64);
            worst = worst.max(index * 100 / needed);
        }
        worst
    };
    let (all, worst) = std::thread::scope(|scope| {
        let watcher = scope.spawn(watch);
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|who| scope.spawn(move || publish(who)))
            .collect();
        let all: Vec<Vec<Transfer>> = publishers
            .into_iter()
            .map(|one| one.join().expect("published"))
            .collect();
        done.store(true, Ordering::Relaxed);
        (all, watcher.join().expect("watched"))
    });
    assert!(worst <= 200, "the index had {worst} hundredths of what it needs");
    for kind in ["/index/", "/recipes/"] {
        let (_, count) = stored(&place, kind);
        assert!(count <= 48, "{count} of {kind}");
    }
    let all_there = |mirrors: &str| {
        for (who, items) in all.iter().enumerate() {
            let original = place.cache(&format!("cache{who}"));
            assert!(
                place
                    .broken(&place.remote_from(mirrors), items, &original)
                    .is_empty()
            );
        }
    };
    all_there("elsewhere");
    // Upkeep leaves nothing that is there twice.
    put_in_order(&place.remote());
    assert_eq!(indexed(&place), (stored(&place, "/packs/").1, 0));
    all_there("third");
}

fn put_in_order(remote: &ChunkedRemote) {
    let site = remote.find().expect("found").expect("there");
    site.put_in_order(&Context::default()).expect("in order");
}

/// How many packs the index names, and how often it names one again.
fn indexed(place: &Place) -> (usize, usize) {
    let (mut packs, mut again) = (HashSet::new(), 0);
    for entry in fs::read_dir(place.path("remote/v1/index")).expect("listed") {
        let segment = index::Segment::open(&entry.expect("listed").path()).expect("read");
        again += segment
            .containers()
            .iter()
            .filter(|pack| !packs.insert(pack.name))
            .count();
    }
    (packs.len(), again)
}

/// The remote that the version before left: an index five times as large as needed, 160 recipe segments.
fn grown() -> Place {
    let place = Place::new();
    let archive =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/format/v1/grown.tar.zst");
    let packed = fs::read(archive).expect("a fixture");
    let bytes = zstd::stream::decode_all(&packed[..]).expect("unpacked");
    tar::Archive::new(&bytes[..])
        .unpack(place.path("remote"))
        .expect("unpacked");
    place
}

/// Pull everything that it lists, each file proven by its name.
fn pull_all(place: &Place, remote: &ChunkedRemote) -> HashSet<ObjectId> {
    let context = Context::default();
    let all: Vec<Transfer> = remote
        .list(&context)
        .expect("listed")
        .into_iter()
        .map(|entry| Transfer {
            id: entry.id,
            size: Some(entry.size),
            blake3: None,
        })
        .collect();
    let cache = place.cache(&format!("pulled-{}", crate::chunked::name::StoredName::fresh()));
    let (results, _) = remote.pull(&cache, &all, &context).expect("pulled");
    assert!(
        results
            .iter()
            .all(|one| matches!(one, crate::remote::Fetched::Stored(_))),
        "all come back"
    );
    all.iter().map(|item| item.id).collect()
}

#[test]
fn a_remote_grown_by_the_version_before_is_read_and_healed_by_the_next_push() {
    let place = grown();
    let (packs, again) = indexed(&place);
    assert!(again > packs * 3, "{packs} packs, {again} again");
    assert_eq!(stored(&place, "/recipes/").1, 160);
    let files = pull_all(&place, &place.remote());
    let cache = place.cache("cache");
    push(
        &place.remote(),
        &cache,
        &place.add(&cache, &[b"one more".to_vec()]),
    )
    .expect("pushed");
    let (packs, again) = indexed(&place);
    assert!(again <= packs, "{packs} packs, {again} again");
    assert!(
        stored(&place, "/recipes/").1 < 24,
        "{} segments",
        stored(&place, "/recipes/").1
    );
    assert!(files.is_subset(&pull_all(&place, &place.remote_from("elsewhere"))));
}

#[test]
fn a_collection_heals_a_remote_grown_by_the_version_before() {
    let place = grown();
    let context = Context::default();
    let files = pull_all(&place, &place.remote());
    let report = place
        .remote()
        .collect(&files, &AT_ONCE, &context)
        .expect("collected");
    assert_eq!(report.files_kept, files.len() as u64);
    assert_eq!(indexed(&place), (stored(&place, "/packs/").1, 0));
    assert!(stored(&place, "/recipes/").1 <= 8 && stored(&place, "/packs/").1 <= 8);
    assert_eq!(pull_all(&place, &place.remote_from("elsewhere")), files);
}
