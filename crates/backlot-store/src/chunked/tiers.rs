//! Which segments should be merged, so that a remote stays small and fast with age and many publishers.
//!
//! Segments are in tiers by size, each [`FAN`] times the one below; [`FAN`] of a tier are merged into one of the next. So
//! n pushes leave about `FAN · log(n)` segments, and each byte is written again once a tier. Invariants: who looks at the same
//! segments, in part or in whole, chooses the same group, since the oldest go first; mostly one publisher alone is responsible for it (who
//! wrote its newest member), so that 16 publishers do not do the same work 16 times. Deliberately absent: reading and writing
//! (`compact.rs`).

use std::collections::{BTreeMap, HashSet};

use super::name::StoredName;

/// Segments of a tier that make one of the next.
pub(super) const FAN: usize = 8;
/// The size of the smallest tier, in bytes; one file with one chunk is half of it.
const BASE: u64 = 256;
/// The chance of one publisher among all that see what was left over.
const TURN: f64 = 0.125;
/// A merge never makes more than so many bytes: what a push does is bounded, and so is its memory.
pub(super) const LARGEST: u64 = 256 << 20;

/// A segment's name and size in bytes.
pub(super) type Sized = (StoredName, u64);

/// The tier of a size.
fn tier(size: u64) -> u32 {
    (size / BASE).max(1).ilog(FAN as u64)
}

/// Who asks.
#[derive(Debug)]
pub(super) enum Merger<'a> {
    /// A push that wrote these segments. `lot` is a number by chance, from 0 to 1: others step in if the one responsible did not.
    Push(&'a HashSet<StoredName>, f64),
    /// A collection or a repair: it merges whatever can be merged.
    Upkeep,
}

/// The group that should be merged next, in the order of names.
pub(super) fn due(segments: &[Sized], merger: &Merger<'_>) -> Option<Vec<StoredName>> {
    let mut tiers: BTreeMap<u32, Vec<Sized>> = BTreeMap::new();
    for one in segments.iter().filter(|(_, size)| *size < LARGEST) {
        tiers.entry(tier(one.1)).or_default().push(*one);
    }
    tiers.into_values().find_map(|mut tier| {
        tier.sort_unstable();
        let group = oldest(&tier);
        (group.len() >= 2 && is_for(merger, tier.len(), &group)).then_some(group)
    })
}

/// The oldest of a tier: one group, a larger one where many were left over. The number is fixed, so that publishers that see more
/// segments choose the same.
fn oldest(tier: &[Sized]) -> Vec<StoredName> {
    let many = FAN * 4;
    let count = match tier.len() {
        few if few < FAN => 0,
        some if some < many => FAN,
        _ => many,
    };
    let mut total = 0;
    let fits = |one: &&Sized| {
        total += one.1;
        total <= LARGEST
    };
    tier[..count]
        .iter()
        .take_while(fits)
        .map(|(name, _)| *name)
        .collect()
}

fn is_for(merger: &Merger<'_>, in_tier: usize, group: &[StoredName]) -> bool {
    match merger {
        Merger::Upkeep => true,
        Merger::Push(own, lot) => {
            let responsible = group.last().is_some_and(|newest| own.contains(newest));
            responsible || in_tier >= FAN * 4 || (in_tier >= FAN * 2 && *lot <= TURN)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{FAN, Merger, due, tier};
    use crate::chunked::name::StoredName;

    /// A name of a millisecond.
    fn name(n: u64) -> StoredName {
        StoredName::from_bytes((u128::from(n) << 80).to_be_bytes())
    }

    #[test]
    fn n_pushes_leave_a_logarithm_of_segments_and_write_each_byte_a_logarithm_of_times() {
        const PUSHES: u64 = 20_000;
        const SIZE: u64 = 300;
        let mut segments = Vec::new();
        let (mut written, mut most) = (0, 0);
        for n in 0..PUSHES {
            let new = name(n * 1000);
            segments.push((new, SIZE));
            written += SIZE;
            let mut own = HashSet::from([new]);
            while let Some(group) = due(&segments, &Merger::Push(&own, 1.0)) {
                let merged = StoredName::after(&group);
                let size = segments
                    .iter()
                    .filter(|(name, _)| group.contains(name))
                    .map(|(_, size)| *size)
                    .sum();
                segments.retain(|(name, _)| !group.contains(name));
                segments.push((merged, size));
                segments.sort_unstable();
                own.insert(merged);
                written += size;
            }
            most = most.max(segments.len());
        }
        let levels = tier(PUSHES * SIZE) as usize + 1;
        assert!(most <= levels * FAN, "{most} segments in {levels} tiers");
        assert!(
            written <= PUSHES * SIZE * (levels as u64 + 1),
            "each byte was written {} times",
            written / (PUSHES * SIZE)
        );
    }

    #[test]
    fn publishers_that_see_a_few_more_segments_choose_the_same_group_and_only_one_is_responsible() {
        let segments: Vec<_> = (0..14).map(|n| (name(n), 300)).collect();
        let responsible = HashSet::from([name(7)]);
        let other = HashSet::from([name(12)]);
        for seen in FAN..segments.len() {
            let group = due(&segments[..seen], &Merger::Push(&responsible, 1.0)).expect("due");
            assert_eq!(group, (0..8).map(name).collect::<Vec<_>>());
            assert_eq!(due(&segments[..seen], &Merger::Push(&other, 0.0)), None);
        }
        // What the one responsible left undone is done by others.
        let left: Vec<_> = (0..40).map(|n| (name(n), 300)).collect();
        assert_eq!(due(&left, &Merger::Push(&other, 1.0)).expect("due").len(), 32);
        assert_eq!(
            due(&left[..20], &Merger::Push(&other, 0.1)).expect("due").len(),
            FAN
        );
        assert_eq!(due(&left[..20], &Merger::Push(&other, 0.9)), None);
    }
}
