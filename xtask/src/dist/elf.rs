//! What a Linux binary needs of the machine it starts on, read from its ELF header (64 bits, little-endian).

use std::io;

/// What a binary needs to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// Nothing: it names no loader.
    Static,
    /// A glibc of at least this version.
    Glibc(u32, u32),
}

/// `PT_INTERP`: the path of the loader.
const INTERPRETER: u32 = 3;

/// What a binary needs.
pub(super) fn linkage(bytes: &[u8]) -> io::Result<Linkage> {
    let wrong = || io::Error::other("not a 64-bit little-endian ELF binary");
    if bytes.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err(wrong());
    }
    let number = |at: usize, size: usize| -> Option<usize> {
        let field = bytes.get(at..at + size)?;
        let value = field
            .iter()
            .rev()
            .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    // e_phoff, e_phentsize, e_phnum.
    let (start, size, count) =
        (|| Some((number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?)))().ok_or_else(wrong)?;
    let dynamic = (0..count).any(|index| number(start + index * size, 4) == Some(INTERPRETER as usize));
    if !dynamic {
        return Ok(Linkage::Static);
    }
    let (major, minor) = newest_glibc(bytes);
    Ok(Linkage::Glibc(major, minor))
}

/// The newest version of glibc that is named. Names of versions stand in the table of dynamic strings, each ended by a zero.
fn newest_glibc(bytes: &[u8]) -> (u32, u32) {
    const PREFIX: &[u8] = b"\0GLIBC_";
    let starts = bytes.windows(PREFIX.len()).enumerate();
    let starts = starts
        .filter(|(_, window)| *window == PREFIX)
        .map(|(at, _)| at + PREFIX.len());
    let versions = starts.filter_map(|at| {
        let name = bytes.get(at..)?.split(|byte| *byte == 0).next()?;
        let mut parts = std::str::from_utf8(name).ok()?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    });
    versions.max().unwrap_or((2, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one entry of a type, and strings behind it.
    fn binary(kind: u8, strings: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 0x40 + 0x38];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[0x20] = 0x40;
        bytes[0x36] = 0x38;
        bytes[0x38] = 1;
        bytes[0x40] = kind;
        bytes.extend_from_slice(strings);
        bytes
    }

    #[test]
    fn a_binary_without_a_loader_is_static() {
        let found = linkage(&binary(1, b"\0GLIBC_2.34\0")).expect("ELF");
        assert_eq!(found, Linkage::Static);
    }

    #[test]
    fn the_newest_glibc_counts_by_number() {
        let found = linkage(&binary(
            3,
            b"\0GLIBC_2.9\0GLIBC_2.17\0GLIBC_2.2.5\0GLIBC_PRIVATE\0",
        ))
        .expect("ELF");
        assert_eq!(found, Linkage::Glibc(2, 17));
    }

    #[test]
    fn what_is_not_elf_is_refused() {
        assert!(linkage(b"#!/bin/sh\n").is_err());
        assert!(linkage(b"\x7fELF\x02\x01").is_err());
    }
}
