//! Reading one stored file, or parts of it, without a copy of it.
//!
//! Invariant: what is read is proven: of an object of the cache as a whole before it is opened, of a remote chunk by chunk. Memory: what is
//! read ahead, [`MOST_AHEAD`] at most, once decoded and once as it is stored. Deliberately absent: progress; who reads knows how far they are.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;

use backlot_core::{Blake3, Context};
use fs_err as fs;

use crate::chunked::FileStream;
use crate::error::Result;

/// What is read where somebody begins to go on reading.
const FIRST_AHEAD: u64 = 64 << 10;
/// What is read at once at most: doubled until then.
pub(super) const MOST_AHEAD: u64 = 8 << 20;

/// A stored file that is open for reading; see [`Store::reader`](crate::Store::reader).
///
/// It reads and seeks like a file, with a buffer of its own. Where reading begins, and after a jump, only the chunks are fetched that have what
/// is asked for, so a loader that reads a header and a few scanlines fetches little more than those; reading on reads ahead, up to
/// 8 MiB. A chunk has 64 KiB on average and 1 MiB at most, and is fetched whole.
///
/// Errors are those of [`Error`](crate::Error), inside a [`std::io::Error`] where the standard traits want one
/// (`error.get_ref()` and `downcast_ref`). One reader is used by one thread at a time; open one for each. Nothing is locked.
#[derive(Debug)]
pub struct FileReader {
    source: Source,
    size: u64,
    at: u64,
    /// Bytes of the file from `held_from` on.
    held: Vec<u8>,
    held_from: u64,
    ahead: u64,
    context: Context,
}

#[derive(Debug)]
enum Source {
    Cached(fs::File),
    Remote(Box<FileStream>),
}

impl FileReader {
    pub(super) fn of_file(file: fs::File, context: &Context) -> Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self::new(Source::Cached(file), size, context))
    }

    pub(super) fn of_stream(stream: FileStream, context: &Context) -> Self {
        let size = stream.size();
        Self::new(Source::Remote(Box::new(stream)), size, context)
    }

    fn new(source: Source, size: u64, context: &Context) -> Self {
        Self {
            source,
            size,
            at: 0,
            held: Vec::new(),
            held_from: 0,
            ahead: 0,
            context: context.clone(),
        }
    }

    /// The length of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that were read from the remote so far: stored chunks, the tables of the packs that they lie in, and the small objects that tell
    /// where the file is, as far as this machine did not know them. Nothing for a file of the cache.
    pub fn fetched(&self) -> u64 {
        match &self.source {
            Source::Cached(_) => 0,
            Source::Remote(stream) => stream.fetched(),
        }
    }

    /// The expected size and digest of the whole file, from the remote.
    pub(super) fn expected(&self) -> Option<Blake3> {
        match &self.source {
            Source::Cached(_) => None,
            Source::Remote(stream) => Some(stream.blake3()),
        }
    }

    /// Bytes of a range, or fewer where the file ends before. Where it is read next does not change. A range that lies in several chunks is
    /// fetched by several requests at once.
    ///
    /// Errors: `store::damaged_remote` for a chunk that is not what it was, where no other copy of it is on the remote; those of the
    /// store of objects; cancelled. What was read before stays right.
    pub fn read_range(&mut self, range: Range<u64>) -> Result<Vec<u8>> {
        let range = range.start.min(self.size)..range.end.min(self.size);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (start, mut bytes) = self.source.read(range.clone(), &self.context)?;
        bytes.truncate(index(range.end - start));
        bytes.drain(..index(range.start - start).min(bytes.len()));
        Ok(bytes)
    }

    /// What comes next, at least a byte unless the file ends here. Where it is not held yet, as much as is wanted is read, or more where somebody
    /// reads on.
    pub(super) fn fill(&mut self, wanted: u64) -> Result<&[u8]> {
        let held_to = self.held_from + self.held.len() as u64;
        if self.at < self.size && !(self.held_from..held_to).contains(&self.at) {
            let goes_on = !self.held.is_empty() && self.at == held_to;
            self.ahead = if goes_on { self.ahead * 2 } else { 0 };
            let least = match &self.source {
                // The whole of a chunk comes in any case.
                Source::Remote(_) if !goes_on => 1,
                _ => FIRST_AHEAD,
            };
            self.ahead = self.ahead.max(wanted).clamp(least, MOST_AHEAD);
            let end = self.at.saturating_add(self.ahead).min(self.size);
            // Given up first, so that it is not held twice.
            self.held = Vec::new();
            (self.held_from, self.held) = self.source.read(self.at..end, &self.context)?;
            if self.held.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        let start = self.at.saturating_sub(self.held_from);
        Ok(self.held.get(index(start)..).unwrap_or_default())
    }
}

impl Source {
    /// Bytes that begin at or before a range and end at or behind it, with where they begin.
    fn read(&mut self, range: Range<u64>, context: &Context) -> Result<(u64, Vec<u8>)> {
        match self {
            Self::Remote(stream) => stream.read(range, context),
            Self::Cached(file) => {
                context.check()?;
                file.seek(SeekFrom::Start(range.start))?;
                let mut bytes = Vec::with_capacity(index(range.end - range.start));
                file.take(range.end - range.start).read_to_end(&mut bytes)?;
                Ok((range.start, bytes))
            }
        }
    }
}

/// A length that is in memory.
fn index(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let held = self.fill(buffer.len() as u64).map_err(io::Error::other)?;
        let count = held.len().min(buffer.len());
        buffer[..count].copy_from_slice(&held[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for FileReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill(0).map_err(io::Error::other)
    }

    fn consume(&mut self, count: usize) {
        self.at += count as u64;
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start"))?;
        Ok(self.at)
    }
}
