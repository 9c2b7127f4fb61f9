//! Reading and writing little-endian records without trust: every read is bounds-checked, every stored object ends with
//! the BLAKE3 of all bytes before it.

use backlot_core::Blake3;

/// Length of the digest at the end of a sealed object.
pub(super) const SEAL: usize = 32;

/// Why stored bytes cannot be what they should be.
pub(super) type Malformed = &'static str;

/// A cursor over stored bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or("it is truncated")?;
        self.rest = tail;
        Ok(head)
    }
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| "it is truncated")
    }
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }
    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }
    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }
    pub(super) fn magic(&mut self, magic: [u8; 8]) -> Result<(), Malformed> {
        if self.array::<8>()? == magic {
            Ok(())
        } else {
            Err("it has no valid header")
        }
    }
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Append the digest of everything so far.
pub(super) fn seal(bytes: &mut Vec<u8>) {
    let digest = blake3::hash(bytes);
    bytes.extend_from_slice(digest.as_bytes());
}

/// The content of a sealed object, proven.
pub(super) fn unseal(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (content, digest) = bytes
        .split_at_checked(bytes.len().wrapping_sub(SEAL))
        .ok_or("it is truncated")?;
    if blake3::hash(content).as_bytes() == digest {
        Ok(content)
    } else {
        Err("its contents do not match its digest")
    }
}

/// The BLAKE3 of bytes.
pub(super) fn blake3_of(bytes: &[u8]) -> Blake3 {
    Blake3::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// A length that is known to fit.
pub(super) fn small(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
