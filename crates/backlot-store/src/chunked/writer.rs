//! Packs on their way out: laid out here, written by one thread, finished (synced, named, noted) by another.
//!
//! Channels are bounded, so a slow remote slows the pipeline instead of filling memory. Invariant: a pack is noted in the
//! local journal only after it is complete on the remote; an interrupted push finds it there and does not send it again.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use backlot_core::{Blake3, file};
use fs_err as fs;

use super::blob::{BlobStore, BlobWriter};
use super::config::PackLimits;
use super::filter::Scheme;
use super::index::{self, SegmentBuilder};
use super::name::{Kind, StoredName};
use super::pack::{Entry, PackFacts, PackLayout, TRAILER};
use crate::error::Result;

/// Batches that wait for the writer.
const QUEUE: usize = 1;
/// Packs that wait for the disk or the service; their bytes are there already.
const FINISHING: usize = 8;
/// Packs that are finished at once: while one waits for its name to be on the disk, another waits for its bytes.
const FINISHERS: usize = 2;
/// Chunks of so many bytes are written as they are; smaller ones are collected first.
const LARGE: usize = 32 << 10;
/// Bytes that are written at once.
const BLOCK: usize = 1 << 20;

enum Message {
    Begin(StoredName),
    Bytes(Vec<Vec<u8>>),
    End(Vec<u8>, PackFacts, Vec<Entry>),
}

type Finishing = (Box<dyn BlobWriter>, PackFacts, Vec<Entry>);

/// Where chunks go.
pub(super) struct PackStream<'a> {
    limits: &'a PackLimits,
    layout: Option<PackLayout>,
    pending: Vec<Vec<u8>>,
    sender: Option<SyncSender<Message>>,
    threads: Vec<JoinHandle<Result<()>>>,
    done: Arc<Mutex<Vec<PackFacts>>>,
}

impl std::fmt::Debug for PackStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackStream").finish_non_exhaustive()
    }
}

impl<'a> PackStream<'a> {
    pub(super) fn start(blobs: &Arc<dyn BlobStore>, limits: &'a PackLimits, journal: &Path) -> Self {
        let (sender, messages) = sync_channel(QUEUE);
        let (finish, finishing) = sync_channel(FINISHING);
        let done = Arc::new(Mutex::new(Vec::new()));
        let finishing = Arc::new(Mutex::new(finishing));
        let writer = {
            let blobs = Arc::clone(blobs);
            std::thread::spawn(move || write_all(&*blobs, &messages, &finish))
        };
        let finisher = || {
            let (done, finishing, journal) =
                (Arc::clone(&done), Arc::clone(&finishing), Journal::new(journal));
            std::thread::spawn(move || finish_all(&finishing, &journal, &done))
        };
        let threads = std::iter::once(writer)
            .chain(std::iter::repeat_with(finisher).take(FINISHERS))
            .collect();
        Self {
            limits,
            layout: None,
            pending: Vec::new(),
            sender: Some(sender),
            threads,
            done,
        }
    }

    /// Add a chunk: `stored` has room for its record in front. Returns where it will be.
    pub(super) fn push(
        &mut self,
        id: Blake3,
        scheme: Scheme,
        raw: usize,
        mut stored: Vec<u8>,
    ) -> Result<(StoredName, u32)> {
        let full = self.layout.as_ref().is_some_and(|layout| {
            layout.chunks() >= self.limits.chunks
                || layout.length() + stored.len() + TRAILER > self.limits.bytes as usize
        });
        if full {
            self.end_pack()?;
        }
        if self.layout.is_none() {
            let (layout, header) = PackLayout::begin();
            self.send(Message::Begin(layout.name))?;
            self.pending.push(header.to_vec());
            self.layout = Some(layout);
        }
        let Some(layout) = &mut self.layout else {
            return Ok((StoredName::fresh(), 0));
        };
        let (position, record) = layout.push(id, scheme, raw, stored.len() - record_length());
        stored[..record.len()].copy_from_slice(&record);
        self.pending.push(stored);
        Ok((layout.name, position))
    }

    /// Hand over what was added.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.pending);
        self.send(Message::Bytes(bytes))
    }

    fn end_pack(&mut self) -> Result<()> {
        self.flush()?;
        match self.layout.take() {
            Some(layout) => {
                let (end, facts, entries) = layout.finish();
                self.send(Message::End(end, facts, entries))
            }
            None => Ok(()),
        }
    }

    fn send(&mut self, message: Message) -> Result<()> {
        let sent = self
            .sender
            .as_ref()
            .is_some_and(|sender| sender.send(message).is_ok());
        if sent { Ok(()) } else { self.join() }
    }

    /// Wait until all packs are complete. Returns what is to be known of them.
    pub(super) fn finish(&mut self) -> Result<Vec<PackFacts>> {
        self.end_pack()?;
        self.join()?;
        Ok(self
            .done
            .lock()
            .map(|mut done| std::mem::take(&mut *done))
            .unwrap_or_default())
    }

    /// Let the threads end, and tell what stopped them.
    fn join(&mut self) -> Result<()> {
        self.sender = None;
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    }
}

const fn record_length() -> usize {
    super::pack::RECORD
}

impl Drop for PackStream<'_> {
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
    messages: &Receiver<Message>,
    finish: &SyncSender<Finishing>,
) -> Result<()> {
    let mut writer: Option<Box<dyn BlobWriter>> = None;
    let mut block = Vec::with_capacity(BLOCK + (64 << 10));
    for message in messages {
        match message {
            Message::Begin(name) => writer = Some(blobs.begin(&Kind::Pack.key(name))?),
            Message::Bytes(chunks) => {
                let Some(writer) = &mut writer else { continue };
                for chunk in chunks {
                    if chunk.len() < LARGE {
                        block.extend_from_slice(&chunk);
                    }
                    if block.len() >= BLOCK || chunk.len() >= LARGE && !block.is_empty() {
                        writer.write(&block)?;
                        block.clear();
                    }
                    if chunk.len() >= LARGE {
                        writer.write(&chunk)?;
                    }
                }
            }
            Message::End(end, facts, entries) => {
                let Some(mut writer) = writer.take() else { continue };
                block.extend_from_slice(&end);
                writer.write(&block)?;
                block.clear();
                if finish.send((writer, facts, entries)).is_err() {
                    // The finisher stopped; its error is the one to be told.
                    return Ok(());
                }
            }
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

    fn note(&self, facts: &PackFacts, entries: &[Entry]) -> Result<()> {
        let mut builder = SegmentBuilder::default();
        add_pack(&mut builder, facts, entries);
        fs::create_dir_all(&self.folder)?;
        let target = self.folder.join(facts.name.to_string());
        let temporary = file::temporary_in(&self.folder);
        // Not synced: what a power cut takes from here is a pack that is sent again.
        fs::write(&temporary, builder.finish())?;
        Ok(file::rename(&temporary, &target)?)
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

/// Put a pack and its chunks into an index segment.
pub(super) fn add_pack(builder: &mut SegmentBuilder, facts: &PackFacts, entries: &[Entry]) {
    builder.container(*facts);
    for (position, entry) in entries.iter().enumerate() {
        builder.push(&entry.id, entry.raw, position as u64);
    }
}
