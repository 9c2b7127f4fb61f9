//! METADATA out of a wheel on a server, by a few small reads of its end.
//!
//! A wheel is a ZIP file: its last bytes say where its directory lies, the directory where METADATA lies, and builders put
//! that near the end. Invariants: nothing is read past stated limits, whatever the archive says of itself; what is odd
//! (ZIP64, two METADATA, encryption) is left to the reader of whole wheels. Deliberately absent: believing it: the caller
//! compares name and version.

use std::io::Read as _;

use flate2::read::DeflateDecoder;
use reqwest::header::CONTENT_RANGE;
use url::Url;

use super::fetch::{Account, Answer, Ask};
use super::network::Network;
use crate::error::Result;
use crate::record::METADATA_LIMIT;

/// How much of the end is read first: as a rule all that is needed.
const TAIL: u64 = 32 * 1024;
/// The largest directory that is read this way.
const MAX_DIRECTORY: u64 = 16 << 20;
/// Room for what a local header may have beyond what the directory says.
const SLACK: u64 = 1024;

/// A piece of a file.
struct Piece {
    start: u64,
    bytes: Vec<u8>,
    total: u64,
}

impl Piece {
    fn get(&self, start: u64, length: u64) -> Option<&[u8]> {
        let from = usize::try_from(start.checked_sub(self.start)?).ok()?;
        self.bytes
            .get(from..from.checked_add(usize::try_from(length).ok()?)?)
    }
}

/// One entry of the directory.
struct Entry {
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    header: u64,
}

/// The bytes of METADATA; `None` where the whole wheel has to be read for it.
pub(crate) async fn metadata(network: &Network, account: &Account, url: &Url) -> Result<Option<Vec<u8>>> {
    let Some(tail) = piece(network, account, url, &format!("-{TAIL}"), TAIL).await? else {
        return Ok(None);
    };
    let Some((start, length)) = directory(&tail).filter(|(_, length)| *length <= MAX_DIRECTORY) else {
        return Ok(None);
    };
    let entry = match tail.get(start, length) {
        Some(bytes) => find_metadata(bytes),
        None => {
            let range = format!("{start}-{}", start + length - 1);
            let piece = piece(network, account, url, &range, length).await?;
            piece.and_then(|p| find_metadata(p.get(start, length)?))
        }
    };
    let Some(entry) = entry.filter(|e| e.packed <= METADATA_LIMIT && e.size <= METADATA_LIMIT) else {
        return Ok(None);
    };
    if let Some(found) = unpack(&tail, &entry) {
        return Ok(Some(found));
    }
    let end = (entry.header + 30 + SLACK + entry.packed).min(tail.total);
    if entry.header >= end {
        return Ok(None);
    }
    let range = format!("{}-{}", entry.header, end - 1);
    let piece = piece(network, account, url, &range, end - entry.header).await?;
    Ok(piece.and_then(|p| unpack(&p, &entry)))
}

/// A range of a file; `None` if the server does not do that.
async fn piece(
    network: &Network,
    account: &Account,
    url: &Url,
    range: &str,
    limit: u64,
) -> Result<Option<Piece>> {
    let ask = Ask::new(url.clone(), limit).range(range);
    let mut bytes = Vec::new();
    let answer = network.ask(account, &ask, &mut bytes).await?;
    if answer.status != 206 {
        return Ok(None);
    }
    Ok(content_range(&answer).and_then(|(start, end, total)| {
        let right = end >= start && end < total && bytes.len() as u64 == end - start + 1;
        right.then_some(Piece { start, bytes, total })
    }))
}

/// `bytes 100-199/200`
fn content_range(answer: &Answer) -> Option<(u64, u64, u64)> {
    let text = answer.headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()?, total.parse().ok()?))
}

/// Where the directory lies, by the record at the end.
fn directory(tail: &Piece) -> Option<(u64, u64)> {
    let bytes = &tail.bytes;
    let at = (0..=bytes.len().checked_sub(22)?).rev().find(|at| {
        bytes[*at..].starts_with(b"PK\x05\x06")
            && usize::from(u16_at(bytes, at + 20).unwrap_or(0)) == bytes.len() - at - 22
    })?;
    let (length, start) = (
        u64::from(u32_at(bytes, at + 12)?),
        u64::from(u32_at(bytes, at + 16)?),
    );
    let zip64 = start == u64::from(u32::MAX) || length == u64::from(u32::MAX);
    let inside = start.checked_add(length)? <= tail.start + at as u64;
    (!zip64 && inside && length > 0).then_some((start, length))
}

/// The one METADATA of the directory.
fn find_metadata(mut directory: &[u8]) -> Option<Entry> {
    let mut found = None;
    while directory.starts_with(b"PK\x01\x02") {
        let lengths = [28, 30, 32].map(|at| u16_at(directory, at).map(usize::from));
        let [Some(name), Some(extra), Some(comment)] = lengths else {
            return None;
        };
        let text = directory.get(46..46 + name)?;
        let is_metadata = text
            .strip_suffix(b".dist-info/METADATA")
            .is_some_and(|stem| !stem.contains(&b'/'));
        if is_metadata {
            let encrypted = u16_at(directory, 8)? & 1 == 1;
            if found.is_some() || encrypted {
                return None;
            }
            found = Some(Entry {
                method: u16_at(directory, 10)?,
                crc: u32_at(directory, 16)?,
                packed: u64::from(u32_at(directory, 20)?),
                size: u64::from(u32_at(directory, 24)?),
                header: u64::from(u32_at(directory, 42)?),
            });
        }
        directory = directory.get(46 + name + extra + comment..)?;
    }
    found
}

fn unpack(piece: &Piece, entry: &Entry) -> Option<Vec<u8>> {
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
