//! Collecting: what is kept stays, what is not goes in two steps, and nothing that is pushed meanwhile is lost.

use std::collections::HashSet;
use std::time::Duration;

use backlot_core::Context;

use super::{Place, Random, push};
use crate::object::{ObjectId, Transfer};
use crate::{CollectOptions, Error};

pub(super) const AT_ONCE: CollectOptions = CollectOptions {
    no_other_writers: true,
    grace: Duration::ZERO,
    young: Duration::ZERO,
    parts: Duration::MAX,
    max_unused: 10,
    allow_most: true,
    dry_run: false,
};

fn ids(items: &[Transfer]) -> HashSet<ObjectId> {
    items.iter().map(|item| item.id).collect()
}

fn frames(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.bytes(500_000)).collect()
}

#[test]
fn what_nothing_needs_is_condemned_first_and_deleted_after_the_grace_period() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let old = place.add(&cache, &frames(1, 4));
    let new = place.add(&cache, &frames(2, 8));
    let remote = place.remote();
    push(&remote, &cache, &old).expect("pushed");
    push(&remote, &cache, &new).expect("pushed");
    let before = place.stored();
    let careful = CollectOptions {
        young: Duration::ZERO,
        ..CollectOptions::default()
    };
    let dry = CollectOptions {
        dry_run: true,
        ..careful
    };
    let keep = ids(&new);
    let plan = remote.collect(&keep, &dry, &context).expect("planned");
    assert_eq!((plan.files_kept, plan.files_unreferenced), (8, 4));
    assert_eq!(plan.condemned.len(), 2, "{:?}", plan.condemned);
    assert_eq!(place.stored(), before);
    let report = remote.collect(&keep, &careful, &context).expect("collected");
    assert_eq!(report.condemned, plan.condemned);
    assert!(report.deleted.is_empty());
    // Condemned is not gone: it can be read, restored, or pushed again under other names.
    assert!(place.broken(&remote, &old, &cache).is_empty());
    assert_eq!(
        remote.restore(false, &context).expect("restored").restored.len(),
        2
    );
    assert_eq!(place.stored(), before);
    remote.collect(&keep, &careful, &context).expect("collected");
    let waiting = remote
        .collect(&keep, &careful, &context)
        .expect("collected again");
    assert_eq!(
        (
            waiting.condemned.len(),
            waiting.waiting.len(),
            waiting.deleted.len()
        ),
        (0, 2, 0)
    );
    let report = remote.collect(&keep, &AT_ONCE, &context).expect("collected");
    assert_eq!(report.deleted.len(), 2);
    assert_eq!(place.broken(&remote, &old, &cache).len(), 4);
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &new, &cache)
            .is_empty()
    );
    assert!(
        place
            .stored()
            .iter()
            .all(|(key, _)| !key.contains("/tombs/") && !key.contains("/clock/"))
    );
    push(&remote, &cache, &old).expect("pushed again");
    assert!(place.broken(&remote, &old, &cache).is_empty());
}

#[test]
fn a_condemned_pack_is_not_relied_on_and_a_file_needed_again_is_spared() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let remote = place.remote();
    let old = place.add(&cache, &frames(3, 2));
    let other = place.add(&cache, &frames(4, 5));
    push(&remote, &cache, &old).expect("pushed");
    push(&remote, &cache, &other).expect("pushed");
    let careful = CollectOptions {
        young: Duration::ZERO,
        ..CollectOptions::default()
    };
    remote
        .collect(&ids(&other), &careful, &context)
        .expect("condemned");
    let again = push(&place.remote_from("elsewhere"), &cache, &old).expect("pushed");
    assert_eq!(again.objects, 2);
    assert!(again.sent > 900_000, "nothing condemned was relied on");
    // Somebody else kept relying on the first one: the second collection sees that it is needed and spares it.
    let third = place.add(&cache, &frames(5, 2));
    push(&remote, &cache, &third).expect("pushed");
    remote
        .collect(&ids(&[old.clone(), other.clone()].concat()), &careful, &context)
        .expect("condemned");
    let everything = ids(&[old.clone(), other.clone(), third.clone()].concat());
    let report = remote
        .collect(&everything, &AT_ONCE, &context)
        .expect("collected");
    assert!(
        report.spared.iter().any(|key| key.contains("/packs/")),
        "{report:?}"
    );
    // It was stored anew, so that the tomb could go with all that it names.
    assert!(
        report
            .spared
            .iter()
            .all(|key| report.deleted.iter().any(|one| one.key == *key)),
        "{report:?}"
    );
    let tombs = place
        .stored()
        .into_iter()
        .filter(|(key, _)| key.contains("/tombs/"));
    assert_eq!(tombs.count(), 0);
    let twice = remote
        .collect(&everything, &AT_ONCE, &context)
        .expect("collected");
    assert!(
        twice.spared.is_empty() && twice.deleted.is_empty() && twice.written_bytes == 0,
        "{twice:?}"
    );
    for items in [&old, &other, &third] {
        assert!(place.broken(&remote, items, &cache).is_empty());
    }
}

#[test]
fn a_pack_that_is_needed_a_little_is_written_anew() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let remote = place.remote();
    let items = place.add(&cache, &frames(6, 12));
    push(&remote, &cache, &items).expect("pushed");
    let kept = &items[3..6];
    let report = remote.collect(&ids(kept), &AT_ONCE, &context).expect("collected");
    assert_eq!(report.rewritten, 1);
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), kept, &cache)
            .is_empty()
    );
    assert_eq!(place.broken(&remote, &items, &cache).len(), 9);
    assert!(
        place.stored_bytes() < 1_600_000,
        "{} bytes are left",
        place.stored_bytes()
    );
    let again = remote.collect(&ids(kept), &AT_ONCE, &context).expect("collected");
    assert!(again.condemned.is_empty() && again.deleted.is_empty() && again.rewritten == 0);
}

#[test]
fn most_of_a_remote_is_not_collected_by_mistake() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let remote = place.remote();
    let items = place.add(&cache, &frames(7, 4));
    push(&remote, &cache, &items).expect("pushed");
    let before = place.stored();
    let options = CollectOptions {
        young: Duration::ZERO,
        ..CollectOptions::default()
    };
    let error = remote
        .collect(&HashSet::new(), &options, &context)
        .expect_err("refused");
    assert!(matches!(error, Error::CollectsMost { .. }), "{error}");
    assert_eq!(place.stored(), before);
    // By default nothing of the last day is touched at all.
    let report = remote
        .collect(&HashSet::new(), &CollectOptions::default(), &context)
        .expect("collected");
    assert!(report.condemned.is_empty());
}

#[test]
fn many_small_pushes_are_joined() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let remote = place.remote();
    let mut all = Vec::new();
    for seed in 0..70 {
        let items = place.add(&cache, &[Random::new(seed + 100).bytes(30_000)]);
        push(&remote, &cache, &items).expect("pushed");
        all.extend(items);
    }
    let indexes = |kind: &str| {
        place
            .stored()
            .iter()
            .filter(|(key, _)| key.contains(kind))
            .count()
    };
    // 70 pushes in tiers of 8: 1 of the third, 0 of the second, 6 of the first.
    assert_eq!(
        (indexes("/packs/"), indexes("/recipes/"), indexes("/index/")),
        (70, 7, 7)
    );
    remote.collect(&ids(&all), &AT_ONCE, &context).expect("collected");
    assert_eq!((indexes("/packs/"), indexes("/recipes/")), (1, 1));
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &all, &cache)
            .is_empty()
    );
}

/// The packs among objects.
fn packs(stored: Vec<(String, u64)>) -> Vec<(String, u64)> {
    stored
        .into_iter()
        .filter(|(key, _)| key.contains("/packs/"))
        .collect()
}

/// Bytes of packs on the remote.
fn packs_of(place: &Place) -> u64 {
    place
        .stored()
        .iter()
        .filter(|(key, _)| key.contains("/packs/"))
        .map(|(_, size)| size)
        .sum()
}

#[test]
fn a_collection_never_leaves_two_forms_of_the_same_and_a_second_one_changes_nothing() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let remote = place.remote();
    let mut all = Vec::new();
    for seed in 0..40 {
        let items = place.add(&cache, &[Random::new(seed + 500).bytes(40_000)]);
        push(&remote, &cache, &items).expect("pushed");
        all.extend(items);
    }
    // By default nothing of the last day is written anew: the old form could not be condemned.
    let before = place.stored();
    let report = remote
        .collect(&ids(&all), &CollectOptions::default(), &context)
        .expect("collected");
    assert_eq!(
        (report.rewritten, report.written_bytes, report.condemned.len()),
        (0, 0, 0)
    );
    assert_eq!(packs(place.stored()), packs(before));
    let options = CollectOptions {
        young: Duration::ZERO,
        ..CollectOptions::default()
    };
    let planned = remote
        .collect(
            &ids(&all),
            &CollectOptions {
                dry_run: true,
                ..options
            },
            &context,
        )
        .expect("planned");
    let live = packs_of(&place);
    let report = remote.collect(&ids(&all), &options, &context).expect("collected");
    let keys = |report: &super::super::gc::CollectReport, kind: &str| {
        let keys = report.condemned.iter().filter(|one| one.key.contains(kind));
        keys.map(|one| (one.key.clone(), one.bytes, one.reason.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&planned, "/packs/"),
        keys(&report, "/packs/"),
        "the dry run is the plan"
    );
    assert_eq!((planned.rewritten, report.rewritten), (40, 40));
    let condemned: u64 = report.condemned.iter().map(|one| one.bytes).sum();
    assert!(condemned >= live, "the old form is condemned in the same run");
    assert!(
        place.stored_bytes() * 10 <= live * 11 + (report.written_bytes + condemned) * 10,
        "{} bytes are left of {live}",
        place.stored_bytes()
    );
    for _ in 0..3 {
        let before = place.stored();
        let again = remote.collect(&ids(&all), &options, &context).expect("collected");
        assert_eq!(
            (again.rewritten, again.condemned.len(), again.deleted.len()),
            (0, 0, 0)
        );
        assert_eq!(place.stored(), before);
    }
    let grace_over = CollectOptions {
        grace: Duration::ZERO,
        ..options
    };
    remote
        .collect(&ids(&all), &grace_over, &context)
        .expect("collected");
    assert!(packs_of(&place) * 10 <= live * 11);
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &all, &cache)
            .is_empty()
    );
}

#[test]
fn what_is_unused_in_packs_is_at_most_a_tenth_of_what_is_needed() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let remote = place.remote();
    let (mut keep, mut all) = (Vec::new(), Vec::new());
    // Each pack is needed by three fifths: none of them is mostly unused.
    for seed in 0..6 {
        let items = place.add(&cache, &frames(seed + 40, 5));
        push(&remote, &cache, &items).expect("pushed");
        keep.extend_from_slice(&items[..3]);
        all.extend(items);
    }
    let report = remote
        .collect(&ids(&keep), &AT_ONCE, &context)
        .expect("collected");
    assert!(report.rewritten >= 5, "{report:?}");
    let live = report.needed_bytes;
    assert!(
        packs_of(&place) * 10 <= live * 11,
        "{} bytes for {live}",
        packs_of(&place)
    );
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &keep, &cache)
            .is_empty()
    );
    // The recipes of what was dropped are gone too: nothing leads to packs that are not there.
    assert_eq!(remote.list(&context).expect("listed").len(), keep.len());
}
