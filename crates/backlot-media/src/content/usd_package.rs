//! USD packages (`.usdz`): a ZIP archive without compression, whose first file is a layer, and whose layers name files of the archive only.
//!
//! Source: the USDZ specification 1.3. Invariants: files lie within the archive, and are counted. Deliberately absent: ZIP64, of which packages have no need, and where
//! data begins (at multiples of 64 bytes), which readers do without.

use std::collections::BTreeMap;

use backlot_core::relpath::seen_from;

use super::bytes::{Bytes, Source};
use super::{MOST_PROBLEMS, damaged, usd_layer};
use crate::error::Trouble;

/// The most files of a package.
const MOST_FILES: usize = 100_000;
/// The end of the directory, with the longest comment.
const END: u64 = 22 + 0xffff;

/// The problems inside.
pub(super) fn read(source: &mut Source) -> Result<Vec<String>, Trouble> {
    let files = directory(source)?;
    let (mut problems, mut by_name) = (Vec::new(), BTreeMap::new());
    let first = files.first().map(|file| file.name.as_str());
    if !first.is_some_and(is_layer) {
        problems.push("its first file is not a USD layer".to_owned());
    }
    for file in &files {
        by_name.insert(file.name.as_str(), file);
        if file.method != 0 {
            problems.push(format!(
                "{} is compressed, which files of a package are not",
                file.name
            ));
        }
    }
    for file in files
        .iter()
        .filter(|file| file.method == 0 && is_layer(&file.name))
    {
        let data = data(source, file)?;
        let paths = match usd_layer::read(&mut source.part(data, file.size)?) {
            Ok(references) => references,
            Err(Trouble::Damaged(reason)) => {
                problems.push(format!("{}: {reason}", file.name));
                continue;
            }
            Err(other) => return Err(other),
        };
        let folder = file.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for reference in paths {
            let path = reference.path.as_str();
            let inside = joined(folder, path).filter(|inside| is_there(&by_name, inside));
            let inside = inside.or_else(|| joined("", path).filter(|inside| is_there(&by_name, inside)));
            if inside.is_none() {
                let (name, place) = (&file.name, &reference.place);
                problems.push(format!("{name}: {place}: `{path}` is not in the package"));
            }
        }
        if problems.len() >= MOST_PROBLEMS {
            break;
        }
    }
    problems.truncate(MOST_PROBLEMS);
    Ok(problems)
}

fn is_layer(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["usd", "usda", "usdc"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether there is a file, or a tile of a texture.
fn is_there(files: &BTreeMap<&str, &Packed>, path: &str) -> bool {
    match path.split_once("<UDIM>") {
        None => files.contains_key(path),
        Some((before, behind)) => files.keys().any(|name| {
            let tile = name
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(behind));
            tile.is_some_and(|tile| tile.len() == 4 && tile.bytes().all(|byte| byte.is_ascii_digit()))
        }),
    }
}

/// A path as seen from a folder of the package; `None` where it leaves it.
fn joined(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains("://") {
        return None;
    }
    seen_from(folder, path)
}

/// A file of a package.
struct Packed {
    name: String,
    method: u16,
    size: u64,
    /// Where its own header is.
    header: u64,
}

/// All files, in the order of the directory at the end.
fn directory(source: &mut Source) -> Result<Vec<Packed>, Trouble> {
    let length = source.size.min(END);
    let tail = source.read(source.size - length, length)?;
    let at = tail.windows(4).rposition(|window| window == b"PK\x05\x06");
    let at = at.ok_or_else(|| damaged("it is truncated: it has no directory at its end"))?;
    let mut end = Bytes(&tail[at..]);
    end.take(10)?;
    let count = usize::from(u16::from_le_bytes(end.array()?));
    let (size, begin) = (u64::from(end.u32_le()?), u64::from(end.u32_le()?));
    let comment = usize::from(u16::from_le_bytes(end.array()?));
    end.take(comment)?;
    if begin + size > source.size {
        return Err(damaged("it is truncated: its directory is past its end"));
    }
    let bytes = source.read(begin, size)?;
    let mut bytes = Bytes(&bytes);
    let mut files = Vec::new();
    for _ in 0..count.min(MOST_FILES) {
        if bytes.take(4)? != b"PK\x01\x02" {
            return Err(damaged("its directory is invalid"));
        }
        let mut head = Bytes(bytes.take(42)?);
        head.take(6)?;
        let method = u16::from_le_bytes(head.array()?);
        head.take(12)?;
        let size = u64::from(head.u32_le()?);
        let lengths: [[u8; 2]; 3] = [head.array()?, head.array()?, head.array()?];
        let [name, extra, comment] = lengths.map(|bytes| usize::from(u16::from_le_bytes(bytes)));
        head.take(8)?;
        let header = u64::from(head.u32_le()?);
        let name = String::from_utf8_lossy(bytes.take(name)?).into_owned();
        bytes.take(extra + comment)?;
        if header + 30 + size > source.size {
            return Err(damaged(format!("it is truncated: {name} is past its end")));
        }
        files.push(Packed {
            name,
            method,
            size,
            header,
        });
    }
    Ok(files)
}

/// Where the data of a file begins, behind its own header.
fn data(source: &mut Source, file: &Packed) -> Result<u64, Trouble> {
    let head = source.read(file.header, 30)?;
    if !head.starts_with(b"PK\x03\x04") {
        return Err(damaged(format!("{} has no header", file.name)));
    }
    let mut lengths = Bytes(&head[26..]);
    let (name, extra): ([u8; 2], [u8; 2]) = (lengths.array()?, lengths.array()?);
    let lengths = u64::from(u16::from_le_bytes(name)) + u64::from(u16::from_le_bytes(extra));
    Ok(file.header + 30 + lengths)
}
