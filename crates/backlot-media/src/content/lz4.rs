//! Blocks of LZ4, as binary USD has them: decoded into no more than was said.
//!
//! Source: the block format of LZ4 1.9. Invariant: what is decoded is bounded before, and a block that points before its begin is damage.

use super::damaged;
use crate::error::Trouble;

/// Decompress a block into at most `most` bytes.
pub(super) fn decode(mut block: &[u8], most: usize) -> Result<Vec<u8>, Trouble> {
    let mut out = Vec::with_capacity(most.min(block.len().saturating_mul(4)));
    while let Some((token, rest)) = block.split_first() {
        block = rest;
        let literals = length(&mut block, usize::from(token >> 4))?;
        let (copied, rest) = block.split_at_checked(literals).ok_or_else(cut)?;
        if copied.len() > most - out.len() {
            return Err(damaged("a compressed section is longer than declared"));
        }
        out.extend_from_slice(copied);
        block = rest;
        if block.is_empty() {
            // The last sequence has literals only.
            break;
        }
        let (back, rest) = block.split_first_chunk::<2>().ok_or_else(cut)?;
        block = rest;
        let back = usize::from(u16::from_le_bytes(*back));
        let matched = length(&mut block, usize::from(token & 15))?.saturating_add(4);
        if back == 0 || back > out.len() {
            return Err(damaged("a compressed section refers to data before its start"));
        }
        if matched > most - out.len() {
            return Err(damaged("a compressed section is longer than declared"));
        }
        // What is copied may reach into itself.
        let begin = out.len() - back;
        for at in begin..begin + matched {
            out.push(out[at]);
        }
    }
    Ok(out)
}

fn length(block: &mut &[u8], first: usize) -> Result<usize, Trouble> {
    let mut sum = first;
    if first == 15 {
        loop {
            let (more, rest) = block.split_first().ok_or_else(cut)?;
            *block = rest;
            sum = sum.saturating_add(usize::from(*more));
            if *more != 255 {
                break;
            }
        }
    }
    Ok(sum)
}

fn cut() -> Trouble {
    damaged("a compressed section is truncated")
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn blocks_are_decoded_and_wrong_ones_refused() {
        // Five literals, then ten bytes from five before, then one literal.
        let block = [0x56, b'a', b'b', b'c', b'd', b'e', 5, 0, 0x10, b'!'];
        assert_eq!(decode(&block, 16).expect("a block"), b"abcdeabcdeabcde!");
        assert!(decode(&block, 15).is_err());
        for cut in [2, 7] {
            assert!(decode(&block[..cut], 100).is_err(), "cut at {cut}");
        }
        assert!(decode(&[0x10, b'a', 2, 0, 0], 100).is_err());
        assert!(decode(&[0xf0, 255, 255], 100).is_err());
        assert_eq!(decode(&[], 100).expect("nothing"), b"");
    }
}
