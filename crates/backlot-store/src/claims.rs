//! Several pulls into one cache: each object is fetched by one of them, while the others wait for it.
//!
//! A pull writes what it is about to fetch into a claim, a file that it keeps locked. Of two claims on an object the older one
//! (by name) counts, so nobody waits for somebody who waits for them. Claims are a courtesy: an object that is fetched twice
//! is stored once all the same, so a claim that cannot be made or read is no claim. Invariant: a claim ends when its process
//! does, and nobody waits for one that brings nothing for [`PATIENCE`]. Deliberately absent: claims between machines, beyond
//! what locks on a shared disk give.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
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

/// The claim of another pull.
struct Other {
    path: PathBuf,
    objects: HashSet<ObjectId>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

impl Claim {
    /// Claim objects. Returns the claim and, of the objects, those that older claims have.
    pub(crate) fn of(cache: &Cache, ids: &[ObjectId]) -> (Self, HashSet<ObjectId>) {
        let path = file::temporary_in(&cache.claims());
        let claim = Self {
            _file: write(&path, ids),
            path,
        };
        let wanted: HashSet<ObjectId> = ids.iter().copied().collect();
        let older = others(cache).into_iter().filter(|other| other.path < claim.path);
        let taken = older
            .flat_map(|other| other.objects)
            .filter(|id| wanted.contains(id))
            .collect();
        (claim, taken)
    }
}

/// Wait until objects that others have claimed are in the cache, or will not be. Returns those that are not.
pub(crate) fn wait(cache: &Cache, mut ids: Vec<ObjectId>, context: &Context) -> Result<Vec<ObjectId>> {
    let mut since = Instant::now();
    while !ids.is_empty() {
        let claimed: HashSet<ObjectId> = others(cache)
            .into_iter()
            .flat_map(|other| other.objects)
            .collect();
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

fn write(path: &std::path::Path, ids: &[ObjectId]) -> Option<fs::File> {
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let folder = path.parent()?;
    shared::make_folder_for_now(folder).ok()?;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(path).ok()?;
    shared::set_mode_of(&file, Modes::of(folder).file()).ok()?;
    file.file().lock().ok()?;
    file.write_all(text.as_bytes()).ok()?;
    Some(file)
}

/// The claims that live processes hold.
fn others(cache: &Cache) -> Vec<Other> {
    let entries = fs::read_dir(cache.claims()).into_iter().flatten().flatten();
    let claim = |entry: fs::DirEntry| {
        let path = entry.path();
        let mut file = fs::File::open(&path).ok()?;
        if file.file().try_lock_shared().is_ok() {
            // Its process ended without giving it up, or has not locked it yet.
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let objects = text.lines().filter_map(|line| line.parse().ok()).collect();
        Some(Other { path, objects })
    };
    entries.filter_map(claim).collect()
}
