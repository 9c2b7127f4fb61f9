//! Alembic archives in Ogawa, the container of all that were written since 2013: every group and every piece of data is within the file.
//!
//! An Ogawa file is `Ogawa`, a byte that is 0xff once it was finished, a version, the place of its root group; a group is a count and as many
//! places of 8 bytes, of which the highest bit says that it is data, else a group; data is a size and as many bytes. Invariants: each group is read
//! once, groups and places are counted. Deliberately absent: archives in HDF5; objects, properties and samples.

use std::collections::HashSet;
use std::path::Path;

use super::bytes::{Bytes, Source};
use super::damaged;
use super::scene::{SceneFacts, SceneFormat};
use crate::error::Trouble;

/// The bit of a place that says that data is there.
const IS_DATA: u64 = 1 << 63;
/// The most children of all groups.
const MOST_CHILDREN: u64 = 50_000_000;
/// The most children of a group that are read at once.
const AT_ONCE: u64 = 1 << 16;
/// Children that the root group of an archive has at least: versions, objects, metadata, times, indexed metadata.
const ROOT_CHILDREN: u64 = 6;

pub(super) fn read(path: &Path) -> Result<SceneFacts, Trouble> {
    let mut source = Source::open(path)?;
    let head = source.read(0, source.size.min(16))?;
    if head.starts_with(&[0x89, b'H', b'D', b'F']) {
        return Err(Trouble::Unsupported("an archive in HDF5".to_owned()));
    }
    let mut bytes = Bytes(&head);
    if bytes.take(5)? != b"Ogawa" {
        return Err(damaged("it does not start with an Alembic header"));
    }
    let [finished, ..] = bytes.array::<3>()?;
    if finished != 0xff {
        return Err(damaged("the program that wrote it did not finish"));
    }
    let root = bytes.u64_le()?;
    if children(&mut source, root)? < ROOT_CHILDREN {
        return Err(damaged("its root group is not that of an archive"));
    }
    let (mut pending, mut seen, mut total) = (vec![root], HashSet::from([root]), 0_u64);
    while let Some(at) = pending.pop() {
        let count = children(&mut source, at)?;
        total = total.saturating_add(count);
        if total > MOST_CHILDREN {
            return Err(Trouble::TooLarge(format!("more than {MOST_CHILDREN} parts")));
        }
        let mut done = 0;
        while done < count {
            let some = (count - done).min(AT_ONCE);
            let places = source.read(at + 8 + 8 * done, 8 * some)?;
            let mut places = Bytes(&places);
            while let Ok(place) = places.u64_le() {
                child(&mut source, place, &mut pending, &mut seen)?;
            }
            done += some;
        }
    }
    Ok(SceneFacts {
        format: SceneFormat::Alembic,
        references: Vec::new(),
        problems: Vec::new(),
    })
}

/// The count of a group, all of whose places are within the file.
fn children(source: &mut Source, at: u64) -> Result<u64, Trouble> {
    let count = Bytes(&source.read(at, 8)?).u64_le()?;
    let end = count
        .checked_mul(8)
        .and_then(|bytes| bytes.checked_add(at)?.checked_add(8));
    if end.is_none_or(|end| end > source.size) {
        return Err(damaged("it is truncated: a group is past its end"));
    }
    Ok(count)
}

/// Look at a place: data is all there, a group is still to be read. Zero is what is empty.
fn child(
    source: &mut Source,
    place: u64,
    pending: &mut Vec<u64>,
    seen: &mut HashSet<u64>,
) -> Result<(), Trouble> {
    let at = place & !IS_DATA;
    if at == 0 {
        return Ok(());
    }
    if place & IS_DATA == 0 {
        if seen.insert(at) {
            pending.push(at);
        }
        return Ok(());
    }
    let size = Bytes(&source.read(at, 8)?).u64_le()?;
    let end = size.checked_add(at).and_then(|end| end.checked_add(8));
    if end.is_none_or(|end| end > source.size) {
        return Err(damaged("it is truncated: data is past its end"));
    }
    Ok(())
}
