//! Packs on their way out: laid out here, written by one thread, finished (synced, named, noted) by another.
//!
//! Channels are bounded, so a slow remote slows the pipeline instead of filling memory. Invariant: a pack is noted in the
//! local journal only after it is complete on the remote; an interrupted push finds it there and does not send it again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use backlot_core::{Blake3, file, shared};
use fs_err as fs;

use super::blob::{BlobStore, BlobWriter};
use super::config::PackLimits;
use super::filter::Scheme;
use super::index::{self, SegmentBuilder};
use super::name::{Kind, StoredName};
use super::pack::{Entry, HEADER, PackFacts, PackLayout, RECORD, TRAILER};
use crate::error::Result;

/// Batches that wait for the writer.
const QUEUE: usize = 1;

/// How packs are finished.
struct Finish {
    /// The longest pack.
    longest: u32,
    /// Packs that wait.
    waiting: usize,
    /// Packs that are finished at once.
    at_once: usize,
}

/// Their bytes are on the disk already: while one waits for its name to be there, another waits for its bytes.
const ON_DISK: Finish = Finish {
    longest: u32::MAX,
    waiting: 8,
    at_once: 2,
};
/// What is in memory until it is sent does not wait: there are as many packs as are sent, so many that a long line is used, and one that is filled.
const IN_MEMORY: Finish = Finish {
    longest: 8 << 20,
    waiting: 0,
    at_once: 6,
};

/// What the writer does next.
enum Step {
    Begin(StoredName, [u8; HEADER]),
    /// Write a part of a buffer of the batch.
    Bytes(usize, Range<usize>),
    End(Vec<u8>, PackFacts, Vec<Entry>),
}

/// Stored chunks and where they go.
#[derive(Default)]
struct Batch {
    buffers: Vec<Vec<u8>>,
    steps: Vec<Step>,
}

type Finishing = (Box<dyn BlobWriter>, PackFacts, Vec<Entry>);

/// Where chunks go.
pub(super) struct PackStream {
    in_memory: bool,
    limits: PackLimits,
    layout: Option<PackLayout>,
    batch: Batch,
    sender: Option<SyncSender<Batch>>,
    /// Buffers that were written.
    used: Receiver<Vec<u8>>,
    threads: Vec<JoinHandle<Result<()>>>,
    done: Arc<Mutex<Vec<PackFacts>>>,
}

impl std::fmt::Debug for PackStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackStream").finish_non_exhaustive()
    }
}

impl PackStream {
    pub(super) fn start(blobs: &Arc<dyn BlobStore>, mut limits: PackLimits, journal: &Path) -> Self {
        let (sender, batches) = sync_channel(QUEUE);
        let in_memory = blobs.keeps_in_memory();
        let how = if in_memory { IN_MEMORY } else { ON_DISK };
        limits.bytes = limits.bytes.min(how.longest);
        let (finish, finishing) = sync_channel(how.waiting);
        let (give_back, used) = channel();
        let done = Arc::new(Mutex::new(Vec::new()));
        let finishing = Arc::new(Mutex::new(finishing));
        let writer = {
            let blobs = Arc::clone(blobs);
            std::thread::spawn(move || write_all(&*blobs, &batches, &finish, &give_back))
        };
        let finisher = || {
            let (done, finishing, journal) =
                (Arc::clone(&done), Arc::clone(&finishing), Journal::new(journal));
            std::thread::spawn(move || finish_all(&finishing, &journal, &done))
        };
        let threads = std::iter::once(writer)
            .chain(std::iter::repeat_with(finisher).take(how.at_once))
            .collect();
        Self {
            in_memory,
            limits,
            layout: None,
            batch: Batch::default(),
            sender: Some(sender),
            used,
            threads,
            done,
        }
    }

    /// Whether packs are in memory until they are sent.
    pub(super) fn keeps_in_memory(&self) -> bool {
        self.in_memory
    }

    /// Add a chunk that lies in a part of a buffer, behind room for its record. The buffer is the one that is
    /// [kept](Self::keep) next. Returns where the chunk will be.
    pub(super) fn push(
        &mut self,
        id: Blake3,
        scheme: Scheme,
        raw: usize,
        buffer: &mut [u8],
        part: Range<usize>,
    ) -> (StoredName, u32) {
        let full = self.layout.as_ref().is_some_and(|layout| {
            layout.chunks() >= self.limits.chunks
                || layout.length() + part.len() + TRAILER > self.limits.bytes as usize
        });
        if full {
            self.end_pack();
        }
        let steps = &mut self.batch.steps;
        let layout = self.layout.get_or_insert_with(|| {
            let (layout, header) = PackLayout::begin();
            steps.push(Step::Begin(layout.name, header));
            layout
        });
        let (position, record) = layout.push(id, scheme, raw, part.len() - RECORD);
        buffer[part.start..part.start + RECORD].copy_from_slice(&record);
        let number = self.batch.buffers.len();
        match steps.last_mut() {
            Some(Step::Bytes(of, before)) if *of == number && before.end == part.start => {
                before.end = part.end;
            }
            _ => steps.push(Step::Bytes(number, part)),
        }
        (layout.name, position)
    }

    /// Take the buffer of the chunks that were added since the last one was taken.
    pub(super) fn keep(&mut self, buffer: Vec<u8>) {
        self.batch.buffers.push(buffer);
    }

    /// Add one chunk that has a buffer of its own, and hand it over.
    pub(super) fn push_one(
        &mut self,
        id: Blake3,
        scheme: Scheme,
        raw: usize,
        stored: &[u8],
    ) -> Result<(StoredName, u32)> {
        let mut buffer = Vec::with_capacity(RECORD + stored.len());
        buffer.resize(RECORD, 0);
        buffer.extend_from_slice(stored);
        let part = 0..buffer.len();
        let place = self.push(id, scheme, raw, &mut buffer, part);
        self.keep(buffer);
        self.flush()?;
        Ok(place)
    }

    /// Hand over what was added. Returns whether the writer kept up; if not, this waited for it.
    pub(super) fn flush(&mut self) -> Result<bool> {
        let batch = std::mem::take(&mut self.batch);
        let Some(sender) = self.sender.as_ref().filter(|_| !batch.steps.is_empty()) else {
            return Ok(true);
        };
        let (sent, kept_up) = match sender.try_send(batch) {
            Ok(()) => (true, true),
            Err(TrySendError::Full(batch)) => (sender.send(batch).is_ok(), false),
            Err(TrySendError::Disconnected(_)) => (false, false),
        };
        if !sent {
            self.join()?;
        }
        Ok(kept_up)
    }

    /// A buffer that was written and may be filled again, so that memory is not given back and asked for all the time.
    pub(super) fn used(&self) -> Option<Vec<u8>> {
        self.used.try_recv().ok()
    }

    fn end_pack(&mut self) {
        if let Some(layout) = self.layout.take() {
            let (end, facts, entries) = layout.finish();
            self.batch.steps.push(Step::End(end, facts, entries));
        }
    }

    /// Wait until all packs are complete. Returns what is to be known of them.
    pub(super) fn finish(&mut self) -> Result<Vec<PackFacts>> {
        self.end_pack();
        self.flush()?;
        self.join()?;
        Ok(self
            .done
            .lock()
            .map(|mut done| std::mem::take(&mut *done))
            .unwrap_or_default())
    }

    /// Let all threads end, so that what they completed is noted, and tell what stopped the first.
    fn join(&mut self) -> Result<()> {
        self.sender = None;
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        ended
            .into_iter()
            .try_for_each(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

impl Drop for PackStream {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            // What failed was told by the call that met it; here only the end of the threads is waited for.
            thread.join().ok();
        }
    }
}

fn write_all(
    blobs: &dyn BlobStore,
    batches: &Receiver<Batch>,
    finish: &SyncSender<Finishing>,
    give_back: &Sender<Vec<u8>>,
) -> Result<()> {
    let mut open: Option<Box<dyn BlobWriter>> = None;
    for batch in batches {
        for step in batch.steps {
            match step {
                Step::Begin(name, header) => {
                    open.insert(blobs.begin(&Kind::Pack.key(name))?).write(&header)?;
                }
                Step::Bytes(buffer, part) => {
                    if let Some(writer) = &mut open {
                        writer.write(&batch.buffers[buffer][part])?;
                    }
                }
                Step::End(end, facts, entries) => {
                    let Some(mut writer) = open.take() else { continue };
                    writer.write(&end)?;
                    writer.flush()?;
                    if finish.send((writer, facts, entries)).is_err() {
                        // The finisher stopped; its error is the one to be told.
                        return Ok(());
                    }
                }
            }
        }
        for buffer in batch.buffers {
            // Nobody takes them any more once the last batch was handed over.
            give_back.send(buffer).ok();
        }
    }
    Ok(())
}

fn finish_all(
    finishing: &Mutex<Receiver<Finishing>>,
    journal: &Journal,
    done: &Mutex<Vec<PackFacts>>,
) -> Result<()> {
    loop {
        let next = finishing.lock().ok().and_then(|queue| queue.recv().ok());
        let Some((writer, facts, entries)) = next else {
            return Ok(());
        };
        writer.finish()?;
        journal.note(&facts, &entries)?;
        if let Ok(mut done) = done.lock() {
            done.push(facts);
        }
    }
}

/// Packs of ours that are complete and that no index names yet, as one small index segment each.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
}

impl Journal {
    pub(super) fn new(mirror: &Path) -> Self {
        Self {
            folder: mirror.join("pending"),
        }
    }

    pub(super) fn note(&self, facts: &PackFacts, entries: &[Entry]) -> Result<()> {
        let mut builder = SegmentBuilder::default();
        add_pack(&mut builder, facts, entries);
        let target = self.folder.join(facts.name.to_string());
        // Not synced: what a power cut takes from here is a pack that is sent again.
        Ok(shared::write_for_now(&target, &builder.finish())?)
    }

    /// The packs that are noted. What cannot be read is dropped.
    pub(super) fn open(&self) -> Result<Vec<(StoredName, index::Segment)>> {
        let mut noted = Vec::new();
        if !self.folder.is_dir() {
            return Ok(noted);
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(name) = super::name::name_of(&path.to_string_lossy()) else {
                continue;
            };
            let sound = fs::read(&path)
                .ok()
                .is_some_and(|bytes| index::check(&bytes).is_ok());
            match index::Segment::open(&path) {
                Ok(segment) if sound => noted.push((name, segment)),
                _ => file::remove(&path)?,
            }
        }
        noted.sort_by_key(|(name, _)| *name);
        Ok(noted)
    }

    pub(super) fn forget(&self, name: StoredName) -> Result<()> {
        Ok(file::remove(&self.folder.join(name.to_string()))?)
    }
}

/// Packs that recipes name and that are gone, so that no push asks for them again: no name is ever used twice.
#[derive(Debug)]
pub(super) struct GonePacks {
    path: PathBuf,
    names: Vec<StoredName>,
}

impl GonePacks {
    pub(super) fn load(mirror: &Path) -> Self {
        let path = mirror.join("gone-packs");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut names: Vec<StoredName> = text.lines().filter_map(|line| line.parse().ok()).collect();
        names.sort_unstable();
        Self { path, names }
    }

    pub(super) fn has(&self, name: StoredName) -> bool {
        self.names.binary_search(&name).is_ok()
    }

    pub(super) fn note(mut self, names: &[StoredName]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        self.names.extend(names);
        let text: String = self.names.iter().map(|name| format!("{name}\n")).collect();
        // Another push may write at the same time; what it lost is asked for once more.
        Ok(shared::write_for_now(&self.path, text.as_bytes())?)
    }
}

/// Put a pack and its chunks into an index segment.
pub(super) fn add_pack(builder: &mut SegmentBuilder, facts: &PackFacts, entries: &[Entry]) {
    builder.container(*facts);
    for (position, entry) in entries.iter().enumerate() {
        builder.push(&entry.id, entry.raw, position as u64);
    }
}
