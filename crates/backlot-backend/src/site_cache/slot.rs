//! One object in a site cache: its bytes, the digest of each block of them, and a seal over those.
//!
//! Invariants: data is compared with its digest when read, so a damaged disk or a torn write is never mistaken for the object; a
//! slot appears atomically. It is not synced: after a power cut a torn one is detected, and fetched again. Deliberately
//! absent: whether the bytes are the right ones, which only the caller can prove.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use backlot_core::file::is_same;
use backlot_core::{FileError, shared};
use fs_err as fs;

/// Bytes that one digest is of.
const SIZE: usize = 256 << 10;
const BLOCK: u64 = SIZE as u64;
const MAGIC: &[u8; 8] = b"BLSITE01";
const DIGEST: usize = 32;
/// Magic, length of the object, digest of that and of all digests.
const SEAL: usize = 8 + 8 + DIGEST;

/// An object that is there.
#[derive(Debug)]
pub(super) struct Slot {
    file: fs::File,
    length: u64,
    digests: Vec<u8>,
}

/// It does not match what was written.
#[derive(Debug)]
pub(super) struct Broken;

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// Bytes of all digests of an object.
fn digested(length: u64) -> u64 {
    length.div_ceil(BLOCK) * DIGEST as u64
}

fn seal(length: u64, digests: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(digests);
    hasher.finalize().into()
}

impl Slot {
    /// Open it and prove its digests. The bytes are proven as they are read.
    pub(super) fn open(file: fs::File) -> Result<Self, Broken> {
        let mut file = file;
        let size = file.metadata()?.len();
        let mut footer = [0; SEAL];
        file.seek(SeekFrom::Start(size.checked_sub(SEAL as u64).ok_or(Broken)?))?;
        file.read_exact(&mut footer)?;
        let (magic, rest) = footer.split_at(8);
        let (length, digest) = rest.split_at(8);
        let length = u64::from_le_bytes(length.try_into().map_err(|_| Broken)?);
        // Compared before anything is asked for by it.
        let right = length.checked_add(digested(length) + SEAL as u64);
        if magic != MAGIC || right != Some(size) {
            return Err(Broken);
        }
        file.seek(SeekFrom::Start(length))?;
        let mut digests = vec![0; usize::try_from(digested(length)).map_err(|_| Broken)?];
        file.read_exact(&mut digests)?;
        if seal(length, &digests) != *digest {
            return Err(Broken);
        }
        Ok(Self {
            file,
            length,
            digests,
        })
    }

    /// Bytes of the object.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Pass up to `length` bytes from `start` on to the sink, until the object ends or the sink returns `false`.
    pub(super) fn read(
        &mut self,
        start: u64,
        length: u64,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Broken> {
        let end = start.saturating_add(length).min(self.length);
        if start >= end {
            return Ok(());
        }
        let mut at = start - start % BLOCK;
        let mut block = vec![0; SIZE];
        self.file.seek(SeekFrom::Start(at))?;
        while at < end {
            let size = BLOCK.min(self.length - at);
            let bytes = &mut block[..usize::try_from(size).map_err(|_| Broken)?];
            self.file.read_exact(bytes)?;
            let number = usize::try_from(at / BLOCK).map_err(|_| Broken)?;
            let right = self.digests.get(number * DIGEST..(number + 1) * DIGEST);
            if right != Some(blake3::hash(bytes).as_bytes()) {
                return Err(Broken);
            }
            let from = usize::try_from(start.saturating_sub(at)).map_err(|_| Broken)?;
            let to = usize::try_from((end - at).min(size)).map_err(|_| Broken)?;
            if !sink(&bytes[from..to]) {
                break;
            }
            at += size;
        }
        Ok(())
    }
}

/// A slot that is being written.
pub(super) struct Filling {
    file: fs::File,
    length: u64,
    block: blake3::Hasher,
    digests: Vec<u8>,
}

impl Filling {
    /// Begin in a file that only this process writes to, and that others see growing.
    pub(super) fn begin(path: &Path) -> std::io::Result<Self> {
        let file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        // Held as long as this process lives: if another process can take the lock, the file was abandoned.
        file.file().try_lock().ok();
        Ok(Self {
            file,
            length: 0,
            block: blake3::Hasher::new(),
            digests: Vec::new(),
        })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK - self.length % BLOCK).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.update(now);
            self.length += now.len() as u64;
            if self.length.is_multiple_of(BLOCK) {
                self.end_block();
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_block(&mut self) {
        self.digests.extend_from_slice(self.block.finalize().as_bytes());
        self.block.reset();
    }

    /// Whether a name is still that of this file: who takes this process for dead removes it, and makes another.
    fn is_at(&self, path: &Path) -> std::io::Result<bool> {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        let own = self.file.metadata()?;
        Ok(is_same(&found, &own).unwrap_or(found.len() == own.len()))
    }

    /// Give it up; the file of another stays.
    pub(super) fn give_up(self, path: &Path) {
        if self.is_at(path).unwrap_or(false) {
            fs::remove_file(path).ok();
        }
    }

    /// Write what proves it, and give it its name. Returns the bytes that it takes, none if another process fills it now.
    pub(super) fn finish(&mut self, from: &Path, to: &Path) -> Result<u64, FileError> {
        if !self.length.is_multiple_of(BLOCK) {
            self.end_block();
        }
        self.file.write_all(&self.digests)?;
        self.file.write_all(MAGIC)?;
        self.file.write_all(&self.length.to_le_bytes())?;
        self.file.write_all(&seal(self.length, &self.digests))?;
        let modes = shared::Modes::of(to.parent().unwrap_or(Path::new(".")));
        shared::set_mode_of(&self.file, modes.file())?;
        if !self.is_at(from)? {
            return Ok(0);
        }
        match backlot_core::file::rename(from, to) {
            Err(error) if error.is_not_found() => return Ok(0),
            renamed => renamed?,
        }
        Ok(self.length + (self.digests.len() + SEAL) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Filling, Slot};
    use fs_err as fs;

    #[test]
    fn who_is_taken_for_dead_leaves_the_file_of_the_next_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (begun, path) = (folder.path().join("begun"), folder.path().join("slot"));
        let mut slow = Filling::begin(&begun).expect("begun");
        slow.write(b"all of it").expect("written");
        fs::remove_file(&begun).expect("taken for dead");
        let mut next = Filling::begin(&begun).expect("begun");
        next.write(b"all ").expect("written");
        assert_eq!(slow.finish(&begun, &path).expect("nothing to do"), 0);
        slow.give_up(&begun);
        assert!(begun.exists() && !path.exists());
        next.write(b"of it").expect("written");
        assert!(next.finish(&begun, &path).expect("finished") > 0);
        assert_eq!(read(&path, 0, 100).as_deref(), Some(b"all of it".as_slice()));
    }

    fn stored(folder: &std::path::Path, bytes: &[u8]) -> std::path::PathBuf {
        let (begun, path) = (folder.join("begun"), folder.join("slot"));
        let mut filling = Filling::begin(&begun).expect("begun");
        for piece in bytes.chunks(100_000) {
            filling.write(piece).expect("written");
        }
        filling.finish(&begun, &path).expect("finished");
        path
    }

    fn read(path: &std::path::Path, start: u64, length: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut slot = Slot::open(fs::File::open(path).expect("there")).ok()?;
        let read = slot.read(start, length, &mut |block| {
            bytes.extend_from_slice(block);
            true
        });
        read.ok().map(|()| bytes)
    }

    #[test]
    fn what_was_written_is_read_from_anywhere_and_no_changed_byte_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = usize::try_from(BLOCK).expect("small");
        for size in [0, 1, whole - 1, whole, whole + 1, 3 * whole + 7] {
            let bytes: Vec<u8> = (0..size)
                .map(|n| u8::try_from(n * 31 % 251).expect("small"))
                .collect();
            let path = stored(folder.path(), &bytes);
            for (start, length) in [
                (0, size),
                (size / 2, 1000),
                (size, 10),
                (size + 5, 10),
                (1, whole),
            ] {
                let right = bytes.get(start..(start + length).min(size)).unwrap_or_default();
                let found = read(&path, start as u64, length as u64).expect("sound");
                assert_eq!(found, right, "{start}+{length} of {size}");
            }
            let stored = fs::read(&path).expect("read");
            for at in [
                0,
                size / 2,
                size.saturating_sub(1),
                stored.len() - 60.min(stored.len()),
                stored.len() - 1,
            ] {
                let mut other = stored.clone();
                other[at] ^= 1;
                fs::write(&path, &other).expect("written");
                assert_eq!(read(&path, 0, u64::MAX), None, "byte {at} of {size}");
                fs::write(&path, &other[..at]).expect("cut");
                assert_eq!(read(&path, 0, u64::MAX), None, "cut at {at} of {size}");
            }
        }
    }
}
