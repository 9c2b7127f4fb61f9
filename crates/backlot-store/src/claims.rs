//! Several pulls into one cache: each object is fetched by one of them, while the others wait for it.
//!
//! A pull writes what it is about to fetch into a claim, a file that it keeps locked. Claims are made one after the other, each without what an
//! earlier one has, so no object is claimed twice, and two pulls never wait for each other. Claims are a courtesy: an object that is fetched twice
//! is stored once all the same, so a claim that cannot be made or read is no claim. Invariant: a claim ends when its process
//! does, and nobody waits for one that brings nothing for [`PATIENCE`]. Deliberately absent: claims between machines, beyond
//! what locks on a shared disk give.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backlot_core::shared::{self, Modes};
use backlot_core::{Context, file};
use fs_err as fs;

use crate::cache::Cache;
use crate::error::Result;
use crate::object::ObjectId;

/// How long to wait for a claim that brings nothing.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

/// A claim of this pull; given up when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _file: Option<fs::File>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

impl Claim {
    /// Claim objects. Returns the claim and, of the objects, those that earlier claims have.
    pub(crate) fn of(cache: &Cache, ids: &[ObjectId]) -> (Self, HashSet<ObjectId>) {
        let folder = cache.claims();
        // Given up when this returns: what was claimed before is seen, and what is claimed now is seen by who comes next.
        let _turn = turn(&folder);
        let claimed = claimed(cache);
        let (taken, own): (Vec<ObjectId>, Vec<ObjectId>) = ids.iter().partition(|id| claimed.contains(id));
        let path = file::temporary_in(&folder);
        let claim = Self {
            _file: write(&path, &own),
            path,
        };
        (claim, taken.into_iter().collect())
    }
}

/// Wait until objects that others have claimed are in the cache, or will not be. Returns those that are not.
pub(crate) fn wait(cache: &Cache, mut ids: Vec<ObjectId>, context: &Context) -> Result<Vec<ObjectId>> {
    let mut since = Instant::now();
    while !ids.is_empty() {
        let claimed = claimed(cache);
        // What was claimed and is claimed no more is there by now, so look after the claims.
        let before = ids.len();
        ids.retain(|id| !cache.object_path(id).is_file());
        if ids.len() < before {
            since = Instant::now();
        }
        if !ids.iter().any(|id| claimed.contains(id)) || since.elapsed() > PATIENCE {
            break;
        }
        context.check()?;
        std::thread::sleep(PAUSE);
    }
    Ok(ids)
}

/// The turn to claim: the folder, which is locked meanwhile. `None` where that cannot be done.
fn turn(folder: &Path) -> Option<fs::File> {
    shared::make_folder_for_now(folder).ok()?;
    let opened = fs::File::open(folder).ok()?;
    opened.file().lock().ok()?;
    Some(opened)
}

fn write(path: &Path, ids: &[ObjectId]) -> Option<fs::File> {
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let folder = path.parent()?;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(path).ok()?;
    shared::set_mode_of(&file, Modes::of(folder).file()).ok()?;
    file.file().lock().ok()?;
    file.write_all(text.as_bytes()).ok()?;
    Some(file)
}

/// What live processes have claimed.
fn claimed(cache: &Cache) -> HashSet<ObjectId> {
    let entries = fs::read_dir(cache.claims()).into_iter().flatten().flatten();
    let claim = |entry: fs::DirEntry| {
        let mut file = fs::File::open(entry.path()).ok()?;
        if file.file().try_lock_shared().is_ok() {
            // Its process ended without giving it up.
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let objects = text.lines().filter_map(|line| line.parse().ok());
        Some(objects.collect::<Vec<ObjectId>>())
    };
    entries.filter_map(claim).flatten().collect()
}
