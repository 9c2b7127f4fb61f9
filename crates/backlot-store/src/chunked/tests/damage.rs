//! Flipped bits, lost objects and torn ones: every file comes back as it was or is named, and can be repaired.

use std::collections::BTreeSet;

use backlot_core::Context;
use fs_err as fs;

use super::{Place, Random, contents, push};
use crate::object::{ObjectId, Transfer};

fn expected(items: &[Transfer]) -> Vec<(ObjectId, Option<backlot_core::Blake3>)> {
    items.iter().map(|item| (item.id, item.blake3)).collect()
}

/// What a machine that never saw the remote finds broken: by a verification, or because it cannot even begin.
fn told_broken(place: &Place, mirrors: &str, items: &[Transfer]) -> BTreeSet<ObjectId> {
    match place
        .remote_from(mirrors)
        .verify(&expected(items), None, &Context::default())
    {
        Ok((report, _)) => report.damaged.into_iter().chain(report.missing).collect(),
        Err(_) => items.iter().map(|item| item.id).collect(),
    }
}

#[test]
fn a_flipped_bit_anywhere_is_harmless_or_told_and_then_repaired() {
    let place = Place::new();
    let cache = place.cache("cache");
    let mut random = Random::new(77);
    let items = place.add(&cache, &contents(7));
    push(&place.remote(), &cache, &items).expect("pushed");
    let objects = place.stored();
    for round in 0..60 {
        let (key, size) = &objects[round % objects.len()];
        let path = place.path("remote").join(key);
        let Ok(sound) = fs::read(&path) else { continue };
        let mut bytes = sound.clone();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        fs::write(&path, &bytes).expect("damaged");
        let mirrors = format!("mirrors-{round}");
        let told = told_broken(&place, &mirrors, &items);
        let fresh = place.remote_from(&mirrors);
        let pulled = place.cache(&format!("pulled-{round}"));
        match fresh.pull(&pulled, &items, &Context::default()) {
            Ok((results, _)) => {
                for (item, result) in items.iter().zip(results) {
                    if matches!(result, crate::remote::Fetched::Stored(_)) {
                        let same = fs::read(pulled.object_path(&item.id)).expect("there")
                            == fs::read(cache.object_path(&item.id)).expect("there");
                        assert!(same, "{key}: a wrong file");
                    } else {
                        assert!(
                            told.contains(&item.id),
                            "{key} at {at} of {size}: damage that verify does not tell"
                        );
                    }
                }
            }
            Err(error) => assert!(
                matches!(
                    error,
                    crate::Error::DamagedRemote { .. } | crate::Error::BadRemote { .. }
                ),
                "{error}"
            ),
        }
        fs::remove_dir_all(pulled.root()).expect("removed");
        fs::write(&path, &sound).expect("put back");
    }
}

#[test]
fn damaged_packs_are_named_with_what_they_hurt_and_repaired_from_a_cache() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(9));
    push(&place.remote(), &cache, &items).expect("pushed");
    let (pack, _) = place
        .stored()
        .into_iter()
        .find(|(key, _)| key.contains("/packs/"))
        .expect("a pack");
    let path = place.path("remote").join(&pack);
    let mut bytes = fs::read(&path).expect("there");
    for at in [1 << 20, 5 << 20, 9 << 20] {
        bytes[at] ^= 0x40;
    }
    fs::write(&path, bytes).expect("damaged");
    let remote = place.remote();
    let (report, _) = remote
        .verify(&expected(&items), None, &context)
        .expect("verified");
    assert_eq!(report.packs.len(), 1);
    assert_eq!(report.packs[0].key, pack);
    assert!(!report.damaged.is_empty() && report.damaged.len() < items.len());
    let hurt: Vec<Transfer> = report.damaged.iter().map(|id| Transfer::of(*id)).collect();
    assert_eq!(place.broken(&remote, &items, &cache).len(), hurt.len());
    let names: Vec<_> = report.packs.iter().map(|pack| pack.name).collect();
    let repaired = remote.repair(&cache, &hurt, &names, &context).expect("repaired");
    assert_eq!(repaired.objects, hurt.len() as u64);
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &items, &cache)
            .is_empty()
    );
    // Nothing new is ever built on the damaged pack.
    let (report, _) = remote.verify(&expected(&hurt), None, &context).expect("verified");
    assert!(report.damaged.is_empty() && report.packs.is_empty());
}

#[test]
fn a_lost_index_is_made_anew_from_the_packs() {
    let place = Place::new();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(4));
    push(&place.remote(), &cache, &items).expect("pushed");
    fs::remove_dir_all(place.path("remote/v1/index")).expect("lost");
    // Reading needs no index.
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &items, &cache)
            .is_empty()
    );
    let mut bytes = contents(4).pop().expect("some");
    bytes[3_000_000] ^= 1;
    let later = place.add(&cache, &[bytes]);
    let report = push(&place.remote(), &cache, &later).expect("pushed");
    assert!(report.sent < 1 << 20, "{} bytes were sent", report.sent);
    assert!(place.path("remote/v1/index").is_dir());
}

#[test]
fn a_damaged_recipe_segment_is_told_set_aside_and_pushed_again() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(6));
    push(&place.remote(), &cache, &items).expect("pushed");
    let (recipes, _) = place
        .stored()
        .into_iter()
        .find(|(key, _)| key.contains("/recipes/"))
        .expect("recipes");
    let path = place.path("remote").join(&recipes);
    let mut bytes = fs::read(&path).expect("there");
    bytes[100] ^= 1;
    fs::write(&path, bytes).expect("damaged");
    let remote = place.remote_from("elsewhere");
    let error = remote
        .pull(&place.cache("other"), &items, &context)
        .expect_err("told");
    assert!(
        matches!(&error, crate::Error::DamagedRemote { object, .. } if *object == recipes),
        "{error}"
    );
    let error = remote
        .collect(
            &std::collections::HashSet::new(),
            &crate::CollectOptions::default(),
            &context,
        )
        .expect_err("nothing is collected");
    assert!(matches!(error, crate::Error::DamagedRemote { .. }));
    let report = remote.repair(&cache, &items, &[], &context).expect("repaired");
    // All chunks were there still.
    assert!(report.sent < 100_000, "{} bytes were sent", report.sent);
    assert!(
        place
            .broken(&place.remote_from("third"), &items, &cache)
            .is_empty()
    );
}

/// The only object of a remote below a folder of `v1/`.
fn only(place: &Place, folder: &str) -> (String, std::path::PathBuf) {
    let folder = format!("/{folder}/");
    let mut found: Vec<String> = place.stored().into_iter().map(|(key, _)| key).collect();
    found.retain(|key| key.contains(&folder));
    assert_eq!(found.len(), 1, "{found:?}");
    let key = found.remove(0);
    let path = place.path("remote").join(&key);
    (key, path)
}

fn change(path: &std::path::Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("there");
    change(&mut bytes);
    fs::write(path, bytes).expect("damaged");
}

#[test]
fn a_push_does_not_rely_on_a_damaged_recipe_segment_that_only_its_mirror_has() {
    let damages: [fn(&mut Vec<u8>); 3] = [Vec::clear, |bytes| bytes.truncate(200), |bytes| bytes[100] ^= 1];
    for damage in damages {
        let place = Place::new();
        let cache = place.cache("cache");
        let items = place.add(&cache, &contents(6));
        push(&place.remote(), &cache, &items).expect("pushed");
        change(&only(&place, "recipes").1, damage);
        let report = push(&place.remote(), &cache, &items).expect("pushed");
        assert_eq!((report.objects, report.already_there), (items.len() as u64, 0));
        // The chunks were there.
        assert!(report.sent < 100_000, "{} bytes were sent", report.sent);
        assert!(
            place
                .broken(&place.remote_from("elsewhere"), &items, &cache)
                .is_empty()
        );
    }
}

#[test]
fn recipes_that_were_damaged_are_stored_again_from_the_mirror_also_of_files_that_no_cache_has() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(6));
    push(&place.remote(), &cache, &items).expect("pushed");
    let (key, path) = only(&place, "recipes");
    change(&path, |bytes| bytes[100] ^= 1);
    let remote = place.remote();
    // What only this machine can read does not pass for stored.
    let known = remote.known(&[items[3].id], &context).expect("asked");
    assert!(known[0].is_none());
    let (report, _) = remote
        .verify(&expected(&items), None, &context)
        .expect("verified");
    assert_eq!(report.segments, std::slice::from_ref(&key));
    assert_eq!(report.missing.len(), items.len());
    let empty = place.cache("empty");
    remote.repair(&empty, &[], &[], &context).expect("repaired");
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &items, &cache)
            .is_empty()
    );
    let (report, _) = remote
        .verify(&expected(&items), None, &context)
        .expect("verified");
    assert!(report.segments.is_empty() && report.missing.is_empty());
    assert!(!path.exists());
}

#[test]
fn a_damaged_index_segment_is_made_anew_by_a_repair() {
    let damages: [fn(&mut Vec<u8>); 2] = [Vec::clear, |bytes| bytes[60] ^= 1];
    for damage in damages {
        let place = Place::new();
        let context = Context::default();
        let cache = place.cache("cache");
        let items = place.add(&cache, &contents(4));
        push(&place.remote(), &cache, &items).expect("pushed");
        let (key, path) = only(&place, "index");
        change(&path, damage);
        let remote = place.remote();
        let verify = || {
            let verified = remote.verify(&expected(&items), None, &context);
            verified.expect("verified").0.segments
        };
        assert_eq!(verify(), [key]);
        remote.repair(&cache, &[], &[], &context).expect("repaired");
        assert!(verify().is_empty() && !path.exists());
        only(&place, "index");
        // It knows the chunks: another version of a file costs what is new about it.
        let mut bytes = contents(4).pop().expect("some");
        bytes[3_000_000] ^= 1;
        let later = place.add(&cache, &[bytes]);
        let report = push(&place.remote_from("elsewhere"), &cache, &later).expect("pushed");
        assert!(report.sent < 1 << 20, "{} bytes were sent", report.sent);
    }
}

#[test]
fn a_cut_pack_counts_as_lost_for_who_pushes_copies_or_relies_on_it() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(2));
    push(&place.remote(), &cache, &items).expect("pushed");
    let other = Place::new();
    let ids: Vec<ObjectId> = items.iter().map(|item| item.id).collect();
    let copy = || {
        let (report, missing) = other
            .remote()
            .copy_from(&place.remote_from("source"), &ids, &context)
            .expect("copied");
        assert!(missing.is_empty());
        assert_eq!(report.objects + report.already_there, items.len() as u64);
        report.objects
    };
    assert_eq!(copy(), items.len() as u64);
    assert_eq!(copy(), 0);
    // The end is cut off: the table is gone, and nothing in the pack can be found.
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
    change(&only(&other, "packs").1, cut);
    assert!(copy() > 0);
    assert!(
        other
            .broken(&other.remote_from("elsewhere"), &items, &cache)
            .is_empty()
    );
    change(&only(&place, "packs").1, cut);
    let known = place.remote().known(&ids, &context).expect("asked");
    assert!(known.iter().any(Option::is_none));
    let report = push(&place.remote(), &cache, &items).expect("pushed");
    assert!(report.objects > 0);
    assert_eq!(report.objects + report.already_there, items.len() as u64);
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &items, &cache)
            .is_empty()
    );
}

#[test]
fn a_torn_pack_is_told_and_its_whole_files_come_back() {
    let place = Place::new();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(2));
    push(&place.remote(), &cache, &items).expect("pushed");
    let (pack, size) = place
        .stored()
        .into_iter()
        .find(|(key, _)| key.contains("/packs/"))
        .expect("a pack");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(place.path("remote").join(pack))
        .expect("opened");
    file.set_len(size / 2).expect("torn");
    let broken = place.broken(&place.remote_from("elsewhere"), &items, &cache);
    let told = told_broken(&place, "third", &items);
    assert!(!broken.is_empty());
    assert!(broken.iter().all(|id| told.contains(id)));
}

#[test]
fn a_remote_of_a_later_version_is_refused() {
    let place = Place::new();
    let cache = place.cache("cache");
    let items = place.add(&cache, &[b"frame".to_vec()]);
    push(&place.remote(), &cache, &items).expect("pushed");
    let path = place.path("remote/backlot-remote.json");
    let text = fs::read_to_string(&path).expect("there");
    fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).expect("written");
    let error = push(&place.remote(), &cache, &items).expect_err("refused");
    assert!(error.to_string().contains("format 2"), "{error}");
}
