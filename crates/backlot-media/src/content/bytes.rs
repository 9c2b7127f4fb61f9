//! Numbers out of a part of a file that was read, and parts of files that are read by their place. What is not there is damage.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use backlot_core::{FileError, file};
use fs_err as fs;

use super::damaged;
use crate::error::Trouble;

/// A file of known size, or a part of one.
#[derive(Debug)]
pub(super) struct Source {
    file: fs::File,
    begin: u64,
    pub(super) size: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        let file = file::open(path)?;
        let size = file.metadata().map_err(FileError::from)?.len();
        if size == 0 {
            return Err(damaged("it is empty"));
        }
        Ok(Self { file, begin: 0, size })
    }

    /// A part of it, as if it were a file. Damage where the file ends before.
    pub(super) fn part(&self, at: u64, size: u64) -> Result<Self, Trouble> {
        if at.checked_add(size).is_none_or(|end| end > self.size) {
            return Err(damaged("it is truncated"));
        }
        let file = self.file.try_clone().map_err(FileError::from)?;
        let begin = self.begin + at;
        Ok(Self { file, begin, size })
    }

    /// Bytes at a place; damage where the file ends before. The caller has bounded how many.
    pub(super) fn read(&mut self, at: u64, count: u64) -> Result<Vec<u8>, Trouble> {
        if at.checked_add(count).is_none_or(|end| end > self.size) {
            return Err(damaged("it is truncated"));
        }
        self.file
            .seek(SeekFrom::Start(self.begin + at))
            .map_err(FileError::from)?;
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| damaged("a section is too long"))?];
        self.file.read_exact(&mut bytes).map_err(FileError::from)?;
        Ok(bytes)
    }
}

/// Bytes that are taken from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Trouble> {
        let (front, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| damaged("a section is truncated"))?;
        self.0 = rest;
        Ok(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let (front, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| damaged("a section is truncated"))?;
        self.0 = rest;
        Ok(*front)
    }

    pub(super) fn u16_be(&mut self) -> Result<u16, Trouble> {
        self.array().map(u16::from_be_bytes)
    }
    pub(super) fn u32_be(&mut self) -> Result<u32, Trouble> {
        self.array().map(u32::from_be_bytes)
    }
    pub(super) fn u64_be(&mut self) -> Result<u64, Trouble> {
        self.array().map(u64::from_be_bytes)
    }
    pub(super) fn u32_le(&mut self) -> Result<u32, Trouble> {
        self.array().map(u32::from_le_bytes)
    }
    pub(super) fn u64_le(&mut self) -> Result<u64, Trouble> {
        self.array().map(u64::from_le_bytes)
    }
}
