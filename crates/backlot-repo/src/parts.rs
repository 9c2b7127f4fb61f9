//! The end of a ZIP file, of which only pieces are at hand: where its directory lies, what is in it, one entry unpacked.
//!
//! Invariant: nothing is read past stated limits, whatever the archive says of itself, and what is odd about it ends in
//! `None`: the reader of whole files may make of it what it can. Deliberately absent: where the pieces come from.

use std::io::Read as _;

use backlot_core::RelPath;
use flate2::read::DeflateDecoder;

use crate::error::Result;

/// Files of a release.
pub type Inside = Vec<(RelPath, Vec<u8>)>;

/// How much of the end is read first: as a rule all that is needed.
pub(crate) const TAIL: u64 = 32 * 1024;
/// The largest directory that is read this way.
const MAX_DIRECTORY: u64 = 16 << 20;
/// The largest entry that is read this way.
const MAX_ENTRY: u64 = 16 << 20;
/// Room for what a local header may have beyond what the directory says.
const SLACK: u64 = 1024;

/// Which piece of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Its last bytes, or all of it if it has fewer.
    Last(u64),
    /// So many bytes from somewhere on.
    At(u64, u64),
}

/// A piece of a file.
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) total: u64,
}

impl Piece {
    pub(crate) fn get(&self, start: u64, length: u64) -> Option<&[u8]> {
        let from = usize::try_from(start.checked_sub(self.start)?).ok()?;
        self.bytes
            .get(from..from.checked_add(usize::try_from(length).ok()?)?)
    }
}

/// Where a directory lies.
pub(crate) struct Directory {
    start: u64,
    length: u64,
    /// How many entries it has.
    count: u16,
}

/// One entry of a directory.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    encrypted: bool,
    method: u16,
    crc: u32,
    pub(crate) packed: u64,
    pub(crate) size: u64,
    header: u64,
}

/// The files of an archive that are wanted, by its pieces; `None` where the whole has to be read for it.
pub(crate) fn read(
    get: &dyn Fn(Part) -> Result<Option<Piece>>,
    wanted: &dyn Fn(&RelPath) -> bool,
) -> Result<Option<Inside>> {
    let Some(tail) = get(Part::Last(TAIL))? else {
        return Ok(None);
    };
    let Some(place) = directory(&tail) else {
        return Ok(None);
    };
    let fetched = match place.bytes(&tail) {
        Some(_) => None,
        None => get(place.part())?,
    };
    let Some(entries) = place.entries(fetched.as_ref().unwrap_or(&tail)) else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = std::str::from_utf8(entry.name).ok();
        let path = name.and_then(|name| RelPath::parse(name.trim_end_matches('/')).ok());
        let Some(path) = path else { return Ok(None) };
        if entry.name.ends_with(b"/") || !wanted(&path) {
            continue;
        }
        if entry.encrypted || entry.packed > MAX_ENTRY || entry.size > MAX_ENTRY {
            return Ok(None);
        }
        let bytes = match unpack(&tail, &entry) {
            Some(bytes) => Some(bytes),
            None => match entry.part(tail.total) {
                Some(part) => get(part)?.and_then(|piece| unpack(&piece, &entry)),
                None => None,
            },
        };
        let Some(bytes) = bytes else { return Ok(None) };
        found.push((path, bytes));
    }
    Ok(Some(found))
}

/// Where the directory lies, by the record at the end; `None` also if it is too large.
pub(crate) fn directory(tail: &Piece) -> Option<Directory> {
    let bytes = &tail.bytes;
    let at = (0..=bytes.len().checked_sub(22)?).rev().find(|at| {
        bytes[*at..].starts_with(b"PK\x05\x06")
            && usize::from(u16_at(bytes, at + 20).unwrap_or(0)) == bytes.len() - at - 22
    })?;
    let count = u16_at(bytes, at + 10)?;
    let (length, start) = (
        u64::from(u32_at(bytes, at + 12)?),
        u64::from(u32_at(bytes, at + 16)?),
    );
    let zip64 = start == u64::from(u32::MAX) || length == u64::from(u32::MAX) || count == u16::MAX;
    let inside = start.checked_add(length)? <= tail.start + at as u64;
    (!zip64 && inside && (1..=MAX_DIRECTORY).contains(&length)).then_some(Directory { start, length, count })
}

impl Directory {
    /// The piece of the file that it is.
    pub(crate) fn part(&self) -> Part {
        Part::At(self.start, self.length)
    }

    /// Its bytes, if a piece has them.
    pub(crate) fn bytes<'a>(&self, piece: &'a Piece) -> Option<&'a [u8]> {
        piece.get(self.start, self.length)
    }

    /// All entries, if a piece has them; `None` unless they fill it and are as many as it says.
    pub(crate) fn entries<'a>(&self, piece: &'a Piece) -> Option<Vec<Entry<'a>>> {
        let mut bytes = self.bytes(piece)?;
        let mut found = Vec::with_capacity(usize::from(self.count));
        while bytes.starts_with(b"PK\x01\x02") {
            let lengths = [28, 30, 32].map(|at| u16_at(bytes, at).map(usize::from));
            let [Some(name), Some(extra), Some(comment)] = lengths else {
                return None;
            };
            found.push(Entry {
                name: bytes.get(46..46 + name)?,
                encrypted: u16_at(bytes, 8)? & 1 == 1,
                method: u16_at(bytes, 10)?,
                crc: u32_at(bytes, 16)?,
                packed: u64::from(u32_at(bytes, 20)?),
                size: u64::from(u32_at(bytes, 24)?),
                header: u64::from(u32_at(bytes, 42)?),
            });
            bytes = bytes.get(46 + name + extra + comment..)?;
        }
        (bytes.is_empty() && found.len() == usize::from(self.count)).then_some(found)
    }
}

impl Entry<'_> {
    /// The piece of a file of so many bytes that has it; `None` if it begins past the end.
    pub(crate) fn part(&self, total: u64) -> Option<Part> {
        let end = (self.header + 30 + SLACK + self.packed).min(total);
        (self.header < end).then(|| Part::At(self.header, end - self.header))
    }
}

/// The one METADATA of a directory, if it can be read.
pub(crate) fn find_metadata(entries: Vec<Entry<'_>>) -> Option<Entry<'_>> {
    let mut metadata = entries.into_iter().filter(|entry| {
        let stem = entry.name.strip_suffix(b".dist-info/METADATA");
        stem.is_some_and(|stem| !stem.contains(&b'/'))
    });
    let found = metadata.next().filter(|entry| !entry.encrypted)?;
    metadata.next().is_none().then_some(found)
}

/// An entry out of a piece that has it.
pub(crate) fn unpack(piece: &Piece, entry: &Entry<'_>) -> Option<Vec<u8>> {
    let header = piece.get(entry.header, 30)?;
    if !header.starts_with(b"PK\x03\x04") {
        return None;
    }
    let skip = 30 + u64::from(u16_at(header, 26)?) + u64::from(u16_at(header, 28)?);
    let packed = piece.get(entry.header + skip, entry.packed)?;
    let mut bytes = Vec::new();
    match entry.method {
        0 => bytes.extend_from_slice(packed),
        8 => {
            let mut inflated = DeflateDecoder::new(packed).take(entry.size + 1);
            inflated.read_to_end(&mut bytes).ok()?;
        }
        _ => return None,
    }
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    (bytes.len() as u64 == entry.size && crc.sum() == entry.crc).then_some(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Part, Piece, read};
    use crate::error::Result;
    use crate::support::Wheel;

    /// The paths and bytes of all texts of an archive that is at hand in pieces.
    fn texts(archive: &[u8]) -> Result<Option<super::Inside>> {
        let get = |part: Part| {
            let length = archive.len() as u64;
            let (start, end) = match part {
                Part::Last(most) => (length.saturating_sub(most), length),
                Part::At(start, most) => (start, start.saturating_add(most)),
            };
            let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
            let bytes = archive.get(range).map(<[u8]>::to_vec);
            let total = length;
            Ok(bytes.map(|bytes| Piece { start, bytes, total }))
        };
        read(&get, &|path| path.as_str().ends_with(".txt"))
    }

    #[test]
    fn a_damaged_archive_gives_what_is_in_it_or_is_left_to_others() {
        let wheel = Wheel {
            content: &"x = 1\n".repeat(8_000),
            entry_points: "[console_scripts]\n",
            ..Wheel::new("chair", "1.0")
        };
        let whole = wheel.bytes();
        let right = texts(&whole).unwrap().unwrap();
        assert_eq!(right.len(), 1);
        assert_eq!(right[0].1, b"[console_scripts]\n");
        for at in whole.len() - 1200..whole.len() {
            for bit in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= bit;
                // Its name may be another now; its bytes are proven by a checksum.
                for (_, bytes) in texts(&damaged).unwrap().unwrap_or_default() {
                    assert_eq!(bytes, right[0].1, "{at}");
                }
            }
            assert!(texts(&whole[..at]).unwrap().is_none(), "cut at {at}");
        }
    }
}
