//! Ranges of packs that are read once for all pieces of work that need them.
//!
//! Files that were stored at the same time lie in a pack in turns, so pieces of work that put a few files together each would
//! request many small adjacent ranges. Here such ranges become one span: the first piece of work that needs it reads it, the others
//! take the bytes from memory, and the last one frees them. Memory: pieces of work that share a span are at most `ahead` apart, so what is
//! held is at most what those that are at work and `ahead` more need, and [`SMALL_TOTAL`]. Deliberately absent: reading, and who works on what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use backlot_core::Context;

use super::{Coder, Entry, Malformed, StoredName};
use crate::error::Result;
use crate::parallel::each;

/// Which ranges are joined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The gap between two ranges that does not justify another request.
    pub(super) gap: u32,
    /// Bytes of a span that is made of several ranges.
    pub(super) most: u32,
    /// How far pieces of work that share a span are apart; small ranges, as of black, are kept for all.
    pub(super) ahead: usize,
}

/// Bytes of a range that is kept for all pieces of work, however far apart.
const SMALL: u32 = 4 << 10;
/// Bytes of all these ranges together.
const SMALL_TOTAL: u32 = 4 << 20;

/// Spans of one piece of work that are read at once.
const TOGETHER: usize = 4;

/// Reads a range of a pack; `None` of one that is not there.
pub(super) type Read<'a> = dyn Fn(StoredName, Range<u32>) -> Result<Option<Vec<u8>>> + Sync + 'a;

/// The spans of a list of pieces of work.
#[derive(Debug, Default)]
pub(super) struct Spans {
    spans: Vec<Span>,
    /// Those that each piece of work needs.
    of_work: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Span {
    pack: StoredName,
    range: Range<u32>,
    /// The first piece of work that needs it.
    first: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// How many pieces of work have not taken it yet.
    left: usize,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Nobody read it yet, or everybody took it.
    #[default]
    NotHere,
    /// The data read; `None` for a missing pack.
    Here(Option<Arc<Vec<u8>>>),
}

/// Stored bytes that were brought here, for one piece of work.
#[derive(Debug, Default)]
pub(super) struct Blocks(
    /// By pack and start.
    BTreeMap<(StoredName, u32), Arc<Vec<u8>>>,
);

impl Spans {
    /// Lay out spans for the ranges that pieces of work want, in the order in which these will be worked on.
    pub(super) fn plan(work: impl Iterator<Item = BTreeSet<(StoredName, u32, u32)>>, limits: Limits) -> Self {
        let mut planner = Planner {
            limits,
            spans: Vec::new(),
            last: HashMap::new(),
            small: HashMap::new(),
            small_left: SMALL_TOTAL,
        };
        let of_work = work
            .enumerate()
            .map(|(number, wanted)| {
                let needed: BTreeSet<usize> = coalesce(&wanted, limits.gap)
                    .into_iter()
                    .map(|(pack, range)| planner.span(number, pack, range))
                    .collect();
                for span in &needed {
                    let held = planner.spans[*span].held.get_mut();
                    held.unwrap_or_else(PoisonError::into_inner).left += 1;
                }
                needed.into_iter().collect()
            })
            .collect();
        Self {
            spans: planner.spans,
            of_work,
        }
    }

    /// The bytes for a piece of work; to be called once for each. Its spans are read side by side; one that another thread is
    /// reading is waited for.
    pub(super) fn take(&self, work: usize, context: &Context, read: &Read<'_>) -> Result<Blocks> {
        let needed = &self.of_work[work];
        let bytes = each(TOGETHER, needed.len(), context, |n| {
            self.spans[needed[n]].take(read)
        })?;
        let mut blocks = Blocks::default();
        for (span, bytes) in needed.iter().zip(bytes) {
            blocks.add(&self.spans[*span], bytes);
        }
        Ok(blocks)
    }
}

impl Span {
    fn take(&self, read: &Read<'_>) -> Result<Option<Arc<Vec<u8>>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match std::mem::take(&mut held.state) {
            State::Here(bytes) => bytes,
            State::NotHere => read(self.pack, self.range.clone())?.map(Arc::new),
        };
        held.left = held.left.saturating_sub(1);
        if held.left > 0 {
            held.state = State::Here(bytes.clone());
        }
        Ok(bytes)
    }
}

impl Blocks {
    fn add(&mut self, span: &Span, bytes: Option<Arc<Vec<u8>>>) {
        if let Some(bytes) = bytes {
            self.insert(span.pack, span.range.start, bytes);
        }
    }

    /// Bytes of a pack from `start` on.
    pub(super) fn insert(&mut self, pack: StoredName, start: u32, bytes: Arc<Vec<u8>>) {
        // Of two that begin at the same place the longer one has all of the other.
        let longest = self.0.entry((pack, start)).or_default();
        if longest.len() < bytes.len() {
            *longest = bytes;
        }
    }

    /// Append the bytes of a chunk.
    pub(super) fn raw(
        &self,
        pack: StoredName,
        entry: &Entry,
        coder: &mut Coder,
        bytes: &mut Vec<u8>,
    ) -> std::result::Result<(), Malformed> {
        let stored = self.stored(pack, entry).ok_or("it is truncated")?;
        coder.decode(stored, entry.scheme, entry.raw as usize, bytes)
    }

    fn stored(&self, pack: StoredName, entry: &Entry) -> Option<&[u8]> {
        // Blocks may overlap, so the nearest one that begins before it may end too early.
        let before = self.0.range((pack, 0)..=(pack, entry.offset)).rev();
        before.into_iter().find_map(|((_, start), bytes)| {
            let from = (entry.offset - start) as usize;
            bytes.get(from..from.checked_add(entry.stored as usize)?)
        })
    }
}

struct Planner {
    limits: Limits,
    spans: Vec<Span>,
    /// The latest spans of each pack, by where they begin.
    last: HashMap<StoredName, BTreeMap<u32, usize>>,
    /// Small ranges that are spans of their own.
    small: HashMap<(StoredName, u32, u32), usize>,
    small_left: u32,
}

impl Planner {
    /// The span that has a range: one that can be made longer, else a new one.
    fn span(&mut self, work: usize, pack: StoredName, range: Range<u32>) -> usize {
        let small = (pack, range.start, range.end);
        // One that has grown since is not for all.
        if let Some(number) = self.small.get(&small)
            && self.spans[*number].range == range
        {
            return *number;
        }
        let (limits, spans) = (self.limits, &mut self.spans);
        let of_pack = self.last.entry(pack).or_default();
        let below = of_pack.range(..=range.start).next_back();
        let above = of_pack.range(range.start..).next();
        let joined = below.into_iter().chain(above).find_map(|(start, number)| {
            let span = &spans[*number];
            let whole = span.range.start.min(range.start)..span.range.end.max(range.end);
            let is_near = range.start <= span.range.end.saturating_add(limits.gap)
                && span.range.start <= range.end.saturating_add(limits.gap);
            let fits = whole == span.range || whole.end - whole.start <= limits.most;
            (is_near && fits && work - span.first <= limits.ahead).then_some((*start, *number, whole))
        });
        if let Some((start, number, whole)) = joined {
            of_pack.remove(&start);
            of_pack.insert(whole.start, number);
            spans[number].range = whole;
            return number;
        }
        let length = range.end - range.start;
        if length <= SMALL && length <= self.small_left {
            self.small_left -= length;
            self.small.insert(small, spans.len());
        }
        of_pack.insert(range.start, spans.len());
        spans.push(Span {
            pack,
            range,
            first: work,
            held: Mutex::default(),
        });
        spans.len() - 1
    }
}

/// Join neighbouring ranges of a pack if the gap between them does not justify another request.
pub(super) fn coalesce(wanted: &BTreeSet<(StoredName, u32, u32)>, gap: u32) -> Vec<(StoredName, Range<u32>)> {
    let mut ranges: Vec<(StoredName, Range<u32>)> = Vec::new();
    for (pack, start, end) in wanted {
        match ranges.last_mut() {
            Some((name, range)) if name == pack && *start <= range.end.saturating_add(gap) => {
                range.end = range.end.max(*end);
            }
            _ => ranges.push((*pack, *start..*end)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::super::filter::Scheme;

    use super::*;

    const LIMITS: Limits = Limits {
        gap: 1000,
        most: 100_000,
        ahead: 3,
    };

    fn spans_of(work: &[&[(u8, u32, u32)]]) -> Spans {
        let ranges = |ranges: &&[(u8, u32, u32)]| {
            let one = |(pack, start, end): &(u8, u32, u32)| (name(*pack), *start, *end);
            ranges.iter().map(one).collect()
        };
        Spans::plan(work.iter().map(ranges), LIMITS)
    }

    fn name(pack: u8) -> StoredName {
        StoredName::from_bytes([pack; 16])
    }

    /// Takes what all need, in order. Returns how many requests and bytes that was, and most bytes held at once by the spans.
    fn all(spans: &Spans) -> (usize, usize, usize) {
        let (requests, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let read = |_, range: Range<u32>| {
            requests.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(range.len(), Ordering::Relaxed);
            Ok(Some(vec![0; range.len()]))
        };
        let mut most = 0;
        for work in 0..spans.of_work.len() {
            spans.take(work, &Context::default(), &read).expect("read");
            let held = |span: &Span| {
                let held = span.held.lock().expect("no panic");
                match &held.state {
                    State::Here(Some(bytes)) => bytes.len(),
                    _ => 0,
                }
            };
            most = most.max(spans.spans.iter().map(held).sum());
        }
        (requests.into_inner(), bytes.into_inner(), most)
    }

    #[test]
    fn files_that_lie_in_turns_are_read_in_few_requests() {
        // Four files of four pieces, in turns, each a piece of work: 16 ranges, four spans.
        let piece = |file: u32, turn: u32| (1, (turn * 4 + file) * 5000, (turn * 4 + file + 1) * 5000);
        let files: Vec<Vec<_>> = (0..4)
            .map(|file| (0..4).map(|turn| piece(file, turn)).collect())
            .collect();
        let work: Vec<&[_]> = files.iter().map(Vec::as_slice).collect();
        let spans = spans_of(&work);
        assert_eq!(all(&spans), (4, 80_000, 80_000));
        // All was given away.
        let is_gone = |span: &Span| matches!(span.held.lock().expect("no panic").state, State::NotHere);
        assert!(spans.spans.iter().all(is_gone));
    }

    #[test]
    fn work_that_is_far_apart_shares_only_what_is_small() {
        let work: [&[(u8, u32, u32)]; 6] = [&[(1, 0, 5000), (2, 7, 19)]; 6];
        // The first four share one, the last two the next; and all the small one.
        assert_eq!(all(&spans_of(&work)), (3, 10_012, 5012));
    }

    #[test]
    fn spans_grow_to_both_sides_up_to_a_limit_and_not_over_gaps() {
        let spans = spans_of(&[
            &[(1, 50_000, 60_000)],
            &[(1, 40_000, 49_500), (2, 40_000, 49_500)],
            &[(1, 60_500, 150_000), (1, 38_000, 38_500)],
        ]);
        let mut ranges: Vec<_> = spans.spans.iter().map(|s| (s.pack, s.range.clone())).collect();
        ranges.sort_by_key(|(pack, range)| (*pack, range.start));
        assert_eq!(
            ranges,
            [
                (name(1), 38_000..38_500),
                (name(1), 40_000..60_000),
                (name(1), 60_500..150_000),
                (name(2), 40_000..49_500)
            ]
        );
    }

    #[test]
    fn what_overlaps_is_found_in_the_block_that_has_all_of_it() {
        let mut blocks = Blocks::default();
        blocks.insert(name(1), 0, Arc::new((0..100).collect()));
        blocks.insert(name(1), 50, Arc::new((50..60).collect()));
        let mut entry = Entry {
            id: backlot_core::Blake3::from_bytes([0; 32]),
            offset: 55,
            stored: 20,
            raw: 20,
            scheme: Scheme::Raw,
        };
        assert_eq!(
            blocks.stored(name(1), &entry),
            Some(&(55..75).collect::<Vec<u8>>()[..])
        );
        entry.stored = 60;
        assert_eq!(blocks.stored(name(1), &entry), None);
        assert_eq!(blocks.stored(name(2), &entry), None);
    }

    #[test]
    fn a_pack_that_is_gone_is_asked_for_once_and_a_failure_again() {
        let spans = spans_of(&[&[(1, 0, 10)], &[(1, 0, 10)]]);
        let asked = AtomicUsize::new(0);
        let fails = |_, _| {
            asked.fetch_add(1, Ordering::Relaxed);
            Err(crate::Error::from(backlot_core::Cancelled::Asked))
        };
        assert!(spans.take(0, &Context::default(), &fails).is_err());
        let gone = |_, _| {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        };
        assert!(
            spans
                .take(0, &Context::default(), &gone)
                .expect("read")
                .0
                .is_empty()
        );
        assert!(
            spans
                .take(1, &Context::default(), &fails)
                .expect("known")
                .0
                .is_empty()
        );
        assert_eq!(asked.into_inner(), 2);
    }
}
